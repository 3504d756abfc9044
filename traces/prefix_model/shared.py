"""System prompts: some beginnings that many requests have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..columns import Ragged
from ..generate.blocks import Blocks, Mint
from ..generate.draw import Draw, zipf_weights
from ..record import Trace
from ..words import check, number
from .model import Modelled


@dataclass(frozen=True)
class NoPrefixes:
    """No hash ids: nothing is known to be shared."""

    NAME: ClassVar[str] = "none"

    def applied(self, trace: Trace, draw: Draw, block_size: int) -> Modelled:
        """See ``PrefixModel``."""
        return Modelled(Ragged.empty(len(trace), 2))


@dataclass(frozen=True)
class SharedPrompts:
    """Every request begins with one of some system prompts of equal length.

    All Mooncake conversations begin with one block of 512 tokens; Claude Code sessions with tools
    and system prompts of 15,000.

    Attributes:
        k: Number of system prompts.
        len_tokens: Length of each; a shorter prompt is a part of one.
        zipf: Exponent of how often they occur; 0 for all alike.
    """

    NAME: ClassVar[str] = "shared"
    k: int = number(1, least=1, most=10_000_000)
    len_tokens: int = number(512, least=1)
    zipf: float = number(1.0, most=10.0)

    def __post_init__(self) -> None:
        check(self)

    def applied(self, trace: Trace, draw: Draw, block_size: int) -> Modelled:
        """See ``PrefixModel``."""
        which = draw.stream("system prompt").choice(zipf_weights(self.k, self.zipf), len(trace))
        count = self.len_tokens // block_size
        shared = np.stack([which * count, np.full(len(trace), count)], axis=1)
        mint = Mint(self.k * count)
        return Modelled(Blocks(block_size).of_prompts(trace.input_tokens, mint, shared))
