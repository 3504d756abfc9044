"""Sessions that overlap in time, as one sequence of requests in order of arrival."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from ..assemble import joined, taken
from ..columns import IntColumn, Numbered, Ragged
from ..record import Trace


def in_time_order(parts: Iterable[tuple[Trace, int]]) -> Iterator[Trace]:
    """Yield the requests of all parts by arrival; of equal times, that of an earlier part first.

    Args:
        parts: Requests in any order, ``after`` in positions of their part, and a time in
            nanoseconds before which no later part has a request.

    Yields:
        Requests that are named by their number in the whole, as is who comes before them.
    """
    pending: list[_Pending] = []
    done = 0
    for part, horizon_ns in parts:
        pending.append(_Pending(part))
        pieces = [one.until(horizon_ns) for one in pending]
        whole = joined([replace(piece, after=None) for piece in pieces])
        order = np.argsort(whole.arrival_ns, kind="stable")
        numbers = np.empty(len(whole), dtype=np.int64)
        numbers[order] = done + np.arange(len(whole))
        after = _numbered_after(pending, pieces, numbers)
        whole = replace(whole, after=after, request_ids=Numbered(numbers))
        pending = [one for one in pending if not one.finished]
        done += len(whole)
        if len(whole):
            yield taken(whole, order)


class _Pending:
    """A part that is given out in order of time."""

    def __init__(self, part: Trace) -> None:
        self._part = part.in_order()
        self._given = 0
        self._numbers = np.zeros(len(part), dtype=np.int64)

    @property
    def finished(self) -> bool:
        return self._given == len(self._part)

    def until(self, end_ns: int) -> Trace:
        """Give out the requests up to a moment."""
        start = self._given
        self._given = int(np.searchsorted(self._part.arrival_ns, end_ns, side="right"))
        if start == 0 and self.finished:
            return self._part
        return taken(self._part, np.arange(start, self._given))

    def numbered(self, numbers: IntColumn) -> None:
        """Note the numbers of the requests that were given out last."""
        self._numbers[self._given - len(numbers) : self._given] = numbers

    def number_of(self, positions: IntColumn) -> IntColumn:
        """Return the numbers of requests that were given out."""
        return self._numbers[positions]


def _numbered_after(
    pending: list[_Pending], pieces: list[Trace], numbers: IntColumn
) -> Ragged | None:
    if all(piece.after is None for piece in pieces):
        return None
    columns: list[Ragged] = []
    start = 0
    for one, piece in zip(pending, pieces, strict=True):
        one.numbered(numbers[start : start + len(piece)])
        start += len(piece)
        after = piece.after or Ragged.empty(len(piece), 1)
        columns.append(Ragged(after.offsets, one.number_of(after.values)))
    return Ragged.joined(columns)
