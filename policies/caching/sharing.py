"""Pages of windowed kinds that several requests hold: what is counted once too often.

A page at the edge of one request's window may lie in the middle of another's. Its live tokens are
those of the request that reads most of it; it is dead if nobody reads any.
"""

import numpy as np

from ..compiled import allocating, inner
from .layout import (
    BLOCK,
    CHUNKED,
    CUT,
    LENGTH,
    MOST_READ,
    NULL,
    NULLS,
    REFS,
    Arrays,
    IntArray,
)

VIEW_GROUP, VIEW_KIND, VIEW_WINDOW, VIEW_CLASS = range(4)
"""Rows of ``views``: one column per windowed content of a group's pages. The last is the group's
growth class."""
ROW, VIEW, INDEX, SHARED = range(4)
"""Rows of ``shared``: request (its place among those that run), view, block, page."""
LIVE, DEAD_PAGES = range(2)
"""What sums over requests count too often: tokens and dead pages."""


@allocating
def find_shared(
    arrays: Arrays, table: IntArray, marks: IntArray, views: IntArray, row: int
) -> IntArray:
    """The pages of one request that others hold too: an array like ``shared``."""
    most = 0
    for view in range(views.shape[1]):
        group = views[VIEW_GROUP, view]
        most += marks[LENGTH, group] - marks[NULLS, group]
    found = np.zeros((4, most), dtype=np.int64)
    count = 0
    for view in range(views.shape[1]):
        group = views[VIEW_GROUP, view]
        for index in range(marks[NULLS, group], marks[LENGTH, group]):
            page = table[group, index]
            if page != NULL and arrays.pages[page, REFS] > 1:
                found[ROW, count] = row
                found[VIEW, count] = view
                found[INDEX, count] = index
                found[SHARED, count] = page
                count += 1
    return found[:, :count].copy()


@allocating
def excess(
    rules: IntArray,
    views: IntArray,
    shared: IntArray,
    text: IntArray,
    processed: IntArray,
    expired: IntArray,
) -> IntArray:
    """What is counted too often: an array of shape (steps, 2, views).

    ``shared`` is sorted by view and page. ``text`` and ``processed`` (tokens after a step, and
    before the steps that run) have shape (steps, requests). ``expired``, of shape (classes, steps,
    requests), are the blocks that were given back by then, although ``shared`` may still name them.
    """
    steps = text.shape[0]
    result = np.zeros((steps, 2, views.shape[1]), dtype=np.int64)
    best = np.zeros(steps, dtype=np.int64)
    dead = np.zeros(steps, dtype=np.int64)
    for place in range(shared.shape[1]):
        view, page, row = shared[VIEW, place], shared[SHARED, place], shared[ROW, place]
        group, window = views[VIEW_GROUP, view], views[VIEW_WINDOW, view]
        block = rules[BLOCK, group]
        first = shared[INDEX, place] * block
        end = first + block
        last = place + 1 == shared.shape[1]
        closes = last or shared[VIEW, place + 1] != view or shared[SHARED, place + 1] != page
        for step in range(steps):
            if views[VIEW_KIND, view] == CHUNKED:
                start = processed[step, row] // window * window
            else:
                start = max(processed[step, row] - window + 1, 0)
            live = max(min(end, text[step, row]) - max(first, start), 0)
            held = shared[INDEX, place] >= expired[views[VIEW_CLASS, view], step, row]
            result[step, LIVE, view] += live
            if held and end <= start:
                result[step, DEAD_PAGES, view] += 1
                dead[step] = 1
            best[step] = max(best[step], live)
            if closes:
                result[step, LIVE, view] -= best[step]
                if best[step] == 0:
                    result[step, DEAD_PAGES, view] -= dead[step]
                best[step] = dead[step] = 0
    return result


@inner
def window_start(kind: int, window: int, processed: int) -> int:
    """First token that the next one reads."""
    if kind == CHUNKED:
        return processed // window * window
    return max(processed - window + 1, 0)


@inner
def cut_pages(
    arrays: Arrays,
    table: IntArray,
    marks: IntArray,
    group: int,
    start: int,
    out: IntArray,
) -> None:
    """Take off what one request, that reads from token ``start`` on, does not of shared pages.

    ``out`` has counted each of them as read to its end by all that hold it, but one.
    ``join_pages`` follows.
    """
    pages, block = arrays.pages, arrays.rules[BLOCK, group]
    end = min((start + block - 1) // block, marks[LENGTH, group])
    for index in range(marks[NULLS, group], end):
        page = table[group, index]
        if page != NULL and pages[page, REFS] > 1:
            live = max((index + 1) * block - start, 0)
            pages[page, CUT] += 1
            pages[page, MOST_READ] = max(pages[page, MOST_READ], live)
            out[LIVE] -= block - live
            if live == 0:
                out[DEAD_PAGES] += 1


@inner
def join_pages(
    arrays: Arrays,
    table: IntArray,
    marks: IntArray,
    group: int,
    start: int,
    out: IntArray,
) -> None:
    """Count pages that no request reads as a whole for the one that reads most of them."""
    pages, block = arrays.pages, arrays.rules[BLOCK, group]
    end = min((start + block - 1) // block, marks[LENGTH, group])
    for index in range(marks[NULLS, group], end):
        page = table[group, index]
        if page != NULL and pages[page, CUT]:
            if pages[page, CUT] == pages[page, REFS]:
                out[LIVE] += block - pages[page, MOST_READ]
                if pages[page, MOST_READ] == 0:
                    out[DEAD_PAGES] -= 1
            pages[page, CUT] = pages[page, MOST_READ] = 0
