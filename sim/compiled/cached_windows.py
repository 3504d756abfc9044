"""Pages that several requests hold, in tables with vLLM's prefix cache: for the meter."""

from ...policies.caching.layout import BLOCK, GROUPS, HELD
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
from .cached_state import CachedTables, IntArray


@body_of(contract.held_pages, CachedTables)
@inner
def held_pages(tables: CachedTables, out: IntArray) -> None:
    """Pages per group that some request holds, each counted once."""
    for group in range(len(out)):
        out[group] = tables.pool.counters[HELD + group]


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
    """Whoever holds a page besides another reads it whole, unless its window begins there."""
    pool = tables.pool
    for view in range(views.shape[1]):
        group = views[VIEW_GROUP, view]
        extra = pool.counters[HELD + 2 * pool.counters[GROUPS] + group]
        sums = out[:, view]
        sums[:] = 0
        if extra:
            sums[LIVE] = extra * pool.rules[BLOCK, group]
            walk_windows(tables, table, running[:count], views[:, view], False, sums)
            walk_windows(tables, table, running[:count], views[:, view], True, sums)


@inner
def walk_windows(
    tables: CachedTables,
    table: IntArray,
    running: IntArray,
    view: IntArray,
    joins: bool,
    sums: IntArray,
) -> None:
    """``cut_pages``, or ``join_pages``, of all whose window does not start at the beginning."""
    for slot in running:
        seat, chunk = table[SEAT, slot], table[CHUNK, slot]
        processed = table[COMPUTED, slot] - max(chunk, table[IN_FLIGHT, slot])
        start = window_start(view[VIEW_KIND], view[VIEW_WINDOW], processed)
        if start == 0:
            continue
        pages, marks = tables.tables[seat], tables.marks[seat]
        group = view[VIEW_GROUP]
        if joins:
            join_pages(tables.pool, pages, marks, group, start, tables.partial, sums)
        else:
            cut_pages(tables.pool, pages, marks, group, start, tables.partial, sums)
