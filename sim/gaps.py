"""Gaps between the tokens of requests: how often each occurred, in bounded memory."""

from collections import Counter
from dataclasses import dataclass, field
from math import sqrt

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

LIMIT = 1 << 18
"""Distinct values that are told apart."""


@dataclass
class Gaps:
    """Counts of gaps in ns.

    They are exact up to ``limit`` distinct values. With more, gaps are counted in units of the
    smallest power of two that leaves no more than ``limit`` of them: what is kept depends on which
    gaps there were, not on their order. Number, sum and sum of squares are always exact.
    """

    limit: int = LIMIT
    unit_ns: int = 1
    num: int = 0
    total_ns: int = 0
    squares_ns2: int = 0
    """Sum of the squares of all gaps."""
    counts: Counter[int] = field(default_factory=Counter[int])
    """By whole units, rounded down."""

    def add(self, gap_ns: int, count: int = 1) -> None:
        """Count a gap, ``count`` times."""
        self.num += count
        self.total_ns += gap_ns * count
        self.squares_ns2 += gap_ns * gap_ns * count
        self.counts[gap_ns // self.unit_ns] += count
        while len(self.counts) > self.limit:
            self._double_unit()

    def _double_unit(self) -> None:
        self.unit_ns *= 2
        finer, self.counts = self.counts, Counter()
        for units, count in finer.items():
            self.counts[units // 2] += count

    def sorted(self) -> tuple[IntArray, IntArray]:
        """Values in ns, ascending, and their counts; a unit of several ns has its middle."""
        units = np.fromiter(self.counts, np.int64, len(self.counts))
        counts = np.fromiter(self.counts.values(), np.int64, len(self.counts))
        order = np.argsort(units)
        return units[order] * self.unit_ns + self.unit_ns // 2, counts[order]

    @property
    def mean_ns(self) -> float:
        """Mean of all gaps, exactly rounded; there must be one."""
        return self.total_ns / self.num

    @property
    def std_ns(self) -> float:
        """Their standard deviation (of the population); there must be one."""
        return sqrt(self.num * self.squares_ns2 - self.total_ns**2) / self.num
