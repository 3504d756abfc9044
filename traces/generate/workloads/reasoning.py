"""Short questions with long answers, most of which is reasoning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...columns import IntColumn
from ...record import Trace
from ...words import check, number
from ..blocks import Blocks, Mint
from ..draw import Draw
from ..elementary import FloatColumn, exp, log
from ..lengths import Lengths
from ..normal import quantile
from ..workload import Independent, Maker, part_of

_LONGEST_INPUT = 57_284
_LONGEST_OUTPUT = 32_768


@dataclass(frozen=True)
class Reasoning(Independent):
    """Requests to a reasoning model, with nothing in common.

    The defaults are figures of ServeGen's deepseek-r1 pool: 73 clients over a day, by their rates.
    Every field is drawn for itself.

    Attributes:
        input_tokens: Length of a prompt, lognormal, at most 57,284.
        input_p99_tokens: Its 99 % quantile.
        output_tokens: Length of reasoning and answer together, lognormal, at most 32,768.
        output_p99_tokens: Its 99 % quantile.
        share_p10: 10 % quantile of the part of the output that is reasoning; logit-normal.
        share_p90: Its 90 % quantile.
        block_tokens: Tokens per hash id; only full blocks have one.
    """

    NAME: ClassVar[str] = "reasoning"
    # Inter-arrival CV of the whole pool.
    ARRIVALS: ClassVar[str] = "gamma:cv=2.28"

    # Mean 1,268 there, 1,420 here: a lognormal through both quantiles has more in between.
    input_tokens: float = number(208.0, least=1.0, most=_LONGEST_INPUT)
    input_p99_tokens: float = number(23_423.0)
    # Mean 1,527 there, 1,594 here.
    output_tokens: float = number(792.0, least=1.0, most=_LONGEST_OUTPUT)
    output_p99_tokens: float = number(12_607.0)
    # Mean .70 there, .707 here.
    share_p10: float = number(0.36, least=0.001, most=0.999)
    share_p90: float = number(0.95, least=0.001, most=0.999)
    block_tokens: int = number(16, least=1)

    def __post_init__(self) -> None:
        check(self)

    @property
    def blocks(self) -> Blocks:
        """See ``Workload``."""
        return Blocks(self.block_tokens)

    def maker(self, draw: Draw) -> Maker:
        """See ``Workload``."""
        inputs, outputs = draw.stream("input"), draw.stream("output")
        shares = draw.stream("share")
        prompt = Lengths(self.input_tokens, self.input_p99_tokens, 0.99, most=_LONGEST_INPUT)
        answer = Lengths(self.output_tokens, self.output_p99_tokens, 0.99, most=_LONGEST_OUTPUT)
        mint = Mint()

        def part(start_ns: IntColumn) -> Trace:
            count = len(start_ns)
            input_tokens = prompt.draw(inputs, count)
            output_tokens = answer.draw(outputs, count)
            share = self._share(shares.normal(count))
            return part_of(
                start_ns,
                input_tokens,
                output_tokens,
                self.blocks.of_prompts(input_tokens, mint),
                reasoning_tokens=np.floor(share * output_tokens).astype(np.int64),
            )

        return part

    def _share(self, normal: FloatColumn) -> FloatColumn:
        low, high = _logit(self.share_p10), _logit(self.share_p90)
        sigma = 0.5 * (high - low) / float(quantile(0.9))
        return 1.0 / (1.0 + exp(-(0.5 * (low + high) + sigma * normal)))


def _logit(share: float) -> float:
    return float(log(share / (1.0 - share)))
