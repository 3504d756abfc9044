"""The small pages of one group inside large pages: who holds them, who may take the empty ones."""

from collections import deque

from ...configs.errors import InvariantError

Owner = int | None
"""The slot that an empty page is associated with, or nobody."""


class SmallPages:
    """Small pages of one group, ``ratio`` of them in each large page that the group was given.

    A small page is held by a slot, or empty and *associated* with a running slot, or empty without
    an owner. Pages of one large page are interchangeable, so they are counted, not named.
    Dictionaries keep the order of insertion: the oldest large page goes first in every run.
    """

    def __init__(self, ratio: int) -> None:
        self.ratio = ratio
        self.num_free = 0
        self.num_owned = 0
        """Of the empty pages, those associated with a running slot."""
        self._held: dict[int, deque[list[int]]] = {}
        """Per slot: [large page, count] in the order the pages were taken."""
        self._empty_of: dict[Owner, dict[int, None]] = {}
        """Per owner: large pages with an empty page of theirs."""
        self._empty_in: dict[int, dict[Owner, int]] = {}
        """Per large page with empty pages: how many by owner."""
        self._used_in: dict[int, int] = {}

    def take_large(self, large: int, slot: int, most: int) -> int:
        """Carve ``large`` for ``slot``, which holds up to ``most`` of its pages at once.

        The rest is empty and associated with ``slot``. Returns how many it holds.
        """
        count = min(most, self.ratio)
        self._used_in[large] = count
        self._held.setdefault(slot, deque()).append([large, count])
        if count < self.ratio:
            self._put(large, slot, self.ratio - count)
        return count

    def take_own(self, slot: int, most: int) -> int:
        """Let ``slot`` hold up to ``most`` empty pages associated with it; returns how many."""
        return self._take_from(slot, slot, most)

    def take_any(self, slot: int, most: int) -> int:
        """Let ``slot`` hold up to ``most`` empty pages of others; returns how many.

        Pages without owner go first and bring the ownerless rest of their large page along. Of a
        running request only the pages themselves are taken.
        """
        taken = 0
        ownerless = self._empty_of.get(None, {})
        while taken < most and ownerless:
            large = next(iter(ownerless))
            self._put(large, slot, self._remove(large, None, self.ratio))
            taken += self._take_from(slot, slot, most - taken)
        for owner in list(self._empty_of):
            if taken == most:
                break
            taken += self._take_from(slot, owner, most - taken)
        return taken

    def give_oldest(self, slot: int, count: int) -> list[int]:
        """Empty the oldest pages of a running ``slot``; returns the large pages now empty."""
        held = self._held.get(slot, deque[list[int]]())
        emptied: list[int] = []
        while count:
            if not held:
                raise InvariantError(f"slot {slot} gives {count} pages that it does not hold")
            run = held[0]
            part = min(count, run[1])
            count -= part
            run[1] -= part
            if not run[1]:
                held.popleft()
            if self._release(run[0], slot, part):
                emptied.append(run[0])
        return emptied

    def leave(self, slot: int) -> list[int]:
        """Empty all pages of ``slot``, tail first; returns the large pages now empty."""
        emptied: list[int] = []
        held = self._held.pop(slot, deque[list[int]]())
        while held:
            large, count = held.pop()
            if self._release(large, None, count):
                emptied.append(large)
        for large in list(self._empty_of.get(slot, ())):
            self._put(large, None, self._remove(large, slot, self.ratio))
        return emptied

    def _take_from(self, slot: int, owner: Owner, most: int) -> int:
        taken = 0
        while taken < most and (larges := self._empty_of.get(owner)):
            large = next(iter(larges))
            count = self._remove(large, owner, most - taken)
            held = self._held.setdefault(slot, deque())
            if held and held[-1][0] == large:
                held[-1][1] += count
            else:
                held.append([large, count])
            self._used_in[large] += count
            taken += count
        return taken

    def _release(self, large: int, owner: Owner, count: int) -> bool:
        """Empty ``count`` pages of a large page; whether all of it is empty now, and gone."""
        used = self._used_in[large] - count
        if used:
            self._used_in[large] = used
            self._put(large, owner, count)
            return False
        for each in list(self._empty_in.get(large, ())):
            self._remove(large, each, self.ratio)
        del self._used_in[large]
        return True

    def _put(self, large: int, owner: Owner, count: int) -> None:
        by_owner = self._empty_in.setdefault(large, {})
        by_owner[owner] = by_owner.get(owner, 0) + count
        self._empty_of.setdefault(owner, {})[large] = None
        self.num_free += count
        self.num_owned += count if owner is not None else 0

    def _remove(self, large: int, owner: Owner, most: int) -> int:
        """Remove up to ``most`` empty pages of ``owner`` in ``large``; returns how many."""
        by_owner = self._empty_in[large]
        count = min(most, by_owner[owner])
        by_owner[owner] -= count
        if not by_owner[owner]:
            del by_owner[owner], self._empty_of[owner][large]
            if not self._empty_of[owner]:
                del self._empty_of[owner]
            if not by_owner:
                del self._empty_in[large]
        self.num_free -= count
        self.num_owned -= count if owner is not None else 0
        return count

    def check(self) -> set[int]:
        """Raise InvariantError unless the counts agree; returns the large pages in use."""
        used = dict.fromkeys(self._used_in, 0)
        for runs in self._held.values():
            for large, count in runs:
                used[large] += count
        if used != self._used_in or not all(used.values()):
            raise InvariantError("a large page is in use exactly while one of its small pages is")
        empty: dict[Owner, dict[int, None]] = {}
        free = owned = 0
        for large in {**used, **self._empty_in}:
            by_owner = self._empty_in.get(large, {})
            if used.get(large) != self.ratio - sum(by_owner.values()):
                raise InvariantError(f"large page {large} has not {self.ratio} small pages")
            for owner, count in by_owner.items():
                empty.setdefault(owner, {})[large] = None
                free += count
                owned += count if owner is not None else 0
        if (free, owned) != (self.num_free, self.num_owned) or empty != self._empty_of:
            raise InvariantError("the counts of empty small pages are wrong")
        return set(used)
