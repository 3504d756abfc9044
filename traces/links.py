"""Who comes after whom: names and row numbers become positions, and circles are refused."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import compress

import numpy as np

from ..configs.errors import TraceError
from .columns import NONE, IntColumn, Ragged, offsets_of
from .limits import MAX_NS
from .record import Trace
from .text import shown


def linked(
    trace: Trace,
    numbers: IntColumn,
    after_names: Mapping[int, Sequence[str]],
    owner: Callable[[str], int],
    place: Callable[[int], str],
    path: str,
) -> Trace:
    """Return a trace whose ``after`` holds positions, and whose untimed requests have a time.

    Args:
        trace: Requests in the order of the file, ``after`` in numbers of rows.
        numbers: Number of each request's row, ascending.
        after_names: Names of the requests before some rows, by row number.
        owner: From a name to the row number of its request; ``NONE`` if there is none.
        place: From a row number to words for its place in the file.
        path: The file, for messages.

    Raises:
        TraceError: A request comes after one that is not there, or after itself.
    """
    after = trace.after or Ragged.empty(len(trace), 1)
    if after_names:
        after = _with_names(trace, numbers, after_names, owner, place, path)
    if not len(after.values):
        return replace(trace, after=None)
    after = _positions(after, numbers)
    order = _order(after)
    if order is None:
        first = place(int(numbers[_in_circle(after)]))
        raise TraceError(f"{path}: after: {first} comes after itself, by way of others")
    trace = replace(trace, after=after)
    return _timed(trace, order) if trace.untimed is not None else trace


def _with_names(
    trace: Trace,
    numbers: IntColumn,
    after_names: Mapping[int, Sequence[str]],
    owner: Callable[[str], int],
    place: Callable[[int], str],
    path: str,
) -> Ragged:
    after = trace.after or Ragged.empty(len(trace), 1)
    positions, rows = array("q"), array("q")
    known = np.fromiter(after_names, np.int64, len(after_names))
    at = np.minimum(np.searchsorted(numbers, known), len(numbers) - 1)
    # Rows that were skipped come after nobody.
    kept = (numbers[at] == known).tolist()
    for position, names in compress(zip(at.tolist(), after_names.values(), strict=True), kept):
        for name in names:
            row = owner(name)
            if row == NONE:
                raise TraceError(
                    f"{path}: after: {place(int(numbers[position]))} comes after '{shown(name)}', "
                    "which is no request of this trace"
                )
            positions.append(position)
            rows.append(row)
    named = np.bincount(np.array(positions, np.int64), minlength=len(trace))
    return _behind(after, Ragged(offsets_of(named), np.array(rows, np.int64)[:, None]))


def _behind(first: Ragged, second: Ragged) -> Ragged:
    """Each request's list of ``first`` with its list of ``second`` behind it."""
    slots = np.arange(len(first), dtype=np.int64)
    owners = np.concatenate([np.repeat(slots, first.counts), np.repeat(slots, second.counts)])
    values = np.concatenate([first.values, second.values])
    order = np.argsort(owners, kind="stable")
    return Ragged(offsets_of(first.counts + second.counts), values[order])


def _positions(after: Ragged, numbers: IntColumn) -> Ragged:
    """Positions instead of row numbers; rows that were skipped are left out."""
    wanted = after.values[:, 0]
    at = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    kept = numbers[at] == wanted
    totals = offsets_of(kept.astype(np.int64))
    return Ragged(totals[after.offsets], at[kept][:, None].astype(np.int64))


def _order(after: Ragged) -> list[int] | None:
    """Positions so that everybody stands behind whom he comes after; None if there is a circle."""
    count = len(after)
    owners = np.repeat(np.arange(count), after.counts)
    if np.all(after.values[:, 0] < owners):
        return list(range(count))
    followers: list[list[int]] = [[] for _ in range(count)]
    for owner, before in zip(owners.tolist(), after.values[:, 0].tolist(), strict=True):
        followers[before].append(owner)
    missing = after.counts.tolist()
    order = [position for position in range(count) if not missing[position]]
    for position in order:
        for follower in followers[position]:
            missing[follower] -= 1
            if not missing[follower]:
                order.append(follower)
    return order if len(order) == count else None


def _in_circle(after: Ragged) -> int:
    """The first request that is part of a circle, or behind one."""
    alive = np.ones(len(after), dtype=bool)
    while True:
        waits = np.zeros(len(after), dtype=bool)
        owners = np.repeat(np.arange(len(after)), after.counts)
        waits[owners[alive[after.values[:, 0]]]] = True
        if np.array_equal(waits & alive, alive):
            return int(np.flatnonzero(alive)[0])
        alive &= waits


def _timed(trace: Trace, order: list[int]) -> Trace:
    """Give requests without an arrival the earliest that those before them allow."""
    untimed = trace.untimed
    assert untimed is not None
    assert trace.after is not None
    arrival = trace.arrival_ns.tolist()
    delays = trace.delay_ns.tolist() if trace.delay_ns is not None else [NONE] * len(trace)
    for position in order:
        if untimed[position]:
            before = trace.after.rows(position)[:, 0].tolist()
            latest = max((arrival[other] for other in before), default=0)
            arrival[position] = min(latest + max(delays[position], 0), MAX_NS)
    return replace(trace, arrival_ns=np.array(arrival, dtype=np.int64))
