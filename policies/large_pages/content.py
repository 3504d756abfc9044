"""Which page caches which prefix: one page per group, key and part of a block."""

from ..compiled import inner
from . import layout as at
from .layout import NONE, IntArray, Pool


@inner
def find_node(pool: Pool, group: int, key: int, part: int) -> int:
    """The page with this content, computed or about to be; NONE if there is none."""
    cached, low = pool.cached, pool.groups[group, at.BASE]
    high = low + pool.groups[group, at.RATIO] * pool.counts[at.SIZE]
    node = pool.buckets[_bucket(pool.buckets, group, key, part)]
    while node:
        if cached[node, at.KEY] == key and cached[node, at.PART] == part and low <= node < high:
            return node
        node = cached[node, at.CHAIN]
    return NONE


@inner
def insert(pool: Pool, group: int, node: int, key: int, part: int, tokens: int) -> None:
    """A page is full now; no other one has its content."""
    row, bucket = pool.cached[node], _bucket(pool.buckets, group, key, part)
    row[at.KEY] = key
    row[at.PART] = part
    row[at.TOKENS] = tokens
    row[at.BORN] = pool.counts[at.STEP]
    row[at.CHAIN] = pool.buckets[bucket]
    pool.buckets[bucket] = node
    pool.groups[group, at.KEYED] += 1
    pool.counts[at.NEW_KEYS] += 1


@inner
def erase(pool: Pool, group: int, node: int) -> None:
    """Forget what a page caches."""
    row = pool.cached[node]
    bucket = _bucket(pool.buckets, group, row[at.KEY], row[at.PART])
    other = pool.buckets[bucket]
    if other == node:
        pool.buckets[bucket] = row[at.CHAIN]
    else:
        while pool.cached[other, at.CHAIN] != node:
            other = pool.cached[other, at.CHAIN]
        pool.cached[other, at.CHAIN] = row[at.CHAIN]
    row[at.BORN] = 0
    pool.groups[group, at.KEYED] -= 1
    pool.counts[at.CHANGES] += 1


@inner
def _bucket(buckets: IntArray, group: int, key: int, part: int) -> int:
    """All products stay below 2^63, so that plain Python counts alike."""
    mixed = ((key >> 32) ^ key ^ (group * 0x9E3779B1) ^ (part * 0x85EBCA6B)) & 0x7FFFFFFF
    mixed = ((mixed >> 15) ^ mixed) * 0x45D9F3B & 0x7FFFFFFF
    mixed = ((mixed >> 15) ^ mixed) * 0x45D9F3B & 0x7FFFFFFF
    return ((mixed >> 15) ^ mixed) & (len(buckets) - 1)
