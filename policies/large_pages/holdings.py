"""Pages that requests hold where nothing is cached: each has a list of them, the oldest first."""

from ...configs.errors import InvariantError
from ..compiled import inner
from . import empty_pages, pages
from . import layout as at
from .layout import NONE, IntArray, Pool


@inner
def take(pool: Pool, owner: int, need: IntArray) -> bool:
    """Take ``need`` pages, all or nothing.

    A call may use as many large pages as it needs if all groups can.
    """
    if not empty_pages.is_joined(pool, owner) and pages.room(pool, need) <= pages.available(pool):
        empty_pages.join(pool, owner)
    if not pages.set_quotas(pool, need):
        pages.refuse(pool, owner)
        return False
    for group in range(len(need)):
        left = need[group]
        while left > 0:
            page, count = pages.take(pool, group, owner, left)
            _hold(pool, group, owner, page, count)
            left -= count
    return True


@inner
def _hold(pool: Pool, group: int, owner: int, page: int, count: int) -> None:
    mine, first = pool.owners[owner, group], pool.groups[group, at.BASE] + page
    for node in range(first, first + count - 1):
        pool.nodes[node, at.NEXT] = node + 1
    pool.nodes[first + count - 1, at.NEXT] = NONE
    if mine[at.HELD]:
        pool.nodes[mine[at.NEWEST], at.NEXT] = first
    else:
        mine[at.OLDEST] = first
    mine[at.NEWEST] = first + count - 1
    mine[at.HELD] += count


@inner
def give(pool: Pool, owner: int, group: int, count: int) -> None:
    """Give back the oldest pages. They stay with the request until their large page is empty."""
    held = pool.owners[owner, group, at.HELD]
    if count > held:
        raise InvariantError("a request gives pages that it does not hold")
    ratio, base, nodes = pool.groups[group, at.RATIO], pool.groups[group, at.BASE], pool.nodes
    node = pool.owners[owner, group, at.OLDEST]
    pool.owners[owner, group, at.HELD] = held - count
    pool.groups[group, at.HOLDING] -= count
    while count > 0:
        large = (node - base) // ratio
        low = base + large * ratio
        first, run = node, 0
        while run < count and low <= node < low + ratio:
            nodes[node, at.REFS] = 0
            node = nodes[node, at.NEXT]
            run += 1
        kept = pool.large[large, at.EMPTY]
        if kept + run == ratio:
            if kept:
                empty_pages.unlist(pool, group, large)
            empty_pages.drop_large(pool, group, large)
        else:
            for _ in range(run):
                after = nodes[first, at.NEXT]
                empty_pages.put(pool, group, large, first)
                first = after
        count -= run
    pool.owners[owner, group, at.OLDEST] = node


@inner
def free(pool: Pool, owner: int) -> None:
    """Give back everything. Empty pages that others pin in a large page lose their owner."""
    if empty_pages.is_joined(pool, owner):
        empty_pages.leave(pool, owner)
        for group in range(len(pool.groups)):
            give(pool, owner, group, pool.owners[owner, group, at.HELD])
