"""Jenga's two-level allocator (SOSP 2025, section 4): large pages of the LCM of all page sizes.

A large page is carved into small pages of one group and associated with one request, so that pages
of a request lie together and large pages empty as requests end (``policies.large_pages``). Here the
engine counts pages; where prefixes are cached, ``sim.large_tables`` works on the same pool.
"""

import math
from collections import deque

from ...configs.errors import ConfigError, InvariantError
from ...configs.specs import cdiv
from ..base import Carving, PageGroup, Pages, Slack
from ..large_pages.pool import LargePages
from ..page_advice import better_policy


class LCMCarving(Carving):
    """Large pages = least common multiple of the groups' page bytes; request-aware placement."""

    grouping = "by_kind"
    pages_type: type[LargePages] = LargePages

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self.large_bytes = math.lcm(*(group.page_bytes for group in groups))
        # The artifact loses a page when the pool is an exact multiple ("start_bias").
        self.num_large = cdiv(pool_bytes, self.large_bytes) - 1
        if self.num_large <= len(groups):
            raise ConfigError(self._too_large_message())
        self.pages = self.pages_type(
            [self.large_bytes // group.page_bytes for group in groups], self.num_large
        )
        self._held: dict[int, tuple[deque[int], ...]] = {}

    def _too_large_message(self) -> str:
        sizes = ", ".join(f"{group.name} {group.page_bytes:,}" for group in self.groups)
        better = better_policy(self.groups, self.pool_bytes)
        return (
            f"the large page is lcm({sizes}) = {self.large_bytes:,} bytes; the pool of "
            f"{self.pool_bytes:,} bytes holds {self.num_large}, and {len(self.groups)} are null: "
            f"nothing can be served. Use {better or 'a smaller --block-size'}, or a larger pool."
        )

    def could_fit(self, need: Pages, watermark: float = 0.0) -> bool:
        """See Carving. Beside the null page its large page has room for others."""
        least = sum(
            cdiv(max(0, pages - (small.ratio - 1)), small.ratio)
            for pages, small in zip(need, self.pages.small, strict=True)
        )
        return least + int(watermark * self.num_large) <= self.num_large - len(self.groups)

    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        """See Carving. The watermark is counted in large pages, as in the artifact."""
        room = self.pages.room(need)
        return room.total + int(watermark * self.num_large) <= room.available

    def take(self, slot: int, need: Pages) -> bool:
        """See Carving. A call may use as many large pages as it needs if all groups can."""
        if not self.fits(need):
            return False
        if not any(need):
            return True
        held = self._held.get(slot)
        if held is None:
            self.pages.join(slot)
            held = self._held[slot] = tuple(deque[int]() for _ in self.groups)
        self.pages.set_quotas(need)
        for group, (pages, mine) in enumerate(zip(need, held, strict=True)):
            mine.extend(self.pages.take(group, slot, pages))
        return True

    def give(self, slot: int, group: int, count: int) -> None:
        """See Carving. The pages stay with the request until their large page is empty."""
        held = self._held.get(slot)
        if held is None or len(held[group]) < count:
            raise InvariantError(f"slot {slot} gives {count} pages that it does not hold")
        self.pages.release(group, [held[group].popleft() for _ in range(count)])

    def free(self, slot: int) -> None:
        """See Carving. Empty pages that others pin in a large page lose their owner."""
        held = self._held.pop(slot, None)
        if held is None:
            return
        self.pages.leave(slot)
        for group, mine in enumerate(held):
            self.pages.release(group, mine)

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        large = self.pages.free_large + self.pages.evictable_large
        return tuple(
            small.num_empty + self.pages.num_apart(group) + large * small.ratio
            for group, small in enumerate(self.pages.small)
        )

    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        """See Carving. Empty small pages: internal with a running owner, external without.

        Those beside cached pages that nobody holds are internal: evicting these frees both.
        """
        del refused
        pages = self.pages
        internal: list[int] = []
        external: list[int] = []
        cached: list[int] = []
        for group, small, idle in zip(self.groups, pages.small, pages.idle, strict=True):
            size = group.page_bytes
            internal.append((small.num_owned + small.num_parked) * size)
            external.append((small.num_empty - small.num_owned) * size)
            cached.append(len(idle) * size)
        kept = min(pages.free_large, int(watermark * self.num_large))
        remainder = self.pool_bytes - self.num_large * self.large_bytes
        null = sum(group.page_bytes for group in self.groups)
        return Slack(
            tuple(internal),
            tuple(external),
            reserved=remainder + null + kept * self.large_bytes,
            free=(pages.free_large - kept) * self.large_bytes,
            cached=tuple(cached),
        )

    def check(self) -> None:
        """See Carving."""
        self.pages.check()
        for group, _ in enumerate(self.groups):
            pages = [page for held in self._held.values() for page in held[group]]
            if self._held and len(set(pages)) != len(pages):
                raise InvariantError("two requests hold one small page")
