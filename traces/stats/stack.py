"""LRU stack distances: hit ratios of all cache sizes from one pass (Mattson et al., 1970).

A cache of C blocks that evicts the least recently used one holds the C blocks used last. So a
reference hits if and only if at most C different blocks, its own included, were used from the last
use of its block on. Blocks of a prompt are used from its first to its last.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..columns import IntColumn as IntArray
from .blocks import by_block


def stack_depths(blocks: IntArray) -> IntArray:
    """The smallest LRU cache, in blocks, in which each reference hits; 0 for a first use.

    Args:
        blocks: Numbers of the blocks from 0 on, in order of use; at most 2**31.
    """
    previous = _previous_use(blocks)
    again = np.flatnonzero(previous >= 0)
    # Every use since the last one counts, unless it repeats a block that was used since then, too.
    repeats = greater_before(_ranks(previous[again], len(blocks)))
    depths = np.zeros(len(blocks), dtype=np.int64)
    depths[again] = again - previous[again] - repeats
    return depths


def greater_before(order: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """How many earlier entries of a permutation are greater than each entry.

    Splits the values by their bits, highest first, keeping the order within each half. Two values
    part at the highest bit in which they differ, and there the greater one is seen to come first
    or not. Takes log2(n) passes over the array.

    Args:
        order: Numbers 0 to n - 1 in any order.
    """
    size = 1 << max(len(order) - 1, 0).bit_length()
    values = np.arange(size, dtype=np.int32)
    values[: len(order)] = order
    counts = np.zeros(size, dtype=np.int32)
    half = size >> 1
    while half:
        high = (values & half).astype(np.bool_)
        low = ~high
        # Each group of 2 * half values has its high half somewhere, so as many in all before it.
        seen = np.cumsum(high, dtype=np.int32).reshape(-1, 2 * half)
        seen -= np.arange(0, size >> 1, half, dtype=np.int32)[:, np.newaxis]
        counts[low] += seen.ravel()[low]
        values, counts = _split(values, low, high, half), _split(counts, low, high, half)
        half >>= 1
    return counts[order]


def _split(
    column: npt.NDArray[np.int32],
    low: npt.NDArray[np.bool_],
    high: npt.NDArray[np.bool_],
    half: int,
) -> npt.NDArray[np.int32]:
    """Put the low half of each group before its high half."""
    halves = [column[low].reshape(-1, half), column[high].reshape(-1, half)]
    return np.concatenate(halves, axis=1).ravel()


def _previous_use(blocks: IntArray) -> IntArray:
    """Place of the last earlier reference to each block, or -1."""
    places, _, heads = by_block(blocks)
    previous = np.empty(len(blocks), dtype=np.int64)
    previous[places[1:]] = places[:-1]
    previous[places[heads]] = -1
    return previous


def _ranks(values: IntArray, limit: int) -> npt.NDArray[np.int32]:
    """Rank of each of some different numbers below ``limit``."""
    present = np.zeros(limit, dtype=np.bool_)
    present[values] = True
    return (np.cumsum(present, dtype=np.int32) - np.int32(1))[values]
