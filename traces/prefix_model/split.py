"""Cached tokens that were recorded: ids by which just these are hit."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...configs.errors import TraceError
from ..columns import NONE
from ..generate.draw import Draw
from ..record import Trace
from .forest import Forest
from .model import Modelled


@dataclass(frozen=True)
class RecordedSplit:
    """A prompt shares its recorded cached tokens with the latest prompt that is long enough.

    One of its own session is preferred. What was recorded is met to a block, as long as there is an
    earlier prompt of that length. Nothing is known of what was in no cache although it was shared.
    """

    NAME: ClassVar[str] = "split"

    def applied(self, trace: Trace, draw: Draw, block_size: int) -> Modelled:
        """See ``PrefixModel``."""
        if trace.recorded_cached_tokens is None:
            raise TraceError(
                "prefix model split: the trace has no recorded cached tokens; take sessions or hit"
            )
        recorded = np.maximum(trace.recorded_cached_tokens, 0)
        blocks = trace.input_tokens // block_size
        wanted = np.minimum(recorded // block_size, blocks)
        parent = _parents(trace, blocks.tolist(), wanted.tolist())
        shared = np.where(parent == NONE, 0, np.minimum(wanted, blocks[parent]))
        unmet = int(np.sum((wanted - shared) * block_size))
        remarks = [f"recorded hit {int(recorded.sum()) / int(trace.input_tokens.sum()):.4f}"]
        if unmet:
            remarks.append(f"{unmet} cached tokens are longer than all prompts before them")
        forest = Forest(parent, shared, blocks)
        return Modelled(forest.runs(), tuple(remarks), forest.hit_blocks)


def _parents(trace: Trace, blocks: list[int], wanted: list[int]) -> np.ndarray:
    codes = [NONE] * len(trace) if trace.session is None else trace.session.codes.tolist()
    everyone, sessions = _Latest(), defaultdict[int, _Latest](_Latest)
    parents: list[int] = []
    for at, (code, length, depth) in enumerate(zip(codes, blocks, wanted, strict=True)):
        parent = NONE
        if depth:
            parent = sessions[code].of_length(depth) if code != NONE else NONE
            parent = everyone.of_length(depth) if parent == NONE else parent
            parent = everyone.longest() if parent == NONE else parent
        parents.append(parent)
        everyone.add(at, length)
        if code != NONE:
            sessions[code].add(at, length)
    return np.array(parents, dtype=np.int64)


class _Latest:
    """Finds the latest prompt of at least some length."""

    def __init__(self) -> None:
        # Only prompts that are longer than all behind them; negative, so that they ascend.
        self._lengths: list[int] = []
        self._positions: list[int] = []

    def add(self, position: int, length: int) -> None:
        while self._lengths and -self._lengths[-1] <= length:
            self._lengths.pop()
            self._positions.pop()
        self._lengths.append(-length)
        self._positions.append(position)

    def of_length(self, least: int) -> int:
        found = bisect_right(self._lengths, -least)
        return self._positions[found - 1] if found else NONE

    def longest(self) -> int:
        return self._positions[0] if self._positions else NONE
