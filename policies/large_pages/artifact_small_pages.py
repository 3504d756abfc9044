"""Small pages of one group as Jenga's artifact lists them (``small_block_id_allocator.py``).

Small page ``i`` lies in large page ``i // ratio``. An empty page that loses its owner and is then
associated with another request stays in the list of those without an owner, so that it can be
handed out twice. ``empty_pages`` is what ``run`` uses.
"""

from collections import OrderedDict

NULL_OWNER = -1
"""Owner of the large page in which the null page lies; it never leaves."""


class ArtifactSmallPages:
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
        self.join(NULL_OWNER)

    def join(self, owner: int) -> None:
        """A request begins to run."""
        self._own[owner] = OrderedDict()

    def leave(self, owner: int) -> None:
        """A request ends: the empty pages that were kept for it have no owner from now on."""
        for page in self._own.pop(owner):
            self._unowned.add(page)

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
        return self._taken(page)

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
