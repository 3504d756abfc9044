"""Who comes after whom, where a trace only names its sessions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..columns import NONE, Ragged, offsets_of
from ..record import Trace


def chained(trace: Trace) -> Trace:
    """Return a trace in which every turn comes after the turn before it.

    A trace that says who comes after whom stays as it is. The pause is the recorded one, from the
    end of the answer to the next turn, where the end was recorded; else it is not known.
    """
    if trace.after is not None or trace.session is None:
        return trace
    codes = trace.session.codes
    order = np.argsort(codes, kind="stable")
    follows = np.zeros(len(trace), dtype=bool)
    follows[1:] = (codes[order][1:] == codes[order][:-1]) & (codes[order][1:] != NONE)
    previous = np.full(len(trace), NONE, dtype=np.int64)
    previous[order[1:]] = order[:-1]
    is_later = np.zeros(len(trace), dtype=bool)
    is_later[order] = follows
    after = Ragged(offsets_of(is_later.astype(np.int64)), previous[is_later][:, None])
    return replace(trace, after=after, delay_ns=_pauses(trace, previous, is_later))


def _pauses(trace: Trace, previous: np.ndarray, is_later: np.ndarray) -> np.ndarray:
    pauses = np.full(len(trace), NONE, dtype=np.int64)
    if trace.delay_ns is not None:
        return np.where(is_later, trace.delay_ns, NONE)
    if trace.recorded_e2e_ns is None:
        return pauses
    lasted = trace.recorded_e2e_ns[previous]
    pause = trace.arrival_ns - trace.arrival_ns[previous] - lasted
    return np.where(is_later & (lasted != NONE), np.maximum(pause, 0), NONE)
