"""Random numbers that are the same on every machine, however they are cut into chunks.

The bits come from numpy's PCG64, whose stream is fixed; numpy's distributions are not, so they are
made here from the bits and from ``elementary``. Each quantity of a generator draws from a stream of
its own, so that more draws of one leave the others as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from .elementary import FloatColumn, exp, log, power
from .normal import quantile

_PERIOD = 2**128


@dataclass(frozen=True)
class Draw:
    """A seed, and names below it.

    Attributes:
        seed: Any integer.
        path: Names that lead here.
    """

    seed: int
    path: str = ""

    def child(self, name: str) -> Draw:
        """Return the same seed one name further down."""
        return Draw(self.seed, f"{self.path}{name}/")

    def stream(self, name: str) -> Stream:
        """Return the stream of this name, from its beginning."""
        return Stream(sha256(f"{self.seed}/{self.path}{name}".encode()).digest())


class Stream:
    """A sequence of random numbers. What is drawn in two parts equals what is drawn at once."""

    def __init__(self, key: bytes) -> None:
        """``key``: 32 bytes, of which the generator's state is made."""
        self._bits = np.random.PCG64(0)
        words = {
            "state": int.from_bytes(key[:16], "big"),
            "inc": int.from_bytes(key[16:], "big") | 1,
        }
        state: Any = {
            "bit_generator": "PCG64",
            "state": words,
            "has_uint32": 0,
            "uinteger": 0,
        }
        self._bits.state = state

    def raw(self, count: int) -> npt.NDArray[np.uint64]:
        """Return ``count`` times 64 random bits."""
        return self._bits.random_raw(count)

    def uniform(self, count: int) -> FloatColumn:
        """Return numbers from 0 up to, but not including, 1: multiples of 2^-53."""
        return (self.raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def between(self, count: int) -> FloatColumn:
        """Return numbers strictly between 0 and 1: odd multiples of 2^-53."""
        return _between(self.raw(count))

    def exponential(self, count: int) -> FloatColumn:
        """Return exponential numbers of mean 1."""
        return -log(self.between(count))

    def normal(self, count: int) -> FloatColumn:
        """Return standard normal numbers."""
        return quantile(self.between(count))

    def gamma(self, shape: float, count: int) -> FloatColumn:
        """Return gamma numbers of this shape and scale 1, so of mean ``shape``.

        G. Marsaglia and W. W. Tsang, A simple method for generating gamma variables, ACM
        Transactions on Mathematical Software 26 (2000) 363-372. Every attempt takes the same number
        of draws, and those after the last one that is needed are put back.
        """
        parts = [np.zeros(0)]
        while count > 0:
            attempts = count + count // 16 + 16
            values, accepted = self._gamma_attempts(shape, attempts)
            used = np.flatnonzero(accepted)[:count]
            parts.append(values[used])
            if len(used) == count:
                self._put_back(_draws_per_attempt(shape) * (attempts - 1 - int(used[-1])))
            count -= len(used)
        return np.concatenate(parts)

    def _gamma_attempts(
        self, shape: float, attempts: int
    ) -> tuple[FloatColumn, npt.NDArray[np.bool_]]:
        draws = _draws_per_attempt(shape)
        # One row per attempt, so that an attempt's draws do not depend on how many there are.
        bits = self.raw(draws * attempts).reshape(attempts, draws)
        normal = quantile(_between(bits[:, 0]))
        # Below 1 the method does not work: Gamma(a) is Gamma(a + 1) times a power of a uniform.
        d = (shape if shape >= 1.0 else shape + 1.0) - 1.0 / 3.0
        cube_root = 1.0 + normal / np.sqrt(9.0 * d)
        v = np.where(cube_root > 0.0, cube_root * cube_root * cube_root, 1.0)
        bound = 0.5 * normal * normal + d * (1.0 - v + log(v))
        accepted = (cube_root > 0.0) & (log(_between(bits[:, 1])) < bound)
        values = d * v
        if shape < 1.0:
            values = values * power(_between(bits[:, 2]), 1.0 / shape)
        return values, accepted

    def _put_back(self, draws: int) -> None:
        if draws:
            self._bits.advance(_PERIOD - draws)

    def weibull(self, shape: float, count: int) -> FloatColumn:
        """Return Weibull numbers of this shape and scale 1."""
        return power(self.exponential(count), 1.0 / shape)

    def geometric(self, mean: float, count: int) -> npt.NDArray[np.int64]:
        """Return geometric numbers from 1 with this mean (at least 1)."""
        if mean <= 1.0:
            self.raw(count)
            return np.ones(count, dtype=np.int64)
        wait = self.exponential(count) / float(-log(1.0 - 1.0 / mean))
        return 1 + np.floor(wait).astype(np.int64)

    def lognormal(self, median: float, sigma: float, count: int) -> FloatColumn:
        """Return lognormal numbers: their logarithms have the standard deviation ``sigma``."""
        return median * exp(sigma * self.normal(count))

    def choice(self, weights: FloatColumn, count: int) -> npt.NDArray[np.int64]:
        """Return positions, each as often as its weight says; weights need not sum to 1."""
        ends = np.cumsum(weights)
        at = np.searchsorted(ends, self.uniform(count) * ends[-1], side="right")
        return np.minimum(at, len(weights) - 1).astype(np.int64)

    def order(self, count: int) -> npt.NDArray[np.int64]:
        """Return the positions 0 to ``count`` - 1 in random order."""
        return np.argsort(self.raw(count), kind="stable").astype(np.int64)


def _draws_per_attempt(shape: float) -> int:
    return 2 if shape >= 1.0 else 3


def _between(bits: npt.NDArray[np.uint64]) -> FloatColumn:
    return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def zipf_weights(count: int, exponent: float) -> FloatColumn:
    """Return the weights 1, 2^-exponent, 3^-exponent, ... of ``count`` ranks."""
    return power(np.arange(1, count + 1, dtype=np.float64), -exponent)
