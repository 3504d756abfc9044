"""One page size that divides every kind's block: the GCD alternative of Jenga's paper.

Idea. A block of a kind lies in as many pages as it needs, anywhere in the pool, so that nothing is
padded and nothing is fragmented. Source: Jenga, SOSP 2025, section 4, which rejects it: a page may
end within a layer, or within a token, and no attention kernel reads such a block; besides, the
tables become long (Bamba 9B: pages of 512 bytes, 121,655 for one request's states). Step times here
do not know that, so take its results as a bound. Wastes unfilled blocks only.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from ...configs.specs import KVCacheSpec
from ..base import GroupingContext, PageGroup
from .by_kind import by_kind


def gcd_page(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """Groups of one kind each, a block in several pages of the greatest common divisor."""
    groups = by_kind(specs, context)
    page = math.gcd(*(group.page_bytes for group in groups))
    return tuple(
        replace(group, page_bytes=page, pages_per_block=group.page_bytes // page)
        for group in groups
    )
