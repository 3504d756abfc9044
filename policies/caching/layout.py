"""The arrays of the block pool and of a request's block tables, and what their columns mean.

All numbers are integers; a page is named by its number and page 0 is the null page. Functions of
this package take these arrays as arguments and change them in place. An array is zero where nothing
was done yet, so that pages that a run never takes cost no memory.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..compiled import by_reference

IntArray = npt.NDArray[np.int64]
NULL = 0
NONE = -1

# Columns of ``pages``: one row per page, then rows for further keys of pages.
(
    NEXT,
    REFS,
    OWNER,
    TOKENS,
    KEY,
    AFTER,
    SEEN,
    PREV,
    PAGE,
    SIBLING,
    BORN,
    CUT,
    MOST_READ,
) = range(13)
"""Free queue, as the distance from the page with the next number, and from the one before (PREV);
requests that hold the page; its group; tokens up to the end of its content as it was hashed first,
0 without a key; its first key; the next row of the bucket (of an unused row: the next unused one, 0
for the next number); the last lookup that saw it; the page that the key is for; the row of its next
key; the step of the key; scratch of ``sharing``. The row of the null page is both ends of the free
queue."""

# ``counters``: scalars that change, then counts per group: HELD, and IDLE and EXTRA behind it.
(
    FREE,
    KEYS,
    SPARE_ROW,
    STEP,
    PENDING,
    GROUPS,
    LOOKUPS,
    STALE,
    PRIVATE,
    SHIFT,
    NUM_PAGES,
    HELD,
) = range(12)
"""Free pages, distinct keys, first unused row, steps so far, pages waiting for the end of the step,
number of groups, lookups so far; whether the last one may say something else by now; the first key
that no two requests have; keys of one sequence are at least 2^SHIFT apart; pages, the null page
included. From HELD on the pages in use of each group, behind them those that are free and keyed,
then how many more requests hold a page than one, over all pages."""

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


@by_reference
class Arrays(NamedTuple):
    """A block pool: all its arrays, in the order in which the functions take them."""

    pages: IntArray
    buckets: IntArray
    """First row of each bucket, 0 where it is empty."""
    counters: IntArray
    pending: IntArray
    rules: IntArray
    settings: IntArray


def make_arrays(
    num_pages: int, rules: IntArray, settings: IntArray, *, keys_per_page: int, max_pending: int
) -> Arrays:
    """An empty pool of ``num_pages``, the null page included."""
    capacity = num_pages * keys_per_page
    pages = np.zeros((capacity + 1, 13), dtype=np.int64)
    pages[NULL, PREV], pages[num_pages - 1, NEXT] = num_pages, -num_pages
    counters = np.zeros(HELD + 3 * rules.shape[1], dtype=np.int64)
    counters[FREE], counters[GROUPS] = num_pages - 1, rules.shape[1]
    counters[SPARE_ROW] = counters[NUM_PAGES] = num_pages
    counters[LOOKUPS] = counters[STALE] = 1
    counters[PRIVATE] = np.iinfo(np.int64).max
    counters[SHIFT] = int(settings[HASH_BLOCK]).bit_length() - 1
    return Arrays(
        pages=pages,
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
