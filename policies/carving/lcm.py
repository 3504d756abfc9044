"""Jenga's two-level allocator (SOSP 2025, section 4): large pages of the LCM of all page sizes.

A large page is carved into small pages of one group and associated with one request, so that pages
of a request lie together and large pages empty as requests end (``policies.large_pages``). Here the
engine counts pages; where prefixes are cached, ``sim.large_tables`` works on the same pool.
"""

import math

from ...configs.errors import ConfigError
from ...configs.specs import cdiv
from .. import batch
from ..base import PageGroup, Pages
from ..batch import IntArray
from ..compiled import body_of, inner
from ..compiled_carving import CompiledCarving, copies_nothing
from ..large_pages import empty_pages, holdings, room
from ..large_pages import layout as at
from ..large_pages.layout import NOBODY, NULL_OWNER, Pool
from ..large_pages.pool import LargePages
from ..page_advice import better_policy


class LCMCarving(CompiledCarving):
    """Large pages = least common multiple of the groups' page bytes; request-aware placement."""

    grouping = "by_kind"
    frugal = False

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self.large_bytes = math.lcm(*(group.page_bytes for group in groups))
        # The artifact loses a page when the pool is an exact multiple ("start_bias").
        self.num_large = cdiv(pool_bytes, self.large_bytes) - 1
        if self.num_large <= len(groups):
            raise ConfigError(self._too_large_message())
        sizes = [group.page_bytes for group in groups]
        ratios = [self.large_bytes // size for size in sizes]
        self.pages = LargePages(ratios, self.num_large, frugal=self.frugal)
        self.state: Pool = self.pages.state
        self.state.groups[:, at.PAGE_BYTES] = sizes
        self.state.counts[at.REST_BYTES] = pool_bytes - self.num_large * self.large_bytes

    def _too_large_message(self) -> str:
        sizes = ", ".join(f"{group.name} {group.page_bytes:,}" for group in self.groups)
        better = better_policy(self.groups, self.pool_bytes)
        return (
            f"the large page is lcm({sizes}) = {self.large_bytes:,} bytes; the pool of "
            f"{self.pool_bytes:,} bytes holds {self.num_large}, and {len(self.groups)} are null: "
            f"nothing can be served. Use {better or 'a smaller --block-size'}, or a larger pool."
        )

    def grow(self, holders: int) -> None:
        """See CompiledCarving."""
        self.pages.grow(holders)
        self.state = self.pages.state

    def could_fit_above(self, need: Pages, watermark: float) -> bool:
        """Like ``could_fit``, with ``watermark`` to be left as by ``fits``."""
        ratios = [small.ratio for small in self.pages.small]
        least = sum(cdiv(max(0, n - (r - 1)), r) for n, r in zip(need, ratios, strict=True))
        return least + int(watermark * self.num_large) <= self.num_large - len(self.groups)

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        large = self.pages.free_large + self.pages.evictable_large
        return tuple(
            small.num_empty + self.pages.num_apart(group) + large * small.ratio
            for group, small in enumerate(self.pages.small)
        )

    def check(self) -> None:
        """See Carving."""
        self.pages.check()
        holdings.check(self.state)


copies_nothing(Pool)


@body_of(batch.could_fit, Pool)
@inner
def _could_fit(pool: Pool, need: IntArray) -> bool:
    # Beside the null page its large page has room for others.
    least = 0
    for group in range(len(need)):
        ratio = pool.groups[group, at.RATIO]
        least += room.in_large(need[group] - (ratio - 1), ratio)
    return least <= pool.counts[at.SIZE] - len(need)


@body_of(batch.fits, Pool)
@inner
def _fits(pool: Pool, need: IntArray, watermark: float) -> bool:
    # The watermark is counted in large pages, as in the artifact.
    kept = int(watermark * pool.counts[at.SIZE])
    return room.least_large(pool, need) + kept <= room.available(pool)


body_of(batch.take, Pool)(holdings.take)
body_of(batch.give, Pool)(holdings.give)
body_of(batch.free, Pool)(holdings.free)


@body_of(batch.slack, Pool)
@inner
def _slack(pool: Pool, refused: IntArray, watermark: float, out: IntArray) -> None:
    """Empty small pages are internal with a running owner, external without.

    Those beside cached pages that nobody holds are internal: evicting these frees both.
    """
    groups, counts, num_groups = pool.groups, pool.counts, len(pool.groups)
    out[-2] = counts[at.REST_BYTES]
    for group in range(num_groups):
        mine, size = groups[group], groups[group, at.PAGE_BYTES]
        apart = pool.owners[NOBODY, group, at.KEPT] + pool.owners[NULL_OWNER, group, at.KEPT]
        out[group] = (mine[at.EMPTIES] - apart + mine[at.PARKED]) * size
        out[num_groups + group] = apart * size
        out[2 * num_groups + group] = mine[at.IDLES] * size
        out[-2] += size
    large_bytes = groups[0, at.RATIO] * groups[0, at.PAGE_BYTES]
    free = empty_pages.free_large(pool)
    kept = min(free, int(watermark * counts[at.SIZE]))
    out[-2] += kept * large_bytes
    out[-1] = (free - kept) * large_bytes
