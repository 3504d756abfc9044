"""All changes to a trace before it is replayed, in the order in which they are made."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...configs.errors import TraceError
from ..limits import NS_PER_MS
from ..record import Trace
from .combine import copies
from .cuts import window
from .times import (
    gaps_capped,
    seen_quantum_ms,
    spread,
    time_scaled,
    with_rate,
    with_session_rate,
)

NS_PER_S = 10**9


@dataclass(frozen=True, kw_only=True)
class Shaping:
    """What is changed; the defaults change nothing.

    Attributes:
        start_s: Leave out what arrives earlier, counted from the first arrival.
        duration_s: Keep what arrives for so long after that.
        requests: Keep so many requests of that, at most.
        prefix_model: Words for hash ids that a trace does not have.
        spread_quantum_ms: Give requests of one quantum of time uniform times in it; 0 takes the
            quantum that the trace names, or else the one that its arrivals show.
        max_gap_s: Longest pause between arrivals, and before a turn.
        time_scale: Factor of all times.
        rate_per_s: Mean rate of arrivals.
        session_rate_per_s: Rate at which sessions start.
        copies: How many times the load.
        seed: Of everything that is drawn.
    """

    start_s: float = 0.0
    duration_s: float | None = None
    requests: int | None = None
    prefix_model: str | None = None
    spread_quantum_ms: float | None = None
    max_gap_s: float | None = None
    time_scale: float | None = None
    rate_per_s: float | None = None
    session_rate_per_s: float | None = None
    copies: int = 1
    seed: int = 0

    @property
    def changes_nothing(self) -> bool:
        """Whether nothing is changed."""
        return replace(self, seed=0) == Shaping()

    def apply(self, trace: Trace) -> Trace:
        """Return the changed trace.

        Raises:
            TraceError: A value is out of range, or nothing is left.
        """
        trace = cut(trace, start_s=self.start_s, duration_s=self.duration_s)
        if self.requests is not None:
            if self.requests < 1:
                raise TraceError(f"--requests {self.requests}: give 1 or more")
            trace = trace.head(self.requests)
        if self.prefix_model is not None:
            from ..prefix_model import apply_prefix_model

            trace = apply_prefix_model(trace, self.prefix_model, seed=self.seed)
        trace = self._on_other_clock(trace)
        return trace if self.copies == 1 else copies(trace, self.copies)

    def _on_other_clock(self, trace: Trace) -> Trace:
        if self.spread_quantum_ms is not None:
            trace = spread(trace, self._quantum_ns(trace), self.seed)
        if self.max_gap_s is not None:
            trace = gaps_capped(trace, _ns(self.max_gap_s, "--max-gap"))
        if self.time_scale is not None:
            trace = time_scaled(trace, self.time_scale)
        if self.rate_per_s is not None and self.session_rate_per_s is not None:
            raise TraceError("--rate, --session-rate: give one of them")
        if self.rate_per_s is not None:
            trace = with_rate(trace, self.rate_per_s, self.seed)
        if self.session_rate_per_s is not None:
            trace = with_session_rate(trace, self.session_rate_per_s, self.seed)
        return trace

    def _quantum_ns(self, trace: Trace) -> int:
        quantum_ms = (
            self.spread_quantum_ms
            or trace.meta.time_quantum_ms
            or seen_quantum_ms(trace.arrival_ns)
        )
        if not quantum_ms:
            raise TraceError(
                "--spread-quantum auto: arrivals of this trace are in no coarse quanta; "
                "give milliseconds to spread them all the same"
            )
        return round(quantum_ms * NS_PER_MS)


def cut(trace: Trace, *, start_s: float = 0.0, duration_s: float | None = None) -> Trace:
    """Return what arrives from ``start_s`` after the first arrival on, for ``duration_s``.

    Raises:
        TraceError: A time is out of range, or nothing arrives then.
    """
    if not start_s and duration_s is None:
        return trace
    duration_ns = None if duration_s is None else _ns(duration_s, "--duration")
    return window(trace, _ns(start_s, "--start"), duration_ns)


def _ns(seconds: float, flag: str) -> int:
    if not 0 <= seconds < 2**33:
        raise TraceError(f"{flag} {seconds:g}: must be a number of seconds, 0 or more")
    return round(seconds * NS_PER_S)
