"""Pages of power-of-two sizes, for the buddy carving.

Idea. Pages whose sizes are powers of two times one unit split and merge in place, so that the
kinds share one pool without an LCM. Source: the power-of-two baseline in the discussion of Jenga
(SOSP 2025); buddy systems are Knowlton's (CACM 8(10), 1965). Two ways to get such pages:

* ``buddy_layers``: the layers of a kind are filled up to a power of two. Where layers of different
  kinds differ in bytes the page is then rounded up again, as below. Gemma 3 27B: 52 window layers
  in the room of 64 waste 18.75 %, 10 full layers in that of 16 waste 37.5 %.
* ``buddy_bytes``: every page is rounded up to the smallest page times a power of two. Gemma 3 27B:
  the full layers fit exactly, the window layers take 80 in the place of 52 and waste 35 %.

Both waste up to half of a page, and what the carving leaves in blocks that are too small.
"""

from collections.abc import Sequence
from dataclasses import replace

from ...configs.specs import KVCacheSpec
from ..base import GroupingContext, PageGroup
from ..page_sizes import buddy_layer_pages, buddy_pages
from .by_kind import by_kind


def buddy_layers(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """Groups of one kind each, filled up to a power of two of layers."""
    groups = by_kind(specs, context)
    return _padded(groups, buddy_layer_pages(groups))


def buddy_bytes(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """Groups of one kind each, pages rounded up to the smallest times a power of two."""
    groups = by_kind(specs, context)
    return _padded(groups, buddy_pages([group.page_bytes for group in groups]))


def _padded(groups: Sequence[PageGroup], sizes: Sequence[int]) -> tuple[PageGroup, ...]:
    return tuple(replace(group, page_bytes=size) for group, size in zip(groups, sizes, strict=True))
