"""The books of a block pool, checked page by page; for tests and ``--check``."""

from collections.abc import Mapping

import numpy as np

from ...configs.errors import InvariantError
from ..compiled import allocating
from . import layout, queue
from .layout import ENTRY, NULL, OWNER, REFS, SIBLING, Arrays, IntArray


def check(arrays: Arrays, tables: Mapping[int, tuple[IntArray, IntArray]]) -> None:
    """Raise InvariantError unless every page is in one state and the counts agree.

    ``tables``: pages and marks of every request that holds something.
    """
    _check_owners(arrays, tables)
    free = _free_pages(arrays)
    _check_counts(arrays, free)
    _check_index(arrays)


def _check_owners(arrays: Arrays, tables: Mapping[int, tuple[IntArray, IntArray]]) -> None:
    references = np.zeros(len(arrays.pages), dtype=np.int64)
    for pages, marks in tables.values():
        for group in range(len(pages)):
            held = pages[group, : marks[layout.LENGTH, group]]
            held = held[held != NULL]
            if len(np.unique(held)) != len(held):
                raise InvariantError("a request holds a page twice")
            if (arrays.pages[held, OWNER] != group).any():
                raise InvariantError(f"group {group} holds a page of another group")
            references[held] += 1
    if arrays.counters[layout.PENDING] or (references != arrays.pages[:, REFS]).any():
        raise InvariantError("the references of a page are not the requests that hold it")


def _free_pages(arrays: Arrays) -> IntArray:
    """The free queue from the front, walked both ways."""
    free = walk(arrays.pages)
    if len(np.unique(free)) != len(free):
        raise InvariantError("a page is in the free queue twice")
    if len(free) != arrays.counters[layout.FREE]:
        raise InvariantError(f"{len(free)} free pages, counted {arrays.counters[layout.FREE]}")
    return free


@allocating
def walk(pages: IntArray) -> IntArray:
    """Pages of the free queue from the front; it ends early where the way back is another."""
    end = len(pages) - 1
    order = np.zeros(end, dtype=np.int64)
    count = 0
    page = queue.next_page(pages, end)
    while page != end and count < end:
        if queue.next_page(pages, queue.last_page(pages, page)) != page:
            break
        order[count] = page
        count += 1
        page = queue.next_page(pages, page)
    return order[:count]


def _check_counts(arrays: Arrays, free: IntArray) -> None:
    refs = arrays.pages[:, REFS]
    num_pages = len(arrays.pages) - 1
    if (refs[free] != 0).any() or len(free) + np.count_nonzero(refs) + 1 != num_pages:
        raise InvariantError("a page is neither free nor held, or both")
    groups = int(arrays.counters[layout.GROUPS])
    keyed = free[arrays.pages[free, ENTRY] != 0]
    held = np.bincount(arrays.pages[refs > 0, OWNER], minlength=groups)
    idle = np.bincount(arrays.pages[keyed, OWNER], minlength=groups)
    first = layout.HELD
    if held.tolist() != arrays.counters[first : first + groups].tolist():
        raise InvariantError("the counts of held pages are wrong")
    if idle.tolist() != arrays.counters[first + groups : first + 2 * groups].tolist():
        raise InvariantError("the counts of cached pages that nobody holds are wrong")
    extra = np.bincount(arrays.pages[:, OWNER], weights=np.maximum(refs - 1, 0), minlength=groups)
    if extra.tolist() != arrays.counters[first + 2 * groups :].tolist():
        raise InvariantError("the counts of requests that share pages are wrong")


def _check_index(arrays: Arrays) -> None:
    """Every entry belongs to the page that leads to it, and every key is counted once."""
    used = np.flatnonzero(arrays.entries[:, layout.PAGE] != NULL)
    reached = 0
    pages = np.flatnonzero(arrays.pages[:, ENTRY])
    entries = arrays.pages[pages, ENTRY]
    while len(pages):
        reached += len(pages)
        if (arrays.entries[entries, layout.PAGE] != pages).any():
            raise InvariantError("the index says that a page is another")
        more = arrays.entries[entries, SIBLING] != 0
        pages, entries = pages[more], arrays.entries[entries[more], SIBLING]
    if reached != len(used):
        raise InvariantError(f"{len(used)} entries in the index, {reached} of them lead to a page")
    keys = _distinct(arrays.entries[used, layout.KEY], arrays.entries[used, layout.GROUP])
    if keys != arrays.counters[layout.KEYS]:
        raise InvariantError(f"{keys} distinct keys, counted {arrays.counters[layout.KEYS]}")


def _distinct(keys: IntArray, groups: IntArray) -> int:
    """Number of different pairs."""
    order = np.lexsort((groups, keys))
    new_key, new_group = np.diff(keys[order]) != 0, np.diff(groups[order]) != 0
    return int(np.count_nonzero(new_key | new_group)) + min(len(keys), 1)
