"""Pages of windowed kinds that several requests hold: what is counted once too often.

A page at the edge of one request's window may lie in the middle of another's. Its live tokens are
those of the request that reads most of it.
"""

from .compiled import compiled
from .layout import BLOCK, CHUNKED, LENGTH, NULL, NULLS, REFS, Arrays, IntArray

VIEW_GROUP, VIEW_KIND, VIEW_WINDOW = range(3)
"""Rows of ``views``: one column per windowed content of a group's pages."""
LIVE, DEAD_PAGES = range(2)
"""Rows of ``excess``: tokens and dead pages that sums over requests count too often."""


@compiled
def note_shared(
    arrays: Arrays,
    table: IntArray,
    marks: IntArray,
    views: IntArray,
    text: int,
    processed: int,
    best: IntArray,
    excess: IntArray,
) -> None:
    """Add what one request reads of pages that others hold too.

    ``processed``: tokens before the steps that still run. ``best``: most live tokens of each page
    so far in each view, -1 where no request was noted.
    """
    for view in range(views.shape[1]):
        group, window = views[VIEW_GROUP, view], views[VIEW_WINDOW, view]
        block = arrays.rules[BLOCK, group]
        if views[VIEW_KIND, view] == CHUNKED:
            start = processed // window * window
        else:
            start = max(processed - window + 1, 0)
        for index in range(marks[NULLS, group], marks[LENGTH, group]):
            page = table[group, index]
            if page == NULL or arrays.pages[REFS, page] < 2:
                continue
            first, end = index * block, (index + 1) * block
            live = max(min(end, text) - max(first, start), 0)
            excess[LIVE, view] += live
            excess[DEAD_PAGES, view] += 1 if end <= start else 0
            best[view, page] = max(best[view, page], live)


@compiled
def count_once(best: IntArray, excess: IntArray) -> None:
    """Take each noted page out of ``excess`` once, as the request sees it that reads most."""
    for view in range(best.shape[0]):
        for page in range(best.shape[1]):
            live = best[view, page]
            if live >= 0:
                excess[LIVE, view] -= live
                if live == 0:
                    excess[DEAD_PAGES, view] -= 1
