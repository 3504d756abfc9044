"""Sessions: how many turns they have, how far apart, and what each turn adds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..columns import IntColumn as IntArray
from .counts import Distribution, distribution
from .reuse import NONE

_NS_PER_S = 10**9
_RATIO_UNIT = 10**9


@dataclass(frozen=True, eq=False)
class Sessions:
    """Which requests belong together.

    Attributes:
        codes: Number of the session of each request, or -1 for none; n entries.
        previous: The request that each one continues, or -1; n entries.
        inferred: Whether the trace has no sessions and these follow from shared blocks.
    """

    codes: IntArray
    previous: IntArray
    inferred: bool


@dataclass(frozen=True)
class SessionFigures:
    """Sessions and their turns; requests without a session are left out.

    Attributes:
        inferred: Whether the trace has no sessions and these follow from shared blocks.
        sessions: Sessions there are.
        follow_ups: Share of the requests that continue another one.
        turns: Requests per session.
        gap_s: Time from the arrival of the request that one continues to its own.
        think_s: Time from the end of the previous answer, as recorded.
        new_tokens: Prompt tokens per request that no earlier request had.
        hit: Share of the prompt tokens of a session that earlier requests had.
        context_tokens: Longest prompt of each session.
    """

    inferred: bool
    sessions: int
    follow_ups: float
    turns: Distribution
    gap_s: Distribution | None
    think_s: Distribution | None
    new_tokens: Distribution | None
    hit: Distribution | None
    context_tokens: Distribution


def given_sessions(codes: IntArray) -> Sessions:
    """Sessions of a trace that names them: each request continues the one before it.

    Args:
        codes: Number of the session of each request, or -1 for none, in order of arrival.
    """
    order = np.argsort(codes, kind="stable")
    earlier, later = order[:-1], order[1:]
    same = (codes[earlier] == codes[later]) & (codes[later] >= 0)
    previous = np.full(len(codes), NONE, dtype=np.int64)
    previous[later[same]] = earlier[same]
    return Sessions(codes, previous, inferred=False)


def session_figures(
    sessions: Sessions,
    arrival_ns: IntArray,
    input_tokens: IntArray,
    hit_tokens: IntArray | None = None,
    think_ns: IntArray | None = None,
) -> SessionFigures | None:
    """Figures of sessions; None if no request has one.

    Args:
        sessions: The session of each request.
        arrival_ns: Arrivals in nanoseconds; n entries.
        input_tokens: Prompt lengths; n entries.
        hit_tokens: Prompt tokens that earlier requests had; n entries. None if unknown.
        think_ns: Recorded time since the previous answer, -1 where unknown; n entries.
    """
    order = np.argsort(sessions.codes, kind="stable")
    order = order[sessions.codes[order] >= 0]
    if not len(order):
        return None
    heads = np.flatnonzero(np.diff(sessions.codes[order], prepend=-1))
    follows = np.flatnonzero(sessions.previous != NONE)
    gaps = arrival_ns[follows] - arrival_ns[sessions.previous[follows]]
    turns = distribution(np.diff(heads, append=len(order)))
    context = distribution(np.maximum.reduceat(input_tokens[order], heads))
    assert turns is not None
    assert context is not None
    new = hit = None
    if hit_tokens is not None:
        new = distribution((input_tokens - hit_tokens)[order])
        found = np.add.reduceat(hit_tokens[order], heads)
        asked = np.maximum(np.add.reduceat(input_tokens[order], heads), 1)
        ratio = np.rint(found / asked * _RATIO_UNIT).astype(np.int64)
        hit = distribution(ratio, per=_RATIO_UNIT)
    return SessionFigures(
        inferred=sessions.inferred,
        sessions=len(heads),
        follow_ups=len(follows) / len(order),
        turns=turns,
        gap_s=distribution(gaps, per=_NS_PER_S),
        think_s=None if think_ns is None else distribution(think_ns[think_ns >= 0], _NS_PER_S),
        new_tokens=new,
        hit=hit,
        context_tokens=context,
    )
