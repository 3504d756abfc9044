"""Lengths and block ids of prompts whose texts are known, and whose lengths are known for some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .text_blocks import TextBlocks
from .text_tokens import BYTES_PER_TOKEN


@dataclass(frozen=True)
class Sizes:
    """One entry per request: tokens, and blocks as runs (first id, length); none without text."""

    inputs: list[int]
    outputs: list[int]
    runs: list[list[tuple[int, int]]]


def sizes(
    prompts: Sequence[bytes],
    answers: Sequence[bytes],
    inputs: Sequence[int | None],
    outputs: Sequence[int | None],
    block_size: int,
) -> Sizes:
    """Return lengths and blocks of requests.

    Where lengths are known, they say how many bytes of text a token is in this file. So a shared
    part of two prompts is the same number of tokens in both, and lengths that are missing fit the
    others.

    Args:
        prompts: Encoded prompts, empty where they are not known.
        answers: Encoded answers.
        inputs: Tokens of each prompt, None where they are not known.
        outputs: Tokens of each answer, likewise.
        block_size: Tokens per block.
    """
    known = [(len(p), tokens) for p, tokens in zip(prompts, inputs, strict=True) if p and tokens]
    size = sum(size for size, _ in known) or BYTES_PER_TOKEN
    tokens = sum(tokens for _, tokens in known) or 1

    def count(text: bytes) -> int:
        return max(len(text) * tokens // size, min(len(text), 1))

    asked = [given or count(text) for text, given in zip(prompts, inputs, strict=True)]
    answered = [
        count(text) if given is None else given
        for text, given in zip(answers, outputs, strict=True)
    ]
    blocks = TextBlocks(max(1, (2 * block_size * size + tokens) // (2 * tokens)))
    runs = [
        blocks.runs(text, length // block_size) if text else []
        for text, length in zip(prompts, asked, strict=True)
    ]
    return Sizes(asked, answered, runs)
