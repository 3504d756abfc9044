"""Pages that requests hold where nothing is cached: each has a list of them, the oldest first."""

from ...configs.errors import InvariantError
from ..compiled import inner
from . import empty_pages, pages, room
from . import layout as at
from .layout import FIRST_HOLDER, NONE, IntArray, Pool


@inner
def take(pool: Pool, holder: int, need: IntArray) -> bool:
    """Body of ``batch.take``: a call may use as many large pages as it needs if all groups can."""
    owner = FIRST_HOLDER + holder
    if not empty_pages.is_joined(pool, owner) and room.least_large(pool, need) <= room.available(
        pool
    ):
        empty_pages.join(pool, owner)
    if not room.set_quotas(pool, need):
        room.refuse(pool, owner)
        return False
    for group in range(len(need)):
        left = need[group]
        while left > 0:
            page, count = pages.take_empty(pool, group, owner, left)
            if not count:
                raise InvariantError("pages were promised that are not there")
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
def give(pool: Pool, holder: int, group: int, count: int) -> None:
    """Body of ``batch.give``: empty pages stay with the request until their large page is empty."""
    owner = FIRST_HOLDER + holder
    if count > pool.owners[owner, group, at.HELD]:
        raise InvariantError("a request gives pages that it does not hold")
    _give(pool, owner, group, count)


@inner
def free(pool: Pool, holder: int) -> None:
    """Body of ``batch.free``: empty pages that others pin in a large page lose their owner."""
    owner = FIRST_HOLDER + holder
    if empty_pages.is_joined(pool, owner):
        empty_pages.leave(pool, owner)
        for group in range(len(pool.groups)):
            _give(pool, owner, group, pool.owners[owner, group, at.HELD])


@inner
def _give(pool: Pool, owner: int, group: int, count: int) -> None:
    mine, nodes = pool.owners[owner, group], pool.nodes
    ratio, base = pool.groups[group, at.RATIO], pool.groups[group, at.BASE]
    node = mine[at.OLDEST]
    mine[at.HELD] -= count
    pool.groups[group, at.HOLDING] -= count
    while count > 0:
        large = (node - base) // ratio
        low = base + large * ratio
        first, run = node, 0
        while run < count and low <= node < low + ratio:
            nodes[node, at.REFS] = 0
            node = nodes[node, at.NEXT]
            run += 1
        count -= run
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
    mine[at.OLDEST] = node


def check(pool: Pool) -> None:
    """Raise InvariantError unless every page that is held is in just one list."""
    for group in range(len(pool.groups)):
        held: list[int] = []
        for row in pool.owners[FIRST_HOLDER:, group]:
            node = int(row[at.OLDEST])
            for _ in range(row[at.HELD]):
                held.append(node)
                node = int(pool.nodes[node, at.NEXT])
        wrong = any(pool.nodes[node, at.REFS] != 1 for node in held)
        # Nobody has the null page in a list.
        if wrong or len(set(held)) != len(held) or len(held) + 1 != pool.groups[group, at.HOLDING]:
            raise InvariantError("two requests hold one small page, or nobody does")
