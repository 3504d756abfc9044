"""Random numbers with a fixed stream: bits of PCG64, and the little arithmetic that is needed.

Uniform numbers are the same on every machine. Logarithms and powers may differ in the last bit
between machines, so what is made of them should be rounded.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatColumn = npt.NDArray[np.float64]


class Draws:
    """One stream of random numbers."""

    def __init__(self, *key: int) -> None:
        """``key``: what tells the stream from others, a seed first."""
        self._bits = np.random.PCG64(key)

    def uniform(self, count: int) -> FloatColumn:
        """Return numbers from 0 up to, but not including, 1."""
        bits: npt.NDArray[np.uint64] = self._bits.random_raw(count) >> np.uint64(11)
        return bits.astype(np.float64) * 2.0**-53

    def exponential(self, count: int) -> FloatColumn:
        """Return exponential numbers of mean 1."""
        return -np.log1p(-self.uniform(count))

    def weibull(self, shape: float, count: int) -> FloatColumn:
        """Return Weibull numbers of scale 1."""
        return self.exponential(count) ** (1.0 / shape)

    def normal(self, count: int) -> FloatColumn:
        """Return standard normal numbers (polar method of Marsaglia)."""
        found = np.zeros(0)
        while len(found) < count:
            x, y = 2.0 * self.uniform(2 * count).reshape(2, count) - 1.0
            square = x * x + y * y
            inside = (square > 0.0) & (square < 1.0)
            x, square = x[inside], square[inside]
            found = np.append(found, x * np.sqrt(-2.0 * np.log(square) / square))
        return found[:count]

    def gamma(self, shape: float, count: int) -> FloatColumn:
        """Return gamma numbers of scale 1 (Marsaglia and Tsang, ACM TOMS 26 (2000) 363)."""
        if shape < 1.0:
            return self.gamma(shape + 1.0, count) * self.uniform(count) ** (1.0 / shape)
        d = shape - 1.0 / 3.0
        found = np.zeros(0)
        while len(found) < count:
            normal, uniform = self.normal(count), self.uniform(count)
            v = (1.0 + normal / np.sqrt(9.0 * d)) ** 3
            v = np.where(v > 0.0, v, 1e-300)
            bound = 0.5 * normal * normal + d * (1.0 - v + np.log(v))
            found = np.append(found, (d * v)[np.log1p(-uniform) < bound])
        return found[:count]

    def choice(self, ends: FloatColumn, count: int) -> npt.NDArray[np.int64]:
        """Return positions by their cumulated weights."""
        at = np.searchsorted(ends, self.uniform(count) * ends[-1], side="right")
        return np.minimum(at, len(ends) - 1).astype(np.int64)
