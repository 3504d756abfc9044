"""Cached pages that nobody holds: which of them, and which large pages, are evicted first.

A large page can be evicted while some of its small pages are idle and all others empty; its rank is
that of the page used last. Its empty pages then wait with it, and its idle ones need not be in the
heap of small pages.
"""

from ...configs.errors import InvariantError
from ..compiled import inner
from . import content, heaps
from . import layout as at
from .empty_pages import drop_large, enlist, unlist
from .layout import NONE, Pool


@inner
def add(pool: Pool, group: int, large: int, node: int, time: float) -> None:
    """A page waits for a hit or its end; ``settle`` follows."""
    row, first = pool.large[large], pool.large[large, at.IDLE]
    pool.nodes[node, at.PREV], pool.nodes[node, at.NEXT] = NONE, first
    if first:
        pool.nodes[first, at.PREV] = node
    row[at.IDLE] = node
    row[at.NUM_IDLE] += 1
    pool.times[node] = time
    pool.groups[group, at.IDLES] += 1


@inner
def remove(pool: Pool, group: int, large: int, node: int) -> None:
    """A page is held again, or gone; its large page cannot be evicted."""
    row, before, after = pool.large[large], pool.nodes[node, at.PREV], pool.nodes[node, at.NEXT]
    if before:
        pool.nodes[before, at.NEXT] = after
    else:
        row[at.IDLE] = after
    if after:
        pool.nodes[after, at.PREV] = before
    row[at.NUM_IDLE] -= 1
    pool.groups[group, at.IDLES] -= 1
    _leave_heap(pool, group, node)


@inner
def is_evictable(pool: Pool, large: int) -> bool:
    """Whether a large page can be evicted."""
    return pool.nodes[pool.counts[at.LARGE_NODE] + large, at.PLACE] != NONE


@inner
def settle(pool: Pool, group: int, large: int) -> None:
    """Pages of a large page came back, but not all of it is empty: what can be evicted?"""
    row, mine, nodes = pool.large[large], pool.groups[group], pool.nodes
    node = row[at.IDLE]
    if row[at.NUM_IDLE] + row[at.EMPTY] < mine[at.RATIO]:
        # Those that came back now are the first.
        while node and not nodes[node, at.PLACE]:
            heaps.push(pool, mine[at.BASE], mine[at.QUEUED], node)
            mine[at.QUEUED] += 1
            node = pool.nodes[node, at.NEXT]
        return
    unlist(pool, group, large)
    rank = pool.counts[at.LARGE_NODE] + large
    pool.times[rank], nodes[rank, at.PREFIX] = pool.times[node], nodes[node, at.PREFIX]
    while node:
        time, tokens = pool.times[node], nodes[node, at.PREFIX]
        if time > pool.times[rank]:
            pool.times[rank], nodes[rank, at.PREFIX] = time, tokens
        elif time == pool.times[rank]:
            nodes[rank, at.PREFIX] = min(nodes[rank, at.PREFIX], tokens)
        node = pool.nodes[node, at.NEXT]
    heaps.push(pool, pool.counts[at.LARGE_NODE], pool.counts[at.EVICTABLES], rank)
    _count_large(pool, group, large)


@inner
def close_large(pool: Pool, group: int, large: int) -> None:
    """A page of a large page is held again: its empty pages can be had, and single idle ones."""
    _leave_large_heap(pool, group, large)
    enlist(pool, group, large)
    mine, node = pool.groups[group], pool.large[large, at.IDLE]
    while node:
        if not pool.nodes[node, at.PLACE]:
            heaps.push(pool, mine[at.BASE], mine[at.QUEUED], node)
            mine[at.QUEUED] += 1
        node = pool.nodes[node, at.NEXT]


@inner
def evict_large(pool: Pool) -> None:
    """Forget what the least recently used large page caches, of whatever group."""
    first_large = pool.counts[at.LARGE_NODE]
    if not pool.counts[at.EVICTABLES]:
        raise InvariantError("a large page was promised that is not there")
    large = int(pool.heap[first_large]) - first_large
    group, row = pool.large[large, at.GROUP] - 1, pool.large[large]
    _leave_large_heap(pool, group, large)
    node = row[at.IDLE]
    while node:
        content.erase(pool, group, node)
        _leave_heap(pool, group, node)
        node = pool.nodes[node, at.NEXT]
    pool.groups[group, at.IDLES] -= row[at.NUM_IDLE]
    row[at.IDLE] = row[at.NUM_IDLE] = 0
    drop_large(pool, group, large)


@inner
def evict_small(pool: Pool, group: int) -> int:
    """Forget the least recently used small page of a group; returns its node."""
    mine = pool.groups[group]
    while mine[at.QUEUED]:
        node = int(pool.heap[mine[at.BASE]])
        large = (node - mine[at.BASE]) // mine[at.RATIO]
        if not is_evictable(pool, large):
            content.erase(pool, group, node)
            remove(pool, group, large, node)
            return node
        # It can only be evicted with all of its large page now.
        _leave_heap(pool, group, node)
    raise InvariantError("pages were promised that are not there")


@inner
def _leave_large_heap(pool: Pool, group: int, large: int) -> None:
    first_large, counts = pool.counts[at.LARGE_NODE], pool.counts
    heaps.remove(pool, first_large, counts[at.EVICTABLES], first_large + large)
    _count_large(pool, group, large)


@inner
def _count_large(pool: Pool, group: int, large: int) -> None:
    """A large page entered the heap or left it."""
    mine, row = pool.groups[group], pool.large[large]
    sign = 1 if is_evictable(pool, large) else -1
    mine[at.PARKED] += sign * row[at.EMPTY]
    mine[at.IDLES_IN_LARGE] += sign * row[at.NUM_IDLE]
    mine[at.EVICTABLE] += sign
    pool.counts[at.EVICTABLES] += sign


@inner
def _leave_heap(pool: Pool, group: int, node: int) -> None:
    mine = pool.groups[group]
    if pool.nodes[node, at.PLACE]:
        heaps.remove(pool, mine[at.BASE], mine[at.QUEUED], node)
        mine[at.QUEUED] -= 1
