"""A wanted ideal hit: as many prompts as it takes go on from an earlier one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass

import numpy as np

from ...configs.errors import TraceError
from ..columns import NONE, IntColumn
from ..generate.draw import Draw
from ..record import Trace
from .forest import Forest
from .model import Modelled

_WINDOW = 1024
"""Requests back to which a follow-up may go on; more only if the hit cannot be reached so."""


@dataclass(frozen=True)
class WantedHit:
    """Some requests, drawn at random, hold an earlier prompt and its answer.

    Which one: of the last 1,024 requests (of more if that does not do) the one that fills most of
    the prompt. The last of them holds only a part, so that the hit comes out to a block.

    Attributes:
        target: Share of prompt tokens that a cache hits which forgets nothing.
    """

    target: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.target <= 1.0:
            raise TraceError(f"prefix model hit: must be from 0 to 1, is {self.target:g}")

    def applied(self, trace: Trace, draw: Draw, block_size: int) -> Modelled:
        """See ``PrefixModel``."""
        blocks = trace.input_tokens // block_size
        wanted = round(self.target * int(trace.input_tokens.sum())) // block_size
        parent = _parents(trace, wanted, blocks)
        gain = np.where(parent == NONE, 0, blocks[parent])
        order = draw.stream("follow-up").order(len(trace))
        before = np.cumsum(gain[order]) - gain[order]
        shared = np.zeros(len(trace), dtype=np.int64)
        shared[order] = np.clip(wanted - before, 0, gain[order])
        parent = np.where(shared > 0, parent, NONE)
        reached = int(shared.sum()) * block_size / int(trace.input_tokens.sum())
        remarks = [f"{np.mean(parent != NONE):.1%} of the requests go on from an earlier one"]
        if self.target - reached > _CLOSE:
            remarks.append(
                f"{self.target:g} is out of reach: too few prompts can hold an earlier one"
            )
        forest = Forest(parent, shared, blocks)
        return Modelled(forest.runs(), tuple(remarks), forest.hit_blocks)


_CLOSE = 0.005


def _parents(trace: Trace, wanted: int, blocks: IntColumn) -> IntColumn:
    """The earlier request that each one can go on from, looking back as far as need be."""
    window = _WINDOW
    while True:
        parent = _best_fits(trace, window)
        reachable = int(blocks[parent[parent != NONE]].sum())
        if reachable >= wanted or window >= len(trace):
            return parent
        window *= 16


def _best_fits(trace: Trace, window: int) -> IntColumn:
    """Of the last requests the one whose prompt and answer fill most of each prompt."""
    inputs = trace.input_tokens.tolist()
    contexts = (trace.input_tokens + trace.output_tokens).tolist()
    recent: list[tuple[int, int]] = []
    parents: list[int] = []
    for at, (tokens, context) in enumerate(zip(inputs, contexts, strict=True)):
        if at > window:
            old = at - window - 1
            del recent[bisect_left(recent, (contexts[old], old))]
        found = bisect_right(recent, (tokens, at))
        parents.append(recent[found - 1][1] if found else NONE)
        insort(recent, (context, at))
    return np.array(parents, dtype=np.int64)
