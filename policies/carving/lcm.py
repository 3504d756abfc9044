"""Jenga's two-level allocator (SOSP 2025, section 4): large pages of the LCM of all page sizes.

A large page is carved into small pages of one group and associated with one request, so that pages
of a request lie together and large pages empty as requests end. With prefix caching off, the five
steps for a small page are: an empty one of the request, an empty large page, any empty one of the
group; evicting large and small pages needs a cache.
"""

import math
from collections import deque

from ...configs.errors import ConfigError, InvariantError
from ...configs.specs import cdiv
from ..base import Carving, PageGroup, Pages, Slack
from .small_pages import SmallPages


class LCMCarving(Carving):
    """Large pages = least common multiple of the groups' page bytes; request-aware placement."""

    grouping = "by_kind"

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self.large_bytes = math.lcm(*(group.page_bytes for group in groups))
        # The artifact loses a page when the pool is an exact multiple ("start_bias").
        self.num_large = cdiv(pool_bytes, self.large_bytes) - 1
        self.num_null = len(groups)
        if self.num_large <= self.num_null:
            raise ConfigError(self._too_large_message())
        self._next_fresh = self.num_null
        self._returned: deque[int] = deque()
        self._small = tuple(SmallPages(self.large_bytes // group.page_bytes) for group in groups)

    def _too_large_message(self) -> str:
        sizes = ", ".join(f"{group.name} {group.page_bytes:,}" for group in self.groups)
        return (
            f"the large page is lcm({sizes}) = {self.large_bytes:,} bytes; the pool of "
            f"{self.pool_bytes:,} bytes holds {self.num_large}, and {self.num_null} are null: "
            "nothing can be served. Use --policy vllm, a larger pool, or another --block-size."
        )

    @property
    def free_large(self) -> int:
        """Empty large pages."""
        return self.num_large - self._next_fresh + len(self._returned)

    def _take_large(self) -> int:
        """First in, first out over a list that starts with all pages: fresh ones go first."""
        if self._next_fresh < self.num_large:
            self._next_fresh += 1
            return self._next_fresh - 1
        return self._returned.popleft()

    def _least_large(self, need: Pages) -> int:
        """Large pages without which ``need`` cannot be met."""
        return sum(
            cdiv(max(0, pages - small.num_free), small.ratio)
            for pages, small in zip(need, self._small, strict=True)
        )

    def could_fit(self, need: Pages) -> bool:
        """See Carving."""
        large = sum(
            cdiv(pages, small.ratio) for pages, small in zip(need, self._small, strict=True)
        )
        return large <= self.num_large - self.num_null

    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        """See Carving. The watermark is counted in large pages, as in the artifact."""
        return self._least_large(need) + int(watermark * self.num_large) <= self.free_large

    def take(self, slot: int, need: Pages) -> bool:
        """See Carving. A call may use as many large pages as it needs if all groups can."""
        if self._least_large(need) > self.free_large:
            return False
        wanted = [cdiv(pages, small.ratio) for pages, small in zip(need, self._small, strict=True)]
        generous = sum(wanted) <= self.free_large
        for pages, small, most in zip(need, self._small, wanted, strict=True):
            quota = most if generous else cdiv(max(0, pages - small.num_free), small.ratio)
            left = pages - small.take_own(slot, pages)
            while left and quota:
                quota -= 1
                left -= small.take_large(self._take_large(), slot, left)
            if left and small.take_any(slot, left) != left:
                raise InvariantError("pages were promised that are not there")
        return True

    def give(self, slot: int, group: int, count: int) -> None:
        """See Carving. The pages stay with the request until their large page is empty."""
        self._returned.extend(self._small[group].give_oldest(slot, count))

    def free(self, slot: int) -> None:
        """See Carving. Empty pages that others pin in a large page lose their owner."""
        for small in self._small:
            self._returned.extend(small.leave(slot))

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        return tuple(small.num_free + self.free_large * small.ratio for small in self._small)

    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        """See Carving. Empty small pages: internal with a running owner, external without."""
        del refused
        sizes = [group.page_bytes for group in self.groups]
        internal = tuple(s.num_owned * size for s, size in zip(self._small, sizes, strict=True))
        external = tuple(
            (s.num_free - s.num_owned) * size for s, size in zip(self._small, sizes, strict=True)
        )
        kept = min(self.free_large, int(watermark * self.num_large))
        remainder = self.pool_bytes - self.num_large * self.large_bytes
        return Slack(
            internal,
            external,
            reserved=remainder + (self.num_null + kept) * self.large_bytes,
            free=(self.free_large - kept) * self.large_bytes,
        )

    def check(self) -> None:
        """See Carving."""
        in_use: set[int] = set()
        for small in self._small:
            mine = small.check()
            if mine & in_use:
                raise InvariantError("a large page belongs to two groups")
            in_use |= mine
        free = set(self._returned)
        if len(free) != len(self._returned) or free & in_use:
            raise InvariantError("a large page is free twice or free and in use")
        if self.free_large + len(in_use) + self.num_null != self.num_large:
            raise InvariantError(
                f"{self.free_large} free + {len(in_use)} used + {self.num_null} null large pages "
                f"are not {self.num_large}"
            )
