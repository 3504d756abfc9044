"""What a column may hold at most, and how many blocks a prompt has."""

from __future__ import annotations

from ..configs.errors import TraceError

MAX_TOKENS = 2**40
"""Largest accepted token count of one request; sums over many requests still fit int64."""

MAX_TIMESTAMP_MS = 2**43
"""Largest accepted arrival in milliseconds (year 2248 of Unix time); fits int64 nanoseconds."""

MAX_HASH_ID = 2**63 - 1
"""Largest hash id that an int64 column holds."""

NS_PER_MS = 1_000_000

MAX_NS = MAX_TIMESTAMP_MS * NS_PER_MS
"""The same in nanoseconds."""


def block_counts(input_tokens: int, block_size: int) -> tuple[int, int]:
    """Return how many hash ids a prompt may have: full blocks only, or a partly filled last one.

    Args:
        input_tokens: Prompt length in tokens.
        block_size: Tokens per block.
    """
    return input_tokens // block_size, -(-input_tokens // block_size)


def check_block_size(block_size: int) -> None:
    """Refuse a trace block size that no block can have.

    Raises:
        TraceError: ``block_size`` is smaller than 1 or larger than ``MAX_TOKENS``.
    """
    if not 1 <= block_size <= MAX_TOKENS:
        raise TraceError(
            f"--trace-block-size {block_size}: a block holds at least 1 token and at most "
            f"{MAX_TOKENS}"
        )
