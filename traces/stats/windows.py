"""Counts of requests per window of time, of which only sums are kept."""

from __future__ import annotations

import numpy as np

from ..columns import IntColumn as IntArray
from .exact import exact_dot, exact_sum


class WindowCounts:
    """Requests per window, for the index of dispersion of counts."""

    def __init__(self) -> None:
        self._requests = self._squares = 0
        self._open, self._open_count = 0, 0

    def add(self, windows: IntArray, counts: IntArray) -> None:
        """Add ``counts`` requests in each of ``windows``: numbers from 0 on, ascending."""
        heads = np.flatnonzero(np.diff(windows, prepend=self._open))
        numbers = np.concatenate([[self._open], windows[heads]])
        before = np.concatenate([[0], np.cumsum(counts)])
        sums = np.diff(before[np.concatenate([[0], heads, [len(windows)]])])
        sums[0] += self._open_count
        self._open, self._open_count = int(numbers[-1]), int(sums[-1])
        self._requests += exact_sum(sums[:-1])
        self._squares += exact_dot(sums[:-1], sums[:-1])

    def dispersion(self) -> float | None:
        """Variance over mean of the counts; None with fewer than two full windows.

        The last window that has a request is not full, and is left out. Empty ones before it count.
        """
        if self._open < 2 or not self._requests:
            return None
        return self._squares / self._requests - self._requests / self._open
