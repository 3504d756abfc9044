"""Pages of unequal kinds, shaped to tile one small large page: the rule of ``lcm-blocks``.

Idea. Jenga's large page is the LCM of the kinds' pages (SOSP 2025, section 4). The LCM is small
where the page sizes have much in common and explodes where they do not: 22.3 GiB for Bamba, whose
states and attention share few factors. Here the large page is chosen first, and every page is made
to fit it.

What may be chosen, per kind:

* *Tokens per page* stay the kernel's. More never help. Unpadded, the LCM of multiples is a
  multiple of the LCM. Padded, a block of ``m`` kernel blocks needs the room of ``m`` small pages
  at least, and ends with ``m`` times as many unfilled tokens.
* *A state may be spread over several pages*, each with the states of equally many layers, so that
  no large page need hold the states of all layers: vLLM groups layers for the same reason. A
  request has one state per layer however long it is, so this costs a handful of table entries.
  Attention keeps all layers of a kind in one page: its table would grow by a factor.
* *Padding.* In a large page of L bytes a kind with pages of q bytes has r = floor(L / q) of them,
  each L / r bytes long. Both kinds may be padded, unlike under ``pad-lcm``.

The rule. For every L that is some kind's page times an integer, take for every kind the cheapest
shape; of all these, and of the unpadded pages, take what has the least ``expected_waste``. L
follows from the model alone: what a partly filled large page wastes keeps it small, however large
the pool is.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ..configs.specs import cdiv
from .base import PageGroup

LENGTHS = (1024, 8192, 32768)
"""Tokens of a request for which waste is expected: a chat, one with its history, a document."""

ALIGNMENT = 16
"""Bytes: what attention kernels load at once. Padded pages keep it where the content has it."""

_ANCHORS = 32
"""Multiples of each page, from the least large page on, that are tried as a large page."""


class PageShape(NamedTuple):
    """How a kind's block lies in pages."""

    page_bytes: int
    """Padding included."""
    pages_per_block: int


def content_bytes(group: PageGroup, tokens: int) -> int:
    """Bytes that a request of ``tokens`` needs in ``group``.

    Encoders are taken to be as long as the text, chunks to be full.
    """
    if is_state(group):
        return group.content_bytes
    live = min(tokens, group.window) if group.window else tokens
    return live * group.content_bytes // group.block_size


def is_state(group: PageGroup) -> bool:
    """Whether the group stores one state per request."""
    return any(content.state_bytes for content in group.contents)


def wasted_bytes(
    group: PageGroup, page_bytes: float, pages_per_block: int, large_bytes: float, tokens: int
) -> float:
    """Bytes that a request alone is expected to waste in ``group``, under request-aware placement.

    Attention: the padding of what is live; half a block at each end, and half of what its page
    leaves of a large page. A window that moves has two ends. States: the rest of their large pages.
    """
    content = content_bytes(group, tokens)
    if is_state(group):
        per_large = round(large_bytes / page_bytes)
        return cdiv(pages_per_block, per_large) * large_bytes - content
    block = page_bytes * pages_per_block
    padding = content * (block / group.content_bytes - 1)
    ends = 2 if group.window and tokens > group.window else 1
    return padding + ends * (block + large_bytes - page_bytes) / 2


def expected_waste(groups: Sequence[PageGroup]) -> float:
    """Share of the bytes held that one request is expected to waste; mean over ``LENGTHS``.

    Padding, unfilled blocks and partly filled large pages of the LCM of the groups' pages. For
    pages of one size the large page is the page.
    """
    large = math.lcm(*(group.page_bytes for group in groups))
    shares: list[float] = []
    for tokens in LENGTHS:
        waste = sum(
            wasted_bytes(group, group.page_bytes, group.pages_per_block, large, tokens)
            for group in groups
        )
        shares.append(waste / (waste + sum(content_bytes(group, tokens) for group in groups)))
    return sum(shares) / len(shares)


def reshaped(groups: Sequence[PageGroup], shapes: Sequence[PageShape]) -> tuple[PageGroup, ...]:
    """The same groups with other pages."""
    return tuple(
        replace(group, page_bytes=shape.page_bytes, pages_per_block=shape.pages_per_block)
        for group, shape in zip(groups, shapes, strict=True)
    )


def tiling_shapes(groups: Sequence[PageGroup]) -> tuple[PageShape, ...]:
    """Shapes with the least expected waste for groups of one kind each; see above. Pure.

    Equal waste: fewest pages per block, then the smallest large page.
    """
    options = [_options(group) for group in groups]
    least = max(min(size for size, _ in each) for each in options)
    most = max(group.content_bytes for group in groups)
    larges = {
        size * count
        for each in options
        for size, _ in each
        for count in range(cdiv(least, size), cdiv(least, size) + _ANCHORS)
        if size * count <= 2 * most
    }
    found = {_shapes(groups, options, large) for large in sorted(larges)}
    found.add(tuple(PageShape(group.content_bytes, 1) for group in groups))

    def rank(shapes: tuple[PageShape, ...]) -> tuple[float, int, int, tuple[PageShape, ...]]:
        large = math.lcm(*(shape.page_bytes for shape in shapes))
        pages = sum(shape.pages_per_block for shape in shapes)
        return expected_waste(reshaped(groups, shapes)), pages, large, shapes

    return min(found, key=rank)


def _options(group: PageGroup) -> list[tuple[int, int]]:
    """Unpadded pages of a group, with the pages of a block: states by whole layers."""
    if not is_state(group):
        return [(group.content_bytes, 1)]
    layers = group.contents[0].layers
    return [
        (group.content_bytes // pages, pages)
        for pages in range(1, layers + 1)
        if layers % pages == 0
    ]


def _shapes(
    groups: Sequence[PageGroup], options: Sequence[list[tuple[int, int]]], large: int
) -> tuple[PageShape, ...]:
    """The cheapest shape of every group in a large page of ``large`` bytes or a little more."""
    needed = [sum(content_bytes(group, tokens) for group in groups) for tokens in LENGTHS]
    chosen: list[tuple[int, int]] = []
    for group, each in zip(groups, options, strict=True):

        def waste(option: tuple[int, int], group: PageGroup = group) -> float:
            page = large / (large // option[0])
            return sum(
                wasted_bytes(group, page, option[1], large, tokens) / total
                for tokens, total in zip(LENGTHS, needed, strict=True)
            )

        chosen.append(min((option for option in each if option[0] <= large), key=waste))
    ratios = [large // size for size, _ in chosen]
    # All pages must be whole numbers of bytes, aligned as the unpadded ones are.
    align = math.gcd(ALIGNMENT, *(size for size, _ in chosen))
    room = max(size * ratio for (size, _), ratio in zip(chosen, ratios, strict=True))
    unit = math.lcm(*ratios) * align
    large = cdiv(room, unit) * unit
    return tuple(
        PageShape(large // ratio, pages) for ratio, (_, pages) in zip(ratios, chosen, strict=True)
    )
