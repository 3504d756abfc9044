"""Unused cached pages of one group as Jenga's artifact lists them (``core/evictor_v2.py``).

``idle_pages`` is what ``run`` uses.
"""

import heapq
from dataclasses import dataclass
from typing import NamedTuple

from ...configs.errors import InvariantError
from .quota import Content, Key

NOT_YET = -1.0
"""Time of a page that was not accessed since it was taken."""


class Rank(NamedTuple):
    """When a page is evicted: the smallest first."""

    time: float
    """Of the last access."""
    minus_tokens: int
    """Of two pages of one time the one with the longer prefix goes first."""


def expect(condition: bool, what: str) -> None:
    """Raise InvariantError where the artifact asserts."""
    if not condition:
        raise InvariantError(f"Jenga's artifact asserts {what}")


@dataclass(slots=True)
class _Waiting:
    """A page in the evictor's table, or marked as removed in this step."""

    rank: Rank
    key: Key
    marked: bool = False


class ArtifactIdlePages:
    """``Level1LRUEvictor``: unused cached pages of one group, single and by large page."""

    def __init__(self, ratio: int) -> None:
        self.ratio = ratio
        self._count = 0
        self._table: dict[int, _Waiting] = {}
        self._heap: list[tuple[Rank, int]] = []
        self._count_in: dict[int, int] = {}
        self._large: dict[int, Rank] = {}
        self._large_heap: list[tuple[Rank, int]] = []

    def __contains__(self, page: int) -> bool:
        return page in self._table

    def __len__(self) -> int:
        return self._count

    @property
    def num_large(self) -> int:
        """Large pages of which all small pages are cached."""
        return len(self._large)

    @property
    def num_apart(self) -> int:
        """Small pages that are not counted with a large page."""
        return self._count - len(self._large) * self.ratio

    def add(self, page: int, content: Content, time: float) -> None:
        """Let a page wait; one without a time takes the place back that it had in this step."""
        self._count += 1
        if time == NOT_YET:
            entry = self._table.get(page)
            expect(entry is not None and entry.marked, "that a page was accessed")
            assert entry is not None
            expect(entry.key == content.key, "that a page has the content it had")
            entry.marked = False
        else:
            entry = self._table.get(page)
            expect(entry is None or not entry.marked, "that a page left the evictor")
            entry = self._table[page] = _Waiting(Rank(time, -content.tokens), content.key)
        heapq.heappush(self._heap, (entry.rank, page))
        large = page // self.ratio
        self._count_in[large] = self._count_in.get(large, 0) + 1
        if self._count_in[large] == self.ratio:
            pages = range(large * self.ratio, (large + 1) * self.ratio)
            expect(all(each in self._table for each in pages), "that cached pages wait")
            self._large[large] = rank = max(self._table[each].rank for each in pages)
            heapq.heappush(self._large_heap, (rank, large))

    def remove(self, page: int, *, mark: bool) -> None:
        """Take a page out; ``mark``: it may come back in this step."""
        self._count -= 1
        expect(page in self._table, "that a page waits in the evictor")
        if mark:
            self._table[page].marked = True
        else:
            del self._table[page]
        self._leave_large(page)

    def _leave_large(self, page: int) -> None:
        large = page // self.ratio
        if self._count_in[large] == self.ratio:
            del self._large[large]
        self._count_in[large] -= 1

    def confirm(self) -> None:
        """The step is over: what was removed does not come back."""
        for page in [page for page, entry in self._table.items() if entry.marked]:
            del self._table[page]

    def first_large(self) -> tuple[Rank, int] | None:
        """The large page that goes next."""
        heap = self._large_heap
        while heap and self._large.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def pop_small(self) -> tuple[int, Key] | None:
        """Take the page out that goes next, and its key; None if all are counted by large page."""
        if not self.num_apart:
            return None
        expect(self._count > 0, "that a page is cached")
        while True:
            rank, page = heapq.heappop(self._heap)
            entry = self._table.get(page)
            if entry is not None and entry.rank == rank and not entry.marked:
                del self._table[page]
                self._count -= 1
                self._leave_large(page)
                return page, entry.key
