"""Heaps of cached pages, and of large ones that can be evicted, by when they were used last.

The page that goes first has the smallest time; of one time that with the longest prefix
(``evictor_v2.py`` of Jenga's artifact), then that of the first group, then the first one. A heap is
a stretch of the column HEAP, from the row ``base`` on; its nodes know their rows.
"""

from ..compiled import inner
from . import layout as at
from .layout import NONE, Pool


@inner
def push(pool: Pool, base: int, count: int, node: int) -> None:
    """Put a node into a heap of ``count``."""
    _rise(pool, base, base + count, node)


@inner
def remove(pool: Pool, base: int, count: int, node: int) -> None:
    """Take a node out of a heap of ``count``."""
    place, last = pool.cached[node, at.PLACE], pool.cached[base + count - 1, at.HEAP]
    pool.cached[node, at.PLACE] = NONE
    if last != node:
        _sink(pool, base, base + count - 1, place, last)
        _rise(pool, base, pool.cached[last, at.PLACE], last)


@inner
def goes_before(pool: Pool, one: int, other: int) -> bool:
    """Whether ``one`` is evicted before ``other``; both are small pages, or both large ones."""
    if pool.times[one] != pool.times[other]:
        return pool.times[one] < pool.times[other]
    if pool.cached[one, at.TOKENS] != pool.cached[other, at.TOKENS]:
        return pool.cached[one, at.TOKENS] > pool.cached[other, at.TOKENS]
    first_large = pool.counts[at.LARGE_NODE]
    if one >= first_large:
        mine = pool.large[one - first_large, at.GROUP]
        others = pool.large[other - first_large, at.GROUP]
        if mine != others:
            return mine < others
    return one < other


@inner
def _rise(pool: Pool, base: int, place: int, node: int) -> None:
    cached = pool.cached
    while place > base:
        parent = base + (place - base - 1) // 2
        above = cached[parent, at.HEAP]
        if not goes_before(pool, node, above):
            break
        cached[place, at.HEAP], cached[above, at.PLACE] = above, place
        place = parent
    cached[place, at.HEAP], cached[node, at.PLACE] = node, place


@inner
def _sink(pool: Pool, base: int, end: int, place: int, node: int) -> None:
    cached = pool.cached
    child = base + 2 * (place - base) + 1
    while child < end:
        below = cached[child, at.HEAP]
        if child + 1 < end and goes_before(pool, cached[child + 1, at.HEAP], below):
            child += 1
            below = cached[child, at.HEAP]
        if not goes_before(pool, below, node):
            break
        cached[place, at.HEAP], cached[below, at.PLACE] = below, place
        place = child
        child = base + 2 * (place - base) + 1
    cached[place, at.HEAP], cached[node, at.PLACE] = node, place
