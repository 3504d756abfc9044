"""Arrivals whose rate changes: bursts with pauses between them, and the course of a day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...configs.errors import TraceError
from ..columns import IntColumn
from ..limits import MAX_NS
from ..words import check, number
from .arrivals import CHUNK, LEAST_RATE, MOST_RATE, TOO_LATE, renewals, summed
from .draw import Draw
from .elementary import sine_of_turns
from .gaps import ExponentialGaps

_LEAST_ARRIVALS = 0.01


@dataclass(frozen=True)
class OnOff:
    """Poisson arrivals in bursts; bursts and the pauses between them have exponential lengths.

    Attributes:
        rate_per_s: Arrivals per second over all the time, pauses included.
        on_s: Mean length of a burst in seconds.
        off_s: Mean length of a pause in seconds.
    """

    NAME: ClassVar[str] = "on-off"
    rate_per_s: float = number(1.0, least=LEAST_RATE, most=MOST_RATE)
    on_s: float = number(10.0, least=1e-3, most=1e7)
    off_s: float = number(50.0, least=1e-3, most=1e7)

    def __post_init__(self) -> None:
        check(self)
        arrivals = self.rate_per_s * (self.on_s + self.off_s)
        if arrivals < _LEAST_ARRIVALS:
            raise TraceError(
                f"on-off: on: a burst has {arrivals:g} arrivals on average; make bursts and pauses "
                f"longer until there are {_LEAST_ARRIVALS:g}, or use poisson"
            )

    @property
    def burst_rate_per_s(self) -> float:
        """Arrivals per second during a burst."""
        return self.rate_per_s * (self.on_s + self.off_s) / self.on_s

    @property
    def cv(self) -> float:
        """See ``Arrivals``: the gaps of an interrupted Poisson process are hyperexponential."""
        back, forth = 1.0 / self.on_s, 1.0 / self.off_s
        total = back + forth
        return float(np.sqrt(1.0 + 2.0 * self.burst_rate_per_s * back / (total * total)))

    def chunks(self, draw: Draw) -> Iterator[IntColumn]:
        """See ``Arrivals``."""
        # Arrivals are drawn on a clock that runs during bursts only, to which pauses are added.
        ends = np.zeros(0, dtype=np.int64)
        paused_ns = np.array([self._first_pause_ns(draw)])
        bursts = renewals(ExponentialGaps(), 1.0 / self.on_s, draw.child("bursts"))
        off = draw.stream("off")
        for clock in renewals(ExponentialGaps(), self.burst_rate_per_s, draw):
            while not len(ends) or ends[-1] <= min(clock[-1], MAX_NS):
                ends = np.concatenate([ends, next(bursts)])
                pauses = off.exponential(CHUNK) * (self.off_s * 1e9)
                paused_ns = np.concatenate([paused_ns, summed(pauses, int(paused_ns[-1]))])
            burst = np.searchsorted(ends, clock, side="right")
            paused = paused_ns[burst]
            yield np.where(clock > MAX_NS - paused, TOO_LATE, clock + paused)
            ends, paused_ns = ends[burst[-1] :], paused_ns[burst[-1] :]

    def _first_pause_ns(self, draw: Draw) -> int:
        """Time to the first burst, of which a trace may start in the middle."""
        stream = draw.stream("first state")
        in_burst = stream.uniform(1)[0] * (self.on_s + self.off_s) < self.on_s
        wait_s = 0.0 if in_burst else float(stream.exponential(1)[0]) * self.off_s
        return round(wait_s * 1e9)


@dataclass(frozen=True)
class Diurnal:
    """Poisson arrivals whose rate follows a sine.

    Attributes:
        rate_per_s: Arrivals per second, averaged over a period.
        peak: The highest rate over the average; the lowest is as far below it.
        period_s: Length of a period in seconds.
    """

    NAME: ClassVar[str] = "diurnal"
    rate_per_s: float = number(1.0, least=LEAST_RATE, most=MOST_RATE)
    peak: float = number(2.0, least=1.0, most=2.0)
    period_s: float = number(86_400.0, least=1e-3, most=1e9)

    def __post_init__(self) -> None:
        check(self)

    @property
    def cv(self) -> float:
        """See ``Arrivals``: for periods of many arrivals; infinite if the rate comes down to 0."""
        swing = self.peak - 1.0
        if swing == 1.0:
            return float("inf")
        return float(np.sqrt(2.0 / np.sqrt(1.0 - swing * swing) - 1.0))

    def chunks(self, draw: Draw) -> Iterator[IntColumn]:
        """See ``Arrivals``."""
        period_ns = round(self.period_s * 1e9)
        swing = self.peak - 1.0
        keep = draw.stream("keep")
        for times in renewals(ExponentialGaps(), self.rate_per_s * self.peak, draw):
            turns = (times % period_ns) / period_ns
            wanted = 1.0 + swing * sine_of_turns(turns)
            yield times[keep.uniform(len(times)) * self.peak < wanted]
