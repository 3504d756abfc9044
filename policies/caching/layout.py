"""The arrays of the block pool and of a request's block tables, and what their columns mean.

All numbers are integers; a page is named by its number and page 0 is the null page. Functions of
this package take these arrays as arguments and change them in place. An array is zero where nothing
was done yet, so that pages that a run never takes cost no memory.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
NULL = 0
NONE = -1

# Columns of ``pages``: one row per page, and one more for the ends of the free queue.
NEXT, PREV, REFS, OWNER, TOKENS, ENTRY, SEEN, CUT, MOST_READ = range(9)
"""Free queue, both ways (0: the page with the next, or the last, number); requests that hold the
page; its group; tokens up to the end of its content as it was hashed first; its first entry in the
index; the last lookup that saw it; scratch of ``sharing``."""

# Columns of ``entries``, the index from keys to pages. Entry 0 is none.
KEY, GROUP, PAGE, AFTER, SIBLING, BORN = range(6)
"""Key and group; the page; the next entry of the bucket (of an unused entry: the next unused one, 0
for the next number); the next of the page; the step."""

# ``counters``: scalars that change, then counts per group: HELD, and IDLE and EXTRA behind it.
FREE, KEYS, SPARE_ENTRY, STEP, PENDING, GROUPS, LOOKUPS, STALE, PRIVATE, HELD = range(10)
"""Free pages, distinct keys, first unused entry, steps so far, pages waiting for the end of the
step, number of groups, lookups so far; whether the last one may say something else by now; the
first key that no two requests have. From HELD on the pages in use of each group, behind them those
that are free and keyed, then how many more requests hold a page than one, over all pages."""

# Rows of ``rules`` (one column per group): those of ``demand_kernels``, and two more.
KIND, BLOCK, WINDOW = range(3)
SPECULATIVE, CAP, LOOKUP = range(6, 9)
"""How it grows; tokens per block; window or chunk; extra pages for draft tokens; pages that
admission counts at most; the group's lookup class (groups of one class must hit together)."""
NUM_RULES = 9
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
    pages = np.zeros((num_pages + 1, 9), dtype=np.int64)
    # The queue is a ring through row ``num_pages``; the null page is not in it.
    pages[num_pages, NEXT], pages[1, PREV] = 1, num_pages
    capacity = num_pages * keys_per_page
    counters = np.zeros(HELD + 3 * rules.shape[1], dtype=np.int64)
    counters[FREE], counters[GROUPS] = num_pages - 1, rules.shape[1]
    counters[SPARE_ENTRY] = counters[LOOKUPS] = counters[STALE] = 1
    counters[PRIVATE] = np.iinfo(np.int64).max
    return Arrays(
        pages=pages,
        entries=np.zeros((capacity + 1, 6), dtype=np.int64),
        buckets=np.zeros(1 << max(4, (2 * capacity - 1).bit_length()), dtype=np.int64),
        counters=counters,
        pending=np.zeros(max_pending, dtype=np.int64),
        rules=rules,
        settings=settings,
    )


def make_marks(num_groups: int) -> IntArray:
    """The marks of a request that holds nothing."""
    marks = np.zeros((8, num_groups), dtype=np.int64)
    marks[LAST_STATE] = marks[SHARED_AT] = NONE
    return marks
