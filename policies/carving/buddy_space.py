"""A buddy allocator (Knowlton 1965): power-of-two blocks of units that split and merge."""

import heapq

from ...configs.errors import InvariantError


class BuddySpace:
    """Free blocks of ``2 ** order`` units, each at a multiple of its size.

    The space need not be a power of two: it starts as the blocks of its binary digits, the largest
    first. A block is taken from the smallest free one that holds it, of these from the lowest.
    """

    def __init__(self, units: int) -> None:
        self.units = units
        orders = range(units.bit_length())
        self._free: list[set[int]] = [set() for _ in orders]
        self._lowest: list[list[int]] = [[] for _ in orders]
        """A heap per order; offsets that are free no more are dropped when they come up."""
        offset = 0
        for order in reversed(orders):
            if units >> order & 1:
                self._put(order, offset)
                offset += 1 << order

    @property
    def counts(self) -> tuple[int, ...]:
        """Free blocks by order."""
        return tuple([len(free) for free in self._free])

    def take(self, order: int) -> int:
        """Take a block; returns its offset. Raises InvariantError if none is free."""
        found = order
        while found < len(self._free) and not self._free[found]:
            found += 1
        if found >= len(self._free):
            raise InvariantError(f"no free block of order {order}, though one was counted")
        offset = heapq.heappop(self._lowest[found])
        while offset not in self._free[found]:
            offset = heapq.heappop(self._lowest[found])
        self._free[found].remove(offset)
        while found > order:
            found -= 1
            self._put(found, offset + (1 << found))
        return offset

    def give(self, order: int, offset: int) -> None:
        """Give back a block, and merge it with its buddy as long as that is free as a whole."""
        while (buddy := offset ^ (1 << order)) in self._free[order]:
            self._free[order].remove(buddy)
            offset = min(offset, buddy)
            order += 1
        self._put(order, offset)

    def _put(self, order: int, offset: int) -> None:
        free, lowest = self._free[order], self._lowest[order]
        free.add(offset)
        if len(lowest) > 2 * len(free) + 16:
            lowest[:] = sorted(free)
        else:
            heapq.heappush(lowest, offset)

    def check(self, taken: "list[tuple[int, int]]") -> None:
        """Raise InvariantError unless ``taken`` (offset, order) and free blocks tile the space."""
        blocks = [(offset, order) for order, free in enumerate(self._free) for offset in free]
        end = 0
        for offset, order in sorted([*blocks, *taken]):
            if offset != end or offset % (1 << order):
                raise InvariantError(f"block of order {order} at {offset}, expected one at {end}")
            end += 1 << order
        if end != self.units:
            raise InvariantError(f"blocks cover {end} of {self.units} units")
        for offset, order in blocks:
            if offset ^ (1 << order) in self._free[order]:
                raise InvariantError(f"two free buddies of order {order} at {offset} did not merge")
        for free, lowest in zip(self._free, self._lowest, strict=True):
            if not free <= set(lowest):
                raise InvariantError("a free block is not in its heap")
