"""``sim.gaps.Gaps`` for the compiled engine: a hash table in arrays, with the same result."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from ...policies.compiled import by_reference, inner
from ..gaps import LIMIT, Gaps
from .state import IntArray

UNITS, COUNT = range(2)
"""Rows of ``values``: a gap in whole units; how often."""
SHIFT, DISTINCT, NUM, HASH_SHIFT = range(4)
"""Entries of ``counters``: a unit is 2^SHIFT ns; values so far; gaps; bits of a hash that do not
count."""
TOTAL, SQUARES = range(2)
"""Rows of ``sums``."""

DIGIT = 21
DIGITS = 8
"""Sums have digits of 21 bits, the lowest first: no product of three leaves 64 bits."""
DIGIT_MASK = (1 << DIGIT) - 1
MOST_AT_ONCE = 1 << 18
FOLD, MULTIPLIER, WORD = 31, 2654435769, 32
"""Gaps are folded to 31 bits and multiplied by 2^32 over the golden ratio, modulo 2^32."""
FOLD_MASK, WORD_MASK = (1 << FOLD) - 1, (1 << WORD) - 1
FIRST_BITS = 12
"""Of the part of the hash table that is used at first."""


@by_reference
class GapArrays(NamedTuple):
    """How often each gap between tokens occurred."""

    values: IntArray
    """In the order in which they came first; there is room for one more than the limit."""
    places: IntArray
    """A hash table: place in ``values`` plus one, 0 where nothing is. Most runs use its first part
    only; the others are not written, and not in the processor's cache."""
    counters: IntArray
    sums: IntArray


def make_gaps(limit: int = LIMIT) -> GapArrays:
    """No gaps; see ``Gaps.limit``."""
    bits = max(4, (2 * limit - 1).bit_length())
    counters = np.zeros(4, dtype=np.int64)
    first_bits = min(bits, FIRST_BITS)
    counters[HASH_SHIFT] = WORD - first_bits
    places = np.empty(1 << bits, dtype=np.int64)
    places[: 1 << first_bits] = 0
    return GapArrays(
        values=np.empty((2, limit + 1), dtype=np.int64),
        places=places,
        counters=counters,
        sums=np.zeros((2, DIGITS), dtype=np.int64),
    )


@inner
def add_gap(gaps: GapArrays, gap_ns: int, count: int) -> None:
    """See ``Gaps.add``. Gaps and counts are below 2^62."""
    counters = gaps.counters
    counters[NUM] += count
    if counters[SHIFT]:
        _add_to_sums(gaps.sums, gap_ns, count)
    _put(gaps, gap_ns >> counters[SHIFT], count)
    while counters[DISTINCT] == gaps.values.shape[1]:
        _double_unit(gaps)


@inner
def _put(gaps: GapArrays, units: int, count: int) -> None:
    values, places, counters = gaps.values, gaps.places, gaps.counters
    place = _place_of(gaps, units)
    if places[place] == 0:
        counters[DISTINCT] += 1
        places[place] = counters[DISTINCT]
        values[UNITS, places[place] - 1] = units
        values[COUNT, places[place] - 1] = count
        used = 1 << (WORD - counters[HASH_SHIFT])
        if 2 * counters[DISTINCT] > used and used < len(places):
            _widen(gaps)
    else:
        values[COUNT, places[place] - 1] += count


@inner
def _place_of(gaps: GapArrays, units: int) -> int:
    """Where ``units`` stands in the hash table, or the place for it."""
    values, places, shift = gaps.values, gaps.places, gaps.counters[HASH_SHIFT]
    last = (1 << (WORD - shift)) - 1
    folded = (units ^ (units >> FOLD)) & FOLD_MASK
    place = ((folded * MULTIPLIER) & WORD_MASK) >> shift
    while places[place] != 0 and values[UNITS, places[place] - 1] != units:
        place = (place + 1) & last
    return place


@inner
def _widen(gaps: GapArrays) -> None:
    """Use twice as much of the hash table."""
    gaps.counters[HASH_SHIFT] -= 1
    gaps.places[: 1 << (WORD - gaps.counters[HASH_SHIFT])] = 0
    for index in range(gaps.counters[DISTINCT]):
        gaps.places[_place_of(gaps, gaps.values[UNITS, index])] = index + 1


@inner
def _double_unit(gaps: GapArrays) -> None:
    """Put every value again, which never needs a place behind its old one."""
    values, finer = gaps.values, gaps.counters[DISTINCT]
    if gaps.counters[SHIFT] == 0:
        # While values are exact so are their sums, whenever they are made.
        for place in range(finer):
            _add_to_sums(gaps.sums, values[UNITS, place], values[COUNT, place])
    gaps.places[: 1 << (WORD - gaps.counters[HASH_SHIFT])] = 0
    gaps.counters[DISTINCT] = 0
    gaps.counters[SHIFT] += 1
    for place in range(finer):
        _put(gaps, values[UNITS, place] >> 1, values[COUNT, place])


@inner
def _add_to_sums(sums: IntArray, gap_ns: int, count: int) -> None:
    while count > 0:
        some = min(count, MOST_AT_ONCE)
        for low in range(3):
            digit = (gap_ns >> (DIGIT * low)) & DIGIT_MASK
            sums[TOTAL, low] += digit * some
            for high in range(3):
                other = (gap_ns >> (DIGIT * high)) & DIGIT_MASK
                sums[SQUARES, low + high] += digit * other * some
        for row in range(2):
            for place in range(DIGITS - 1):
                sums[row, place + 1] += sums[row, place] >> DIGIT
                sums[row, place] &= DIGIT_MASK
        count -= some


def pour_gaps(arrays: GapArrays) -> Gaps:
    """The same as ``Gaps``."""
    values = arrays.values[:, : arrays.counters[DISTINCT]]
    total, squares = _exact_sums(*values) if not arrays.counters[SHIFT] else _kept_sums(arrays)
    counts = Counter[int]()
    # Not by way of a dict, which a Counter would copy.
    dict.update(counts, zip(*values.tolist(), strict=True))
    return Gaps(
        limit=arrays.values.shape[1] - 1,
        unit_ns=1 << int(arrays.counters[SHIFT]),
        num=int(arrays.counters[NUM]),
        total_ns=total,
        squares_ns2=squares,
        counts=counts,
    )


def _kept_sums(arrays: GapArrays) -> tuple[int, int]:
    total, squares = (
        sum(digit << (DIGIT * place) for place, digit in enumerate(row))
        for row in arrays.sums.tolist()
    )
    return total, squares


def _exact_sums(gaps_ns: IntArray, counts: IntArray) -> tuple[int, int]:
    """Sum and sum of squares of gaps; digits of 16 bits, of which 2^31 products fit 64."""
    digits = [(gaps_ns >> shift) & 0xFFFF for shift in range(0, 64, 16)]
    total = sum(int(digit @ counts) << (16 * low) for low, digit in enumerate(digits))
    squares = sum(
        int((one * other) @ counts) << (16 * (low + high))
        for low, one in enumerate(digits)
        for high, other in enumerate(digits)
    )
    return total, squares
