"""Counts of pages per slot and group, for carvings that do not care where a page lies."""

from ...configs.errors import InvariantError
from ..base import Pages


class Counted:
    """How many pages each slot holds in each group, and the totals. Raises on a double free."""

    def __init__(self, num_groups: int) -> None:
        self.totals = [0] * num_groups
        self._by_slot: dict[int, list[int]] = {}

    def add(self, slot: int, pages: Pages) -> None:
        """Record that ``slot`` took ``pages``."""
        held = self._by_slot.setdefault(slot, [0] * len(self.totals))
        for group, count in enumerate(pages):
            held[group] += count
            self.totals[group] += count

    def remove(self, slot: int, group: int, count: int) -> None:
        """Record that ``slot`` gave back ``count`` pages of ``group``."""
        held = self._by_slot.get(slot)
        if held is None or held[group] < count or count < 0:
            have = held[group] if held else 0
            raise InvariantError(f"slot {slot} gives {count} pages of group {group}, holds {have}")
        held[group] -= count
        self.totals[group] -= count

    def pop(self, slot: int) -> list[int]:
        """Forget ``slot`` and return what it held, zeros if nothing."""
        held = self._by_slot.pop(slot, None) or [0] * len(self.totals)
        for group, count in enumerate(held):
            self.totals[group] -= count
        return held

    def check(self) -> None:
        """Raise InvariantError unless the totals are the sums over the slots."""
        sums = [
            sum(held[group] for held in self._by_slot.values()) for group in range(len(self.totals))
        ]
        if sums != self.totals or any(total < 0 for total in sums):
            raise InvariantError(f"pages by slot sum to {sums}, the totals say {self.totals}")
