"""What tables ask of Jenga's pool (SOSP 2025, sections 4 and 5), as kernels.

A small page comes from the first of five places that has one: the empty pages of the request, an
empty large page, a large page whose cached contents are evicted, the empty pages of others, a
cached small page that is evicted. The second and third only as long as the call's quota of large
pages lasts, so that one group does not take what another one needs in the same call.
"""

from ...configs.errors import InvariantError
from ..compiled import inner
from . import content, empty_pages, idle_pages
from . import layout as at
from .layout import NOBODY, IntArray, Pool


@inner
def take_empty(pool: Pool, group: int, owner: int, most: int) -> tuple[int, int]:
    """Take empty pages that lie one after the other: the first, and how many, at most ``most`` > 0.

    None are taken where all that is left is idle.
    """
    mine, kept_for = pool.groups[group], owner
    if not pool.owners[owner, group, at.FIRST]:
        if mine[at.QUOTA] > 0 and empty_pages.free_large(pool) > 0:
            mine[at.QUOTA] -= 1
            empty_pages.add_large(pool, group, owner)
        elif pool.owners[NOBODY, group, at.FIRST]:
            empty_pages.adopt(pool, group, owner)
        else:
            kept_for = empty_pages.eldest_with_pages(pool, group)
            if kept_for == NOBODY:
                return 0, 0
    page, count = empty_pages.pop(pool, kept_for, group, most)
    for node in range(mine[at.BASE] + page, mine[at.BASE] + page + count):
        pool.nodes[node, at.REFS] = 1
    mine[at.HOLDING] += count
    return page, count


@inner
def take(pool: Pool, group: int, owner: int, most: int) -> tuple[int, int]:
    """Like ``take_empty``, and what is idle is evicted where that is needed."""
    mine = pool.groups[group]
    wants_large = mine[at.QUOTA] > 0 and not pool.owners[owner, group, at.FIRST]
    if wants_large and not empty_pages.free_large(pool):
        idle_pages.evict_large(pool)
    page, count = take_empty(pool, group, owner, most)
    if not count:
        node = idle_pages.evict_small(pool, group)
        pool.nodes[node, at.REFS] = 1
        mine[at.HOLDING] += 1
        return node - mine[at.BASE], 1
    return page, count


@inner
def find(pool: Pool, group: int, key: int, part: int) -> int:
    """The page that caches a part of a block since before this step; -1 if none does."""
    node = content.find_node(pool, group, key, part)
    if not node or pool.nodes[node, at.BORN] == pool.counts[at.STEP]:
        return -1
    return node - pool.groups[group, at.BASE]


@inner
def set_key(pool: Pool, group: int, page: int, key: int, part: int, tokens: int) -> bool:
    """A held page is full: later requests may find it. False if another page has the key."""
    if content.find_node(pool, group, key, part):
        return False
    content.insert(pool, group, pool.groups[group, at.BASE] + page, key, part, tokens)
    return True


@inner
def end_step(pool: Pool) -> None:
    """All decisions of a step are made: what is full now is computed in it."""
    counts = pool.counts
    counts[at.STEP] += 1
    if counts[at.NEW_KEYS]:
        counts[at.NEW_KEYS] = 0
        counts[at.CHANGES] += 1


@inner
def hold(pool: Pool, group: int, page: int) -> None:
    """One more request holds a page that ``find`` named."""
    mine = pool.groups[group]
    node = mine[at.BASE] + page
    pool.nodes[node, at.REFS] += 1
    if pool.nodes[node, at.REFS] > 1:
        mine[at.EXTRA] += 1
    else:
        large = page // mine[at.RATIO]
        if idle_pages.is_evictable(pool, large):
            idle_pages.close_large(pool, group, large)
        idle_pages.remove(pool, group, large, node)
        mine[at.HOLDING] += 1


@inner
def release(pool: Pool, group: int, pages: IntArray, start: int, end: int, time: float) -> None:
    """One request less holds ``pages`` from ``start`` to ``end``.

    Those without any are cached if they have a key, else empty. ``time`` decides when they are
    evicted: small ones first.
    """
    mine, nodes = pool.groups[group], pool.nodes
    base, ratio = mine[at.BASE], mine[at.RATIO]
    while start < end:
        large = pages[start] // ratio
        low = large * ratio
        empty, stop = 0, start
        while stop < end and low <= pages[stop] < low + ratio:
            node = base + pages[stop]
            nodes[node, at.REFS] -= 1
            if nodes[node, at.REFS] < 0:
                raise InvariantError("a page is given back by nobody")
            if nodes[node, at.REFS] == 0:
                mine[at.HOLDING] -= 1
                empty += not _is_kept(pool, group, large, node, time)
            else:
                mine[at.EXTRA] -= 1
            stop += 1
        kept = pool.large[large, at.EMPTY]
        if kept + empty == ratio:
            if kept:
                empty_pages.unlist(pool, group, large)
            empty_pages.drop_large(pool, group, large)
        else:
            for index in range(start, stop if empty else start):
                node = base + pages[index]
                if not nodes[node, at.REFS] and not _has_key(pool, group, node):
                    empty_pages.put(pool, group, large, node)
            if pool.large[large, at.NUM_IDLE]:
                idle_pages.settle(pool, group, large)
        start = stop


@inner
def _has_key(pool: Pool, group: int, node: int) -> bool:
    # Where nothing is cached these columns are never touched.
    return pool.groups[group, at.KEYED] > 0 and pool.nodes[node, at.BORN] > 0


@inner
def _is_kept(pool: Pool, group: int, large: int, node: int, time: float) -> bool:
    """Let a page that nobody holds wait for a hit, if it has a key and is computed."""
    if not _has_key(pool, group, node):
        return False
    if pool.nodes[node, at.BORN] == pool.counts[at.STEP]:
        # Given back in the step that was to fill it.
        content.erase(pool, group, node)
        return False
    idle_pages.add(pool, group, large, node, time)
    return True
