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

from collections.abc import Sequence
from dataclasses import dataclass

from .artifact_idle_pages import NOT_YET, ArtifactIdlePages, expect
from .artifact_small_pages import NULL_OWNER, ArtifactSmallPages
from .quota import NO_LIMIT, Content, Key, PagePool


@dataclass(slots=True)
class _Tracker:
    """What the artifact knows of a page that somebody holds."""

    computed: bool
    time: float = NOT_YET


class ArtifactPages(PagePool[ArtifactSmallPages]):
    """The allocators of every group over one list of large pages.

    ``PrefixCachingBlockAllocator`` with ``caching``, ``NaiveBlockAllocator`` without.
    """

    def __init__(
        self,
        ratios: Sequence[int],
        num_large: int,
        most_large: Sequence[int] | None = None,
        *,
        caching: bool,
    ) -> None:
        super().__init__(num_large, most_large or [NO_LIMIT] * len(ratios))
        self._caching = caching
        self._tracked: tuple[dict[int, _Tracker], ...] = tuple({} for _ in ratios)
        self._refs: tuple[dict[int, int], ...] = tuple({} for _ in ratios)
        self._page_of: tuple[dict[Key, int], ...] = tuple({} for _ in ratios)
        self._key_of: tuple[dict[int, Key], ...] = tuple({} for _ in ratios)
        self._touched: tuple[set[int], ...] = tuple(set() for _ in ratios)
        self.small = tuple(map(ArtifactSmallPages, ratios))
        self.waiting = tuple(map(ArtifactIdlePages, ratios))
        self._marks = False
        for group in range(len(ratios)):
            self.take(group, NULL_OWNER)

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

    def set_key(self, group: int, page: int, content: Content) -> None:
        """A held page is full: it counts as computed from the next step on."""
        self._page_of[group][content.key] = page
        self._key_of[group][page] = content.key
        self._touched[group].add(page)

    def is_computed(self, group: int, page: int) -> bool:
        """See LargePages."""
        tracker = self._tracked[group].get(page)
        return page in self.waiting[group] if tracker is None else tracker.computed

    def find(self, group: int, key: Key) -> int | None:
        """See LargePages."""
        return self._page_of[group].get(key)

    def refs(self, group: int, page: int) -> int:
        """See LargePages."""
        return self._refs[group].get(page, 0)

    def hold(self, group: int, page: int) -> None:
        """See LargePages."""
        refs = self._refs[group]
        refs[page] = refs.get(page, 0) + 1
        if refs[page] == 1:
            if page in self.waiting[group]:
                self.waiting[group].remove(page, mark=self._marks)
            self._tracked[group][page] = _Tracker(computed=True)

    def touch(self, group: int, page: int, time: float) -> None:
        """Note that a held page was accessed."""
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
        self._touched[group].remove(page)

    def end_step(self) -> None:
        """See LargePages."""
        for fresh, tracked, waiting in zip(self._touched, self._tracked, self.waiting, strict=True):
            for page in fresh:
                if page in tracked:
                    tracked[page].computed = True
            fresh.clear()
            waiting.confirm()
