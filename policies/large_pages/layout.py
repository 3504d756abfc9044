"""The arrays of Jenga's pool of large pages, and what their columns mean.

Small page ``i`` of a group lies in large page ``i // ratio``. A *node* is a number for a small page
of any group, or, behind all of these, for those pages of a large one that were never handed out:
lists of empty pages are lists of nodes. Node 0 is none. What was never touched is zero everywhere,
so that a pool of millions of pages takes the memory of those that a run uses.
"""

import math
import mmap
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..compiled import by_reference

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

NONE = 0
NOBODY, NULL_OWNER, FIRST_HOLDER = range(3)
"""Owners of large pages: nobody, where the request has ended; who holds the null pages and never
leaves; the first of the requests."""
MOST_BUCKETS = 1 << 20
MAP_NORESERVE = 0x4000
"""Of Linux; Python has the name from 3.13 on."""
RESERVED = 1 << 28
"""Bytes that an operating system grants as a rule."""

# Columns of ``nodes``, one row per node: what is asked of a page lies side by side.
NEXT, PREV, AFTER, REFS, KEY, PREFIX, BORN, PLACE = range(8)
"""The list of empty pages, of idle pages of its large page, or of its holder's pages in which the
page is, both ways; the next page of its bucket while it has a key, of those of its large page that
were handed out before while it is empty; requests that hold it; its key; tokens of the prefix that
ends with it, above PART_BITS bits for the part of the last block; step in which it became full, 0
if it has no key; place in its heap, 0 if it is in none. PREFIX and PLACE are those of a large page
behind all small ones."""
PART_BITS = 16

# Columns of ``large``, one row per large page; where one points at another it counts from 1.
GROUP, OWNER, HANDED, EMPTY, RETURNED, LAST_RETURNED = range(6)
IDLE, NUM_IDLE, NEXT_OF, PREV_OF, ASKED, RETURNED_LARGE = range(6, 12)
"""Group, from 1, 0 while it is free; owner; pages that were ever handed out; empty ones; first and
last of these that were handed out before; first idle page, and how many; the owner's other large
pages; the last question that met it (see ``after_hits``); a ring of the large pages that came back,
first in, first out: those that were never taken go first."""

# Columns of ``owners``, which has the shape (owners, groups, columns).
FIRST, LAST, KEPT, FIRST_LARGE, OLDEST, NEWEST, HELD, YOUNGER, ELDER = range(9)
"""First and last of the empty pages kept for the owner, and how many; its first large page; first
and last page that it holds in a carving, and how many; who joined next and before (of group 0)."""

# Columns of ``groups``.
(
    RATIO,
    BASE,
    QUOTA,
    LEAST,
    LARGES,
    EMPTIES,
    PARKED,
    HOLDING,
    EXTRA,
    KEYED,
    IDLES,
    IDLES_IN_LARGE,
    EVICTABLE,
    QUEUED,
    PAGE_BYTES,
) = range(15)
"""Small pages of a large one; node of page 0; large pages that the next pages may use, and that the
need asked about last must use; large pages of the group. Small pages: empty, to be had; empty, in
large pages that can be evicted; held; holds of one by a request beside another; with a key; idle
(cached, held by nobody); idle in large pages that can be evicted. Such large pages; small pages in
the heap; bytes of a small page (0 where nobody asks)."""

# Entries of ``counts``.
(
    SIZE,
    TOUCHED,
    NUM_RETURNED,
    FIRST_RETURNED,
    EVICTABLES,
    RUNNING,
    REFUSED,
    THRIFTY,
    FRUGAL,
    STEP,
    NEW_KEYS,
    CHANGES,
    QUESTION,
    LARGE_NODE,
    REST_BYTES,
    SHIFT,
    PRIVATE,
) = range(17)
"""Large pages; those that were ever taken; entries of the ring RETURNED_LARGE, and the first of
them; large pages that can be evicted; requests that joined; whether one of them was refused though
it was alone; whether the last one to join came back from that; whether calls use no large page for
what fits the empty small ones; steps; keys of this step, but for private ones; how often that which
lookups find changed; questions about hits; node of large page 0; bytes that make no large page;
keys whose difference is below 2^SHIFT are those of one block; keys from PRIVATE on are found by
nobody but the request that they were made for."""


@by_reference
class Pool(NamedTuple):
    """All arrays of a pool."""

    nodes: IntArray
    times: FloatArray
    """Per node: last use of a cached page, or of the page of a large one that was used last."""
    heap: IntArray
    """Nodes: from the first node of a group on its heap of small pages, from that of the large
    pages on theirs."""
    large: IntArray
    owners: IntArray
    groups: IntArray
    counts: IntArray
    buckets: IntArray
    """First node of all whose keys have one hash."""


def make_pool(ratios: Sequence[int], num_large: int, holders: int, *, frugal: bool = False) -> Pool:
    """A pool of which only the null pages are taken, for so many requests that hold pages at once.

    ``ratios``: small pages of each group per large one. ``frugal``: see ``FrugalLCMCarving``.
    """
    num_groups = len(ratios)
    groups = np.zeros((num_groups, 15), dtype=np.int64)
    groups[:, RATIO] = ratios
    ends = 1 + np.cumsum(groups[:, RATIO]) * num_large
    groups[0, BASE], groups[1:, BASE] = 1, ends[:-1]
    num_nodes = int(ends[-1]) + num_large
    counts = np.zeros(17, dtype=np.int64)
    counts[SIZE], counts[LARGE_NODE], counts[STEP], counts[FRUGAL] = num_large, ends[-1], 1, frugal
    counts[PRIVATE] = np.iinfo(np.int64).max
    pool = Pool(
        nodes=untouched(num_nodes, 8),
        times=untouched(num_nodes).view(np.float64),
        heap=untouched(num_nodes),
        large=np.zeros((num_large, 12), dtype=np.int64),
        owners=np.zeros((FIRST_HOLDER + holders, num_groups, 9), dtype=np.int64),
        groups=groups,
        counts=counts,
        buckets=np.zeros(min(MOST_BUCKETS, 1 << num_nodes.bit_length()), dtype=np.int64),
    )
    _take_null_pages(pool)
    return pool


def untouched(*shape: int) -> IntArray:
    """Zeros that take no memory until they are written, even where there is not as much."""
    size = 8 * math.prod(shape)
    if size < RESERVED or sys.platform != "linux":
        return np.zeros(shape, dtype=np.int64)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    return np.frombuffer(mmap.mmap(-1, size, flags=flags), dtype=np.int64).reshape(shape)


def _take_null_pages(pool: Pool) -> None:
    """Give the first page of the first large pages, one for each group, to NULL_OWNER."""
    owners, groups = pool.owners, pool.groups
    # NOBODY stands for both ends of the list of those who joined.
    owners[NOBODY, 0, YOUNGER] = owners[NOBODY, 0, ELDER] = NULL_OWNER
    pool.counts[TOUCHED] = len(groups)
    for group, mine in enumerate(groups):
        left = mine[RATIO] - 1
        pool.nodes[mine[BASE] + group * mine[RATIO], REFS] = 1
        mine[LARGES] = mine[HOLDING] = 1
        mine[EMPTIES] = owners[NULL_OWNER, group, KEPT] = left
        pool.large[group, [GROUP, OWNER, HANDED, EMPTY]] = group + 1, NULL_OWNER, 1, left
        owners[NULL_OWNER, group, FIRST_LARGE] = group + 1
        if left:
            rest = pool.counts[LARGE_NODE] + group
            owners[NULL_OWNER, group, [FIRST, LAST]] = rest
