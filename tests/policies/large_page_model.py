"""Jenga's two levels of pages straight from their description: lists, and no count is kept."""

from collections import Counter
from collections.abc import Sequence

from jenga_sim.configs.specs import cdiv
from jenga_sim.policies.large_pages.quota import Content, Room

NULL_OWNER, NOBODY = -1, -2
PLACES = ("own", "empty large", "evicted large", "others", "evicted small")


class Group:
    """The pages of one group. Small page ``i`` lies in large page ``i // ratio``."""

    def __init__(self, ratio: int) -> None:
        self.ratio = ratio
        self.owner: dict[int, int] = {}
        """Large page -> the request it is kept for."""
        self.empty: dict[int, list[int]] = {NOBODY: [], NULL_OWNER: []}
        """Owner -> empty pages, first in, first out; whoever joined first comes first."""
        self.aside: dict[int, list[int]] = {}
        """Large page of which nothing is held, but something cached -> its empty pages."""
        self.refs: Counter[int] = Counter()
        self.content: dict[int, Content] = {}
        self.full_now: set[int] = set()
        """Pages that became full in this step."""
        self.idle: dict[int, tuple[float, int]] = {}
        """Cached page that nobody holds -> when it is evicted."""

    def pages_of(self, large: int) -> range:
        return range(large * self.ratio, (large + 1) * self.ratio)

    def page_with(self, key: int) -> int | None:
        return next((page for page, content in self.content.items() if content.key == key), None)

    def idle_in(self, large: int) -> list[int]:
        return [page for page in self.pages_of(large) if page in self.idle]

    def apart(self) -> list[int]:
        """Cached pages beside which something is held."""
        return [page for page in self.idle if page // self.ratio not in self.aside]

    def supply(self) -> int:
        """Pages that can be had without a large one."""
        return sum(map(len, self.empty.values())) + len(self.apart())

    def settle(self, large: int) -> bool:
        """Put a large page where it belongs now; True if all of it is empty, so that it is free."""
        pages = self.pages_of(large)
        kept = self.empty[self.owner[large]]
        if any(self.refs[page] for page in pages):
            kept.extend(self.aside.pop(large, ()))
            return False
        mine = [page for page in kept if page in pages]
        self.empty[self.owner[large]] = [page for page in kept if page not in pages]
        if self.idle_in(large):
            self.aside[large] = mine + self.aside.get(large, [])
            return False
        del self.owner[large]
        self.aside.pop(large, None)
        return True


class NaivePool:
    """Takes every page from the first of five places, found by looking at all of them."""

    def __init__(self, ratios: Sequence[int], num_large: int) -> None:
        self.groups = [Group(ratio) for ratio in ratios]
        self.free = list(range(num_large))
        self.quota = [1] * len(ratios)
        self.running: list[int] = []
        self.refused = False
        self.thrifty = False
        self.served: Counter[str] = Counter()
        for group in range(len(ratios)):
            self.take(group, NULL_OWNER)
        self.served.clear()

    def join(self, owner: int) -> None:
        self.thrifty = not self.running and self.refused
        self.running.append(owner)
        for group in self.groups:
            group.empty[owner] = []

    def leave(self, owner: int) -> None:
        self.running.remove(owner)
        for group in self.groups:
            group.empty[NOBODY] += group.empty.pop(owner)
            group.owner.update({large: NOBODY for large, of in group.owner.items() if of == owner})

    def room(self, need: Sequence[int]) -> Room:
        """Large pages that ``need`` takes at least, and those that can be had."""
        least = [
            cdiv(max(0, pages - group.supply()), group.ratio)
            for pages, group in zip(need, self.groups, strict=True)
        ]
        return Room(tuple(least), len(self.free) + sum(len(g.aside) for g in self.groups))

    def set_quotas(self, need: Sequence[int]) -> None:
        """Generous, each group as if it took large pages only, if all groups can have that."""
        room = self.room(need)
        most = [cdiv(pages, g.ratio) for pages, g in zip(need, self.groups, strict=True)]
        enough = sum(most) <= room.available and not self.thrifty
        self.quota = most if enough else list(room.least)
        self.refused = False

    def refuse(self, owner: int) -> None:
        """Who is refused alone comes back to an empty pool."""
        self.refused = self.running == [owner]

    def take(self, number: int, owner: int) -> int:
        group = self.groups[number]
        page = self._find(number, group, owner)
        group.refs[page] = 1
        return page

    def _find(self, number: int, group: Group, owner: int) -> int:
        if group.empty[owner]:
            return self._serve("own", group.empty[owner])
        if self.quota[number]:
            self.quota[number] -= 1
            place = "empty large" if self.free else "evicted large"
            if not self.free:
                self._evict_large()
            large = self.free.pop(0)
            group.owner[large] = owner
            group.empty[owner] = list(group.pages_of(large))
            return self._serve(place, group.empty[owner])
        if group.empty[NOBODY]:
            self.served["nobody's before somebody's"] += any(
                pages for of, pages in group.empty.items() if of != NOBODY
            )
            self._adopt(group, owner)
            return self._serve("others", group.empty[owner])
        for pages in group.empty.values():
            if pages:
                return self._serve("others", pages)
        page = min(group.apart(), key=lambda page: (group.idle[page], page))
        self._forget(group, page)
        self.served["evicted small"] += 1
        return page

    def _serve(self, place: str, pages: list[int]) -> int:
        self.served[place] += 1
        return pages.pop(0)

    def _adopt(self, group: Group, owner: int) -> None:
        """The large page of the first empty page without an owner is kept for ``owner`` now."""
        large = group.empty[NOBODY][0] // group.ratio
        pages = group.pages_of(large)
        group.owner[large] = owner
        group.empty[owner] = [page for page in group.empty[NOBODY] if page in pages]
        group.empty[NOBODY] = [page for page in group.empty[NOBODY] if page not in pages]

    def _evict_large(self) -> None:
        """The large page whose page used last was used longest ago; of equals the first group's."""
        ranks = [
            (max(group.idle[page] for page in group.idle_in(large)), number, large)
            for number, group in enumerate(self.groups)
            for large in group.aside
        ]
        _, number, large = min(ranks)
        group = self.groups[number]
        for page in group.idle_in(large):
            self._forget(group, page)
        assert group.settle(large)
        self.free.append(large)

    def _forget(self, group: Group, page: int) -> None:
        del group.idle[page], group.content[page]

    def set_key(self, number: int, page: int, content: Content) -> bool:
        group = self.groups[number]
        assert isinstance(content.key, int)
        if group.page_with(content.key) is not None:
            return False
        group.content[page] = content
        group.full_now.add(page)
        return True

    def end_step(self) -> None:
        for group in self.groups:
            group.full_now.clear()

    def hold(self, number: int, page: int) -> None:
        group = self.groups[number]
        group.refs[page] += 1
        group.idle.pop(page, None)
        group.settle(page // group.ratio)

    def release(self, number: int, page: int, time: float) -> None:
        group = self.groups[number]
        group.refs[page] -= 1
        if group.refs[page]:
            return
        if page in group.full_now:
            group.full_now.remove(page)
            del group.content[page]
        large = page // group.ratio
        if page in group.content:
            group.idle[page] = (time, -group.content[page].tokens)
        else:
            group.empty[group.owner[large]].append(page)
        if group.settle(large):
            self.free.append(large)
