"""MMMU-Pro in its vision form: one picture and always the same text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import numpy as np

from ...columns import IntColumn, Ragged
from ...record import Trace
from ...words import check, number
from ..blocks import Blocks, as_runs
from ..draw import Draw
from ..workload import Independent, Maker, part_of

QUESTIONS = 1_730
"""Questions of MMMU-Pro; a longer trace asks them again."""


@dataclass(frozen=True)
class MmmuPro(Independent):
    """Pictures of questions, asked in order, with answers of 200 tokens as in Jenga's runs.

    Attributes:
        text_tokens: Length of the text, which comes after the picture.
        image_tokens: Length of a picture in the prompt.
        side: Width and height of a picture in pixels.
        output_tokens: Length of an answer.
        block_tokens: Tokens per hash id; only full blocks have one.
    """

    NAME: ClassVar[str] = "mmmu-pro"
    ARRIVALS: ClassVar[str] = "at-once"

    # An assumption: two sentences that ask for the solution and say how to write it.
    text_tokens: int = number(60, least=1)
    # PaliGemma 2 at 448 pixels: (448 / 14)^2. Other models: set both.
    image_tokens: int = number(1_024, least=1)
    side: int = number(448, least=1)
    output_tokens: int = number(200, least=1)
    block_tokens: int = number(16, least=1)

    def __post_init__(self) -> None:
        check(self)

    @property
    def blocks(self) -> Blocks:
        """See ``Workload``."""
        return Blocks(self.block_tokens)

    def maker(self, draw: Draw) -> Maker:
        """See ``Workload``."""
        input_tokens = self.image_tokens + self.text_tokens
        full = input_tokens // self.block_tokens
        batches = count()

        def part(start_ns: IntColumn) -> Trace:
            size = len(start_ns)
            question = (next(batches) * size + np.arange(size)) % QUESTIONS
            names, code = np.unique(question, return_inverse=True)
            image = (code, self.image_tokens, self.side, self.side, 0)
            return part_of(
                start_ns,
                np.full(size, input_tokens),
                np.full(size, self.output_tokens),
                as_runs(np.stack([question * full, np.full(size, full)], axis=1)),
                images=Ragged(
                    np.arange(size + 1),
                    np.stack([np.broadcast_to(value, size) for value in image], axis=1),
                ),
                image_names=tuple(f"mmmu-pro {name}" for name in names.tolist()),
            )

        return part
