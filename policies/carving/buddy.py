"""Pages from a buddy allocator: every kind's page is a power of two times the smallest.

Wastes what the grouping pads (``grouping/buddy.py``) and, beside it, free blocks that are smaller
than the page that is asked for: a block is whole only once both its halves are free. One null page
of the largest size lies at address 0, where it is page 0 of every group.
"""

from collections import deque
from collections.abc import Sequence

from ...configs.errors import ConfigError, InvariantError
from ..base import Carving, PageGroup, Pages, Slack
from .buddy_space import BuddySpace


class Buddy(Carving):
    """One pool of blocks that split and merge; the smallest page is the unit."""

    grouping = "buddy_bytes"

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self.unit = min(group.page_bytes for group in groups)
        self._orders = tuple(self._order(group) for group in groups)
        self._largest_first = sorted(range(len(groups)), key=lambda group: -self._orders[group])
        self._space = BuddySpace(pool_bytes // self.unit)
        self._null_order = max(self._orders)
        if self._reach(self._space.counts)[self._null_order]:
            self._null = self._space.take(self._null_order)
        self._empty = self._reach(self._space.counts)
        if not all(self.free_pages()):
            raise ConfigError(
                f"the pool of {pool_bytes:,} bytes holds {pool_bytes // self.unit} pages of "
                f"{self.unit:,} bytes; the null page takes {1 << self._null_order} of them and "
                "what is left has no room for a page of each kind: nothing can be served. "
                "Give it more memory, more GPUs (--tp), or another policy (jenga-sim policies)."
            )
        self._held: dict[int, list[deque[int]]] = {}

    def _order(self, group: PageGroup) -> int:
        units, rest = divmod(group.page_bytes, self.unit)
        if rest or units & (units - 1):
            sizes = sorted({group.page_bytes for group in self.groups})
            raise ConfigError(
                "carving 'buddy' needs pages of the smallest size times a power of two, got "
                f"{sizes} bytes; the groupings buddy_layers and buddy_bytes make such pages"
            )
        return units.bit_length() - 1

    def _reach(self, counts: Sequence[int]) -> list[int]:
        """Per order: free units in blocks of that order or larger."""
        total, reach = 0, [0] * max(len(counts), max(self._orders) + 1)
        for order in reversed(range(len(counts))):
            total += counts[order] << order
            reach[order] = total
        return reach

    def _wanted(self, need: Pages) -> list[tuple[int, int]]:
        """Orders of ``need``, largest first, with the units wanted in blocks at least so large."""
        total, wanted = 0, []
        for group in self._largest_first:
            if need[group]:
                total += need[group] << self._orders[group]
                wanted.append((self._orders[group], total))
        return wanted

    def _lacks(self, need: Pages, reach: Sequence[int]) -> list[int]:
        """Orders, largest first, of which there are too few units. None: ``need`` can be met.

        Taking the largest pages first never splits more than it must, because every size divides
        the larger ones; so counting units is exact.
        """
        return [order for order, units in self._wanted(need) if units > reach[order]]

    def could_fit(self, need: Pages) -> bool:
        """See Carving."""
        return not self._lacks(need, self._empty)

    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        """See Carving. The watermark is a share of the pool's units, wherever they lie."""
        reach = self._reach(self._space.counts)
        if self._lacks(need, reach):
            return False
        return self._units(need) + int(watermark * self._space.units) <= reach[0]

    def _units(self, need: Pages) -> int:
        return sum(pages << order for pages, order in zip(need, self._orders, strict=True))

    def take(self, slot: int, need: Pages) -> bool:
        """See Carving. Largest pages first."""
        if self._lacks(need, self._reach(self._space.counts)):
            return False
        if any(need):
            held = self._held.setdefault(slot, [deque() for _ in self.groups])
            for group in self._largest_first:
                order = self._orders[group]
                held[group].extend([self._space.take(order) for _ in range(need[group])])
        return True

    def give(self, slot: int, group: int, count: int) -> None:
        """See Carving."""
        held = self._held.get(slot)
        if held is None or count < 0 or len(held[group]) < count:
            have = len(held[group]) if held else 0
            raise InvariantError(f"slot {slot} gives {count} pages of group {group}, holds {have}")
        for _ in range(count):
            self._space.give(self._orders[group], held[group].popleft())

    def free(self, slot: int) -> None:
        """See Carving."""
        for order, pages in zip(self._orders, self._held.pop(slot, ()), strict=False):
            while pages:
                self._space.give(order, pages.pop())

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        reach = self._reach(self._space.counts)
        return tuple([reach[order] >> order for order in self._orders])

    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        """See Carving. External: free blocks smaller than every page that the refused need lacks.

        They are booked under the largest page that they could hold.
        """
        counts = self._space.counts
        free = sum(count << order for order, count in enumerate(counts))
        kept = min(free, int(watermark * self._space.units))
        lacks = self._lacks(refused, self._reach(counts)) if refused is not None else []
        usable = free - kept
        external = [0] * len(self.groups)
        for order in range(min(lacks, default=0)):
            stranded = min(usable, counts[order] << order)
            external[self._largest_within(order)] += stranded * self.unit
            usable -= stranded
        null = 1 << self._null_order
        remainder = self.pool_bytes - self._space.units * self.unit
        return Slack(
            internal=(0,) * len(self.groups),
            external=tuple(external),
            reserved=remainder + (null + kept) * self.unit,
            free=usable * self.unit,
        )

    def _largest_within(self, order: int) -> int:
        """The group with the largest page that a block of ``order`` can hold."""
        return next(group for group in self._largest_first if self._orders[group] <= order)

    def check(self) -> None:
        """See Carving."""
        taken = [
            (offset, order)
            for held in self._held.values()
            for order, pages in zip(self._orders, held, strict=True)
            for offset in pages
        ]
        self._space.check([*taken, (self._null, self._null_order)])
