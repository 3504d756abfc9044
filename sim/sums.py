"""Sums of floats, exactly rounded and so the same on every machine, at the speed of arrays."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_SLICE = 1 << 16
"""Values added at once: temporaries stay small, and sums of 27-bit integers below 2**53."""
_MANTISSA_BITS, _LOW_BITS = 53, 26


def fsum(values: FloatArray) -> float:
    """``math.fsum`` of an array of finite numbers, some four times faster.

    A float is an integer of 53 bits times a power of two. Integers of one exponent are added up,
    in two parts so that no sum of them is rounded, and the total is rounded once.
    """
    total, shift = 0, 0
    for start in range(0, len(values), _SLICE):
        part, low = _exact(values[start : start + _SLICE])
        if low < shift:
            total, shift = total << (shift - low), low
        total += part << (low - shift)
    return total / (1 << -shift)


def _exact(values: FloatArray) -> tuple[int, int]:
    """Sum of not too many values as an integer and the power of two that it counts."""
    mantissa, exponent = np.frexp(values)
    digits = np.ldexp(mantissa, _MANTISSA_BITS).astype(np.int64)
    lowest = int(exponent.min())
    exponent -= lowest
    high = np.bincount(exponent, weights=digits >> _LOW_BITS).tolist()
    low = np.bincount(exponent, weights=digits & ((1 << _LOW_BITS) - 1)).tolist()
    total = 0
    for at, (upper, lower) in enumerate(zip(high, low, strict=True)):
        total += ((int(upper) << _LOW_BITS) + int(lower)) << at
    return total, lowest - _MANTISSA_BITS
