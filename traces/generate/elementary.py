"""Logarithm, exponential, sine and gamma function that give the same bits on every machine.

The functions of a C library and numpy's own differ in the last bit between versions and processors,
and a length that is rounded from them differs then and when. These are made of additions,
multiplications, divisions, square roots and shifts of the exponent, which IEEE 754 defines to the
last bit. Each works on arrays and is within a few units in the last place.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
import numpy.typing as npt

FloatColumn = npt.NDArray[np.float64]

# The logarithm of 2 in two parts; the first has 32 bits, so that its multiples are exact.
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
_TWO_PI = float.fromhex("0x1.921fb54442d18p+2")
_HALF_LOG_TWO_PI = float.fromhex("0x1.d67f1c864beb5p-1")

_LARGEST_EXPONENT = 709.0
_SMALLEST_EXPONENT = -745.0


def _inverse_factorials(powers: range) -> tuple[float, ...]:
    factorials = [1]
    for factor in range(1, powers[-1] + 1):
        factorials.append(factorials[-1] * factor)
    return tuple(1 / factorials[power] for power in powers)


_ATANH = tuple(2 / (2 * n + 3) for n in range(11))
"""Coefficients of 2 atanh(s) = 2 s + s^3 (...), in powers of s^2."""
_EXP = _inverse_factorials(range(14))
_SINE = tuple((-1) ** n * c for n, c in enumerate(_inverse_factorials(range(1, 24, 2))))
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def polynomial(coefficients: tuple[float, ...], x: FloatColumn) -> FloatColumn:
    """Return the polynomial with these coefficients, the constant first, by Horner's rule."""
    start = np.full_like(x, coefficients[-1])
    return reduce(lambda value, c: value * x + c, reversed(coefficients[:-1]), start)


def log(x: npt.ArrayLike) -> FloatColumn:
    """Return the natural logarithm of positive normal numbers."""
    mantissa, exponent = np.frexp(np.asarray(x, dtype=np.float64))
    small = mantissa < _SQRT_HALF
    f = np.where(small, 2.0 * mantissa, mantissa) - 1.0
    k = (exponent - small).astype(np.float64)
    s = f / (2.0 + f)
    z = s * s
    # log(1 + f) = 2 atanh(s); written so that the rounding of s hardly shows.
    correction = s * (f - z * polynomial(_ATANH, z))
    return k * _LN2_HIGH + (f - (correction - k * _LN2_LOW))


def exp(x: npt.ArrayLike) -> FloatColumn:
    """Return e to the power of ``x``; what lies beyond -745 and 709 is taken as these."""
    x = np.clip(np.asarray(x, dtype=np.float64), _SMALLEST_EXPONENT, _LARGEST_EXPONENT)
    k = np.rint(x / (_LN2_HIGH + _LN2_LOW))
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    return np.ldexp(polynomial(_EXP, r), k.astype(np.int32))


def power(x: npt.ArrayLike, y: float) -> FloatColumn:
    """Return positive normal numbers to the power of ``y``.

    The relative error is about as many units in the last place as ``y`` log ``x`` has.
    """
    return exp(y * log(x))


def sine_of_turns(turns: npt.ArrayLike) -> FloatColumn:
    """Return the sine of angles in full turns: 0.25 is a right angle."""
    turns = np.asarray(turns, dtype=np.float64)
    part = turns - np.rint(turns)
    folded = np.where(np.abs(part) > 0.25, np.copysign(0.5, part) - part, part)
    angle = folded * _TWO_PI
    return angle * polynomial(_SINE, angle * angle)


def log_gamma(x: float) -> float:
    """Return the logarithm of the gamma function of a positive number (Stirling's series)."""
    product = 1.0
    while x < 16.0:
        product *= x
        x += 1.0
    inverse = 1.0 / x
    series = inverse * float(polynomial(_STIRLING, np.array(inverse * inverse)))
    return (x - 0.5) * float(log(x)) - x + _HALF_LOG_TWO_PI + series - float(log(product))
