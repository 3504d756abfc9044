"""Reading what may be damaged: a trace, or the words of the one error that is allowed."""

from __future__ import annotations

from collections.abc import Callable

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace


def attempt(read: Callable[[], Trace]) -> Trace | str:
    """Return what was read, or what the TraceError says; other errors pass."""
    try:
        return read()
    except TraceError as error:
        return str(error)
