"""Prompts that hypothesis draws, and the dull way to follow their blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from jenga_sim.traces.runs import encode_runs
from jenga_sim.traces.stats import Prompts

BLOCK = 4


class Drawn(NamedTuple):
    """A small trace: block ids per request, arrivals in seconds, tokens in the last block."""

    ids: list[list[int]]
    arrivals_s: list[int]
    tails: list[int]
    chunk_blocks: int

    def prompts(self) -> Prompts:
        return prompts(self.ids, self.arrivals_s, self.tails, self.chunk_blocks)


def prompts(
    ids: Sequence[Sequence[int]],
    arrivals_s: Sequence[int] | None = None,
    tails: Sequence[int] | None = None,
    chunk_blocks: int = 7,
) -> Prompts:
    """Prompts of full blocks of 4 tokens, or with some more or fewer tokens at the end."""
    starts = np.cumsum([0, *map(len, ids)]).astype(np.int64)
    flat = np.array([i for row in ids for i in row], dtype=np.int64)
    coded = encode_runs(starts, flat)
    offsets, runs = coded.offsets, coded.values
    seconds = range(len(ids)) if arrivals_s is None else arrivals_s
    more = [0] * len(ids) if tails is None else tails
    tokens = np.array([max(len(row) * BLOCK + t, 1) for row, t in zip(ids, more, strict=True)])
    arrivals = np.array(seconds, dtype=np.int64) * 10**9
    return Prompts(arrivals, tokens.astype(np.int64), offsets, runs, BLOCK, chunk_blocks)


@st.composite
def chained(draw: st.DrawFn, least: int = 1) -> Drawn:
    """Ids that stand for a block and all before it: each prompt goes on from part of another."""
    ids: list[list[int]] = []
    fresh = 0
    for _ in range(draw(st.integers(least, 14))):
        base: list[int] = draw(st.sampled_from([[], *ids]))
        new = draw(st.integers(0, 5))
        kept = draw(st.one_of(st.just(len(base)), st.integers(0, len(base))))
        ids.append([*base[:kept], *range(fresh, fresh + new)])
        fresh += new
    step = draw(st.sampled_from([1, 3, 2**55]))
    spread = [[block + block // 2 * (step - 1) for block in row] for row in ids]
    return _arrange(draw, spread)


@st.composite
def unchained(draw: st.DrawFn) -> Drawn:
    """Ids that stand for the content of a block wherever it is, twice in a prompt, too."""
    rows = st.lists(st.lists(st.integers(0, 6), max_size=6), min_size=1, max_size=10)
    return _arrange(draw, draw(rows))


def _arrange(draw: st.DrawFn, ids: list[list[int]]) -> Drawn:
    count = len(ids)
    gaps = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    tails = draw(st.lists(st.integers(1 - BLOCK, BLOCK - 1), min_size=count, max_size=count))
    return Drawn(ids, np.cumsum(gaps).tolist(), tails, draw(st.sampled_from([1, 7, 1000])))
