"""Heaps of cached pages, and of large ones that can be evicted, by when they were used last.

The page that goes first has the smallest time; of one time that with the longest prefix
(``evictor_v2.py`` of Jenga's artifact), then that of the first group, then the first one. A heap is
a stretch of ``heap``, from ``base`` on; its nodes know their places.
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
    place, last = pool.nodes[node, at.PLACE], pool.heap[base + count - 1]
    pool.nodes[node, at.PLACE] = NONE
    if last != node:
        _sink(pool, base, base + count - 1, place, last)
        _rise(pool, base, pool.nodes[last, at.PLACE], last)


@inner
def goes_before(pool: Pool, one: int, other: int) -> bool:
    """Whether ``one`` is evicted before ``other``; both are small pages, or both large ones."""
    if pool.times[one] != pool.times[other]:
        return pool.times[one] < pool.times[other]
    tokens = pool.nodes[one, at.PREFIX] >> at.PART_BITS
    others_tokens = pool.nodes[other, at.PREFIX] >> at.PART_BITS
    if tokens != others_tokens:
        return tokens > others_tokens
    first_large = pool.counts[at.LARGE_NODE]
    if one >= first_large:
        mine = pool.large[one - first_large, at.GROUP]
        others = pool.large[other - first_large, at.GROUP]
        if mine != others:
            return mine < others
    return one < other


@inner
def _rise(pool: Pool, base: int, place: int, node: int) -> None:
    heap, nodes = pool.heap, pool.nodes
    while place > base:
        parent = base + (place - base - 1) // 2
        above = heap[parent]
        if not goes_before(pool, node, above):
            break
        heap[place], nodes[above, at.PLACE] = above, place
        place = parent
    heap[place], nodes[node, at.PLACE] = node, place


@inner
def _sink(pool: Pool, base: int, end: int, place: int, node: int) -> None:
    heap, nodes = pool.heap, pool.nodes
    child = base + 2 * (place - base) + 1
    while child < end:
        below = heap[child]
        if child + 1 < end and goes_before(pool, heap[child + 1], below):
            child += 1
            below = heap[child]
        if not goes_before(pool, below, node):
            break
        heap[place], nodes[below, at.PLACE] = below, place
        place = child
        child = base + 2 * (place - base) + 1
    heap[place], nodes[node, at.PLACE] = node, place
