"""Parts of a trace: by time, by number, by session."""

from __future__ import annotations

import numpy as np

from ...configs.errors import TraceError
from ..record import Trace
from .times import session_codes


def window(trace: Trace, start_ns: int = 0, duration_ns: int | None = None) -> Trace:
    """Return the requests that arrive in a part of the span, counted from the first arrival.

    Raises:
        TraceError: Nothing arrives in it.
    """
    first = int(trace.arrival_ns[0]) if len(trace) else 0
    since = trace.arrival_ns - first
    keep = since >= start_ns
    if duration_ns is not None:
        keep &= since < start_ns + duration_ns
    if not keep.any():
        raise TraceError(
            f"--start, --duration: no request arrives there; the trace spans "
            f"{trace.span_ns / 1e9:.6g} s"
        )
    return trace.select(keep)


def first_sessions(trace: Trace, count: int) -> Trace:
    """Return the sessions that begin first, whole; a request without a session is one.

    Raises:
        TraceError: ``count`` is below 1.
    """
    if count < 1:
        raise TraceError(f"--sessions {count}: give 1 or more")
    if trace.session is None:
        raise TraceError("--sessions: the trace names no sessions; use --requests")
    _, first, inverse = np.unique(session_codes(trace), return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return trace.select(rank[inverse] < count)
