"""Parts of a pool whose sizes follow weights, and how far a division is from the wanted one."""

from collections.abc import Sequence

import numpy as np

from ..batch import IntArray
from ..compiled import inner
from .wide import is_less, share

PAGE_BYTES, WEIGHT, FLOOR, SIZE = range(4)
"""The rows that ``divide_anew`` knows: bytes of a page, the weight and the least pages of a part,
and its pages by the new division."""


def divide(
    pool_bytes: int, page_bytes: Sequence[int], weights: Sequence[int], floors: Sequence[int]
) -> tuple[int, ...]:
    """Pages per part; see ``divide_anew``. Pure."""
    parts = np.array([page_bytes, weights, floors, [0] * len(floors)], dtype=np.int64)
    divide_anew(parts, pool_bytes)
    return tuple(parts[SIZE].tolist())


@inner
def divide_anew(parts: IntArray, pool_bytes: int) -> None:
    """Fill the row SIZE in proportion to the weights in bytes, with the floors at least.

    A part whose share is below its floor gets the floor, and the others share the rest. The floors
    must fit the pool.
    """
    left, total, found = pool_bytes, 0, True
    for part in range(parts.shape[1]):
        parts[SIZE, part] = -1
    while found:
        total, rest = 0, left
        for part in range(parts.shape[1]):
            if parts[SIZE, part] < 0:
                total += parts[WEIGHT, part]
        found = False
        for part in range(parts.shape[1]):
            if parts[SIZE, part] < 0 and _share(parts, part, left, total) < parts[FLOOR, part]:
                parts[SIZE, part] = parts[FLOOR, part]
                rest -= parts[FLOOR, part] * parts[PAGE_BYTES, part]
                found = True
        left = rest
    for part in range(parts.shape[1]):
        if parts[SIZE, part] < 0:
            parts[SIZE, part] = _share(parts, part, left, total)


@inner
def _share(parts: IntArray, part: int, left: int, total: int) -> int:
    """Pages of a part among those that share ``left`` bytes by their weights."""
    return share(left, parts[WEIGHT, part], total) // parts[PAGE_BYTES, part]


@inner
def deviates(have: IntArray, wanted: IntArray, more: int, less: int) -> bool:
    """Whether a share of ``have`` is ``more / less`` times the wanted one, or its inverse."""
    all_have, all_wanted, found = 0, 0, False
    for part in range(len(have)):
        all_have += have[part]
        all_wanted += wanted[part]
    for part in range(len(have)):
        low = is_less(wanted[part] * less, all_have, have[part] * more, all_wanted)
        high = is_less(have[part] * less, all_wanted, wanted[part] * more, all_have)
        found = found or not (low and high)
    return found
