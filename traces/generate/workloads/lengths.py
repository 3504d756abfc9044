"""Lengths alone: no sessions, no common prefixes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...columns import IntColumn
from ...record import Trace
from ...words import check, number
from ..draw import Draw
from ..lengths import Lengths
from ..workload import Maker, part_of


@dataclass(frozen=True)
class IndependentLengths:
    """Prompts and answers of independent lognormal lengths, given by median and 99 % quantile.

    The defaults are quantiles of the Azure 2023 conversation trace (mean 1,155 and 211 there, 1,223
    and 160 here). It takes constant memory and is the fastest, for traces of millions of requests.

    Attributes:
        input_tokens: Length of a prompt.
        input_p99_tokens: Its 99 % quantile.
        output_tokens: Length of an answer.
        output_p99_tokens: Its 99 % quantile.
    """

    NAME: ClassVar[str] = "lengths"
    ARRIVALS: ClassVar[str] = "gamma:cv=1.1"

    input_tokens: float = number(1_020.0, least=1.0)
    input_p99_tokens: float = number(4_142.0)
    output_tokens: float = number(129.0, least=1.0)
    output_p99_tokens: float = number(601.0)

    def __post_init__(self) -> None:
        check(self)

    @property
    def blocks(self) -> None:
        """See ``Workload``; there are no hash ids."""
        return None

    @property
    def batch(self) -> int:
        """See ``Workload``."""
        return 65_536

    @property
    def requests_per_arrival(self) -> float:
        """See ``Workload``."""
        return 1.0

    def maker(self, draw: Draw) -> Maker:
        """See ``Workload``."""
        inputs, outputs = draw.stream("input"), draw.stream("output")
        prompt = Lengths(self.input_tokens, self.input_p99_tokens, 0.99)
        answer = Lengths(self.output_tokens, self.output_p99_tokens, 0.99)

        def part(start_ns: IntColumn) -> Trace:
            count = len(start_ns)
            return part_of(start_ns, prompt.draw(inputs, count), answer.draw(outputs, count))

        return part
