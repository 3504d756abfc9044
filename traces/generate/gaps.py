"""Distributions of the gap between arrivals, in units of the mean gap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from .draw import Stream
from .elementary import FloatColumn, exp, log, log_gamma, power


class Gaps(Protocol):
    """A distribution of gaps with mean 1."""

    def first(self, stream: Stream) -> FloatColumn:
        """Return the time from a random moment to the next arrival, shape (1,).

        A trace starts at no particular moment of its clients. Were the first gap like the others,
        clients with a high CV would all start with a burst.
        """
        ...

    def draw(self, stream: Stream, count: int) -> FloatColumn:
        """Return ``count`` gaps."""
        ...


@dataclass(frozen=True)
class EqualGaps:
    """All gaps are 1, and an arrival comes at once."""

    def first(self, stream: Stream) -> FloatColumn:
        """See ``Gaps``."""
        return np.zeros(1)

    def draw(self, stream: Stream, count: int) -> FloatColumn:
        """See ``Gaps``."""
        return np.ones(count)


@dataclass(frozen=True)
class ExponentialGaps:
    """Gaps without memory."""

    def first(self, stream: Stream) -> FloatColumn:
        """See ``Gaps``."""
        return stream.exponential(1)

    def draw(self, stream: Stream, count: int) -> FloatColumn:
        """See ``Gaps``."""
        return stream.exponential(count)


@dataclass(frozen=True)
class GammaGaps:
    """Gamma gaps; the shape is 1 / CV^2."""

    cv: float

    @property
    def shape(self) -> float:
        """Shape of the distribution."""
        return 1.0 / (self.cv * self.cv)

    def first(self, stream: Stream) -> FloatColumn:
        """See ``Gaps``."""
        # The gap around a random moment is chosen by its length: one more in the shape.
        return stream.uniform(1) * stream.gamma(self.shape + 1.0, 1) / self.shape

    def draw(self, stream: Stream, count: int) -> FloatColumn:
        """See ``Gaps``."""
        return stream.gamma(self.shape, count) / self.shape


@dataclass(frozen=True)
class WeibullGaps:
    """Weibull gaps; the shape is found from the CV."""

    cv: float

    @property
    def shape(self) -> float:
        """Shape of the distribution."""
        return weibull_shape(self.cv)

    @property
    def scale(self) -> float:
        """Scale at which the mean is 1."""
        return float(exp(-log_gamma(1.0 + 1.0 / self.shape)))

    def first(self, stream: Stream) -> FloatColumn:
        """See ``Gaps``."""
        around = power(stream.gamma(1.0 + 1.0 / self.shape, 1), 1.0 / self.shape)
        return stream.uniform(1) * around * self.scale

    def draw(self, stream: Stream, count: int) -> FloatColumn:
        """See ``Gaps``."""
        return stream.weibull(self.shape, count) * self.scale


@lru_cache
def weibull_shape(cv: float) -> float:
    """Return the shape k at which Gamma(1 + 2/k) = (1 + cv^2) Gamma(1 + 1/k)^2, by bisection."""
    target = float(log(1.0 + cv * cv))
    low, high = 0.05, 100.0
    for _ in range(60):
        shape = 0.5 * (low + high)
        spread = log_gamma(1.0 + 2.0 / shape) - 2.0 * log_gamma(1.0 + 1.0 / shape)
        low, high = (shape, high) if spread > target else (low, shape)
    return 0.5 * (low + high)
