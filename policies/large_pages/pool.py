"""The pool of Jenga (SOSP 2025, sections 4 and 5) as an object: what Python asks of its arrays.

Large pages are carved into small ones on demand; ``pages`` says from where a page comes.
"""

from collections.abc import Sequence

import numpy as np

from ...configs.errors import InvariantError
from ..base import Pages
from ..compiled import compiled
from . import empty_pages, pages, room
from . import layout as at
from .integrity import check
from .layout import FIRST_HOLDER, IntArray, Pool, make_pool
from .numbers import IdlePages, SmallPages
from .quota import Content, Key, Room

Held = Sequence[Sequence[int]]
"""Pages per group that a request would hold beside those it takes: those of its hit."""
_FIRST_HOLDERS = 8


class LargePages:
    """Large pages of one size, and the small pages of every group in them.

    A small page is held by requests, or cached and idle, or empty. Nobody but ``take`` evicts.
    Pages of different groups may have the same number. What became full in a step counts as
    computed from the next one on.
    """

    def __init__(self, ratios: Sequence[int], num_large: int, *, frugal: bool = False) -> None:
        """``ratios``: small pages of each group per large one. ``frugal``: see lcm_frugal."""
        self.num_large = num_large
        self.state: Pool = make_pool(ratios, num_large, _FIRST_HOLDERS, frugal=frugal)
        self.small = tuple(SmallPages(self, group) for group in range(len(ratios)))
        self.idle = tuple(IdlePages(self, group) for group in range(len(ratios)))
        self._rows: dict[int, int] = {}
        self._spare = list(range(_FIRST_HOLDERS))

    @property
    def holders(self) -> int:
        """Requests that may hold pages at once."""
        return len(self.state.owners) - FIRST_HOLDER

    def grow(self, holders: int) -> None:
        """Make room for so many requests at once; ``state`` is another one then."""
        if holders <= self.holders:
            return
        more = np.zeros((holders - self.holders, *self.state.owners.shape[1:]), dtype=np.int64)
        self._spare += range(self.holders, holders)
        self.state = self.state._replace(owners=np.concatenate([self.state.owners, more]))

    @property
    def free_large(self) -> int:
        """Empty large pages."""
        counts = self.state.counts
        return int(counts[at.SIZE] - counts[at.TOUCHED] + counts[at.NUM_RETURNED])

    @property
    def evictable_large(self) -> int:
        """Large pages of which nothing is held and something is cached."""
        return int(self.state.counts[at.EVICTABLES])

    def free_list(self) -> list[int]:
        """Empty large pages in the order in which they are taken."""
        counts, ring = self.state.counts, self.state.large[:, at.RETURNED_LARGE]
        places = counts[at.FIRST_RETURNED] + np.arange(counts[at.NUM_RETURNED])
        untouched = range(int(counts[at.TOUCHED]), self.num_large)
        return [*untouched, *ring[places % self.num_large].tolist()]

    def num_apart(self, group: int) -> int:
        """Cached small pages of a group that nobody holds, outside of evictable large pages."""
        mine = self.state.groups[group]
        return int(mine[at.IDLES] - mine[at.IDLES_IN_LARGE])

    def num_held(self, group: int) -> int:
        """Small pages of a group that requests hold, each counted once."""
        return int(self.state.groups[group, at.HOLDING]) - 1

    def refs(self, group: int, page: int) -> int:
        """Requests that hold a page."""
        return int(self.state.nodes[self.state.groups[group, at.BASE] + page, at.REFS])

    def num_extra(self, group: int) -> int:
        """Pages of a group that requests hold beside another request, once for each."""
        return int(self.state.groups[group, at.EXTRA])

    def holders_of(self, group: int, held: IntArray) -> IntArray:
        """Requests that hold each of some pages."""
        return self.state.nodes[self.state.groups[group, at.BASE] + held, at.REFS]

    def join(self, owner: int) -> None:
        """A request begins to take pages; see ``empty_pages.join``."""
        if not self._spare:
            self.grow(2 * self.holders)
        self._rows[owner] = FIRST_HOLDER + self._spare.pop()
        _join(self.state, self._rows[owner])

    def leave(self, owner: int) -> None:
        """A request ends; it gives its pages back next."""
        row = self._rows.pop(owner)
        _leave(self.state, row)
        self._spare.append(row - FIRST_HOLDER)

    def room(self, need: Pages, hits: Held = ()) -> Room:
        """What ``need`` would take if it were asked for now; ``hits`` would be held first. Pure."""
        least: list[int] = []
        available = self.free_large + self.evictable_large
        for group, count in enumerate(need):
            held = np.array(hits[group] if hits else (), dtype=np.int64)
            lacking, lost = _lacking(self.state, group, count, held)
            least.append(lacking)
            available -= lost
        return Room(tuple(least), available)

    def set_quotas(self, need: Pages) -> None:
        """Allow the next pages as many large ones as ``need`` can use, or at least must have."""
        if not _set_quotas(self.state, np.array(need, dtype=np.int64)):
            raise InvariantError("a need is served that there is no room for")

    def refuse(self, owner: int) -> None:
        """There is no room for what ``owner`` needs; see ``empty_pages.join``."""
        _refuse(self.state, self._rows[owner])

    def take(self, group: int, owner: int, count: int) -> list[int]:
        """Take small pages for ``owner``, each from the first of the five places that has one."""
        taken = np.zeros(count, dtype=np.int64)
        _take(self.state, group, self._rows[owner], taken)
        return taken.tolist()

    def find(self, group: int, keys: Sequence[Key], *, to_gap: bool) -> list[int | None]:
        """The page that caches each of ``keys`` since before this step; None where none does. Pure.

        ``to_gap``: only those before the first that is missing.
        """
        found: list[int | None] = []
        for key in keys:
            page = _find(self.state, group, *_parts(key))
            if to_gap and page < 0:
                break
            found.append(None if page < 0 else page)
        return found

    def set_key(self, group: int, page: int, content: Content) -> bool:
        """A held page is full: later requests may find it. False if another page has the key."""
        key, part = _parts(content.key)
        return bool(_set_key(self.state, group, page, key, part, content.tokens))

    def hold(self, group: int, page: int) -> None:
        """One more request holds a page that ``find`` named."""
        _hold(self.state, group, page)

    def release(self, group: int, pages: Sequence[int], time: float = 0.0) -> None:
        """One request less holds ``pages``; without any they are cached if keyed, else empty.

        ``time`` decides when they are evicted: small ones first.
        """
        _release(self.state, group, np.array(pages, dtype=np.int64), float(time))

    def end_step(self) -> None:
        """All decisions of a step are made: what is full now is computed in it."""
        _end_step(self.state)

    def check(self) -> None:
        """Raise InvariantError unless every page is in one state and every count is right."""
        check(self.state)


def _parts(key: Key) -> tuple[int, int]:
    return (key, 0) if isinstance(key, int) else key


# What Python calls.


@compiled
def _join(pool: Pool, owner: int) -> None:
    empty_pages.join(pool, owner)


@compiled
def _leave(pool: Pool, owner: int) -> None:
    empty_pages.leave(pool, owner)


@compiled
def _lacking(pool: Pool, group: int, count: int, hits: IntArray) -> tuple[int, int]:
    gained, lost = room.after_hits(pool, group, hits, len(hits))
    return room.lacking_large(pool, group, count - gained), lost


@compiled
def _set_quotas(pool: Pool, need: IntArray) -> bool:
    return room.set_quotas(pool, need)


@compiled
def _refuse(pool: Pool, owner: int) -> None:
    room.refuse(pool, owner)


@compiled
def _take(pool: Pool, group: int, owner: int, taken: IntArray) -> None:
    filled = 0
    while filled < len(taken):
        page, count = pages.take(pool, group, owner, len(taken) - filled)
        for index in range(count):
            taken[filled + index] = page + index
        filled += count


@compiled
def _find(pool: Pool, group: int, key: int, part: int) -> int:
    return pages.find(pool, group, key, part)


@compiled
def _set_key(pool: Pool, group: int, page: int, key: int, part: int, tokens: int) -> bool:
    return pages.set_key(pool, group, page, key, part, tokens)


@compiled
def _hold(pool: Pool, group: int, page: int) -> None:
    pages.hold(pool, group, page)


@compiled
def _release(pool: Pool, group: int, taken: IntArray, time: float) -> None:
    pages.release(pool, group, taken, 0, len(taken), time)


@compiled
def _end_step(pool: Pool) -> None:
    pages.end_step(pool)
