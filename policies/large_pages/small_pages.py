"""The small pages of one group inside large pages: which are empty, and for whom they are kept.

Small page ``i`` lies in large page ``i // ratio``. A large page may hold a hundred thousand of
them, so what it never handed out is one entry of a list, not one for each page.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ...configs.errors import InvariantError

NULL_OWNER = -1
"""Owner of the large page in which the null page lies; it never leaves."""
NOBODY = -2
"""Owner of a large page whose request has ended."""

Entries = OrderedDict[int, None]
"""Empty pages in the order in which they are taken: a page, or ``-1 - large`` for all pages of a
large page that were never handed out."""


@dataclass(slots=True)
class _Large:
    """A large page of the group."""

    owner: int
    fresh: int
    """First page that was never handed out; those behind it were not either."""
    empty: int
    """Empty pages, fresh ones included."""
    returned: dict[int, None]
    """Empty pages that were handed out before."""
    parked: bool = False


class SmallPages:
    """Empty small pages of one group, by owner, and the large pages that the group was given.

    Every large page is associated with the request it was taken for. Empty pages are kept for that
    request as long as it runs, first in, first out; then they have no owner and wait in the order
    in which they lost it.
    """

    def __init__(self, ratio: int) -> None:
        self.ratio = ratio
        self.num_empty = 0
        """Empty pages that can be taken: parked ones cannot."""
        self.num_parked = 0
        self._own: dict[int, Entries] = {}
        self._unowned: Entries = OrderedDict()
        self._num_unowned = 0
        self._num_null = 0
        self._larges: dict[int, _Large] = {}
        self._larges_of: dict[int, dict[int, None]] = {}
        self.join(NULL_OWNER)

    @property
    def num_large(self) -> int:
        """Large pages of the group."""
        return len(self._larges)

    @property
    def num_owned(self) -> int:
        """Empty pages that are kept for a request that runs."""
        return self.num_empty - self._num_unowned - self._num_null

    def join(self, owner: int) -> None:
        """A request begins to run."""
        self._own[owner] = OrderedDict()
        self._larges_of[owner] = {}

    def leave(self, owner: int) -> None:
        """A request ends: the empty pages that were kept for it have no owner from now on."""
        for entry in self._own.pop(owner):
            self._unowned[entry] = None
            self._num_unowned += self._size(entry)
        for number in self._larges_of.pop(owner):
            self._larges[number].owner = NOBODY

    def _size(self, entry: int) -> int:
        if entry >= 0:
            return 1
        large = -1 - entry
        return (large + 1) * self.ratio - self._larges[large].fresh

    def _list_of(self, large: _Large) -> Entries:
        return self._own.get(large.owner, self._unowned)

    def _count(self, large: _Large, change: int) -> None:
        """Note that ``change`` pages of a large page can be taken, or not any more."""
        self.num_empty += change
        if large.owner == NULL_OWNER:
            self._num_null += change
        elif large.owner == NOBODY:
            self._num_unowned += change

    def add_large(self, number: int, owner: int) -> None:
        """Carve an empty large page for ``owner``."""
        large = self._larges[number] = _Large(owner, number * self.ratio, self.ratio, {})
        self._own[owner][-1 - number] = self._larges_of[owner][number] = None
        self._count(large, self.ratio)

    def take_whole(self, numbers: Sequence[int], owner: int) -> list[int]:
        """Carve empty large pages for ``owner`` and take all of their pages."""
        pages: list[int] = []
        for number in numbers:
            end = (number + 1) * self.ratio
            self._larges[number] = _Large(owner, end, 0, {})
            pages.extend(range(end - self.ratio, end))
        self._larges_of[owner].update(dict.fromkeys(numbers))
        return pages

    def pop_own(self, owner: int, most: int) -> list[int]:
        """Take the first empty pages that are kept for ``owner``, at most ``most``."""
        return self._pop(self._own[owner], most)

    def pop_unowned(self, owner: int, most: int) -> list[int]:
        """Take empty pages of one large page that nobody owns, and give ``owner`` the others."""
        if not self._unowned:
            return []
        entry = next(iter(self._unowned))
        number = -1 - entry if entry < 0 else entry // self.ratio
        large = self._larges[number]
        mine = [each for each in self._entries(number, large) if each in self._unowned]
        self._count(large, -large.empty)
        large.owner = owner
        self._larges_of[owner][number] = None
        self._count(large, large.empty)
        for each in mine:
            del self._unowned[each]
            self._own[owner][each] = None
        return self._pop(self._own[owner], most)

    def pop_other(self, most: int) -> list[int]:
        """Take empty pages that are kept for somebody, the longest running request first."""
        for entries in self._own.values():
            if entries:
                return self._pop(entries, most)
        return []

    def _pop(self, entries: Entries, most: int) -> list[int]:
        pages: list[int] = []
        while entries and len(pages) < most:
            entry = next(iter(entries))
            number = -1 - entry if entry < 0 else entry // self.ratio
            large = self._larges[number]
            if entry < 0:
                end = min(large.fresh + most - len(pages), (number + 1) * self.ratio)
                taken = end - large.fresh
                pages.extend(range(large.fresh, end))
                large.fresh = end
            else:
                taken = 1
                pages.append(entry)
                del large.returned[entry]
            if entry >= 0 or large.fresh == (number + 1) * self.ratio:
                entries.popitem(last=False)
            large.empty -= taken
            self._count(large, -taken)
        return pages

    def _entries(self, number: int, large: _Large) -> list[int]:
        """How the empty pages of a large page are listed."""
        fresh = large.fresh < (number + 1) * self.ratio
        return [*([-1 - number] if fresh else []), *large.returned]

    def put(self, number: int, pages: Sequence[int]) -> int | None:
        """Empty pages of large page ``number``; returns it if all of it is empty now, so gone."""
        large = self._larges[number]
        if large.empty + len(pages) < self.ratio:
            entries = self._list_of(large)
            for page in pages:
                large.returned[page] = entries[page] = None
            large.empty += len(pages)
            self._count(large, len(pages))
            return None
        if large.empty:
            entries = self._list_of(large)
            for entry in self._entries(number, large):
                del entries[entry]
            self._count(large, -large.empty)
        del self._larges[number]
        if large.owner != NOBODY:
            del self._larges_of[large.owner][number]
        return number

    def empty_in(self, number: int) -> int:
        """Empty small pages of a large page of this group."""
        return self._larges[number].empty

    def park(self, number: int) -> None:
        """Nothing in a large page is held, but some is cached: its empty pages go with it."""
        large = self._larges[number]
        entries = self._list_of(large)
        for entry in self._entries(number, large):
            del entries[entry]
        self._count(large, -large.empty)
        self.num_parked += large.empty
        large.parked = True

    def unpark(self, number: int) -> None:
        """A page in a parked large page is held again: its empty pages can be had."""
        large = self._larges[number]
        large.parked = False
        self.num_parked -= large.empty
        self._list_of(large).update(dict.fromkeys(self._entries(number, large)))
        self._count(large, large.empty)

    def check(self) -> set[int]:
        """Raise InvariantError unless the counts agree; returns the large pages of the group."""
        listed = [entry for entries in self._own.values() for entry in entries] + [*self._unowned]
        expected: list[int] = []
        empty = parked = 0
        for number, large in self._larges.items():
            free = (number + 1) * self.ratio - large.fresh + len(large.returned)
            if free != large.empty or free == self.ratio:
                raise InvariantError(f"large page {number} has {free} empty small pages")
            parked += free if large.parked else 0
            empty += 0 if large.parked else free
            expected += [] if large.parked else self._entries(number, large)
        if sorted(listed) != sorted(expected):
            raise InvariantError("an empty small page is in no list, or in two")
        if (empty, parked) != (self.num_empty, self.num_parked):
            raise InvariantError("the counts of empty small pages are wrong")
        unowned = sum(self._size(entry) for entry in self._unowned)
        null = sum(self._size(entry) for entry in self._own[NULL_OWNER])
        if (unowned, null) != (self._num_unowned, self._num_null):
            raise InvariantError("the counts of empty small pages by owner are wrong")
        return set(self._larges)
