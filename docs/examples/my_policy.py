"""A memory policy in one file, to be named by ``--policy ./docs/examples/my_policy.py:Chunked``.

Every request gets one contiguous range of addresses per layer, and the driver backs it with
physical chunks of 2 MiB as it grows, as CUDA's virtual memory calls allow (the idea of vAttention,
ASPLOS 2025). All chunks are alike, so nothing is fragmented, but the last chunk of each range is
only partly filled.
"""

from jenga_sim import Carving, InvariantError, PageGroup
from jenga_sim.policies.base import Pages, Slack

CHUNK_BYTES = 2 << 20
Range = tuple[int, int]
"""Pages before the range (given back) and before its end."""


class Chunked(Carving):
    """One address range per request and layer, backed by chunks from a common pool."""

    grouping = "by_kind"

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self._usable = pool_bytes // CHUNK_BYTES * CHUNK_BYTES
        self._free = self._usable
        self._ranges: dict[int, list[Range]] = {}

    def could_fit(self, need: Pages) -> bool:
        """Whether the chunks of a new request are in the pool at all."""
        return self._backing([(0, pages) for pages in need]) <= self._usable

    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        """Whether they are free now."""
        kept = int(watermark * self._usable)
        return self._backing([(0, pages) for pages in need]) + kept <= self._free

    def take(self, slot: int, need: Pages) -> bool:
        """Make the ranges longer; all or nothing."""
        old = self._ranges.get(slot, [(0, 0)] * len(self.groups))
        new = [(start, end + pages) for (start, end), pages in zip(old, need, strict=True)]
        more = self._backing(new) - self._backing(old)
        if more > self._free:
            return False
        self._free -= more
        self._ranges[slot] = new
        return True

    def give(self, slot: int, group: int, count: int) -> None:
        """Cut the range at its front; chunks that it leaves are free again."""
        ranges = self._ranges.get(slot, [(0, 0)] * len(self.groups))
        start, end = ranges[group]
        if start + count > end:
            raise InvariantError(f"slot {slot} gives {count} pages, holds {end - start}")
        self._free += self._touched(group, start, end) - self._touched(group, start + count, end)
        ranges[group] = (start + count, end) if start + count < end else (0, 0)

    def free(self, slot: int) -> None:
        """Give back every chunk of ``slot``."""
        self._free += self._backing(self._ranges.pop(slot, []))

    def free_pages(self) -> tuple[int, ...]:
        """Pages that a new range could have."""
        return tuple(
            self._free // self._unit(index) * self._unit(index) // group.page_bytes
            for index, group in enumerate(self.groups)
        )

    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        """Unfilled ends of ranges are internal; any free chunk serves any request."""
        kept = min(self._free, int(watermark * self._usable))
        return Slack(
            internal=tuple(self._unfilled(index) for index in range(len(self.groups))),
            external=(0,) * len(self.groups),
            reserved=self.pool_bytes - self._usable + kept,
            free=self._free - kept,
        )

    def check(self) -> None:
        """Compare the counter with the ranges."""
        backed = sum(self._backing(ranges) for ranges in self._ranges.values())
        if self._free < 0 or backed + self._free != self._usable:
            raise InvariantError(f"{backed} bytes backed + {self._free} free != {self._usable}")

    def _backing(self, ranges: list[Range]) -> int:
        """Bytes of the chunks that the ranges of one request touch."""
        return sum(self._touched(group, *each) for group, each in enumerate(ranges))

    def _unit(self, group: int) -> int:
        """Bytes by which the ranges of all layers of a group grow together."""
        return CHUNK_BYTES * sum(content.layers for content in self.groups[group].contents)

    def _touched(self, group: int, start: int, end: int) -> int:
        page, unit = self.groups[group].page_bytes, self._unit(group)
        return (-(-end * page // unit) - start * page // unit) * unit if end > start else 0

    def _unfilled(self, group: int) -> int:
        page = self.groups[group].page_bytes
        spans = [ranges[group] for ranges in self._ranges.values()]
        return sum(self._touched(group, *span) - (span[1] - span[0]) * page for span in spans)
