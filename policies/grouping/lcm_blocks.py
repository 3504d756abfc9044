"""Jenga's groups with blocks shaped, kind by kind, so that all pages tile a small large page.

Idea. A state need not lie in one page, and any page may be padded a little: the large page can
then be about as large as one layer's state, or the largest block of attention. Source: this
project; rule and reasons in ``policies/page_shapes.py``. Bamba 9B: large pages of 2.1 MiB in the
place of 22.3 GiB, with one layer's state or 11 blocks of attention in each, 0.7 % of a state's
page padded. Wastes that padding, unfilled blocks, and a part of one small large page per kind and
request. A state has a table entry for every page, as vLLM has for every group of layers.
"""

from collections.abc import Sequence

from ...configs.specs import KVCacheSpec
from ..base import GroupingContext, PageGroup
from ..page_shapes import reshaped, tiling_shapes
from .by_kind import by_kind


def lcm_blocks(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """Groups of one kind each, with the pages that are expected to waste least."""
    groups = by_kind(specs, context)
    return reshaped(groups, tiling_shapes(groups))
