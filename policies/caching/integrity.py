"""The books of a block pool, checked page by page; for tests and ``--check``."""

from collections.abc import Mapping

import numpy as np

from ...configs.errors import InvariantError
from ..compiled import allocating
from . import layout, queue
from .layout import NULL, OWNER, PAGE, REFS, SIBLING, TOKENS, Arrays, IntArray


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
    order = np.zeros(len(pages), dtype=np.int64)
    count = 0
    page = queue.next_page(pages, NULL)
    while page != NULL and count < len(order):
        if queue.next_page(pages, queue.last_page(pages, page)) != page:
            break
        order[count] = page
        count += 1
        page = queue.next_page(pages, page)
    return order[:count]


def _check_counts(arrays: Arrays, free: IntArray) -> None:
    refs, owners, groups = arrays.pages[:, REFS], arrays.pages[:, OWNER], arrays.rules.shape[1]
    placed = 1 + len(free) + np.count_nonzero(refs)
    if refs[free].any() or placed != arrays.counters[layout.NUM_PAGES]:
        raise InvariantError("a page is neither free nor held, or both")
    idle = free[arrays.pages[free, TOKENS] != 0]
    extra = np.repeat(owners, np.maximum(refs - 1, 0))
    counts = (
        ("held pages", owners[refs > 0]),
        ("cached pages that nobody holds", owners[idle]),
        ("requests that share pages", extra),
    )
    kept = arrays.counters[layout.HELD :].reshape(3, groups)
    for (name, found), expected in zip(counts, kept, strict=True):
        if np.bincount(found, minlength=groups).tolist() != expected.tolist():
            raise InvariantError(f"the counts of {name} are wrong")


def _check_index(arrays: Arrays) -> None:
    """Every row of the index belongs to the page that leads to it, and keys are counted once."""
    used = np.flatnonzero(arrays.pages[:, PAGE])
    reached = 0
    pages = rows = np.flatnonzero(arrays.pages[:, TOKENS])
    while len(pages):
        reached += len(pages)
        if (arrays.pages[rows, PAGE] != pages).any():
            raise InvariantError("the index says that a page is another")
        following = arrays.pages[rows, SIBLING]
        pages, rows = pages[following != 0], following[following != 0]
    if reached != len(used):
        raise InvariantError(f"{len(used)} keys in the index, {reached} of them lead to a page")
    keys = _distinct(arrays.pages[used, layout.KEY], arrays.pages[used, OWNER])
    if keys != arrays.counters[layout.KEYS]:
        raise InvariantError(f"{keys} distinct keys, counted {arrays.counters[layout.KEYS]}")


def _distinct(keys: IntArray, groups: IntArray) -> int:
    """Number of different pairs."""
    order = np.lexsort((groups, keys))
    new_key, new_group = np.diff(keys[order]) != 0, np.diff(groups[order]) != 0
    return int(np.count_nonzero(new_key | new_group)) + min(len(keys), 1)
