"""One page size, that of the largest kind: the baseline "max page" of Jenga's artifact.

Idea. Any page can hold a block of any kind, so pages are never fragmented and no kernel changes.
Source: Jenga, SOSP 2025, sections 4 and 8 ("Max Page"); the artifact fills the smaller kinds up
with dummy layers (27 for every attention layer of Jamba, 3 for every cross-attention layer of
Llama 3.2 Vision). Wastes the difference to the largest page in every page of a smaller kind: 81 %
of the pages of Gemma 3 27B's full attention (10 layers in the room of 52).
"""

from collections.abc import Sequence
from dataclasses import replace

from ...configs.specs import KVCacheSpec
from ..base import GroupingContext, PageGroup
from .by_kind import by_kind


def max_page(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """Groups of one kind each, all pages padded to the largest."""
    groups = by_kind(specs, context)
    largest = max(group.page_bytes for group in groups)
    return tuple(replace(group, page_bytes=largest) for group in groups)
