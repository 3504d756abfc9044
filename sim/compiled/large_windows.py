"""Pages of Jenga's pool that several requests hold: for the meter; see ``caching.sharing``."""

from ...policies.caching.sharing import (
    DEAD_PAGES,
    LIVE,
    VIEW_GROUP,
    VIEW_KIND,
    VIEW_WINDOW,
    window_start,
)
from ...policies.compiled import body_of, inner
from ...policies.demand_kernels import BLOCK, EACH
from ...policies.large_pages import layout as at
from ...policies.large_pages.layout import IntArray
from ..requests import CHUNK, COMPUTED, IN_FLIGHT, SEAT
from . import contract
from .large_state import GONE, LENGTH, LargeTables

HOLDERS, BEST = at.PLACE, at.NEXT
"""Columns of ``nodes`` that a held page does not need: requests whose window begins on a page or
behind it, 0 between calls; the most tokens that one of them reads there."""


@body_of(contract.held_pages, LargeTables)
@inner
def held_pages(tables: LargeTables, out: IntArray) -> None:
    """See the contract. Nobody has the null page in a table."""
    for group in range(len(out)):
        out[group] = tables.pool.groups[group, at.HOLDING] - 1


@body_of(contract.window_excess, LargeTables)
@inner
def window_excess(
    tables: LargeTables,
    table: IntArray,
    running: IntArray,
    count: int,
    views: IntArray,
    out: IntArray,
) -> None:
    """See the contract. Whoever holds a page reads it whole, unless its window begins there."""
    for view in range(views.shape[1]):
        group = views[VIEW_GROUP, view]
        sums, extra = out[:, view], tables.pool.groups[group, at.EXTRA]
        sums[LIVE], sums[DEAD_PAGES] = extra * tables.rules.rows[BLOCK, group], 0
        for joins in range(2 if extra else 0):
            for place in range(count):
                slot = running[place]
                chunk = max(table[CHUNK, slot], table[IN_FLIGHT, slot])
                processed = table[COMPUTED, slot] - chunk
                start = window_start(views[VIEW_KIND, view], views[VIEW_WINDOW, view], processed)
                if start > 0:
                    _walk(tables, table[SEAT, slot], group, start, joins == 1, sums)


@inner
def _walk(
    tables: LargeTables, seat: int, group: int, start: int, joins: bool, sums: IntArray
) -> None:
    """Take off what a request does not read of shared pages; then join what nobody reads whole."""
    block, each = tables.rules.rows[BLOCK, group], tables.rules.rows[EACH, group]
    mark, base = tables.marks[seat, group], tables.pool.groups[group, at.BASE]
    for entry in range(mark[GONE], min((start + block - 1) // block * each, mark[LENGTH])):
        # Held pages are in no list and no heap.
        page = tables.pool.nodes[base + tables.pages[seat, group, entry]]
        if not joins and page[at.REFS] > 1:
            live = max((entry // each + 1) * block - start, 0)
            page[BEST] = max(page[BEST], live) if page[HOLDERS] else live
            page[HOLDERS] += 1
            sums[LIVE] -= block - live
            sums[DEAD_PAGES] += live == 0
        elif joins and page[HOLDERS]:
            if page[HOLDERS] == page[at.REFS]:
                sums[LIVE] += block - page[BEST]
                sums[DEAD_PAGES] -= page[BEST] == 0
            page[HOLDERS] = 0
