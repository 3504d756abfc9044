"""MMLU-Pro: questions behind one of 14 few-shot prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...columns import IntColumn
from ...record import Trace
from ...words import check, number
from ..blocks import Blocks, Mint
from ..draw import Draw
from ..lengths import Lengths
from ..workload import Independent, Maker, part_of

QUESTIONS = {
    "math": 1_351,
    "physics": 1_299,
    "chemistry": 1_132,
    "law": 1_101,
    "engineering": 969,
    "other": 924,
    "economics": 844,
    "health": 818,
    "psychology": 798,
    "business": 789,
    "biology": 717,
    "philosophy": 499,
    "computer science": 410,
    "history": 381,
}
"""Questions per subject of MMLU-Pro's test split, 12,032 in all."""

_LONGEST_QUESTION = 1_233
_LONGEST_OUTPUT = 2_048


@dataclass(frozen=True)
class MmluPro(Independent):
    """MMLU-Pro with one few-shot prompt per subject.

    Subjects come as often as they have questions. Question and answer lengths are those of the
    12,032 questions (cl100k tokens) and of Llama-3.1-8B's answers to them. Jenga's runs fix the
    output at 20 or 150 tokens for some models: ``mmlu-pro:output=20,output_p95=20``.

    Attributes:
        prefix_tokens: Length of a subject's few-shot prompt.
        prefix_p90_tokens: Its 90 % quantile over subjects.
        question_tokens: Length of a question with its options, at most 1,233.
        question_p99_tokens: Its 99 % quantile.
        output_tokens: Length of an answer, at most 2,048.
        output_p95_tokens: Its 95 % quantile.
        block_tokens: Tokens per hash id; only full blocks have one.
    """

    NAME: ClassVar[str] = "mmlu-pro"
    ARRIVALS: ClassVar[str] = "at-once"

    # An assumption: five examples of a question (mean 194) and a worked answer of its length.
    prefix_tokens: float = number(2_000.0, least=1.0)
    prefix_p90_tokens: float = number(2_600.0)
    # Mean 194, p50 161, p99 600; 189 here.
    question_tokens: float = number(161.0, least=1.0, most=_LONGEST_QUESTION)
    question_p99_tokens: float = number(600.0)
    # Mean 276, p50 77, p99 at the limit of 2,048; with this quantile the mean is 269.
    output_tokens: float = number(77.0, least=1.0, most=_LONGEST_OUTPUT)
    output_p95_tokens: float = number(1_500.0)
    block_tokens: int = number(16, least=1)

    def __post_init__(self) -> None:
        check(self)

    @property
    def blocks(self) -> Blocks:
        """See ``Workload``."""
        return Blocks(self.block_tokens)

    def maker(self, draw: Draw) -> Maker:
        """See ``Workload``."""
        weights = np.array(list(QUESTIONS.values()), dtype=np.float64)
        prefix = Lengths(self.prefix_tokens, self.prefix_p90_tokens)
        prefixes = prefix.draw(draw.stream("prefix"), len(weights))
        subjects = draw.stream("subject")
        questions, outputs = draw.stream("question"), draw.stream("output")
        question = Lengths(
            self.question_tokens, self.question_p99_tokens, 0.99, most=_LONGEST_QUESTION
        )
        answer = Lengths(self.output_tokens, self.output_p95_tokens, 0.95, most=_LONGEST_OUTPUT)
        mint = Mint()
        full = prefixes // self.block_tokens
        shared = np.stack([mint.take(full), full], axis=1)

        def part(start_ns: IntColumn) -> Trace:
            count = len(start_ns)
            subject = subjects.choice(weights, count)
            input_tokens = prefixes[subject] + question.draw(questions, count)
            return part_of(
                start_ns,
                input_tokens,
                answer.draw(outputs, count),
                self.blocks.of_prompts(input_tokens, mint, shared[subject]),
            )

        return part
