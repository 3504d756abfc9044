"""Jenga's pool, but no call takes a large page for what fits empty small pages.

Our own. Jenga (SOSP 2025, section 4) gives a request a new large page although others' large pages
have room, so that pages of a request lie together. An admission counts that room, though: where a
prompt is computed in chunks, its first chunk takes large pages that the admission left for its last
one. So a call here may use only as many large pages as empty small ones are lacking.
"""

from ...configs.specs import cdiv
from ..base import Pages
from ..large_pages.pool import LargePages
from .lcm import LCMCarving


class FrugalPages(LargePages):
    """``LargePages`` in which a call uses no large page for what fits the empty small ones."""

    def set_quotas(self, need: Pages) -> None:
        """See PagePool. Cached pages do not count as empty: large ones are taken before those."""
        super().set_quotas(need)
        lacking = [
            cdiv(max(0, pages - small.num_empty), small.ratio)
            for pages, small in zip(need, self.small, strict=True)
        ]
        if not self._is_thrifty and sum(lacking) <= self.free_large + self.evictable_large:
            self._quota = lacking


class FrugalLCMCarving(LCMCarving):
    """``LCMCarving`` over ``FrugalPages``."""

    pages_type = FrugalPages
