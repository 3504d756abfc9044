"""The small pages of one group inside large pages: which are empty, and for whom they are kept.

Numbers and orders are those of the artifact's ``small_block_id_allocator.py`` (branch
``vllm-v0-jenga``): small page ``i`` lies in large page ``i // ratio``.
"""

from collections import OrderedDict

from ...configs.errors import InvariantError

NULL_OWNER = -1
"""Owner of the large page in which the null page lies; it never leaves."""


class SmallPages:
    """Empty small pages of one group, by owner, and the large pages that the group was given.

    Every large page is associated with the request it was taken for. Empty pages are kept for that
    request as long as it runs, first in, first out; then they have no owner.
    """

    def __init__(self, ratio: int) -> None:
        self.ratio = ratio
        self.num_empty = 0
        self.num_large = 0
        self._own: dict[int, OrderedDict[int, None]] = {}
        # A set because the artifact has one: which of its pages goes first is then the same here.
        # Sets of integers have the same order in every run of CPython.
        self._unowned: set[int] = set()
        self._empty_in: dict[int, int] = {}
        self._owner_of: dict[int, int] = {}
        self._parked: dict[int, list[int]] = {}
        self.join(NULL_OWNER)

    def join(self, owner: int) -> None:
        """A request begins to run."""
        self._own[owner] = OrderedDict()

    def leave(self, owner: int) -> None:
        """A request ends: the empty pages that were kept for it have no owner from now on."""
        for page in self._own.pop(owner):
            self._unowned.add(page)

    @property
    def num_owned(self) -> int:
        """Empty pages that are kept for a request that runs."""
        return self.num_empty - len(self._unowned) - len(self._own[NULL_OWNER])

    def add_large(self, large: int, owner: int) -> None:
        """Carve an empty large page for ``owner``."""
        pages = range(large * self.ratio, (large + 1) * self.ratio)
        self._own[owner].update(dict.fromkeys(pages))
        self._owner_of[large] = owner
        self._empty_in[large] = self.ratio
        self.num_empty += self.ratio
        self.num_large += 1

    def pop_own(self, owner: int) -> int | None:
        """Take the first empty page that is kept for ``owner``, if there is one."""
        pages = self._own[owner]
        return self._taken(pages.popitem(last=False)[0]) if pages else None

    def pop_unowned(self, owner: int) -> int | None:
        """Take an empty page that nobody owns; its empty neighbours are ``owner``'s from now on."""
        if not self._unowned:
            return None
        page = self._unowned.pop()
        large = page // self.ratio
        siblings = set(range(large * self.ratio, (large + 1) * self.ratio)) & self._unowned
        self._own[owner].update(dict.fromkeys(siblings))
        self._owner_of[large] = owner
        self._forget_unowned(siblings)
        return self._taken(page)

    def _forget_unowned(self, pages: set[int]) -> None:
        self._unowned -= pages

    def pop_other(self) -> int | None:
        """Take an empty page that is kept for somebody, the longest running request first."""
        for pages in self._own.values():
            if pages:
                return self._taken(pages.popitem(last=False)[0])
        return None

    def _taken(self, page: int) -> int:
        self._empty_in[page // self.ratio] -= 1
        self.num_empty -= 1
        return page

    def put(self, page: int) -> int | None:
        """Empty a page; returns its large page if all of that is empty now, and so gone."""
        large = page // self.ratio
        self._empty_in[large] += 1
        self.num_empty += 1
        owner = self._owner_of[large]
        kept = self._own.get(owner)
        if kept is None:
            self._unowned.add(page)
        else:
            kept[page] = None
        if self._empty_in[large] < self.ratio:
            return None
        pages = range(large * self.ratio, (large + 1) * self.ratio)
        if kept is None:
            self._unowned.difference_update(pages)
        else:
            for each in pages:
                kept.pop(each, None)
        del self._owner_of[large], self._empty_in[large]
        self.num_empty -= self.ratio
        self.num_large -= 1
        return large

    def empty_in(self, large: int) -> int:
        """Empty small pages of a large page of this group."""
        return self._empty_in[large]

    def park(self, large: int) -> None:
        """Nothing in a large page is held, but some is cached: its empty pages go with it."""
        pages = self._empty_pages(large)
        self._parked[large] = pages
        self.num_empty -= len(pages)
        kept = self._own.get(self._owner_of[large])
        for page in pages:
            if kept is not None and page in kept:
                del kept[page]
            else:
                self._unowned.discard(page)

    def unpark(self, large: int) -> None:
        """A page in a parked large page is held again: its empty pages can be had."""
        pages = self._parked.pop(large)
        self.num_empty += len(pages)
        kept = self._own.get(self._owner_of[large])
        if kept is None:
            self._unowned.update(pages)
        else:
            kept.update(dict.fromkeys(pages))

    def parked_in(self, large: int) -> int:
        """Empty small pages of a parked large page."""
        return len(self._parked[large])

    @property
    def num_parked(self) -> int:
        """Empty small pages of all parked large pages."""
        return sum(map(len, self._parked.values()))

    def _empty_pages(self, large: int) -> list[int]:
        if not self._empty_in[large]:
            return []
        kept = self._own.get(self._owner_of[large], ())
        pages = range(large * self.ratio, (large + 1) * self.ratio)
        return [page for page in pages if page in kept or page in self._unowned]

    def check(self) -> set[int]:
        """Raise InvariantError unless the counts agree; returns the large pages of the group."""
        counted = dict.fromkeys(self._empty_in, 0)
        listed = [page for pages in self._own.values() for page in pages]
        parked = [page for pages in self._parked.values() for page in pages]
        for page in [*listed, *self._unowned, *parked]:
            counted[page // self.ratio] += 1
        if len({*listed, *self._unowned, *parked}) != sum(counted.values()):
            raise InvariantError("an empty small page is in two lists")
        if counted != self._empty_in or sum(counted.values()) != self.num_empty + len(parked):
            raise InvariantError("the counts of empty small pages are wrong")
        if any(count == self.ratio for count in counted.values()):
            raise InvariantError("a large page whose small pages are all empty was not given back")
        if len(counted) != self.num_large or set(self._owner_of) != set(counted):
            raise InvariantError("the large pages of a group are miscounted")
        return set(counted)
