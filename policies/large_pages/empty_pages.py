"""Empty small pages by owner, and the large pages that they lie in.

Every large page is associated with the request it was taken for. Empty pages are kept for that
request as long as it runs, first in, first out; then they have no owner and wait in the order in
which they lost it. What a large page never handed out is one entry of such a list.
"""

from ..compiled import inner
from . import layout as at
from .layout import NOBODY, NONE, Pool


@inner
def free_large(pool: Pool) -> int:
    """Large pages of no group."""
    counts = pool.counts
    return counts[at.SIZE] - counts[at.TOUCHED] + counts[at.NUM_RETURNED]


@inner
def add_large(pool: Pool, group: int, owner: int) -> None:
    """Carve the first free large page for ``owner``."""
    large = _pop_free(pool.counts, pool.large)
    row, ratio = pool.large[large], pool.groups[group, at.RATIO]
    row[at.GROUP] = group + 1
    row[at.HANDED] = row[at.RETURNED] = 0
    row[at.EMPTY] = ratio
    _give_to(pool, group, large, owner)
    pool.groups[group, at.LARGES] += 1
    _append(pool, owner, group, pool.counts[at.LARGE_NODE] + large)
    _count(pool, owner, group, ratio)


@inner
def drop_large(pool: Pool, group: int, large: int) -> None:
    """All of a large page is empty, and in no list: it belongs to no group any more."""
    row, counts = pool.large[large], pool.counts
    after, before = row[at.NEXT_OF], row[at.PREV_OF]
    if row[at.OWNER] != NOBODY:
        if before:
            pool.large[before - 1, at.NEXT_OF] = after
        else:
            pool.owners[row[at.OWNER], group, at.FIRST_LARGE] = after
        if after:
            pool.large[after - 1, at.PREV_OF] = before
    row[at.GROUP] = 0
    pool.groups[group, at.LARGES] -= 1
    place = counts[at.FIRST_RETURNED] + counts[at.NUM_RETURNED]
    place -= counts[at.SIZE] if place >= counts[at.SIZE] else 0
    pool.large[place, at.RETURNED_LARGE] = large
    counts[at.NUM_RETURNED] += 1


@inner
def put(pool: Pool, group: int, large: int, node: int) -> None:
    """A page that nobody needs any more is kept for the owner of its large page."""
    row = pool.large[large]
    pool.nodes[node, at.AFTER] = NONE
    if row[at.RETURNED]:
        pool.nodes[row[at.LAST_RETURNED], at.AFTER] = node
    else:
        row[at.RETURNED] = node
    row[at.LAST_RETURNED] = node
    row[at.EMPTY] += 1
    pool.owners[row[at.OWNER], group, at.KEPT] += 1
    pool.groups[group, at.EMPTIES] += 1
    _append(pool, row[at.OWNER], group, node)


@inner
def unlist(pool: Pool, group: int, large: int) -> None:
    """Take the empty pages of a large page out of its owner's list."""
    row = pool.large[large]
    owner = row[at.OWNER]
    if row[at.HANDED] < pool.groups[group, at.RATIO]:
        _unlink(pool, owner, group, pool.counts[at.LARGE_NODE] + large)
    node = row[at.RETURNED]
    while node:
        _unlink(pool, owner, group, node)
        node = pool.nodes[node, at.AFTER]
    _count(pool, owner, group, -row[at.EMPTY])


@inner
def enlist(pool: Pool, group: int, large: int) -> None:
    """Put the empty pages of a large page behind its owner's other ones."""
    row = pool.large[large]
    owner = row[at.OWNER]
    if row[at.HANDED] < pool.groups[group, at.RATIO]:
        _append(pool, owner, group, pool.counts[at.LARGE_NODE] + large)
    node = row[at.RETURNED]
    while node:
        _append(pool, owner, group, node)
        node = pool.nodes[node, at.AFTER]
    _count(pool, owner, group, row[at.EMPTY])


@inner
def adopt(pool: Pool, group: int, owner: int) -> None:
    """Give the large page of the first empty page that nobody owns to ``owner``."""
    node, first_large = pool.owners[NOBODY, group, at.FIRST], pool.counts[at.LARGE_NODE]
    page = node - pool.groups[group, at.BASE]
    large = node - first_large if node >= first_large else page // pool.groups[group, at.RATIO]
    unlist(pool, group, large)
    _give_to(pool, group, large, owner)
    enlist(pool, group, large)


@inner
def pop(pool: Pool, owner: int, group: int, most: int) -> tuple[int, int]:
    """Take the first pages that are kept for an owner: the first page, how many from there on.

    There must be one. At most ``most``; more than one only of pages never handed out.
    """
    node, ratio = pool.owners[owner, group, at.FIRST], pool.groups[group, at.RATIO]
    if node >= pool.counts[at.LARGE_NODE]:
        large = node - pool.counts[at.LARGE_NODE]
        row = pool.large[large]
        page = large * ratio + row[at.HANDED]
        count = min(most, ratio - row[at.HANDED])
        row[at.HANDED] += count
        if row[at.HANDED] == ratio:
            _unlink(pool, owner, group, node)
    else:
        page, count = node - pool.groups[group, at.BASE], 1
        row = pool.large[page // ratio]
        # What is returned first is listed first.
        row[at.RETURNED] = pool.nodes[node, at.AFTER]
        _unlink(pool, owner, group, node)
    row[at.EMPTY] -= count
    _count(pool, owner, group, -count)
    return page, count


@inner
def eldest_with_pages(pool: Pool, group: int) -> int:
    """Of those for whom empty pages are kept the one who joined first; NOBODY if there is none."""
    owner = pool.owners[NOBODY, 0, at.YOUNGER]
    while owner != NOBODY and not pool.owners[owner, group, at.FIRST]:
        owner = pool.owners[owner, 0, at.YOUNGER]
    return owner


@inner
def is_joined(pool: Pool, owner: int) -> bool:
    """Whether a request joined and did not leave."""
    return pool.owners[owner, 0, at.ELDER] != NOBODY


@inner
def join(pool: Pool, owner: int) -> None:
    """A request begins to take pages.

    One that was refused a page alone in the pool, and so had to leave it, did not find room:
    large pages went to it while small ones were empty beside a null page. It gets no more of them
    now than it must have, so that what ``could_fit`` does fit.
    """
    owners, counts = pool.owners, pool.counts
    counts[at.THRIFTY] = counts[at.REFUSED] and not counts[at.RUNNING]
    counts[at.RUNNING] += 1
    last = owners[NOBODY, 0, at.ELDER]
    owners[last, 0, at.YOUNGER] = owners[NOBODY, 0, at.ELDER] = owner
    owners[owner, 0, at.ELDER], owners[owner, 0, at.YOUNGER] = last, NOBODY


@inner
def leave(pool: Pool, owner: int) -> None:
    """A request ends, and gives its pages back next: those kept for it have no owner now."""
    owners = pool.owners
    pool.counts[at.RUNNING] -= 1
    elder, younger = owners[owner, 0, at.ELDER], owners[owner, 0, at.YOUNGER]
    owners[elder, 0, at.YOUNGER], owners[younger, 0, at.ELDER] = younger, elder
    owners[owner, 0, at.ELDER] = NOBODY
    for group in range(len(pool.groups)):
        mine, unowned = owners[owner, group], owners[NOBODY, group]
        large = mine[at.FIRST_LARGE]
        while large:
            pool.large[large - 1, at.OWNER] = NOBODY
            large = pool.large[large - 1, at.NEXT_OF]
        mine[at.FIRST_LARGE] = NONE
        if mine[at.FIRST]:
            if unowned[at.FIRST]:
                pool.nodes[unowned[at.LAST], at.NEXT] = mine[at.FIRST]
                pool.nodes[mine[at.FIRST], at.PREV] = unowned[at.LAST]
            else:
                unowned[at.FIRST] = mine[at.FIRST]
            unowned[at.LAST] = mine[at.LAST]
            unowned[at.KEPT] += mine[at.KEPT]
            mine[at.FIRST] = mine[at.LAST] = mine[at.KEPT] = 0


@inner
def _pop_free(counts: at.IntArray, large: at.IntArray) -> int:
    if counts[at.TOUCHED] < counts[at.SIZE]:
        counts[at.TOUCHED] += 1
        return counts[at.TOUCHED] - 1
    first = counts[at.FIRST_RETURNED]
    counts[at.FIRST_RETURNED] = first + 1 if first + 1 < counts[at.SIZE] else 0
    counts[at.NUM_RETURNED] -= 1
    return large[first, at.RETURNED_LARGE]


@inner
def _give_to(pool: Pool, group: int, large: int, owner: int) -> None:
    first = pool.owners[owner, group, at.FIRST_LARGE]
    pool.large[large, at.OWNER] = owner
    pool.large[large, at.PREV_OF], pool.large[large, at.NEXT_OF] = NONE, first
    if first:
        pool.large[first - 1, at.PREV_OF] = large + 1
    pool.owners[owner, group, at.FIRST_LARGE] = large + 1


@inner
def _count(pool: Pool, owner: int, group: int, change: int) -> None:
    pool.owners[owner, group, at.KEPT] += change
    pool.groups[group, at.EMPTIES] += change


@inner
def _append(pool: Pool, owner: int, group: int, node: int) -> None:
    last = pool.owners[owner, group, at.LAST]
    pool.nodes[node, at.PREV], pool.nodes[node, at.NEXT] = last, NONE
    if last:
        pool.nodes[last, at.NEXT] = node
    else:
        pool.owners[owner, group, at.FIRST] = node
    pool.owners[owner, group, at.LAST] = node


@inner
def _unlink(pool: Pool, owner: int, group: int, node: int) -> None:
    before, after = pool.nodes[node, at.PREV], pool.nodes[node, at.NEXT]
    if before:
        pool.nodes[before, at.NEXT] = after
    else:
        pool.owners[owner, group, at.FIRST] = after
    if after:
        pool.nodes[after, at.PREV] = before
    else:
        pool.owners[owner, group, at.LAST] = before
