"""Where the pages of one part of a pool lie, so that copies of them can be counted exactly.

A page has an identity that requests know (SGLang: virtual id) and a position in its part, counted
from the part's own end (physical id). A copy changes the position alone. The positions in use are a
run, ``first`` to ``end``, with holes where pages were given back.
"""

from collections import deque
from heapq import heapify, heappop, heappush
from typing import Literal

from ...configs.errors import InvariantError

HOLE = -1


class Placed:
    """Pages of one part: who holds them, in the order they were taken, and where each lies."""

    def __init__(
        self, reuse: Literal["lowest", "oldest"] = "lowest", *, floating: bool = False
    ) -> None:
        """``reuse``: which hole is filled first, the lowest or the one that was left first.

        With ``lowest`` the run ends at its last page (a hole at the edge is no longer part of it),
        and begins at its first one if it is ``floating``; with ``oldest`` it keeps the extent that
        it once had.
        """
        self.live = 0
        """Pages that are held."""
        self.first = 0
        """Position of the lowest page or hole; 0 unless the run is floating."""
        self._floating = floating
        self._lowest = reuse == "lowest"
        self._ids: list[int] = []
        self._holes: deque[int] | list[int] = [] if self._lowest else deque()
        self._position: dict[int, int] = {}
        self._held: dict[int, deque[int]] = {}
        self._next_id = 0

    @property
    def end(self) -> int:
        """Position behind the highest page or hole."""
        return self.first + len(self._ids)

    @property
    def holes(self) -> int:
        """Positions in the run that no page has."""
        return len(self._ids) - self.live

    def fill(self, slot: int, count: int) -> int:
        """Put up to ``count`` pages of ``slot`` into holes; how many found none."""
        found = min(count, self.holes)
        for _ in range(found):
            self._hold(slot, self._pop_hole())
        return count - found

    def extend(self, slot: int, count: int, *, downwards: bool = False) -> None:
        """Put ``count`` pages of ``slot`` at the edge of the run."""
        start = self.end
        if downwards:
            start = self.first = self.first - count
            self._ids[:0] = [HOLE] * count
        else:
            self._ids.extend([HOLE] * count)
        for position in range(start, start + count):
            self._hold(slot, position)

    def give(self, slot: int, count: int) -> None:
        """Give back the oldest ``count`` pages of ``slot``; InvariantError if it has fewer."""
        pages = self._held.get(slot, deque[int]())
        if not 0 <= count <= len(pages):
            raise InvariantError(f"slot {slot} gives {count} pages, holds {len(pages)}")
        for _ in range(count):
            self._leave(pages.popleft())
        self._absorb()

    def free(self, slot: int) -> int:
        """Give back all pages of ``slot``, tail first; how many there were."""
        pages = self._held.pop(slot, deque[int]())
        for page in reversed(pages):
            self._leave(page)
        self._absorb()
        return len(pages)

    def squeeze(self, first: int, room: int) -> int:
        """Copy pages so that all lie in ``room`` positions from ``first``; how many were copied.

        A page that lies there already stays. Raises InvariantError if they are too many.
        """
        if self.live > room:
            raise InvariantError(f"{self.live} pages do not fit {room} positions")
        end = first + room
        outside = [p for p, _ in self._pages() if not first <= p < end]
        ids = [self._id_at(position) for position in range(first, min(end, max(self.end, first)))]
        ids += [HOLE] * (min(room, len(ids) + len(outside)) - len(ids))
        targets = iter([index for index, page in enumerate(ids) if page == HOLE])
        for position in outside:
            page, index = self._id_at(position), next(targets)
            ids[index] = page
            self._position[page] = first + index
        self.first, self._ids = first, ids
        self._rebuild_holes()
        self._absorb()
        return len(outside)

    def restart(self) -> int:
        """Copy every page: position 0 is somewhere else now, and there are no holes."""
        pages = [page for _, page in self._pages()]
        self.first, self._ids = 0, pages
        self._position = {page: position for position, page in enumerate(pages)}
        self._holes.clear()
        return len(pages)

    def check(self) -> None:
        """Raise InvariantError unless every page has one holder and one position. Pure."""
        held = sorted(page for pages in self._held.values() for page in pages)
        placed = sorted(page for _, page in self._pages())
        if held != placed or len(held) != self.live or len(set(held)) != self.live:
            raise InvariantError(f"{len(held)} pages are held, {len(placed)} lie somewhere")
        if any(self._id_at(position) != page for page, position in self._position.items()):
            raise InvariantError("a page is not where its table says")
        missing = {p for p in range(self.first, self.end) if self._id_at(p) == HOLE}
        if missing - set(self._holes):
            raise InvariantError(f"holes {sorted(missing - set(self._holes))} are lost")

    def _pages(self) -> list[tuple[int, int]]:
        """Positions in use, ascending, with the page that each has."""
        return [(self.first + i, page) for i, page in enumerate(self._ids) if page != HOLE]

    def _id_at(self, position: int) -> int:
        index = position - self.first
        return self._ids[index] if 0 <= index < len(self._ids) else HOLE

    def _hold(self, slot: int, position: int) -> None:
        page = self._next_id
        self._next_id += 1
        self._ids[position - self.first] = page
        self._position[page] = position
        self._held.setdefault(slot, deque()).append(page)
        self.live += 1

    def _leave(self, page: int) -> None:
        position = self._position.pop(page)
        self._ids[position - self.first] = HOLE
        if isinstance(self._holes, list):
            heappush(self._holes, position)
        else:
            self._holes.append(position)
        self.live -= 1

    def _pop_hole(self) -> int:
        """Next hole to fill. Positions that left the run, or were filled since, are passed over."""
        while True:
            holes = self._holes
            position = heappop(holes) if isinstance(holes, list) else holes.popleft()
            if self.first <= position < self.end and self._id_at(position) == HOLE:
                return position

    def _absorb(self) -> None:
        """Let the run end at its last page, and begin at its first one if it may."""
        if not self._lowest:
            return
        while self._ids and self._ids[-1] == HOLE:
            self._ids.pop()
        if not self._ids:
            self.first = 0
            self._holes.clear()
        elif self._floating and self._ids[0] == HOLE:
            gone = next(index for index, page in enumerate(self._ids) if page != HOLE)
            del self._ids[:gone]
            self.first += gone

    def _rebuild_holes(self) -> None:
        empty = [p for p in range(self.first, self.end) if self._id_at(p) == HOLE]
        if isinstance(self._holes, list):
            self._holes = empty
            heapify(self._holes)
            return
        remaining = dict.fromkeys(empty)
        known = [p for p in dict.fromkeys(self._holes) if p in remaining]
        self._holes = deque(dict.fromkeys([*known, *empty]))
