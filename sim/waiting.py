"""Queues of waiting requests, as in vLLM 0.33 (``v1/core/sched/request_queue.py``)."""

import heapq
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from .requests import Column


class WaitingQueue(Protocol):
    """What the scheduler asks of a queue."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...
    def add(self, slot: int) -> None:
        """Add a request that arrived."""
        ...

    def peek(self) -> int:
        """The request to be served next. Pure."""
        ...

    def pop(self) -> int:
        """Remove and return the request to be served next."""
        ...

    def prepend(self, slot: int) -> None:
        """Put back a request that was preempted or passed over."""
        ...

    def remove(self, slot: int) -> None:
        """Remove a request that ended while it waited."""
        ...


class FCFSQueue:
    """First come, first served; preempted requests go to the front."""

    def __init__(self) -> None:
        self._slots: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[int]:
        return iter(self._slots)

    def add(self, slot: int) -> None:
        """See WaitingQueue."""
        self._slots.append(slot)

    def peek(self) -> int:
        """See WaitingQueue."""
        return self._slots[0]

    def pop(self) -> int:
        """See WaitingQueue."""
        return self._slots.popleft()

    def prepend(self, slot: int) -> None:
        """See WaitingQueue."""
        self._slots.appendleft(slot)

    def remove(self, slot: int) -> None:
        """See WaitingQueue."""
        self._slots.remove(slot)


class PriorityQueue:
    """Smallest (priority, arrival, slot) first; there is no front to go back to."""

    def __init__(self, priority: Column, arrival_ns: Column) -> None:
        self._priority = priority
        self._arrival_ns = arrival_ns
        self._heap: list[tuple[int, int, int]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[int]:
        return (slot for *_, slot in sorted(self._heap))

    def add(self, slot: int) -> None:
        """See WaitingQueue."""
        heapq.heappush(self._heap, self._key(slot))

    def peek(self) -> int:
        """See WaitingQueue."""
        return self._heap[0][-1]

    def pop(self) -> int:
        """See WaitingQueue."""
        return heapq.heappop(self._heap)[-1]

    def prepend(self, slot: int) -> None:
        """See WaitingQueue."""
        self.add(slot)

    def remove(self, slot: int) -> None:
        """See WaitingQueue."""
        self._heap.remove(self._key(slot))
        heapq.heapify(self._heap)

    def _key(self, slot: int) -> tuple[int, int, int]:
        return self._priority[slot], self._arrival_ns[slot], slot
