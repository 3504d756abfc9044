"""The byte-exact bound: no pages, no partition, no null page. No policy can hold fewer bytes."""

from ...configs.errors import InvariantError
from ..base import Carving, PageGroup, Pages, Slack
from .counted import Counted


class Ideal(Carving):
    """One pool counted in bytes; pages of any group fit anywhere (there is no such allocator)."""

    grouping = "by_kind_exact"

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self.free_bytes = pool_bytes
        self._sizes = tuple(group.page_bytes for group in groups)
        self._held = Counted(len(groups))

    def _bytes(self, pages: Pages) -> int:
        return sum(count * size for count, size in zip(pages, self._sizes, strict=True))

    def could_fit(self, need: Pages) -> bool:
        """See Carving."""
        return self._bytes(need) <= self.pool_bytes

    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        """See Carving."""
        return self._bytes(need) + int(watermark * self.pool_bytes) <= self.free_bytes

    def take(self, slot: int, need: Pages) -> bool:
        """See Carving."""
        total = self._bytes(need)
        if total > self.free_bytes:
            return False
        if total:
            self.free_bytes -= total
            self._held.add(slot, need)
        return True

    def give(self, slot: int, group: int, count: int) -> None:
        """See Carving."""
        self._held.remove(slot, group, count)
        self.free_bytes += count * self._sizes[group]

    def free(self, slot: int) -> None:
        """See Carving."""
        self.free_bytes += self._bytes(self._held.pop(slot))

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        return tuple(self.free_bytes // size for size in self._sizes)

    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        """See Carving. Nothing is ever stranded; only the watermark is set aside."""
        del refused
        none = (0,) * len(self.groups)
        kept = min(self.free_bytes, int(watermark * self.pool_bytes))
        return Slack(none, none, reserved=kept, free=self.free_bytes - kept)

    def check(self) -> None:
        """See Carving."""
        self._held.check()
        used = self._bytes(self._held.totals)
        if self.free_bytes < 0 or used + self.free_bytes != self.pool_bytes:
            raise InvariantError(
                f"{used} bytes used + {self.free_bytes} free are not the pool's {self.pool_bytes}"
            )
