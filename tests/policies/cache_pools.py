"""Small block pools for tests of the prefix cache: groups by hand, no model behind them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jenga_sim.policies.caching import layout, queue, retention
from jenga_sim.policies.caching.layout import Arrays, IntArray
from jenga_sim.policies.caching.rules import NO_LIMIT

FULL, SLIDING, CHUNKED, ALIGNED = layout.FULL, layout.SLIDING, layout.CHUNKED, layout.ALIGNED


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
    rules = np.zeros((6, len(groups)), dtype=np.int64)
    for index, group in enumerate(groups):
        rules[layout.KIND, index] = group.kind
        rules[layout.BLOCK, index] = group.block
        rules[layout.WINDOW, index] = group.window
        rules[layout.CAP, index] = NO_LIMIT
        rules[layout.LOOKUP, index] = order.index(group)
    unit = hash_block or math.gcd(*(group.block for group in groups))
    block = math.lcm(*(group.block for group in groups))
    settings = np.zeros(7, dtype=np.int64)
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
    return int(queue.pop(arrays.pages, arrays.entries, arrays.buckets, arrays.counters, group))


def insert(arrays: Arrays, page: int, key: int, group: int = 0, tokens: int = 1) -> None:
    """Give a page a key."""
    queue.insert(
        arrays.pages, arrays.entries, arrays.buckets, arrays.counters, key, group, page, tokens
    )


def find(arrays: Arrays, key: int, group: int = 0) -> int:
    """The page that answers for a key."""
    return int(queue.find(arrays.entries, arrays.buckets, key, group))


def touch(arrays: Arrays, page: int) -> None:
    """Hold a page once more."""
    queue.touch(arrays.pages, arrays.counters, page)


def release(arrays: Arrays, pages: Sequence[int]) -> None:
    """Give pages up, as one batch."""
    front = arrays.pages.shape[1] - 1
    for page in pages:
        front = int(queue.release(arrays.pages, arrays.counters, page, front))


def cache_block(arrays: Arrays, keys: IntArray, group: int, block: int) -> int:
    """Let a page of its own hold block number ``block`` of the sequence with these keys."""
    return cache_prefix(arrays, keys, group, (block + 1) * int(arrays.rules[layout.BLOCK, group]))


def cache_prefix(arrays: Arrays, keys: IntArray, group: int, tokens: int) -> int:
    """Let a page of its own hold the block that ``tokens`` end in, as far as they go."""
    page = pop(arrays, group)
    retention.give_key(arrays, keys, group, page, tokens)
    return page


def free_order(arrays: Arrays) -> list[int]:
    """The free queue, first to be taken first."""
    end = arrays.pages.shape[1] - 1
    order: list[int] = []
    page = int(arrays.pages[layout.NEXT, end])
    while page != end:
        order.append(page)
        page = int(arrays.pages[layout.NEXT, page])
    return order
