"""Requests that are simulated, drawn with numpy from fixed seeds."""

import numpy as np
import numpy.typing as npt

from jenga_sim import Trace

IntArray = npt.NDArray[np.int64]
RATE_PER_S = 8.0
"""With these lengths, of requests on one H200 with gemma-3-27b: a mean batch of about 40."""
HASH_TOKENS = 16
"""Tokens per hash id."""


def chat(requests: int) -> Trace:
    """The requests that other simulators were measured with: Poisson arrivals, normal lengths."""
    rng = np.random.default_rng(1)
    gaps = rng.exponential(1e9 / RATE_PER_S, requests)
    return Trace.from_columns(
        np.cumsum(gaps).astype(np.int64),
        truncated_normal(rng, 500, 200, 200, 1000, requests),
        truncated_normal(rng, 200, 80, 16, 500, requests),
        name="chat",
    )


def with_prompts(trace: Trace, prompts: int = 8, tokens: int = 128) -> Trace:
    """The trace with hash ids: each request begins with one of some system prompts."""
    rng = np.random.default_rng(2)
    chosen = rng.integers(0, prompts, len(trace)).tolist()
    shared = tokens // HASH_TOKENS
    own = prompts * shared
    ids: list[list[int]] = []
    for prompt, length in zip(chosen, trace.input_tokens.tolist(), strict=True):
        rest = length // HASH_TOKENS - shared
        ids.append([*range(prompt * shared, (prompt + 1) * shared), *range(own, own + rest)])
        own += rest
    return Trace.from_columns(
        trace.arrival_ns,
        trace.input_tokens,
        trace.output_tokens,
        hash_ids=ids,
        block_size=HASH_TOKENS,
        name=trace.name,
    )


def backlog(requests: int, prompt: int, output: int) -> Trace:
    """Requests of about these lengths (within a tenth) that have all arrived."""
    rng = np.random.default_rng(3)

    def near(mean: int) -> IntArray:
        return rng.integers(mean - mean // 10, mean + mean // 10 + 1, requests)

    return Trace.from_columns(np.zeros(requests, np.int64), near(prompt), near(output), name="all")


def truncated_normal(
    rng: np.random.Generator, mean: float, std: float, low: int, high: int, count: int
) -> IntArray:
    """Normal values, those outside ``low`` to ``high`` drawn anew, as integers."""
    found = np.zeros(0)
    while len(found) < count:
        drawn = rng.normal(mean, std, count)
        found = np.append(found, drawn[(drawn >= low) & (drawn <= high)])
    return np.rint(found[:count]).astype(np.int64)
