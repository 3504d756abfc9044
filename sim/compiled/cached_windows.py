"""Windowed pages that several requests hold, in tables with vLLM's prefix cache: for the meter."""

from ...policies.caching.layout import BLOCK, HELD
from ...policies.caching.sharing import (
    LIVE,
    VIEW_GROUP,
    VIEW_KIND,
    VIEW_WINDOW,
    cut_pages,
    join_pages,
    window_start,
)
from ...policies.compiled import body_of, inner
from ..requests import CHUNK, COMPUTED, IN_FLIGHT, SEAT
from . import contract
from .cached_state import CachedTables
from .state import IntArray


@body_of(contract.window_excess, CachedTables)
@inner
def window_excess(
    tables: CachedTables,
    table: IntArray,
    running: IntArray,
    count: int,
    views: IntArray,
    out: IntArray,
) -> None:
    """Whoever holds a page beside others reads it whole, unless its window begins there."""
    pool = tables.pool
    extras = HELD + 2 * pool.rules.shape[1]
    for view in range(views.shape[1]):
        group, sums = views[VIEW_GROUP, view], out[:, view]
        whole = pool.counters[extras + group] * pool.rules[BLOCK, group]
        sums[:] = 0
        sums[LIVE] = whole
        if whole:
            _walk(tables, table, running, count, views[:, view], sums, False)
        if sums[LIVE] != whole:
            _walk(tables, table, running, count, views[:, view], sums, True)


@inner
def _walk(
    tables: CachedTables,
    table: IntArray,
    running: IntArray,
    count: int,
    view: IntArray,
    sums: IntArray,
    joins: bool,
) -> None:
    """``cut_pages``, or ``join_pages``, for all whose window has left the start."""
    group, kind, window = view[VIEW_GROUP], view[VIEW_KIND], view[VIEW_WINDOW]
    for place in range(count):
        slot = running[place]
        reading = max(table[CHUNK, slot], table[IN_FLIGHT, slot])
        start = window_start(kind, window, table[COMPUTED, slot] - reading)
        if start:
            seat = table[SEAT, slot]
            pages, marks = tables.tables[seat], tables.marks[seat]
            if joins:
                join_pages(tables.pool, pages, marks, group, start, sums)
            else:
                cut_pages(tables.pool, pages, marks, group, start, sums)
