"""What a prefix model is, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..columns import Ragged
from ..generate.draw import Draw
from ..record import Trace
from ..stats.blocks import Prompts
from ..stats.exact import exact_sum
from ..stats.reuse import walk


@dataclass(frozen=True, eq=False)
class Modelled:
    """Hash ids that a model made up.

    Attributes:
        runs: Ids of the full blocks of each prompt.
        remarks: What else its user should know.
        hit_blocks: Blocks that a cache hits which forgets nothing; None if that must be counted.
    """

    runs: Ragged
    remarks: tuple[str, ...] = ()
    hit_blocks: int | None = None


class PrefixModel(Protocol):
    """A rule by which prompts share prefixes."""

    def applied(self, trace: Trace, draw: Draw, block_size: int) -> Modelled:
        """Return ids for a trace.

        Args:
            trace: Its own ids, if it has any, are not looked at.
            draw: Where random numbers come from.
            block_size: Tokens per id.

        Raises:
            TraceError: The trace lacks what the model goes by.
        """
        ...


def ideal_token_hit(trace: Trace) -> float:
    """Return the share of prompt tokens that a cache hits which forgets nothing."""
    tokens = int(np.sum(trace.input_tokens))
    if not trace.has_hashes:
        return 0.0
    runs = trace.hash_runs
    prompts = Prompts(
        trace.arrival_ns, trace.input_tokens, runs.offsets, runs.values, trace.block_size
    )
    return exact_sum(walk(prompts).hit_tokens) / tokens
