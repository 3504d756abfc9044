"""Which calls of a session come after which: inferred from their texts, else from their times."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """What is needed of a call to find out whom it comes after.

    Attributes:
        start_ns: When it began.
        end_ns: When it ended.
        said: Marks of its answer.
        heard: Marks of the answers in its prompt.
    """

    start_ns: int
    end_ns: int
    said: frozenset[str]
    heard: frozenset[str]


def predecessors_of(calls: Sequence[Link]) -> list[tuple[tuple[int, ...], bool]]:
    """Return the positions of the calls before each one, and whether it has read their answers.

    A call comes after those whose answers are in its prompt, leaving out what follows from them;
    of equal answers the latest counts. One that has read none comes after the call that ended last
    before it began.

    Args:
        calls: The calls of one session in order of their start.
    """
    speakers: dict[str, list[int]] = {}
    # Bit j of entry i says that call i comes after call j, by way of others or not.
    ancestors: list[int] = []
    found: list[tuple[tuple[int, ...], bool]] = []
    ended = sorted((call.end_ns, at) for at, call in enumerate(calls))
    for at, call in enumerate(calls):
        heard = (_latest(calls, speakers.get(mark, ()), call) for mark in call.heard)
        read = sorted({j for j in heard if j is not None})
        direct = tuple(j for j in read if not any(ancestors[k] >> j & 1 for k in read))
        ancestors.append(0)
        for j in direct:
            ancestors[at] |= ancestors[j] | 1 << j
        found.append((direct, True) if direct else (_last_ended(ended, call, at), False))
        for mark in call.said:
            speakers.setdefault(mark, []).append(at)
    return found


def _latest(calls: Sequence[Link], speakers: Sequence[int], call: Link) -> int | None:
    """Of some calls, the one that ended last before another one began."""
    ended = [(calls[at].end_ns, at) for at in speakers if calls[at].end_ns <= call.start_ns]
    return max(ended)[1] if ended else None


def _last_ended(ended: Sequence[tuple[int, int]], call: Link, at: int) -> tuple[int, ...]:
    """Of all calls, by their end, the one above ``at`` that ended last before it began."""
    before = bisect_right(ended, (call.start_ns, at))
    while before and ended[before - 1][1] >= at:
        before -= 1
    return (ended[before - 1][1],) if before else ()
