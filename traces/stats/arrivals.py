"""When requests arrive: rate, burstiness, and how coarse the clock was."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from ...configs.errors import TraceError
from ..columns import IntColumn as IntArray
from .counts import ValueCounts
from .quantum import SpreadGaps, find_quantum
from .windows import WindowCounts

_WINDOW_NS = 60 * 10**9
_NS_PER_S = 10**9
_NS_PER_MS = 10**6


@dataclass(frozen=True)
class ArrivalFigures:
    """How requests arrive. None stands for a figure that too few requests leave open.

    Attributes:
        requests: Requests there are.
        span_s: Time from the first arrival to the last.
        rate_per_s: Arrivals after the first, over the span.
        cv: Coefficient of variation of the times between arrivals; 1 for a Poisson process.
        cv_spread: The same with the requests of each tick of a coarse clock spread uniformly over
            the tick, in expectation. Equal to ``cv`` where no such clock is found.
        idc60: Index of dispersion of the arrivals per 60 s: variance over mean of the counts in
            the full windows from the first arrival on; 1 for a Poisson process.
        quantum_ms: Tick of the clock, if requests share timestamps because of one.
        timestamps: Different arrival times.
        per_timestamp_mean: Requests per different arrival time; None without requests.
        per_timestamp_max: Most requests at one arrival time.
    """

    requests: int
    span_s: float
    rate_per_s: float | None
    cv: float | None
    cv_spread: float | None
    idc60: float | None
    quantum_ms: float | None
    timestamps: int
    per_timestamp_mean: float | None
    per_timestamp_max: int


class ArrivalCounts:
    """Arrivals that come in chunks; memory does not grow with their number."""

    def __init__(self) -> None:
        self._closed = _Timestamps()
        self._time = self._size = 0  # the last timestamp, which may go on in the next chunk
        self._requests = 0

    def add(self, arrival_ns: IntArray) -> None:
        """Add a chunk of arrivals in nanoseconds from 0 on, ascending, after all before.

        Raises:
            TraceError: An arrival is earlier than the one before it.
        """
        if not len(arrival_ns):
            return
        gaps = np.diff(arrival_ns, prepend=self._time if self._size else arrival_ns[0])
        if int(gaps.min()) < 0:
            late = self._requests + int(np.flatnonzero(gaps < 0)[0])
            raise TraceError(f"arrival_ns: entry {late} is earlier than the one before it")
        heads = np.flatnonzero(gaps)
        times = np.concatenate([[self._time if self._size else arrival_ns[0]], arrival_ns[heads]])
        sizes = np.diff(heads, prepend=-self._size, append=len(arrival_ns))
        self._requests += len(arrival_ns)
        self._time, self._size = int(times[-1]), int(sizes[-1])
        self._closed.add(times[:-1], sizes[:-1])

    def result(self) -> ArrivalFigures:
        """Figures of all arrivals so far; more may be added."""
        stamps = deepcopy(self._closed)
        if self._size:
            stamps.add(np.array([self._time]), np.array([self._size]))
        return stamps.figures()


class _Timestamps:
    """Counts over different arrival times, each with the requests that share it."""

    def __init__(self) -> None:
        self._steps, self._sizes = ValueCounts(), ValueCounts()
        self._gaps = SpreadGaps()
        self._windows = WindowCounts()
        self._first: tuple[int, int] | None = None
        self._last = (0, 0)

    def add(self, times_ns: IntArray, sizes: IntArray) -> None:
        """Add timestamps, ascending, with their requests."""
        if not len(times_ns):
            return
        if self._first is None:
            self._first = (int(times_ns[0]), int(sizes[0]))
        else:
            times_ns = np.append(self._last[0], times_ns)
            sizes = np.append(self._last[1], sizes)
        new = slice(1, None) if self._last[1] else slice(None)
        steps = np.diff(times_ns)
        self._steps.add(steps)
        self._sizes.add(sizes[new])
        self._gaps.add(steps, sizes[:-1], sizes[1:])
        self._windows.add((times_ns[new] - self._first[0]) // _WINDOW_NS, sizes[new])
        self._last = (int(times_ns[-1]), int(sizes[-1]))

    def figures(self) -> ArrivalFigures:
        sizes, counts = self._sizes.table()
        n, stamps = int(sizes @ counts), int(counts.sum())
        start, first_size = self._first or (0, 0)
        end, last_size = self._last
        cv = spread = self._gaps.variation(n - 1)
        quantum = find_quantum(*self._steps.table(), n, exact=not self._steps.rounded)
        if quantum is not None:
            spread = self._gaps.spread_variation(quantum, sizes, counts, (first_size, last_size))
        return ArrivalFigures(
            requests=n,
            span_s=(end - start) / _NS_PER_S,
            rate_per_s=(n - 1) * _NS_PER_S / (end - start) if end > start else None,
            cv=cv,
            cv_spread=spread,
            idc60=self._windows.dispersion(),
            quantum_ms=None if quantum is None else quantum / _NS_PER_MS,
            timestamps=stamps,
            per_timestamp_mean=n / stamps if n else None,
            per_timestamp_max=int(sizes[-1]) if n else 0,
        )
