"""Cached pages of one group that nobody holds, in the order in which they are evicted."""

import heapq
from typing import NamedTuple

from ...configs.errors import InvariantError

LEAST_HEAP = 256
"""Entries that may be untrue before a heap is made anew."""


class Rank(NamedTuple):
    """When a page is evicted: the smallest first (``evictor_v2.py`` of Jenga's artifact)."""

    time: float
    """Of the last access."""
    minus_tokens: int
    """Of two pages of one time the one with the longer prefix goes first."""


class IdlePages:
    """Least recently used order of single small pages and of whole large ones.

    A large page can be evicted while none of its small pages is held; its rank is that of the page
    used last. Both heaps keep entries that became untrue, and skip them.
    """

    def __init__(self, ratio: int) -> None:
        self.ratio = ratio
        self._rank: dict[int, Rank] = {}
        self._pages_in: dict[int, dict[int, None]] = {}
        self._num_in_large = 0
        self._large_rank: dict[int, Rank] = {}
        self._small_heap: list[tuple[Rank, int]] = []
        self._large_heap: list[tuple[Rank, int]] = []

    def __contains__(self, page: int) -> bool:
        return page in self._rank

    def __len__(self) -> int:
        return len(self._rank)

    @property
    def num_large(self) -> int:
        """Large pages that could be evicted as a whole."""
        return len(self._large_rank)

    @property
    def num_apart(self) -> int:
        """Idle small pages outside of such large pages."""
        return len(self._rank) - self._num_in_large

    def count_in(self, large: int) -> int:
        """Idle small pages of a large page."""
        return len(self._pages_in.get(large, ()))

    def is_evictable(self, large: int) -> bool:
        """Whether a large page could be evicted as a whole."""
        return large in self._large_rank

    def add(self, page: int, rank: Rank) -> None:
        """Let a page that nobody holds wait for a hit or its end."""
        self._rank[page] = rank
        large = page // self.ratio
        self._pages_in.setdefault(large, {})[page] = None
        self._push(page, rank)

    def remove(self, page: int) -> None:
        """Take a page out: it is held again, or gone."""
        del self._rank[page]
        large = page // self.ratio
        del self._pages_in[large][page]
        if not self._pages_in[large]:
            del self._pages_in[large]

    def open_large(self, large: int) -> None:
        """All small pages of a large page are idle or empty: it can be evicted."""
        pages = self._pages_in[large]
        rank = max(self._rank[page] for page in pages)
        self._num_in_large += len(pages)
        self._large_rank[large] = rank
        if len(self._large_heap) > 2 * len(self._large_rank) + LEAST_HEAP:
            self._large_heap = [(rank, large) for large, rank in self._large_rank.items()]
            heapq.heapify(self._large_heap)
        heapq.heappush(self._large_heap, (rank, large))

    def close_large(self, large: int) -> None:
        """A large page cannot be evicted any more."""
        if self._large_rank.pop(large, None) is not None:
            self._num_in_large -= len(self._pages_in[large])
            # Entries that were skipped because the page could be evicted as a whole.
            for page in self.pages_of(large):
                self._push(page, self._rank[page])

    def _push(self, page: int, rank: Rank) -> None:
        if len(self._small_heap) > 2 * len(self._rank) + LEAST_HEAP:
            self._small_heap = [(rank, page) for page, rank in self._rank.items()]
            heapq.heapify(self._small_heap)
        heapq.heappush(self._small_heap, (rank, page))

    def pages_of(self, large: int) -> list[int]:
        """Idle small pages of a large page, in order."""
        return sorted(self._pages_in[large])

    def first_large(self) -> tuple[Rank, int] | None:
        """The large page that goes next, with its rank."""
        heap = self._large_heap
        while heap and self._large_rank.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def first_small(self) -> int | None:
        """The small page that goes next, outside of large pages that can be evicted."""
        heap = self._small_heap
        while heap and not self._is_true(*heap[0]):
            heapq.heappop(heap)
        return heap[0][1] if heap else None

    def _is_true(self, rank: Rank, page: int) -> bool:
        return self._rank.get(page) == rank and page // self.ratio not in self._large_rank

    def check(self) -> None:
        """Raise InvariantError unless the counts agree."""
        counted: dict[int, set[int]] = {}
        for page in self._rank:
            counted.setdefault(page // self.ratio, set()).add(page)
        apart = sum(len(p) for large, p in counted.items() if large not in self._large_rank)
        listed = {large: set(pages) for large, pages in self._pages_in.items()}
        if (
            counted != listed
            or not set(self._large_rank) <= set(counted)
            or apart != self.num_apart
        ):
            raise InvariantError("the counts of idle small pages are wrong")
