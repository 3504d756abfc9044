"""The pool of Jenga (SOSP 2025, sections 4 and 5): large pages, carved into small ones on demand.

A small page comes from the first of five places that has one: the empty pages of the request, an
empty large page, a large page whose cached contents are evicted, the empty pages of others, a
cached small page that is evicted. The second and third only as long as the call's quota of large
pages lasts, so that one group does not take what another one needs in the same call.
"""

from collections.abc import Sequence
from itertools import groupby, takewhile

from ...configs.errors import InvariantError
from ...configs.specs import cdiv
from ..base import Pages
from .idle_pages import IdlePages, Rank
from .quota import NO_LIMIT, Content, Key, PagePool, Room
from .small_pages import NULL_OWNER, SmallPages

Held = Sequence[Sequence[int]]
"""Pages per group that a request would hold beside those it takes: those of its hit."""


class LargePages(PagePool[SmallPages]):
    """Large pages of one size, and the small pages of every group in them.

    A small page is held by requests, or cached and idle, or empty. Nobody but ``take`` evicts.
    Pages of different groups may have the same number. What became full in a step counts as
    computed from the next one on.
    """

    def __init__(self, ratios: Sequence[int], num_large: int) -> None:
        """``ratios``: small pages of each group per large one."""
        super().__init__(num_large, [NO_LIMIT] * len(ratios))
        self.small = tuple(SmallPages(ratio) for ratio in ratios)
        self.idle = tuple(IdlePages(ratio) for ratio in ratios)
        self._refs: tuple[dict[int, int], ...] = tuple({} for _ in ratios)
        self._shared: tuple[set[int], ...] = tuple(set() for _ in ratios)
        self._page_of: tuple[dict[Key, int], ...] = tuple({} for _ in ratios)
        self._content: tuple[dict[int, Content], ...] = tuple({} for _ in ratios)
        self._fresh: tuple[set[int], ...] = tuple(set() for _ in ratios)
        self._num_owners = 0
        self._last_out = NULL_OWNER
        self._is_thrifty = False
        for group in range(len(ratios)):
            self.take(group, NULL_OWNER, 1)

    @property
    def evictable_large(self) -> int:
        """Large pages of which nothing is held and something is cached."""
        return sum(idle.num_large for idle in self.idle)

    def num_apart(self, group: int) -> int:
        """Cached small pages of a group that nobody holds, outside of evictable large pages."""
        return self.idle[group].num_apart

    def num_held(self, group: int) -> int:
        """Small pages of a group that requests hold, each counted once."""
        return len(self._refs[group]) - 1

    def refs(self, group: int, page: int) -> int:
        """Requests that hold a page."""
        return self._refs[group].get(page, 0)

    def join(self, owner: int) -> None:
        """See PagePool.

        A request that comes back to the pool that it left last, and empty, did not find room alone:
        large pages went to it while small ones were empty beside a null page. It gets no more of
        them now than it must have, so that what ``could_fit`` does fit.
        """
        super().join(owner)
        self._is_thrifty = not self._num_owners and owner == self._last_out
        self._num_owners += 1

    def leave(self, owner: int) -> None:
        """See PagePool."""
        super().leave(owner)
        self._num_owners -= 1
        self._last_out = owner

    def set_quotas(self, need: Pages) -> None:
        """See PagePool."""
        super().set_quotas(need)
        if self._is_thrifty:
            self._quota = list(self.room(need).least)

    def room(self, need: Pages, hits: Held = ()) -> Room:
        """See PagePool; ``hits`` are pages that the request would hold first."""
        room = super().room(need)
        if not any(hits):
            return room
        least, available = list[int](), room.available
        for group, (pages, small) in enumerate(zip(need, self.small, strict=True)):
            gained, closed = self._after_hits(group, hits[group])
            supply = small.num_empty + self.num_apart(group) + gained
            least.append(cdiv(max(0, pages - supply), small.ratio))
            available -= closed
        return Room(tuple(least), available)

    def _after_hits(self, group: int, hits: Sequence[int]) -> tuple[int, int]:
        """Small pages gained apart, and evictable large pages lost, if ``hits`` were held."""
        small, idle = self.small[group], self.idle[group]
        gained, closed = 0, set[int]()
        for page in hits:
            if page in idle:
                gained -= 1
                large = page // small.ratio
                if large not in closed and idle.is_evictable(large):
                    closed.add(large)
                    gained += idle.count_in(large) + small.empty_in(large)
        return gained, len(closed)

    def take(self, group: int, owner: int, count: int) -> list[int]:
        """Take small pages for ``owner``, each from the first of the five places that has one."""
        pages: list[int] = []
        while len(pages) < count:
            most = count - len(pages)
            pages += self._take_empty(group, owner, most) or self._evict_small(group, most)
        self._refs[group].update(dict.fromkeys(pages, 1))
        return pages

    def _take_empty(self, group: int, owner: int, most: int) -> list[int]:
        small = self.small[group]
        pages = small.pop_own(owner, most)
        if pages:
            return pages
        whole = min(self._quota[group], most // small.ratio, len(self._free))
        if whole:
            self._quota[group] -= whole
            return small.take_whole([self._free.popleft() for _ in range(whole)], owner)
        if self._quota[group] > 0:
            if not self._free:
                self._evict_large()
            self._quota[group] -= 1
            small.add_large(self._free.popleft(), owner)
            return small.pop_own(owner, most)
        return small.pop_unowned(owner, most) or small.pop_other(most)

    def _evict_large(self) -> None:
        """Forget what the least recently used large page caches, of whatever group."""
        firsts = [(idle.first_large(), group) for group, idle in enumerate(self.idle)]
        known = [(first, group) for first, group in firsts if first is not None]
        if not known:
            raise InvariantError("a large page was promised that is not there")
        # Of equal ranks the first group goes first.
        (_, large), group = min(known, key=lambda pair: pair[0][0])
        pages = self.idle[group].pages_of(large)
        self._close(group, large)
        for page in pages:
            self._forget(group, page)
        self._empty(group, large, pages)

    def _evict_small(self, group: int, most: int) -> list[int]:
        """Forget the least recently used small pages of a group: no page gets empty by that."""
        pages: list[int] = []
        while len(pages) < most:
            page = self.idle[group].first_small()
            if page is None:
                raise InvariantError("pages were promised that are not there")
            self._forget(group, page)
            pages.append(page)
        return pages

    def _forget(self, group: int, page: int) -> None:
        self.idle[group].remove(page)
        del self._page_of[group][self._content[group].pop(page).key]

    def _empty(self, group: int, large: int, pages: Sequence[int]) -> None:
        emptied = self.small[group].put(large, pages)
        if emptied is None:
            self._open(group, large)
        else:
            self._free.append(emptied)

    def _open(self, group: int, large: int) -> None:
        """Let a large page be evicted as a whole if something in it is cached and nothing held."""
        small, idle = self.small[group], self.idle[group]
        cached = idle.count_in(large)
        if cached and cached == small.ratio - small.empty_in(large):
            small.park(large)
            idle.open_large(large)

    def _close(self, group: int, large: int) -> None:
        if self.idle[group].is_evictable(large):
            self.idle[group].close_large(large)
            self.small[group].unpark(large)

    def find(self, group: int, keys: Sequence[Key], *, to_gap: bool) -> list[int | None]:
        """The page that caches each of ``keys`` since before this step; None where none does. Pure.

        ``to_gap``: only those before the first that is missing.
        """
        page_of, fresh = self._page_of[group], self._fresh[group]
        if to_gap:
            found = list(takewhile(lambda page: page is not None, map(page_of.get, keys)))
        else:
            found = [page_of.get(key) for key in keys]
        if fresh and not fresh.isdisjoint(found):
            found = [None if page in fresh else page for page in found]
            if to_gap:
                found = found[: found.index(None)]
        return found

    def shared(self, group: int) -> set[int]:
        """Small pages of a group that several requests hold. Not to be changed."""
        return self._shared[group]

    def set_key(self, group: int, page: int, content: Content) -> bool:
        """A held page is full: later requests may find it. False if another page has the key."""
        if content.key in self._page_of[group]:
            return False
        self._page_of[group][content.key] = page
        self._content[group][page] = content
        self._fresh[group].add(page)
        return True

    def hold(self, group: int, page: int) -> None:
        """One more request holds a page that ``find`` named."""
        refs = self._refs[group]
        refs[page] = refs.get(page, 0) + 1
        if refs[page] == 1:
            self._close(group, page // self.small[group].ratio)
            self.idle[group].remove(page)
        else:
            self._shared[group].add(page)

    def release(self, group: int, pages: Sequence[int], time: float = 0.0) -> None:
        """One request less holds ``pages``; without any they are cached if keyed, else empty.

        ``time`` decides when they are evicted: small ones first.
        """
        refs, ratio = self._refs[group], self.small[group].ratio
        for large, run in groupby(pages, key=lambda page: page // ratio):
            left: list[int] = []
            for page in run:
                count = refs.get(page, 0) - 1
                if count > 0:
                    refs[page] = count
                    if count == 1:
                        self._shared[group].remove(page)
                elif count < 0:
                    raise InvariantError(f"page {page} of group {group} is given back by nobody")
                else:
                    del refs[page]
                    if not self._is_cached(group, page, time):
                        left.append(page)
            if left:
                self._empty(group, large, left)
            else:
                self._open(group, large)

    def _is_cached(self, group: int, page: int, time: float) -> bool:
        """Let a page that nobody holds wait for a hit, if it has a key and is computed."""
        content = self._content[group].get(page)
        if content is None:
            return False
        if page in self._fresh[group]:
            # Given back in the step that was to fill it.
            self._fresh[group].remove(page)
            del self._page_of[group][content.key], self._content[group][page]
            return False
        self.idle[group].add(page, Rank(time, -content.tokens))
        return True

    def end_step(self) -> None:
        """All decisions of a step are made: what is full now is computed in it."""
        for fresh in self._fresh:
            fresh.clear()

    def check(self) -> None:
        """Raise InvariantError unless every page is in one state and every count is right."""
        in_use: set[int] = set()
        for group, (small, idle) in enumerate(zip(self.small, self.idle, strict=True)):
            mine = small.check()
            if mine & in_use or mine & set(self._free):
                raise InvariantError("a large page is in two places")
            in_use |= mine
            idle.check()
            held = len(self._refs[group])
            if self._shared[group] != {p for p, n in self._refs[group].items() if n > 1}:
                raise InvariantError(f"group {group}: the list of shared pages is wrong")
            total = small.num_empty + small.num_parked + len(idle) + held
            if total != small.ratio * small.num_large:
                raise InvariantError(f"group {group}: {total} small pages in its large ones")
            keys = {content.key: page for page, content in self._content[group].items()}
            if keys != self._page_of[group]:
                raise InvariantError(f"group {group}: keys and pages do not match")
        if len(in_use) + len(self._free) != self.num_large:
            raise InvariantError("a large page is lost")
