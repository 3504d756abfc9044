"""Who comes after whom: requests that wait for others of their session to end."""

from array import array
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..configs.errors import TraceError
from ..configs.replay import ReplayConfig
from ..traces import Trace
from ..traces.columns import Ragged

IntColumn = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dependencies:
    """Predecessors, think times and sessions of a trace; the columns are read-only.

    Attributes:
        after_offsets: Start of each request's run in ``after``, with the total at the end; shape
            (requests + 1,).
        after: Slots of the requests that must have ended before; shape (total,).
        delay_ns: Time from the last of these ends to the arrival, -1 if unknown; shape (requests,).
        session: Code of the session, -1 for a session of its own; shape (requests,).

    Raises:
        TraceError: The columns do not fit each other, or requests wait for one another.
    """

    after_offsets: IntColumn
    after: IntColumn
    delay_ns: IntColumn
    session: IntColumn

    def __post_init__(self) -> None:
        for column in (self.after_offsets, self.after, self.delay_ns, self.session):
            column.setflags(write=False)
        _check_columns(self)
        _check_order(self)

    def __len__(self) -> int:
        return len(self.session)

    @classmethod
    def none(cls, count: int) -> "Dependencies":
        """``count`` requests that come after nobody and belong to no session."""
        unknown = np.full(count, -1, np.int64)
        return cls(
            after_offsets=np.zeros(count + 1, np.int64),
            after=np.zeros(0, np.int64),
            delay_ns=unknown,
            session=unknown,
        )

    @property
    def roots(self) -> IntColumn:
        """Slots of the requests that come after nobody, ascending."""
        return np.flatnonzero(np.diff(self.after_offsets) == 0)

    @property
    def waiting(self) -> IntColumn:
        """For each entry of ``after``, the slot of the request that waits for it."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.after_offsets))


def dependencies_of(trace: Trace, replay: ReplayConfig) -> Dependencies | None:
    """Who comes after whom in a replay of ``trace``; None if it says nothing of it.

    Raises:
        TraceError: A request has no arrival but must arrive at one.
    """
    if replay.mode == "open":
        if trace.untimed is not None and trace.untimed.any():
            count = int(trace.untimed.sum())
            raise TraceError(
                f"{trace.name}: {count} requests have no timestamp, only after: use --replay "
                "session, or --replay closed"
            )
        return None
    if trace.after is None and trace.session is None:
        return None
    count = len(trace)
    unknown = np.full(count, -1, np.int64)
    after = trace.after or Ragged.empty(count, 1)
    return Dependencies(
        after_offsets=after.offsets,
        after=np.ascontiguousarray(after.values[:, 0]),
        delay_ns=unknown if trace.delay_ns is None else trace.delay_ns,
        session=unknown if trace.session is None else trace.session.codes,
    )


def _check_columns(given: Dependencies) -> None:
    count, total = len(given.session), len(given.after)
    offsets = given.after_offsets
    if len(given.delay_ns) != count or len(offsets) != count + 1:
        raise TraceError(
            f"after: {len(offsets)} offsets and {len(given.delay_ns)} delays were given for "
            f"{count} requests; there must be {count + 1} and {count}"
        )
    if offsets[0] != 0 or offsets[-1] != total or (np.diff(offsets) < 0).any():
        raise TraceError(f"after: offsets must ascend from 0 to {total}, the length of after")
    if total and not 0 <= given.after.min() <= given.after.max() < count:
        raise TraceError(f"after: slots must be in 0..{count - 1}")


def _check_order(given: Dependencies) -> None:
    """Refuse requests that wait for one another: let all end that can, and see who is left."""
    if (given.after < given.waiting).all():
        return
    followers = Followers(given)
    ready: list[int] = given.roots.tolist()
    for slot in ready:
        ready.extend(follower for follower, _ in followers.ended(slot, 0))
    if len(ready) < len(given):
        first = min(set(range(len(given))) - set(ready))
        raise TraceError(
            f"after: {len(given) - len(ready)} requests can never arrive, because requests wait "
            f"for one another in a circle; the first is request {first}, counted from 0"
        )


class Followers:
    """Requests that wait for others, and the latest end of those that they waited for so far."""

    def __init__(self, dependencies: Dependencies) -> None:
        count, after = len(dependencies), dependencies.after
        order = np.argsort(after, kind="stable")
        ends = np.cumsum(np.bincount(after, minlength=count))
        self._followers = plain(dependencies.waiting[order])
        self._offsets = plain(np.concatenate([np.zeros(1, np.int64), ends]))
        self._left = plain(np.diff(dependencies.after_offsets))
        """Predecessors that have not ended."""
        self._latest_ns = array("q", bytes(8 * count))

    def ended(self, slot: int, now_ns: int) -> list[tuple[int, int]]:
        """Requests that waited for ``slot`` last, and when the last of their predecessors ended.

        Ends may be told in any order.
        """
        released: list[tuple[int, int]] = []
        for follower in self._followers[self._offsets[slot] : self._offsets[slot + 1]]:
            self._left[follower] -= 1
            self._latest_ns[follower] = max(self._latest_ns[follower], now_ns)
            if not self._left[follower]:
                released.append((follower, self._latest_ns[follower]))
        return released


def plain(column: IntColumn) -> "array[int]":
    """A column as a plain array, which is fast one by one."""
    return array("q", np.ascontiguousarray(column, np.int64).tobytes())


def sessions_of(dependencies: Dependencies) -> IntColumn:
    """Number of each request's session, from 0 in the order of their first requests; pure.

    The first request of a session is the first that comes after nobody. Sessions of which one waits
    for another are one session: neither could be replayed without the other.
    """
    count, session = len(dependencies), dependencies.session
    slots = np.arange(count, dtype=np.int64)
    _, first, code = np.unique(session, return_index=True, return_inverse=True)
    leader = np.where(session < 0, slots, first[code])
    one = np.concatenate([slots, dependencies.waiting])
    other = np.concatenate([leader, dependencies.after])
    lowest = _lowest_connected(one, other, count)
    roots = dependencies.roots
    start = np.full(count, count, np.int64)
    np.minimum.at(start, lowest[roots], roots)
    return np.unique(start[lowest], return_inverse=True)[1].astype(np.int64)


def _lowest_connected(one: IntColumn, other: IntColumn, count: int) -> IntColumn:
    """The lowest slot that each of ``count`` slots is connected with by edges ``one``-``other``.

    Every slot points to a lower one: ends of an edge point to the lower of both, and pointers to
    where these point, until nothing changes.
    """
    label = np.arange(count, dtype=np.int64)
    while True:
        low = np.minimum(label[one], label[other])
        hooked = label.copy()
        np.minimum.at(hooked, label[one], low)
        np.minimum.at(hooked, label[other], low)
        hooked = hooked[hooked]
        if np.array_equal(hooked, label):
            return label
        label = hooked
