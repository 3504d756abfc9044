"""Figures of sessions: how many were completed, and how long they took."""

from typing import Any

import numpy as np

from .dependencies import IntColumn
from .metrics import NS_PER_MS, latency_figures
from .requests import ARRIVAL_NS, FINISHED, LAST_TOKEN_NS, REJECTED, STATUS, Requests

SESSION_FORMULAS = {
    "session": "requests that come after one another, or have one session's name; a rejected one "
    "has a rejected request, a completed one has none, and all its tokens",
    "session duration": "last output token - first arrival, of completed sessions",
}


def session_figures(requests: Requests, session: IntColumn, seconds: float) -> dict[str, Any]:
    """Number, duration and throughput of sessions.

    Args:
        requests: The table of a run.
        session: Number of each request's session, from 0 without gaps; shape (requests,).
        seconds: Duration of the run.
    """
    count = int(session.max()) + 1 if len(session) else 0
    status, arrival, last = requests.table[[STATUS, ARRIVAL_NS, LAST_TOKEN_NS]]
    completed = np.ones(count, dtype=bool)
    completed[session[status != FINISHED]] = False
    first_ns = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first_ns, session, arrival)
    last_ns = np.zeros(count, np.int64)
    np.maximum.at(last_ns, session, last)
    duration_ms = (last_ns - first_ns)[completed] / NS_PER_MS
    total = int(completed.sum())
    return {
        "num": count,
        "completed": total,
        "rejected": len(np.unique(session[status == REJECTED])),
        "throughput": total / seconds if seconds else 0.0,
        **latency_figures("duration", duration_ms),
    }
