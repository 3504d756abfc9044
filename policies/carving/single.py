"""One page size for every group: PagedAttention's pool, and vLLM's (``v1/core/block_pool.py``)."""

from ...configs.errors import ConfigError, InvariantError
from ..base import Carving, PageGroup, Pages, Slack
from .counted import Counted

NULL_PAGES = 1
"""vLLM never hands out block 0: table entries of expired blocks point at it."""


class SinglePool(Carving):
    """All groups draw equal pages from one free list. With one size, identity does not matter."""

    grouping = "vllm"

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        sizes = {group.page_bytes for group in groups}
        if len(sizes) != 1:
            raise ConfigError(
                f"carving 'single' needs pages of one size, got {sorted(sizes)} bytes"
            )
        self.page_bytes = sizes.pop()
        self.num_pages = pool_bytes // self.page_bytes
        block = max(group.pages_per_block for group in groups)
        if self.num_pages < NULL_PAGES + block:
            raise ConfigError(
                f"the pool of {pool_bytes:,} bytes holds {self.num_pages:,} pages of "
                f"{self.page_bytes:,} bytes; one is the null page and a block takes {block:,}: "
                "nothing can be served. "
                "Give it more memory, more GPUs (--tp) or a smaller --block-size."
            )
        self.free_count = self.num_pages - NULL_PAGES
        self._held = Counted(len(groups))

    def could_fit(self, need: Pages) -> bool:
        """See Carving."""
        return sum(need) <= self.num_pages - NULL_PAGES

    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        """See Carving. The watermark is rounded down to pages, as vLLM does."""
        return sum(need) + int(watermark * self.num_pages) <= self.free_count

    def take(self, slot: int, need: Pages) -> bool:
        """See Carving."""
        total = sum(need)
        if total > self.free_count:
            return False
        if total:
            self.free_count -= total
            self._held.add(slot, need)
        return True

    def give(self, slot: int, group: int, count: int) -> None:
        """See Carving."""
        self._held.remove(slot, group, count)
        self.free_count += count

    def free(self, slot: int) -> None:
        """See Carving."""
        self.free_count += sum(self._held.pop(slot))

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        return (self.free_count,) * len(self.groups)

    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        """See Carving. One size has no external fragmentation."""
        del refused
        none = (0,) * len(self.groups)
        kept = min(self.free_count, int(watermark * self.num_pages))
        remainder = self.pool_bytes - self.num_pages * self.page_bytes
        return Slack(
            internal=none,
            external=none,
            reserved=remainder + (NULL_PAGES + kept) * self.page_bytes,
            free=(self.free_count - kept) * self.page_bytes,
        )

    def check(self) -> None:
        """See Carving."""
        self._held.check()
        used = sum(self._held.totals)
        if self.free_count < 0 or used + self.free_count + NULL_PAGES != self.num_pages:
            raise InvariantError(
                f"{used} pages used + {self.free_count} free + {NULL_PAGES} null "
                f"are not the pool's {self.num_pages}"
            )
