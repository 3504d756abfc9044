"""Quantiles of a column that comes in chunks: count the values, keep no column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..columns import IntColumn as IntArray
from .exact import exact_sum

MOST_DISTINCT = 2**19
"""Different values that are counted one by one; with more of them, values are rounded."""

SIGNIFICANT_BITS = 11
"""Leading bits that rounding keeps. What it puts in one bucket is within 2**-11 of its middle."""

_FEW = 1 << 17


@dataclass(frozen=True)
class Distribution:
    """Figures of a column. Quantiles interpolate between the nearest ranks, as numpy does.

    Attributes:
        count: Values there are, at least one.
        mean: Their mean; always exact.
        p10: Tenth percentile; likewise ``p50``, ``p90`` and ``p99``.
        max: The largest value; always exact.
        relative_error: Most that a percentile can be off, as a share of it; 0 means exact.
    """

    count: int
    mean: float
    p10: float
    p50: float
    p90: float
    p99: float
    max: float
    relative_error: float = 0.0


class ValueCounts:
    """How often each value of a column occurs.

    Memory follows the number of different values and is bounded: above ``most_distinct`` they are
    rounded to ``SIGNIFICANT_BITS`` significant bits, which leaves fewer than 60,000.
    """

    def __init__(self, most_distinct: int = MOST_DISTINCT) -> None:
        """Count up to ``most_distinct`` different values one by one."""
        self.rounded = False
        self._most_distinct = most_distinct
        self._values = self._counts = np.zeros(0, dtype=np.int64)
        self._pending: list[tuple[IntArray, IntArray]] = []
        self._pending_size = 0
        self._sum = self._max = 0

    def add(self, values: IntArray) -> None:
        """Count a chunk of integers from 0 to 2**63 - 1, in any order."""
        if not len(values):
            return
        self._sum += exact_sum(values)
        self._max = max(self._max, int(values.max()))
        distinct, counts = np.unique(values, return_counts=True)
        self._pending.append((distinct, counts))
        self._pending_size += len(distinct)
        # Merging only when as much is pending as there is keeps the work linear.
        if self._pending_size > max(len(self._values), _FEW):
            self._merge()

    def table(self) -> tuple[IntArray, IntArray]:
        """The different values in ascending order, rounded if ``rounded``, and their counts."""
        self._merge()
        return self._values, self._counts

    def result(self, per: int = 1) -> Distribution | None:
        """Figures of what was added, divided by ``per``; None if nothing was."""
        values, counts = self.table()
        if not len(values):
            return None
        ends = np.cumsum(counts)
        total = int(ends[-1])
        p10, p50, p90, p99 = (_percentile(values, ends, percent) / per for percent in _PERCENTS)
        error = 2.0**-SIGNIFICANT_BITS if self.rounded else 0.0
        return Distribution(
            total, self._sum / (total * per), p10, p50, p90, p99, self._max / per, error
        )

    def _merge(self) -> None:
        if not self._pending:
            return
        parts = [(self._values, self._counts), *self._pending]
        self._pending, self._pending_size = [], 0
        values = np.concatenate([part[0] for part in parts])
        counts = np.concatenate([part[1] for part in parts])
        if self.rounded:
            values = _round(values)
        self._values, self._counts = _sum_by_value(values, counts)
        if len(self._values) > self._most_distinct and not self.rounded:
            self.rounded = True
            self._values, self._counts = _sum_by_value(_round(self._values), self._counts)


_PERCENTS = (10, 50, 90, 99)


def distribution(values: IntArray, per: int = 1) -> Distribution | None:
    """Figures of one whole column, divided by ``per``; None for an empty one."""
    counts = ValueCounts(most_distinct=len(values))
    counts.add(values)
    return counts.result(per)


def _sum_by_value(values: IntArray, counts: IntArray) -> tuple[IntArray, IntArray]:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return ordered[starts], np.add.reduceat(counts[order], starts)


def _round(values: IntArray) -> IntArray:
    """The middle of the values with the same leading bits; rounding twice changes nothing."""
    exponent = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    shift = np.maximum(exponent - SIGNIFICANT_BITS, 0)
    return (values >> shift << shift) + ((np.int64(1) << shift) >> 1)


def _percentile(values: IntArray, ends: IntArray, percent: int) -> float:
    """The percentile of ascending values, of which ``ends`` counts up to and with each."""
    low, rest = divmod(percent * (int(ends[-1]) - 1), 100)
    at = np.searchsorted(ends, [low, min(low + 1, int(ends[-1]) - 1)], side="right")
    below, above = (int(value) for value in values[at])
    return below + (above - below) * rest / 100
