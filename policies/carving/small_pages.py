"""The small pages of one group inside large pages: who holds them, who may take the empty ones."""

from collections import deque

from ...configs.errors import InvariantError


class SmallPages:
    """Small pages of one group, ``ratio`` of them in each large page that the group was given.

    A small page is held by a slot, or empty and *associated* with a running slot, or empty without
    an owner. Page ``i`` of large page ``p`` has the number ``p * ratio + i``. Dictionaries serve as
    ordered sets, so that the oldest empty page goes first and every run is the same.
    """

    def __init__(self, ratio: int) -> None:
        self.ratio = ratio
        self.num_free = 0
        self.num_owned = 0
        """Of the empty pages, those associated with a running slot."""
        self._held: dict[int, deque[int]] = {}
        self._own_free: dict[int, dict[int, None]] = {}
        self._unowned: dict[int, None] = {}
        self._owner: dict[int, int | None] = {}
        """Of every empty page: the slot it is associated with."""
        self._used_in_large: dict[int, int] = {}

    def held(self, slot: int) -> int:
        """Pages that ``slot`` holds."""
        return len(self._held.get(slot, ()))

    def num_held(self) -> int:
        """Pages that all slots hold."""
        return sum(self._used_in_large.values())

    def add_large(self, large: int, slot: int) -> None:
        """Carve ``large`` into empty small pages associated with ``slot``."""
        self._used_in_large[large] = 0
        for page in range(large * self.ratio, (large + 1) * self.ratio):
            self._put_free(page, slot)

    def take_own(self, slot: int) -> bool:
        """Let ``slot`` hold its oldest empty page; False if it has none."""
        own = self._own_free.get(slot)
        if not own:
            return False
        self._hold(next(iter(own)), slot)
        return True

    def take_any(self, slot: int) -> bool:
        """Let ``slot`` hold an empty page of another request; False if there is none.

        A page without owner brings its empty, ownerless siblings along; of a running request only
        the one page is taken.
        """
        if self._unowned:
            page = next(iter(self._unowned))
            start = page // self.ratio * self.ratio
            for sibling in range(start, start + self.ratio):
                if sibling in self._unowned:
                    self._remove_free(sibling)
                    self._put_free(sibling, slot)
            self._hold(page, slot)
            return True
        for own in self._own_free.values():
            if own:
                self._hold(next(iter(own)), slot)
                return True
        return False

    def give_oldest(self, slot: int) -> int | None:
        """Empty the oldest page of a running ``slot``; returns the large page if it became empty."""
        if not self.held(slot):
            raise InvariantError(f"slot {slot} gives a page that it does not hold")
        return self._release(self._held[slot].popleft(), slot)

    def leave(self, slot: int) -> list[int]:
        """Empty all pages of ``slot``, tail first; returns the large pages that became empty."""
        emptied: list[int] = []
        pages = self._held.pop(slot, deque[int]())
        while pages:
            large = self._release(pages.pop(), None)
            if large is not None:
                emptied.append(large)
        for page in list(self._own_free.pop(slot, ())):
            self._owner[page] = None
            self._unowned[page] = None
            self.num_owned -= 1
        return emptied

    def _hold(self, page: int, slot: int) -> None:
        self._remove_free(page)
        self._held.setdefault(slot, deque()).append(page)
        self._used_in_large[page // self.ratio] += 1

    def _release(self, page: int, slot: int | None) -> int | None:
        large = page // self.ratio
        self._used_in_large[large] -= 1
        self._put_free(page, slot)
        if self._used_in_large[large]:
            return None
        for child in range(large * self.ratio, (large + 1) * self.ratio):
            self._remove_free(child)
        del self._used_in_large[large]
        return large

    def _put_free(self, page: int, slot: int | None) -> None:
        self._owner[page] = slot
        self.num_free += 1
        if slot is None:
            self._unowned[page] = None
        else:
            self._own_free.setdefault(slot, {})[page] = None
            self.num_owned += 1

    def _remove_free(self, page: int) -> None:
        slot = self._owner.pop(page)
        self.num_free -= 1
        if slot is None:
            del self._unowned[page]
        else:
            del self._own_free[slot][page]
            self.num_owned -= 1

    def check(self) -> set[int]:
        """Raise InvariantError unless every page is in one state; returns the large pages in use."""
        held = [page for pages in self._held.values() for page in pages]
        own = [page for pages in self._own_free.values() for page in pages]
        empty = own + list(self._unowned)
        everything = held + empty
        expected = len(self._used_in_large) * self.ratio
        if len(set(everything)) != len(everything) or len(everything) != expected:
            raise InvariantError(
                f"{len(everything)} small pages, expected {expected} distinct ones"
            )
        if (
            len(empty) != self.num_free
            or len(own) != self.num_owned
            or set(empty) != set(self._owner)
        ):
            raise InvariantError("the counts of empty small pages are wrong")
        used = dict.fromkeys(self._used_in_large, 0)
        for page in held:
            used[page // self.ratio] += 1
        if used != self._used_in_large or not all(used.values()):
            raise InvariantError("a large page is in use exactly while one of its small pages is")
        return set(used)
