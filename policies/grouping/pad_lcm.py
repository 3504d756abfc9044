"""Jenga's groups, larger pages padded to multiples of smaller ones, so that the LCM stays small.

Idea. If every page divides the next larger one, the LCM is the largest page. Source: this project;
the LCM is Jenga's (SOSP 2025, section 4), and explodes where page sizes share few factors (22.3
GiB for Bamba 9B, 59.4 MiB here). Wastes up to one smaller page in each larger one: 0.06 % of
Bamba's states, but 13.3 % of Gemma 3 27B's window pages (52 layers in the room of 60). The large
page still holds the states of all layers; ``lcm_blocks`` goes on from there.
"""

from collections.abc import Sequence
from dataclasses import replace

from ...configs.specs import KVCacheSpec
from ..base import GroupingContext, PageGroup
from ..page_sizes import divisibility_chain
from .by_kind import by_kind


def pad_lcm(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """Groups of one kind each, page sizes in a chain of multiples."""
    groups = by_kind(specs, context)
    sizes = divisibility_chain([group.page_bytes for group in groups])
    return tuple(replace(group, page_bytes=size) for group, size in zip(groups, sizes, strict=True))
