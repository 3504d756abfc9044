"""When requests arrive: at their times, after others of their session, or as sessions end.

A request has ended with its last token. One that is rejected ended at that moment: its client goes
on, so the same requests are offered to every policy.
"""

import heapq
from typing import Protocol

import numpy as np

from ..configs.errors import TraceError
from ..configs.replay import ReplayConfig
from .dependencies import Dependencies, Followers, IntColumn, plain, sessions_of


class Arrivals(Protocol):
    """What the engine asks. Requests that arrive at one moment do so in the order of their slots.

    As long as nobody ends, nothing arrives before ``peek`` says.
    """

    def peek(self) -> int | None:
        """When the next request arrives, in ns; None if that is not known, or none is left."""
        ...

    def pop(self) -> int:
        """Slot of the request that ``peek`` spoke of."""
        ...

    def ended(self, slot: int, now_ns: int) -> None:
        """A request had its last token, or was rejected, at ``now_ns``; once per request.

        What it lets arrive does so at ``now_ns`` or later.
        """
        ...


def make_arrivals(
    arrival_ns: IntColumn, replay: ReplayConfig, dependencies: Dependencies | None = None
) -> Arrivals:
    """The arrivals of a replay.

    Args:
        arrival_ns: Recorded arrivals in ns, ascending; shape (requests,).
        replay: The mode.
        dependencies: Who comes after whom; None: nobody, and every request is a session.

    Raises:
        TraceError: ``dependencies`` are those of another number of requests.
    """
    if replay.mode == "open":
        return OpenArrivals(arrival_ns)
    count = len(arrival_ns)
    known = Dependencies.none(count) if dependencies is None else dependencies
    if len(known) != count:
        raise TraceError(f"after: dependencies of {len(known)} requests were given for {count}")
    if replay.concurrency is None:
        return SessionArrivals(arrival_ns, known)
    return ClosedLoopArrivals(arrival_ns, known, replay.concurrency)


class OpenArrivals:
    """Open loop: every request at its recorded time."""

    def __init__(self, arrival_ns: IntColumn) -> None:
        self._arrival_ns = plain(arrival_ns)
        self.arrived = 0
        """How many requests arrived so far."""

    @property
    def column(self) -> IntColumn:
        """Recorded arrivals in ns; shape (requests,)."""
        return np.asarray(self._arrival_ns, dtype=np.int64)

    def peek(self) -> int | None:
        """See Arrivals."""
        return self._arrival_ns[self.arrived] if self.arrived < len(self._arrival_ns) else None

    def pop(self) -> int:
        """See Arrivals."""
        self.arrived += 1
        return self.arrived - 1

    def ended(self, slot: int, now_ns: int) -> None:
        """See Arrivals. Nobody waits for anybody."""


class _DependentArrivals:
    """What both modes with sessions share: requests that arrive after others."""

    def __init__(self, arrival_ns: IntColumn, dependencies: Dependencies) -> None:
        self._arrival_ns = plain(arrival_ns)
        self._delay_ns = plain(dependencies.delay_ns)
        self._followers = Followers(dependencies)
        self._known: list[tuple[int, int]] = []
        """Heap of (arrival, slot)."""

    def peek(self) -> int | None:
        """See Arrivals."""
        return self._known[0][0] if self._known else None

    def pop(self) -> int:
        """See Arrivals."""
        return heapq.heappop(self._known)[1]

    def ended(self, slot: int, now_ns: int) -> None:
        """See Arrivals."""
        for follower, end_ns in self._followers.ended(slot, now_ns):
            heapq.heappush(self._known, (self._arrival_after(follower, end_ns), follower))

    def _arrival_after(self, slot: int, end_ns: int) -> int:
        """When a request arrives whose predecessors have ended by ``end_ns``."""
        delay = self._delay_ns[slot]
        return end_ns + delay if delay >= 0 else max(self._scheduled(slot), end_ns)

    def _scheduled(self, slot: int) -> int:
        """When a request arrives that waits for nobody, or for an unknown time."""
        return self._arrival_ns[slot]


class SessionArrivals(_DependentArrivals):
    """Sessions begin at their recorded times; within one a request follows those before it.

    It arrives when the last of its predecessors has ended and its think time has passed; if that is
    unknown, at its recorded time, but not before they have ended.
    """

    def __init__(self, arrival_ns: IntColumn, dependencies: Dependencies) -> None:
        super().__init__(arrival_ns, dependencies)
        roots = dependencies.roots
        # Ascending, and so a heap.
        self._known = list(zip(arrival_ns[roots].tolist(), roots.tolist(), strict=True))


class ClosedLoopArrivals(_DependentArrivals):
    """Closed loop: ``concurrency`` sessions are in flight; where one has ended the next begins.

    They begin in the order of their first arrivals, the first ones at the first arrival of the
    trace. Within a session recorded times count from its begin. A request without a session is one.
    """

    def __init__(self, arrival_ns: IntColumn, dependencies: Dependencies, concurrency: int) -> None:
        super().__init__(arrival_ns, dependencies)
        session, roots = sessions_of(dependencies), dependencies.roots
        roots = roots[np.argsort(session[roots], kind="stable")]
        self._session = plain(session)
        self._left = plain(np.bincount(session))
        """Requests of each session that have not ended."""
        self._end_ns = plain(np.zeros(len(self._left), np.int64))
        """Latest end of those that have."""
        self._roots = plain(roots)
        self._root_offsets = plain(np.searchsorted(session[roots], np.arange(len(self._left) + 1)))
        self._shift_ns = plain(np.zeros(len(self._left), np.int64))
        """From recorded times of a session to those of the replay."""
        self._begun = 0
        self._free_ns = list(self._arrival_ns[:1]) * min(concurrency, len(self._left))
        """Heap of the moments from which on another session may be in flight."""

    def peek(self) -> int | None:
        """See Arrivals."""
        while self._may_begin():
            self._begin(heapq.heappop(self._free_ns))
        return super().peek()

    def _may_begin(self) -> bool:
        """Whether another session begins by the time at which the next known request arrives."""
        if not self._free_ns or self._begun == len(self._left):
            return False
        # Who arrives earlier than that may be rejected, and so end a session before.
        return not self._known or self._free_ns[0] <= self._known[0][0]

    def ended(self, slot: int, now_ns: int) -> None:
        """See Arrivals."""
        super().ended(slot, now_ns)
        session = self._session[slot]
        self._left[session] -= 1
        self._end_ns[session] = max(self._end_ns[session], now_ns)
        if not self._left[session]:
            heapq.heappush(self._free_ns, self._end_ns[session])

    def _begin(self, at_ns: int) -> None:
        """Let the next session begin."""
        session = self._begun
        self._begun += 1
        first, end = self._root_offsets[session : session + 2]
        self._shift_ns[session] = at_ns - self._arrival_ns[self._roots[first]]
        for slot in self._roots[first:end]:
            heapq.heappush(self._known, (self._scheduled(slot), slot))

    def _scheduled(self, slot: int) -> int:
        return self._arrival_ns[slot] + self._shift_ns[self._session[slot]]
