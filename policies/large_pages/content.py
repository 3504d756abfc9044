"""Which page caches which prefix: one page per group, key and part of a block."""

from ..compiled import inner
from . import layout as at
from .layout import NONE, Pool

PARTS = (1 << at.PART_BITS) - 1
NEAR = 5
"""Keys of 2^NEAR blocks lie side by side."""


@inner
def find_node(pool: Pool, group: int, key: int, part: int) -> int:
    """The page with this content, computed or about to be; NONE if there is none."""
    nodes, low = pool.nodes, pool.groups[group, at.BASE]
    high = low + pool.groups[group, at.RATIO] * pool.counts[at.SIZE]
    node = pool.buckets[_bucket(pool, group, key, part)]
    while node:
        is_part = nodes[node, at.PREFIX] & PARTS == part
        if nodes[node, at.KEY] == key and is_part and low <= node < high:
            return node
        node = nodes[node, at.AFTER]
    return NONE


@inner
def insert(pool: Pool, group: int, node: int, key: int, part: int, tokens: int) -> None:
    """A page is full now; no other one has its content."""
    row, bucket = pool.nodes[node], _bucket(pool, group, key, part)
    row[at.KEY] = key
    row[at.PREFIX] = (tokens << at.PART_BITS) + part
    row[at.BORN] = pool.counts[at.STEP]
    row[at.AFTER] = pool.buckets[bucket]
    pool.buckets[bucket] = node
    pool.groups[group, at.KEYED] += 1
    if key < pool.counts[at.PRIVATE]:
        pool.counts[at.NEW_KEYS] += 1


@inner
def erase(pool: Pool, group: int, node: int) -> None:
    """Forget what a page caches."""
    nodes, row = pool.nodes, pool.nodes[node]
    bucket = _bucket(pool, group, row[at.KEY], row[at.PREFIX] & PARTS)
    other = pool.buckets[bucket]
    if other == node:
        pool.buckets[bucket] = row[at.AFTER]
    else:
        while nodes[other, at.AFTER] != node:
            other = nodes[other, at.AFTER]
        nodes[other, at.AFTER] = row[at.AFTER]
    row[at.BORN] = 0
    pool.groups[group, at.KEYED] -= 1
    pool.counts[at.CHANGES] += 1


@inner
def _bucket(pool: Pool, group: int, key: int, part: int) -> int:
    """Neighbours in a sequence, and in other groups, lie side by side.

    All products stay below 2^63, so that plain Python counts alike.
    """
    block = key >> pool.counts[at.SHIFT]
    near = ((part << NEAR) + (block & ((1 << NEAR) - 1))) * len(pool.groups) + group
    mixed = ((block >> (32 + NEAR)) ^ (block >> NEAR)) & 0x7FFFFFFF
    mixed = ((mixed >> 15) ^ mixed) * 0x45D9F3B & 0x7FFFFFFF
    mixed = ((mixed >> 15) ^ mixed) * 0x45D9F3B & 0x7FFFFFFF
    return (((mixed >> 15) ^ mixed) + near) & (len(pool.buckets) - 1)
