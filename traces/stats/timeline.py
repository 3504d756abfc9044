"""Arrivals over time, for a picture: bins that grow with the span."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

_BINS = 512
_FIRST_WIDTH_NS = 10**9


class Timeline:
    """Counts of arrivals in bins of equal width; bins are joined in pairs when there are too many.

    Attributes:
        start_ns: First arrival.
        width_ns: Width of a bin: a second, doubled as often as needed.
    """

    def __init__(self) -> None:
        self.start_ns: int | None = None
        self.width_ns = _FIRST_WIDTH_NS
        self._counts = np.zeros(_BINS, dtype=np.int64)
        self._used = 0

    def add(self, arrival_ns: IntArray) -> None:
        """Count some arrivals, none of them before the first one ever."""
        if not len(arrival_ns):
            return
        if self.start_ns is None:
            self.start_ns = int(arrival_ns.min())
        since = arrival_ns - self.start_ns
        latest = int(since.max())
        while latest // self.width_ns >= _BINS:
            joined = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts = np.concatenate([joined, np.zeros(_BINS // 2, dtype=np.int64)])
            self.width_ns *= 2
            self._used = -(-self._used // 2)
        self._counts += np.bincount(since // self.width_ns, minlength=_BINS)
        self._used = max(self._used, latest // self.width_ns + 1)

    @property
    def counts(self) -> IntArray:
        """Arrivals in each bin from the first arrival on."""
        return self._counts[: self._used]
