"""Keys of prefixes: equal keys mean equal tokens up to the same place.

A key stands for the whole sequence up to a multiple of the hash block, as vLLM's chained block
hashes do (``v1/core/kv_cache_utils.py``).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..traces import Trace
from ..traces.columns import offsets_of
from ..traces.runs import dense_starts
from .compiled.keys import TraceKeyArrays, fill_trace_keys

IntArray = npt.NDArray[np.int64]


class PrefixKeys(Protocol):
    """Where the keys of a run come from."""

    def of(self, slot: int, unit: int) -> IntArray:
        """Keys of all prefixes of ``unit``, 2 ``unit``, ... tokens of a request's longest sequence.

        The sequence is the prompt and everything it may generate; who asks cuts the rest off.
        """
        ...


class TraceKeys:
    """Keys from the hash ids of a trace, whose ids stand for a block and everything before it.

    A prefix that ends inside a block of the trace takes that block's id: two requests that part
    within a block share nothing of it. Generated tokens, and prompts without ids, are shared with
    nobody.
    """

    def __init__(self, trace: Trace) -> None:
        block, runs = trace.block_size, trace.hash_runs
        # Ids may be any numbers; ranks times the block size fit an integer.
        starts, blocks = dense_starts(runs.values)
        # The last block of a prompt may be begun only.
        before = offsets_of(runs.values[:, 1])
        first = np.repeat(before[runs.offsets[:-1]], runs.counts)
        prompts = np.repeat(trace.input_tokens, runs.counts)
        known = np.minimum(runs.values[:, 1], -(-prompts // block)) * block
        tokens = np.clip(prompts - (before[:-1] - first) * block, 0, known)
        # Whoever wants no output still gets a token, which nobody reads.
        totals = trace.input_tokens + np.maximum(trace.output_tokens, 1)
        self.arrays = TraceKeyArrays(
            runs=np.stack([starts * block, tokens], axis=1),
            offsets=runs.offsets,
            # Keys of one request's own tokens start behind all ids and all requests before it.
            own=offsets_of(totals) + blocks * block,
        )

    def of(self, slot: int, unit: int) -> IntArray:
        """See PrefixKeys."""
        own = self.arrays.own
        keys = np.empty(int(own[slot + 1] - own[slot]) // unit, dtype=np.int64)
        fill_trace_keys(self.arrays, slot, unit, len(keys), keys)
        return keys


class TokenKeys:
    """Keys of known tokens: a universal hash of the whole prefix.

    The sum of token times an odd random factor per place, modulo 2^64: two different prefixes of
    one length agree with a chance below 2^-49.
    """

    def __init__(self, tokens: Callable[[int], Sequence[int] | IntArray], longest: int) -> None:
        """``tokens`` gives prompt and output of a request, ``longest`` the most there are."""
        self._tokens = tokens
        self._factors = _factors(longest)

    def of(self, slot: int, unit: int) -> IntArray:
        """See PrefixKeys."""
        tokens = np.asarray(self._tokens(slot), dtype=np.uint64)
        # Plus one: a token 0 must count, too.
        sums = np.cumsum((tokens + np.uint64(1)) * self._factors[: len(tokens)])
        return sums[unit - 1 :: unit].astype(np.int64)


def _factors(count: int) -> npt.NDArray[np.uint64]:
    """Odd numbers that look random: splitmix64 of 1, 2, ..."""
    mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed ^ (mixed >> np.uint64(31))) | np.uint64(1)
