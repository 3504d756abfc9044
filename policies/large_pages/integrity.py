"""Whether the books of Jenga's pool balance: every list and count beside what they stand for."""

from collections import Counter

import numpy as np

from ...configs.errors import InvariantError
from . import layout as at
from .layout import IntArray, Pool


def check(pool: Pool) -> None:
    """Raise InvariantError unless every page is in one state and every count is right."""
    counts, groups = pool.counts, pool.groups
    free = int(counts[at.SIZE] - counts[at.TOUCHED] + counts[at.NUM_RETURNED])
    places = counts[at.FIRST_RETURNED] + np.arange(counts[at.NUM_RETURNED])
    in_ring = pool.large[places % counts[at.SIZE], at.RETURNED_LARGE].tolist()
    used = np.flatnonzero(pool.large[:, at.GROUP]).tolist()
    if len(used) + free != counts[at.SIZE]:
        raise InvariantError("a large page is lost")
    if set(used) & set(in_ring) or len(set(in_ring)) != len(in_ring):
        raise InvariantError("a large page is in two places")
    for group in range(len(groups)):
        _check_group(pool, group, [n for n in used if pool.large[n, at.GROUP] == group + 1])
    if counts[at.EVICTABLES] != groups[:, at.EVICTABLE].sum():
        raise InvariantError("the count of large pages that can be evicted is wrong")


def _check_group(pool: Pool, group: int, larges: list[int]) -> None:
    mine = pool.groups[group]
    found: Counter[int] = Counter()
    entries: list[int] = []
    keys: list[tuple[int, int]] = []
    for large in larges:
        entries += _check_large(pool, group, large, found, keys)
    listed = [
        node
        for owner in pool.owners[:, group]
        for node in _chain(pool.nodes[:, at.NEXT], int(owner[at.FIRST]))
    ]
    if sorted(listed) != sorted(entries):
        raise InvariantError("an empty small page is in no list, or in two")
    found[at.LARGES] = len(larges)
    columns = (at.LARGES, at.EMPTIES, at.PARKED, at.HOLDING, at.EXTRA, at.KEYED)
    for column in (*columns, at.IDLES, at.IDLES_IN_LARGE, at.EVICTABLE):
        if found[column] != mine[column]:
            raise InvariantError(f"group {group}: count {column} is {mine[column]}")
    if mine[at.EMPTIES] != pool.owners[:, group, at.KEPT].sum():
        raise InvariantError("the counts of empty small pages by owner are wrong")
    if len(set(keys)) != len(keys):
        raise InvariantError(f"group {group}: two pages have one key")


def _check_large(
    pool: Pool, group: int, large: int, found: Counter[int], keys: list[tuple[int, int]]
) -> list[int]:
    """Add what a large page has to ``found`` and ``keys``; returns its entries in lists."""
    row, ratio = pool.large[large], int(pool.groups[group, at.RATIO])
    first = int(pool.groups[group, at.BASE]) + large * ratio
    handed = range(first, first + int(row[at.HANDED]))
    returned = _chain(pool.nodes[:, at.AFTER], int(row[at.RETURNED]))
    idle = _chain(pool.nodes[:, at.NEXT], int(row[at.IDLE]))
    held = [node for node in handed if pool.nodes[node, at.REFS]]
    keyed = [node for node in handed if pool.nodes[node, at.BORN]]
    if sorted([*returned, *idle, *held]) != list(handed):
        raise InvariantError(f"large page {large}: a small page is in two states, or in none")
    empty = ratio - len(handed) + len(returned)
    if (empty, len(idle)) != (row[at.EMPTY], row[at.NUM_IDLE]) or empty == ratio:
        raise InvariantError(f"large page {large} has {empty} empty small pages")
    if not set(idle) <= set(keyed) <= {*idle, *held}:
        raise InvariantError(f"large page {large}: keys and pages do not match")
    rank = int(pool.counts[at.LARGE_NODE]) + large
    evictable = bool(pool.nodes[rank, at.PLACE])
    if evictable != (not held):
        raise InvariantError(f"large page {large} can be evicted although it is held, or cannot")
    for node in [*idle, *([rank] if evictable else [])]:
        place = int(pool.nodes[node, at.PLACE])
        if (place or not evictable) and pool.heap[place] != node:
            raise InvariantError(f"large page {large}: a page is not where its heap says")
    found[at.HOLDING] += len(held)
    found[at.EXTRA] += sum(int(pool.nodes[node, at.REFS]) - 1 for node in held)
    found[at.KEYED] += len(keyed)
    found[at.IDLES] += len(idle)
    found[at.EVICTABLE] += evictable
    found[at.IDLES_IN_LARGE] += len(idle) if evictable else 0
    found[at.PARKED if evictable else at.EMPTIES] += empty
    keys += [(int(pool.nodes[n, at.KEY]), int(pool.nodes[n, at.PREFIX])) for n in keyed]
    entries = [*([rank] if row[at.HANDED] < ratio else []), *returned]
    return [] if evictable else entries


def _chain(links: IntArray, node: int) -> list[int]:
    found: list[int] = []
    while node:
        found.append(node)
        node = int(links[node])
    return found
