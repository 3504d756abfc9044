"""The least that a memory policy in plain Python does: it counts bytes, and knows no place."""

from jenga_sim import Carving, InvariantError, PageGroup
from jenga_sim.policies.base import Pages, Slack


class Counting(Carving):
    """Free bytes of the pool, and pages of every request."""

    grouping = "by_kind"

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self._sizes = [group.page_bytes for group in groups]
        self._nothing = (0,) * len(groups)
        self._free = pool_bytes
        self._held: dict[int, list[int]] = {}

    def could_fit(self, need: Pages) -> bool:
        """Whether the pool is large enough."""
        return self._bytes(need) <= self.pool_bytes

    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        """Whether there are enough free bytes."""
        return self._bytes(need) + int(watermark * self.pool_bytes) <= self._free

    def take(self, slot: int, need: Pages) -> bool:
        """Take the bytes of all pages, or none."""
        more = self._bytes(need)
        if more > self._free:
            return False
        self._free -= more
        held = self._held.get(slot, self._nothing)
        self._held[slot] = [mine + new for mine, new in zip(held, need, strict=True)]
        return True

    def give(self, slot: int, group: int, count: int) -> None:
        """Give back some pages."""
        held = self._held[slot]
        if count > held[group]:
            raise InvariantError(f"slot {slot} gives {count} pages, holds {held[group]}")
        held[group] -= count
        self._free += count * self._sizes[group]

    def free(self, slot: int) -> None:
        """Give back every page."""
        self._free += self._bytes(self._held.pop(slot, self._nothing))

    def free_pages(self) -> tuple[int, ...]:
        """Pages that a group alone could have."""
        return tuple(self._free // size for size in self._sizes)

    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        """Free bytes serve every group."""
        kept = min(self._free, int(watermark * self.pool_bytes))
        return Slack(self._nothing, self._nothing, kept, self._free - kept)

    def check(self) -> None:
        """Compare the free bytes with what is held."""
        held = sum(self._bytes(pages) for pages in self._held.values())
        if held + self._free != self.pool_bytes:
            raise InvariantError(f"{held} bytes held + {self._free} free != {self.pool_bytes}")

    def _bytes(self, pages: Pages) -> int:
        return sum(count * size for count, size in zip(pages, self._sizes, strict=True))
