"""Small block pools for tests of the prefix cache: groups by hand, no model behind them."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np

from jenga_sim.policies.caching import hits, layout, queue, retention
from jenga_sim.policies.caching.layout import Arrays, IntArray
from jenga_sim.policies.caching.rules import NO_LIMIT

FULL, SLIDING, CHUNKED, ALIGNED = layout.FULL, layout.SLIDING, layout.CHUNKED, layout.ALIGNED


def called(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that only compiled code calls, for Python."""

    def call(*args: Any) -> Any:
        return function(*args)

    return numba.njit(error_model="numpy", _nrt=False)(call)


_pop, _insert, _find = called(queue.pop), called(queue.insert), called(queue.find)
_touch, _release = called(queue.touch), called(queue.release)
_give_key, _keeps = called(retention.give_key), called(retention.keeps)
_longest_hit, _hits_alone = called(hits.longest_hit), called(hits.hits_alone)


class Group(NamedTuple):
    """A page group: how it grows, its block size, its window or chunk."""

    kind: int
    block: int
    window: int = 0


def lookup_order(groups: Sequence[Group]) -> list[Group]:
    """The distinct groups, those that keep every token first: one lookup class each."""
    return sorted(dict.fromkeys(groups), key=lambda group: group.kind != FULL)


def make_pool(
    groups: Sequence[Group],
    num_pages: int = 64,
    *,
    interval: int = layout.DENSE,
    hash_block: int | None = None,
    within_blocks: bool = False,
    keys_per_page: int = 4,
) -> Arrays:
    """An empty pool; equal groups are one lookup class, as in ``rules.rule_arrays``."""
    order = lookup_order(groups)
    rules = np.zeros((layout.NUM_RULES, len(groups)), dtype=np.int64)
    for index, group in enumerate(groups):
        rules[layout.KIND, index] = group.kind
        rules[layout.BLOCK, index] = group.block
        rules[layout.WINDOW, index] = group.window
        rules[layout.CAP, index] = NO_LIMIT
        rules[layout.LOOKUP, index] = order.index(group)
    unit = hash_block or math.gcd(*(group.block for group in groups))
    block = math.lcm(*(group.block for group in groups))
    settings = np.zeros(6, dtype=np.int64)
    settings[layout.HASH_BLOCK] = unit
    settings[layout.ALIGNMENT] = unit if within_blocks else block
    settings[layout.ROUNDING] = 1 if within_blocks or len(groups) == 1 else block
    settings[layout.RETENTION] = interval
    settings[layout.CACHING] = 1
    settings[layout.CLASSES] = len(order)
    return layout.make_arrays(
        num_pages, rules, settings, keys_per_page=keys_per_page, max_pending=64
    )


def keys_of(tokens: int, unit: int = 1, first: int = 1000) -> IntArray:
    """Keys of the prefixes of ``unit``, 2 ``unit``, ... tokens of one sequence."""
    return first + np.arange(1, tokens // unit + 1, dtype=np.int64) * unit


def pop(arrays: Arrays, group: int = 0) -> int:
    """Take the first free page."""
    return int(_pop(arrays.pages, arrays.entries, arrays.buckets, arrays.counters, group))


def insert(arrays: Arrays, page: int, key: int, group: int = 0, tokens: int = 1) -> None:
    """Give a page a key."""
    _insert(arrays.pages, arrays.entries, arrays.buckets, arrays.counters, key, group, page, tokens)


def find(arrays: Arrays, key: int, group: int = 0) -> int:
    """The page that answers for a key."""
    return int(_find(arrays.entries, arrays.buckets, key, group))


def touch(arrays: Arrays, page: int) -> None:
    """Hold a page once more."""
    _touch(arrays.pages, arrays.counters, page)


def release(arrays: Arrays, pages: Sequence[int]) -> None:
    """Give pages up, as one batch."""
    front = len(arrays.pages) - 1
    for page in pages:
        front = int(_release(arrays.pages, arrays.counters, page, front))


def cache_block(arrays: Arrays, keys: IntArray, group: int, block: int) -> int:
    """Let a page of its own hold block number ``block`` of the sequence with these keys."""
    return cache_prefix(arrays, keys, group, (block + 1) * int(arrays.rules[layout.BLOCK, group]))


def cache_prefix(arrays: Arrays, keys: IntArray, group: int, tokens: int) -> int:
    """Let a page of its own hold the block that ``tokens`` end in, as far as they go."""
    page = pop(arrays, group)
    _give_key(arrays, keys, group, page, tokens, True)
    return page


def next_page(arrays: Arrays, page: int) -> int:
    """The page behind ``page`` in the free queue."""
    return int(arrays.pages[page, layout.NEXT]) or page + 1


def free_order(arrays: Arrays) -> list[int]:
    """The free queue, first to be taken first."""
    end = len(arrays.pages) - 1
    order: list[int] = []
    page = next_page(arrays, end)
    while page != end:
        order.append(page)
        page = next_page(arrays, page)
    return order


def longest_hit(
    arrays: Arrays, keys: IntArray, limit: int, found: IntArray, lengths: IntArray
) -> tuple[int, int]:
    """Longest prefix that all groups can resume at, and the longest that some of them had."""
    asked = np.zeros(int(arrays.settings[layout.CLASSES]), dtype=np.int64)
    hit, longest = _longest_hit(arrays, keys, limit, found, lengths, asked)
    return int(hit), int(longest)


def hits_alone(arrays: Arrays, keys: IntArray, limit: int, found: IntArray) -> list[int]:
    """Longest hit of each lookup class if there were no other."""
    alone = np.zeros(int(arrays.settings[layout.CLASSES]), dtype=np.int64)
    _hits_alone(arrays, keys, limit, found, alone)
    return alone.tolist()


def keeps(arrays: Arrays, index: int, prompt: int, junction: int) -> bool:
    """Whether block ``index`` of the first group gets a key."""
    return bool(_keeps(arrays.rules, arrays.settings, 0, index, prompt, junction))
