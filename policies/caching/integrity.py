"""The books of a block pool, checked page by page. Slow; for tests and ``--check``."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from ...configs.errors import InvariantError
from .layout import (
    ENTRY,
    FREE,
    GROUP,
    GROUPS,
    HELD,
    KEY,
    KEYS,
    LENGTH,
    NEXT,
    NONE,
    NULL,
    OWNER,
    PAGE,
    PENDING,
    PREV,
    REFS,
    SIBLING,
    Arrays,
    IntArray,
)


def check(arrays: Arrays, tables: Mapping[int, tuple[IntArray, IntArray]]) -> None:
    """Raise InvariantError unless every page is in one state and the counts agree.

    ``tables``: pages and marks of every request that holds something.
    """
    _check_owners(arrays, tables)
    free = _free_pages(arrays)
    _check_counts(arrays, free)
    _check_index(arrays)


def _check_owners(arrays: Arrays, tables: Mapping[int, tuple[IntArray, IntArray]]) -> None:
    owners: Counter[int] = Counter()
    for pages, marks in tables.values():
        for group in range(len(pages)):
            held = pages[group, : marks[LENGTH, group]]
            held = held[held != NULL]
            if len(np.unique(held)) != len(held):
                raise InvariantError("a request holds a page twice")
            if (arrays.pages[OWNER, held] != group).any():
                raise InvariantError(f"group {group} holds a page of another group")
            owners.update(held.tolist())
    refs = {int(p): int(arrays.pages[REFS, p]) for p in np.flatnonzero(arrays.pages[REFS])}
    if arrays.counters[PENDING] or refs != dict(owners):
        raise InvariantError("the references of a page are not the requests that hold it")


def _free_pages(arrays: Arrays) -> list[int]:
    """Walk the free queue both ways."""
    end = arrays.pages.shape[1] - 1
    free: list[int] = []
    page = int(arrays.pages[NEXT, end])
    while page != end and len(free) <= end:
        free.append(page)
        if arrays.pages[NEXT, arrays.pages[PREV, page]] != page:
            raise InvariantError(f"the free queue is broken at page {page}")
        page = int(arrays.pages[NEXT, page])
    if len(set(free)) != len(free) or len(free) != arrays.counters[FREE] or NULL in free:
        raise InvariantError(f"{len(free)} free pages, counted {arrays.counters[FREE]}")
    return free


def _check_counts(arrays: Arrays, free: list[int]) -> None:
    refs = arrays.pages[REFS]
    num_pages = arrays.pages.shape[1] - 1
    if (refs[free] != 0).any() or len(free) + np.count_nonzero(refs) + 1 != num_pages:
        raise InvariantError("a page is neither free nor held, or both")
    groups = int(arrays.counters[GROUPS])
    held = np.bincount(arrays.pages[OWNER, np.flatnonzero(refs)], minlength=groups)
    keyed = np.array([page for page in free if arrays.pages[ENTRY, page] != NONE], dtype=np.int64)
    idle = np.bincount(arrays.pages[OWNER, keyed], minlength=groups)
    if held.tolist() != arrays.counters[HELD : HELD + groups].tolist():
        raise InvariantError("the counts of held pages are wrong")
    if idle.tolist() != arrays.counters[HELD + groups : HELD + 2 * groups].tolist():
        raise InvariantError("the counts of cached pages that nobody holds are wrong")


def _check_index(arrays: Arrays) -> None:
    keys: set[tuple[int, int]] = set()
    for page in np.flatnonzero(arrays.pages[ENTRY] != NONE):
        entry = arrays.pages[ENTRY, page]
        while entry != NONE:
            if arrays.entries[PAGE, entry] != page:
                raise InvariantError(f"the index says that page {page} is another")
            keys.add((int(arrays.entries[KEY, entry]), int(arrays.entries[GROUP, entry])))
            entry = arrays.entries[SIBLING, entry]
    if len(keys) != arrays.counters[KEYS]:
        raise InvariantError(f"{len(keys)} distinct keys, counted {arrays.counters[KEYS]}")
