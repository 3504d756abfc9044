"""Page sizes of Jenga and its alternatives for groups of one kind each: arithmetic, in bytes.

Jenga's paper (SOSP 2025, section 4) weighs the LCM, the GCD and the maximum of the kinds' pages;
its evaluation adds power-of-two pages. Nothing here knows a pool.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..configs.specs import cdiv
from .base import PageGroup
from .page_shapes import PageShape, tiling_shapes

_MOST_CHAINS = 10_000
"""Pages that the search for a chain looks at: it has found a chain after a handful."""


def power_of_two(count: int) -> int:
    """The smallest power of two that is not below ``count``."""
    return 1 << (count - 1).bit_length()


def buddy_pages(sizes: Sequence[int]) -> tuple[int, ...]:
    """Every page rounded up to the smallest one times a power of two."""
    unit = min(sizes)
    return tuple(unit * power_of_two(cdiv(size, unit)) for size in sizes)


def buddy_layer_pages(groups: Sequence[PageGroup]) -> tuple[int, ...]:
    """As ``buddy_pages``, after the layers of every kind were filled up to a power of two."""
    layers = [sum(content.layers for content in group.contents) for group in groups]
    return buddy_pages(
        [
            group.content_bytes // count * power_of_two(count)
            for group, count in zip(groups, layers, strict=True)
        ]
    )


def divisibility_chain(sizes: Sequence[int]) -> tuple[int, ...]:
    """Pages padded so that each is a multiple of the next smaller one; the largest is the LCM.

    The smallest page stays as it is. Of all such chains the one in which the padded shares of the
    pages have the smallest sum; with very many kinds, one that is no worse than padding each page
    to the next multiple.
    """
    ordered = sorted(set(sizes))
    best: tuple[float, tuple[int, ...]] = (math.inf, ())
    looked_at = 0

    def extend(chain: tuple[int, ...], padded: float) -> None:
        nonlocal best, looked_at
        if len(chain) == len(ordered):
            best = min(best, (padded, chain))
            return
        size = ordered[len(chain)]
        page = cdiv(size, chain[-1]) * chain[-1]
        while (more := padded + (1 - size / page)) < best[0] and looked_at < _MOST_CHAINS:
            looked_at += 1
            extend((*chain, page), more)
            page += chain[-1]

    extend((ordered[0],), 0.0)
    page_of = dict(zip(ordered, best[1], strict=True))
    return tuple(page_of[size] for size in sizes)


@dataclass(frozen=True, kw_only=True)
class PageSizes:
    """What the pages of a model's kinds are under each policy, in the order of its groups."""

    small: tuple[int, ...]
    """Unpadded: one block of all layers of the kind (``lcm``, ``static``)."""
    gcd: int
    max: int
    lcm: int
    """Jenga's large page."""
    pad_lcm: tuple[int, ...]
    lcm_blocks: tuple[PageShape, ...]
    buddy_layers: tuple[int, ...]
    buddy_bytes: tuple[int, ...]

    @property
    def large_pad_lcm(self) -> int:
        """The large page of ``pad-lcm``."""
        return max(self.pad_lcm)

    @property
    def large_lcm_blocks(self) -> int:
        """The large page of ``lcm-blocks``."""
        return math.lcm(*(shape.page_bytes for shape in self.lcm_blocks))


def page_sizes(groups: Sequence[PageGroup]) -> PageSizes:
    """Sizes for groups of one kind each (``by_kind``). Pure."""
    small = tuple(group.content_bytes for group in groups)
    return PageSizes(
        small=small,
        gcd=math.gcd(*small),
        max=max(small),
        lcm=math.lcm(*small),
        pad_lcm=divisibility_chain(small),
        lcm_blocks=tiling_shapes(groups),
        buddy_layers=buddy_layer_pages(groups),
        buddy_bytes=buddy_pages(small),
    )
