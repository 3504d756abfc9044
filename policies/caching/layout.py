"""The arrays of the block pool and of a request's block tables, and what their rows mean.

All numbers are integers; a page is named by its number and page 0 is the null page. Functions of
this package take these arrays as arguments and change them in place.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
NULL = 0
NONE = -1

# Rows of ``pages`` (one column per page, and one more: the ends of the free queue).
NEXT, PREV, REFS, OWNER, TOKENS, ENTRY = range(6)
"""Free queue, both ways; requests that hold the page; its group; tokens up to the end of its
content as it was hashed first; its first entry in the index."""

# Rows of ``entries``, the index from keys to pages.
KEY, GROUP, PAGE, AFTER, SIBLING, BORN = range(6)
"""Key and group; the page; the next entry of the bucket; the next of the page; the step."""

# ``counters``: scalars that change, then one count per group for each of HELD and IDLE.
FREE, KEYS, SPARE_ENTRY, STEP, PENDING, GROUPS, HELD = range(7)
"""Free pages, distinct keys, first unused entry, steps so far, pages waiting for the end of the
step, number of groups; from HELD on the pages in use of each group, behind them those that are free
and keyed."""

# Rows of ``rules`` (one column per group).
KIND, BLOCK, WINDOW, CAP, SPECULATIVE, LOOKUP = range(6)
"""How it grows; tokens per block; window or chunk; pages that admission counts at most; extra
pages for draft tokens; the group's lookup class (groups of one class must hit together)."""
FULL, SLIDING, CHUNKED, STATE, ALIGNED = range(5)
"""Kinds of growth. ALIGNED: recurrent states that are kept at block boundaries."""

# ``settings``: scalars that do not change.
HASH_BLOCK, ALIGNMENT, ROUNDING, RETENTION, CACHING, CLASSES = range(6)
"""Tokens per key; hits are a multiple of ALIGNMENT; full blocks are hashed up to a multiple of
ROUNDING; tokens between kept boundaries (0: replay boundary and junction only, DENSE: all);
whether anything is cached; number of lookup classes."""
DENSE = -1

# Rows of ``marks`` (one column per group): the state of a request's block tables.
LENGTH, NULLS, CACHED, STARTED, LAST_STATE, RETIRED, SHARED_AT, SHARED_PAGE = range(8)
"""Entries of the table; leading null pages; blocks that were considered for hashing; states:
whether pages were taken, index of the state to give back next, blocks gone for good; index and
page of a block that is shared in part and must be copied before it is written."""


class Arrays(NamedTuple):
    """A block pool: all its arrays, in the order in which the functions take them."""

    pages: IntArray
    entries: IntArray
    buckets: IntArray
    counters: IntArray
    pending: IntArray
    rules: IntArray
    settings: IntArray


def make_arrays(
    num_pages: int, rules: IntArray, settings: IntArray, *, keys_per_page: int, max_pending: int
) -> Arrays:
    """An empty pool of ``num_pages``, the null page included."""
    pages = np.zeros((6, num_pages + 1), dtype=np.int64)
    order = np.arange(num_pages + 1)
    pages[NEXT], pages[PREV] = order + 1, order - 1
    # The queue is a ring through column ``num_pages``; the null page is not in it.
    pages[NEXT, num_pages], pages[PREV, 1] = 1, num_pages
    pages[ENTRY] = NONE
    capacity = num_pages * keys_per_page
    entries = np.zeros((6, capacity), dtype=np.int64)
    entries[AFTER] = np.arange(1, capacity + 1)
    entries[AFTER, -1] = NONE
    counters = np.zeros(HELD + 2 * rules.shape[1], dtype=np.int64)
    counters[FREE], counters[GROUPS] = num_pages - 1, rules.shape[1]
    bucket_count = 1 << max(4, (2 * capacity - 1).bit_length())
    buckets = np.full(bucket_count, NONE, dtype=np.int64)
    pending = np.zeros(max_pending, dtype=np.int64)
    return Arrays(pages, entries, buckets, counters, pending, rules, settings)


def make_marks(num_groups: int) -> IntArray:
    """The marks of a request that holds nothing."""
    marks = np.zeros((8, num_groups), dtype=np.int64)
    marks[LAST_STATE] = marks[SHARED_AT] = NONE
    return marks
