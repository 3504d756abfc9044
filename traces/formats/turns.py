"""Turns of sessions: who comes after whom, and after which pause."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def previous_turns(
    sessions: Sequence[str | None], turns: Sequence[int | None]
) -> list[tuple[int, ...]]:
    """Return the positions of the turns before each request: the next lower one of its session.

    Args:
        sessions: Session of each request, None if it has none.
        turns: Place of each request in its session; requests without one have no turn before.
    """
    members: dict[str, dict[int, list[int]]] = {}
    for at, (session, turn) in enumerate(zip(sessions, turns, strict=True)):
        if session is not None and turn is not None:
            members.setdefault(session, {}).setdefault(turn, []).append(at)
    before: list[tuple[int, ...]] = [()] * len(sessions)
    for by_turn in members.values():
        order = sorted(by_turn)
        for earlier, later in pairwise(order):
            for at in by_turn[later]:
                before[at] = tuple(by_turn[earlier])
    return before


def pauses_ns(
    before: Sequence[Sequence[int]], starts_ns: Sequence[int], ends_ns: Sequence[int | None]
) -> list[int | None]:
    """Return the time from the last end of those before each request to its start.

    None where nobody is before or an end is not known; 0 if the request did not wait for them.
    """
    pauses: list[int | None] = []
    for start, positions in zip(starts_ns, before, strict=True):
        ends = [end for at in positions if (end := ends_ns[at]) is not None]
        known = positions and len(ends) == len(positions)
        pauses.append(max(start - max(ends), 0) if known else None)
    return pauses
