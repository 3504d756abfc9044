"""The pool as Jenga's artifact has it, what we hold to be its mistakes included, for recordings.

Source: branch ``vllm-v0-jenga``, ``core/block_v3/small_block_id_allocator.py``,
``core/block/prefix_caching_block.py`` and ``core/evictor_v2.py``. Where it differs from
``LargePages``, which serves ``run``:

* an empty page that loses its owner and is then associated with another request stays in the list
  of those without an owner as well, so that it can be handed out twice;
* a large page of which some small pages are cached and the others empty is neither empty nor
  evictable, so no other group ever gets it;
* a single small page may be evicted out of a large page that was counted as evictable as a whole.

What one page means when two requests believe it theirs is the artifact's too: the books below are
kept its way, page by page and not request by request. Where it stops with an assertion, these
methods raise InvariantError.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from ...configs.errors import InvariantError
from .idle_pages import Rank
from .pool import Content, LargePages
from .small_pages import SmallPages

NOT_YET = -1.0
"""Time of a page that was not accessed since it was taken."""


def expect(condition: bool, what: str) -> None:
    """Raise InvariantError where the artifact asserts."""
    if not condition:
        raise InvariantError(f"Jenga's artifact asserts {what}")


class ArtifactSmallPages(SmallPages):
    """Small pages that stay without an owner in one list while they have one in another."""

    def _forget_unowned(self, pages: set[int]) -> None:
        """Forget nothing: the artifact does not either."""


@dataclass(slots=True)
class _Waiting:
    """A page in the evictor's table, or marked as removed in this step."""

    rank: Rank
    key: int
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

    def pop_small(self) -> tuple[int, int] | None:
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


@dataclass(slots=True)
class _Tracker:
    """What the artifact knows of a page that somebody holds."""

    computed: bool
    time: float = NOT_YET


class ArtifactPages(LargePages):
    """The allocators of every group over one list of large pages.

    ``PrefixCachingBlockAllocator`` with ``caching``, ``NaiveBlockAllocator`` without.
    """

    small_class = ArtifactSmallPages

    def __init__(
        self,
        ratios: Sequence[int],
        num_large: int,
        most_large: Sequence[int] | None = None,
        *,
        caching: bool,
    ) -> None:
        self._caching = caching
        self._tracked: tuple[dict[int, _Tracker], ...] = tuple({} for _ in ratios)
        self._key_of: tuple[dict[int, int], ...] = tuple({} for _ in ratios)
        self.waiting = tuple(ArtifactIdlePages(ratio) for ratio in ratios)
        super().__init__(ratios, num_large, most_large)
        self._marks = False

    @property
    def evictable_large(self) -> int:
        """See LargePages."""
        return sum(waiting.num_large for waiting in self.waiting)

    def num_apart(self, group: int) -> int:
        """See LargePages."""
        return self.waiting[group].num_apart

    def marking(self, on: bool) -> None:
        """Whether pages that leave the evictor may come back in this step."""
        self._marks = on

    def take(self, group: int, owner: int) -> int:
        """See LargePages."""
        page = self._find_empty(group, owner)
        if page is None:
            found = self.waiting[group].pop_small()
            expect(found is not None, "that a page is free")
            assert found is not None
            page, key = found
            expect(self._page_of[group].get(key) == page, "that a key names its page")
            del self._page_of[group][key]
            self._key_of[group].pop(page, None)
        refs = self._refs[group]
        refs[page] = refs.get(page, 0) + 1
        self._tracked[group][page] = _Tracker(computed=False)
        return page

    def _find_empty(self, group: int, owner: int) -> int | None:
        page = self._allocate(group, owner, own_only=self._caching)
        if page is None and self._quota[group] > 0:
            # At its limit a group evicts a large page all the same, which it then cannot use.
            self._evict_large()
        return self._allocate(group, owner, own_only=False) if page is None else page

    def _allocate(self, group: int, owner: int, *, own_only: bool) -> int | None:
        """``allocate_block_id``: None where there is no page, or no large one within the quota."""
        small = self.small[group]
        page = small.pop_own(owner)
        if page is not None:
            return page
        if self._quota[group] > 0 and small.num_large < self.most_large[group]:
            if not self._free:
                return None
            self._quota[group] -= 1
            small.add_large(self._free.popleft(), owner)
            return small.pop_own(owner)
        page = small.pop_unowned(owner)
        return small.pop_other() if page is None and not own_only else page

    def _evict_large(self) -> None:
        firsts = [(w.first_large(), group) for group, w in enumerate(self.waiting)]
        known = [(first, group) for first, group in firsts if first is not None]
        expect(bool(known), "that a large page can be evicted")
        (_, large), group = min(known, key=lambda pair: pair[0][0])
        ratio = self.small[group].ratio
        pages = range(large * ratio, (large + 1) * ratio)
        for page in pages:
            self.waiting[group].remove(page, mark=self._marks)
        for page in pages:
            expect(not self.refs(group, page), "that nobody holds what is evicted")
            self._put(group, page)
            del self._page_of[group][self._key_of[group][page]]

    def _put(self, group: int, page: int) -> None:
        emptied = self.small[group].put(page)
        if emptied is not None:
            self._free.append(emptied)

    def set_key(self, group: int, page: int, content: Content) -> bool:
        """See LargePages."""
        self._page_of[group][content.key] = page
        self._key_of[group][page] = content.key
        self._fresh[group].add(page)
        return True

    def is_computed(self, group: int, page: int) -> bool:
        """See LargePages."""
        tracker = self._tracked[group].get(page)
        return page in self.waiting[group] if tracker is None else tracker.computed

    def hold(self, group: int, page: int) -> None:
        """See LargePages."""
        refs = self._refs[group]
        refs[page] = refs.get(page, 0) + 1
        if refs[page] == 1:
            if page in self.waiting[group]:
                self.waiting[group].remove(page, mark=self._marks)
            self._tracked[group][page] = _Tracker(computed=True)

    def touch(self, group: int, page: int, time: float) -> None:
        """See LargePages."""
        tracker = self._tracked[group].get(page)
        expect(tracker is not None, "that an accessed page is held")
        assert tracker is not None
        tracker.time = time

    def drop(self, group: int, page: int, content: Content | None) -> None:
        """One holder less, who believes that the page holds ``content``."""
        refs = self._refs[group]
        expect(refs.get(page, 0) > 0, "that a page is held")
        if content is None and refs[page] == 1:
            expect(self._tracked[group].pop(page, None) is not None, "that a page is tracked")
        refs[page] -= 1
        if refs[page]:
            return
        del refs[page]
        if content is None:
            self._put(group, page)
            return
        expect(content.key in self._page_of[group], "that a full page is cached")
        tracker = self._tracked[group].pop(page)
        if tracker.computed:
            self.waiting[group].add(page, content, tracker.time)
            return
        self._put(group, page)
        del self._page_of[group][content.key], self._key_of[group][page]
        self._fresh[group].remove(page)

    def end_step(self) -> None:
        """See LargePages."""
        for fresh, tracked, waiting in zip(self._fresh, self._tracked, self.waiting, strict=True):
            for page in fresh:
                if page in tracked:
                    tracked[page].computed = True
            fresh.clear()
            waiting.confirm()
