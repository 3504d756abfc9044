"""Sums of integers that do not overflow and are the same on every machine."""

from __future__ import annotations

import numpy as np

from ..columns import IntColumn as IntArray

_DIGIT_BITS = 21
_SLICE = 1 << 20
"""Products of two digits stay below 2**42, and their sum over a slice below 2**62."""


def exact_sum(values: IntArray) -> int:
    """Sum of integers from 0 to 2**63 - 1, as a Python integer."""
    high, low = values >> 31, values & (2**31 - 1)
    return (int(high.sum()) << 31) + int(low.sum())


def exact_dot(left: IntArray, right: IntArray) -> int:
    """Sum of the products of two columns of integers from 0 to 2**63 - 1."""
    total = 0
    for start in range(0, len(left), _SLICE):
        ours = _digits(left[start : start + _SLICE])
        theirs = _digits(right[start : start + _SLICE])
        for i, digit in enumerate(ours):
            for j, other in enumerate(theirs):
                total += int(np.dot(digit, other)) << (_DIGIT_BITS * (i + j))
    return total


def _digits(values: IntArray) -> list[IntArray]:
    """Values in base 2**21, lowest digit first, without leading zeros."""
    count = -(-int(values.max()).bit_length() // _DIGIT_BITS)
    mask = (1 << _DIGIT_BITS) - 1
    return [values >> (_DIGIT_BITS * i) & mask for i in range(count)]
