"""Lengths in tokens, drawn from lognormal distributions that are given by two quantiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..columns import IntColumn
from .draw import Stream
from .elementary import FloatColumn, exp, log
from .normal import quantile

MOST_TOKENS = 2**24
"""No prompt or answer is longer than this unless a workload says so."""

_MOST_S = 1e6
"""Twelve days: no pause is longer."""


def sigma_of(median: float, upper: float, at: float) -> float:
    """Return the standard deviation of the logarithm of a lognormal quantity.

    Args:
        median: Its median.
        upper: Its quantile at the probability ``at``, not below the median.
        at: Above a half.
    """
    return float(log(upper / median)) / float(quantile(at))


@dataclass(frozen=True)
class Lengths:
    """Lognormal numbers of tokens.

    Attributes:
        median: Half of them are shorter.
        upper: A quantile above it; if it equals the median, all are alike.
        at: The probability of that quantile.
        least: Shorter ones are made as long as this.
        most: Longer ones are cut to this.
    """

    median: float
    upper: float
    at: float = 0.9
    least: int = 1
    most: int = MOST_TOKENS

    @property
    def mean(self) -> float:
        """Mean length, but for the bounds."""
        sigma = sigma_of(self.median, self.upper, self.at)
        return self.median * float(exp(0.5 * sigma * sigma))

    def draw(self, stream: Stream, count: int) -> IntColumn:
        """Return ``count`` lengths in tokens."""
        return self.of(stream.normal(count))

    def of(self, normal: FloatColumn) -> IntColumn:
        """Return the lengths that belong to standard normal numbers."""
        values = self.median * exp(sigma_of(self.median, self.upper, self.at) * normal)
        return np.clip(np.rint(values), self.least, self.most).astype(np.int64)


def durations_ns(
    stream: Stream, median_s: float, upper_s: float, at: float, count: int
) -> IntColumn:
    """Return ``count`` lognormal durations in whole nanoseconds."""
    seconds = stream.lognormal(median_s, sigma_of(median_s, upper_s, at), count)
    return np.rint(np.minimum(seconds, _MOST_S) * 1e9).astype(np.int64)
