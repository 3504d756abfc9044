"""Other clocks for a trace: faster, slower, without long gaps, without coarse quanta."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...configs.errors import TraceError
from ..columns import NONE, IntColumn
from ..generate.draw import Draw
from ..limits import MAX_NS
from ..meta import NO_TIMES, OWN_CLOCKS
from ..record import Trace
from ..stats import ArrivalCounts
from ..stats.quantum import TOLERANCE


def time_scaled(trace: Trace, factor: float) -> Trace:
    """Play a recording faster or slower: arrivals and pauses times ``factor``.

    Raises:
        TraceError: ``factor`` is not positive, or times grow too large.
    """
    if not 0 < factor < float("inf"):
        raise TraceError(f"--time-scale {factor:g}: must be positive; 0.5 plays twice as fast")
    delays = trace.delay_ns
    if delays is not None:
        delays = np.where(delays == NONE, NONE, _times(delays, factor))
    scaled = replace(trace, arrival_ns=_stretched(trace.arrival_ns, factor), delay_ns=delays)
    return scaled.with_meta(time_quantum_ms=trace.meta.time_quantum_ms * factor)


def with_rate(trace: Trace, rate_per_s: float, seed: int = 0) -> Trace:
    """Let requests arrive at another mean rate; pauses inside sessions stay what they are.

    Where all requests have one time, as in files of lengths, arrivals are drawn as a Poisson
    process.

    Args:
        trace: The trace.
        rate_per_s: Requests per second of the whole span.
        seed: Of the drawn arrivals.

    Raises:
        TraceError: The rate is not positive, or sessions were recorded one by one.
    """
    if not 0 < rate_per_s < float("inf"):
        raise TraceError(f"--rate {rate_per_s:g}: must be a positive number of requests per second")
    if OWN_CLOCKS in trace.meta.notes:
        raise TraceError("--rate: sessions have clocks of their own here; use --session-rate")
    if trace.span_ns:
        now = (len(trace) - 1) / (trace.span_ns / 1e9)
        return replace(trace, arrival_ns=_stretched(trace.arrival_ns, now / rate_per_s))
    gaps = Draw(seed).stream("rate").exponential(len(trace)) / rate_per_s
    arrivals = np.cumsum(np.rint(gaps * 1e9).astype(np.int64))
    note = f"no arrival times: drawn as a Poisson process of {rate_per_s:g} requests/s, seed {seed}"
    drawn = replace(trace, arrival_ns=arrivals)
    return drawn.with_meta(notes=(*_without(trace, NO_TIMES), note))


def with_session_rate(trace: Trace, rate_per_s: float, seed: int = 0) -> Trace:
    """Let sessions start as a Poisson process; inside a session times stay what they are.

    Sessions start in the order of their first requests. A request without a session is one.

    Raises:
        TraceError: The rate is not positive.
    """
    if not 0 < rate_per_s < float("inf"):
        raise TraceError(f"--session-rate {rate_per_s:g}: must be a positive number per second")
    if trace.session is None:
        raise TraceError("--session-rate: the trace names no sessions; use --rate")
    codes = session_codes(trace)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    gaps = Draw(seed).stream("session-rate").exponential(len(first)) / rate_per_s
    starts = np.zeros(len(first), dtype=np.int64)
    starts[order] = np.cumsum(np.rint(gaps * 1e9).astype(np.int64))
    own = trace.arrival_ns - trace.arrival_ns[first][inverse]
    moved = replace(trace, arrival_ns=own + starts[inverse]).in_order()
    return moved.with_meta(notes=_without(trace, OWN_CLOCKS))


def from_zero(trace: Trace) -> Trace:
    """Return the trace with its first arrival at 0."""
    return replace(trace, arrival_ns=trace.arrival_ns - trace.arrival_ns[:1])


def session_codes(trace: Trace) -> IntColumn:
    """Return a number per request that is the same within a session and nowhere else."""
    alone = np.arange(len(trace), dtype=np.int64)
    if trace.session is None:
        return alone
    named = len(trace.session.names)
    return np.where(trace.session.codes == NONE, alone + named, trace.session.codes)


def spread(trace: Trace, quantum_ns: int, seed: int = 0) -> Trace:
    """Undo coarse time stamps: requests of one quantum get uniform times in it, in their order.

    Clocks jitter: a stamp that is a hundredth of a quantum early belongs to the quantum that was
    about to begin. 29 % of the requests of Mooncake's conversations are 1 ms early.

    Args:
        trace: The trace.
        quantum_ns: Resolution of its arrivals.
        seed: Of the times.

    Raises:
        TraceError: The quantum is not positive.
    """
    if quantum_ns <= 0:
        raise TraceError("--spread-quantum: must be a positive number of milliseconds")
    bucket = (trace.arrival_ns + quantum_ns // TOLERANCE) // quantum_ns
    place = Draw(seed).stream("spread").uniform(len(trace))
    order = np.lexsort((place, bucket))
    arrivals = bucket * quantum_ns + np.floor(place[order] * quantum_ns).astype(np.int64)
    return replace(trace, arrival_ns=arrivals).with_meta(time_quantum_ms=0.0)


def seen_quantum_ms(arrival_ns: IntColumn) -> float | None:
    """Return the tick of the clock that arrivals themselves show, if they share timestamps."""
    counts = ArrivalCounts()
    counts.add(arrival_ns)
    return counts.result().quantum_ms


def gaps_capped(trace: Trace, gap_ns: int) -> Trace:
    """Cut pauses: between arrivals, and between an answer and the next turn.

    Sessions are cut one by one, and so are the times between their starts; what different sessions
    do in between fills no gap. A request without a session is one.

    Raises:
        TraceError: The longest pause is not positive.
    """
    if gap_ns <= 0:
        raise TraceError("--max-gap: must be a positive number of seconds")
    codes = session_codes(trace)
    order = np.argsort(codes, kind="stable")
    times = trace.arrival_ns[order]
    heads = np.diff(codes[order], prepend=-1) != 0
    own = np.where(heads, 0, np.minimum(np.diff(times, prepend=0), gap_ns))
    since = np.cumsum(own)
    since -= since[heads][np.cumsum(heads) - 1]
    arrivals = np.empty_like(times)
    arrivals[order] = since + _capped(times[heads], gap_ns)[np.cumsum(heads) - 1]
    delays = None if trace.delay_ns is None else np.minimum(trace.delay_ns, gap_ns)
    return replace(trace, arrival_ns=arrivals, delay_ns=delays).in_order()


def _capped(starts: IntColumn, gap_ns: int) -> IntColumn:
    """Times in any order, with the gaps between them, one after the other, cut."""
    order = np.argsort(starts, kind="stable")
    gaps = np.minimum(np.diff(starts[order], prepend=starts[order][:1]), gap_ns)
    capped = np.empty_like(starts)
    capped[order] = starts[order][:1] + np.cumsum(gaps)
    return capped


def _without(trace: Trace, note: str) -> tuple[str, ...]:
    """Notes of a trace without one that is no longer true."""
    return tuple(other for other in trace.meta.notes if other != note)


def _stretched(arrivals: IntColumn, factor: float) -> IntColumn:
    if not len(arrivals):
        return arrivals
    return arrivals[0] + _times(arrivals - arrivals[0], factor)


def _times(values: IntColumn, factor: float) -> IntColumn:
    product = np.rint(values * factor)
    if len(product) and product.max() > MAX_NS:
        raise TraceError(f"times times {factor:g} are later than {MAX_NS / 1e9:g} s")
    return product.astype(np.int64)
