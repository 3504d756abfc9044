"""Requests with pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...columns import NONE, IntColumn, Ragged, offsets_of
from ...record import Trace
from ...words import check, number
from ..blocks import Blocks, Mint
from ..draw import Draw, zipf_weights
from ..lengths import Lengths
from ..segments import running
from ..workload import Independent, Maker, part_of

_LONGEST_IMAGE = 1_280
_LONGEST_OUTPUT = 2_000


@dataclass(frozen=True)
class Vlm(Independent):
    """Requests to a vision model: pictures, then text. No two have anything in common.

    The defaults are figures of ServeGen's mm-image pool: 35 clients over a day, by their rates.

    Attributes:
        text_tokens: Length of the text, lognormal.
        text_p99_tokens: Its 99 % quantile.
        image_tokens: Length of a picture in the prompt, lognormal, at most 1,280.
        image_p90_tokens: Its 90 % quantile.
        images_zipf: A request has k pictures with a weight of k to the power of minus this.
        images_most: It has no more than these.
        output_tokens: Length of an answer, lognormal, at most 2,000.
        output_p99_tokens: Its 99 % quantile.
        block_tokens: Tokens per hash id; only full blocks have one.
    """

    NAME: ClassVar[str] = "vlm"
    # Inter-arrival CV of the whole pool.
    ARRIVALS: ClassVar[str] = "gamma:cv=2.21"

    # Mean 572 there, 301 here: a lognormal through both quantiles misses a second mode.
    text_tokens: float = number(106.0, least=1.0)
    text_p99_tokens: float = number(3_064.0)
    # Mean 650, p50 540, p99 1,271, max 1,280; mean 607 here.
    image_tokens: float = number(540.0, least=1.0, most=_LONGEST_IMAGE)
    image_p90_tokens: float = number(1_100.0)
    # Mean 1.59, p90 3, p99 9, max 49; mean 1.63, p90 3, p99 11 here.
    images_zipf: float = number(2.6, most=100.0)
    images_most: int = number(49, least=1, most=10_000)
    # Mean 130, p50 100, p99 587, max 2,000; mean 134 here.
    output_tokens: float = number(100.0, least=1.0, most=_LONGEST_OUTPUT)
    output_p99_tokens: float = number(587.0)
    block_tokens: int = number(16, least=1)

    def __post_init__(self) -> None:
        check(self)

    @property
    def blocks(self) -> Blocks:
        """See ``Workload``."""
        return Blocks(self.block_tokens)

    def maker(self, draw: Draw) -> Maker:
        """See ``Workload``."""
        return _Requests(self, draw).part


class _Requests:
    """Makes requests batch by batch."""

    def __init__(self, vlm: Vlm, draw: Draw) -> None:
        self._vlm = vlm
        self._weights = zipf_weights(vlm.images_most, vlm.images_zipf)
        self._images = draw.stream("images")
        self._image = draw.stream("image")
        self._text = draw.stream("text")
        self._output = draw.stream("output")
        self._mint = Mint()
        self._count = 0

    def part(self, start_ns: IntColumn) -> Trace:
        """See ``Maker``."""
        vlm, count = self._vlm, len(start_ns)
        offsets = offsets_of(1 + self._images.choice(self._weights, count))
        image = Lengths(vlm.image_tokens, vlm.image_p90_tokens, most=_LONGEST_IMAGE)
        image_tokens = image.draw(self._image, int(offsets[-1]))
        ends = running(image_tokens, offsets)
        text = Lengths(vlm.text_tokens, vlm.text_p99_tokens, 0.99)
        input_tokens = ends[offsets[1:] - 1] + text.draw(self._text, count)
        output = Lengths(vlm.output_tokens, vlm.output_p99_tokens, 0.99, most=_LONGEST_OUTPUT)
        return part_of(
            start_ns,
            input_tokens,
            output.draw(self._output, count),
            vlm.blocks.of_prompts(input_tokens, self._mint),
            images=_images(offsets, image_tokens, ends - image_tokens),
            image_names=self._names(len(image_tokens)),
        )

    def _names(self, count: int) -> tuple[str, ...]:
        first = self._count
        self._count += count
        return tuple(f"image {number}" for number in range(first, self._count))


def _images(offsets: IntColumn, tokens: IntColumn, positions: IntColumn) -> Ragged:
    """Rows of ``IMAGE_COLUMNS``, every image with a name of its own."""
    unknown = np.full(len(tokens), NONE)
    rows = np.stack([np.arange(len(tokens)), tokens, unknown, unknown, positions], axis=1)
    return Ragged(offsets, rows)
