"""The prefix tree of another trace: its paths, taken together with the length of the prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...configs.errors import TraceError
from ..columns import IntColumn, Ragged, offsets_of
from ..generate.draw import Draw
from ..generate.elementary import exp, log
from ..generate.segments import owners, running
from ..read import read_trace
from ..record import Trace
from ..runs import dense_starts, joined_runs
from ..stats.blocks import Prompts
from ..stats.reuse import walk
from .model import Modelled

_BINS_PER_OCTAVE = 4
_OCTAVES = 41


@dataclass(frozen=True)
class PathsOf:
    """Every request takes the shared prefix of a request of about its length in another trace.

    Requests of both are put into bins of a quarter octave of prompt length. The requests of a bin
    take the paths of that bin of the other trace in order of time, from a random place on; when
    they are used up, they are taken again with new ids. So the relation between length and sharing
    stays, and so does the time between requests that share. Of a path only what another request
    shares is kept, cut to the prompt.

    Attributes:
        path: The other trace, with chained hash ids.
    """

    path: str

    def applied(self, trace: Trace, draw: Draw, block_size: int) -> Modelled:
        """See ``PrefixModel``."""
        source = _readable(self.path, block_size)
        start = int(float(draw.stream("start").uniform(1)[0]) * len(source))
        chosen, copy = matched(trace.input_tokens, source.input_tokens, start)
        depth = np.minimum(_shared_tokens(source)[chosen], trace.input_tokens) // block_size
        paths, free = _paths(source, chosen, copy, depth, block_size)
        own = trace.input_tokens // block_size - depth
        fresh = np.stack([free + offsets_of(own)[:-1], own], axis=1)
        remark = f"paths of {len(np.unique(chosen))} of {len(source)} requests"
        return Modelled(_behind(paths, fresh), (remark,))


def _readable(path: str, block_size: int) -> Trace:
    source = read_trace(path)
    problem = ""
    if not source.has_hashes:
        problem = "has no hash ids"
    elif source.block_size % block_size:
        problem = f"has ids of {source.block_size} tokens, which {block_size} does not divide"
    elif walk(_prompts(source)).conflicts:
        problem = "has ids that are not chained: they do not form a tree"
    if problem:
        raise TraceError(f"prefix model tree: {path}: {problem}; take another trace")
    return source


def _prompts(trace: Trace) -> Prompts:
    runs = trace.hash_runs
    return Prompts(
        trace.arrival_ns, trace.input_tokens, runs.offsets, runs.values, trace.block_size
    )


def _shared_tokens(source: Trace) -> IntColumn:
    """Length of what each prompt shares with any other, earlier or later."""
    prompts = _prompts(source)
    uses = np.zeros(prompts.unique, dtype=np.int64)
    for chunk in prompts.chunks():
        uses += np.bincount(chunk.blocks, minlength=prompts.unique)
    shared = np.zeros(len(source), dtype=np.int64)
    for chunk in prompts.chunks():
        shared[chunk.requests] = chunk.before_first(np.flatnonzero(uses[chunk.blocks] == 1))
    return np.minimum(shared * source.block_size, source.input_tokens)


def matched(
    input_tokens: IntColumn, source_tokens: IntColumn, start: int
) -> tuple[IntColumn, IntColumn]:
    """Return a request of about the same prompt length for each request.

    Args:
        input_tokens: Prompt lengths.
        source_tokens: Prompt lengths to choose from.
        start: Where among these to begin.

    Returns:
        Positions in ``source_tokens``, and how often each had been taken before.
    """
    bins, source_bins = _bins(input_tokens), _bins(source_tokens)
    there = np.unique(source_bins)
    every = np.arange(_OCTAVES * _BINS_PER_OCTAVE + 1)
    nearest = there[np.argmin(np.abs(every[:, None] - there), axis=1)][bins]
    rotated = np.roll(np.arange(len(source_tokens)), -start)
    chosen, copy = np.zeros_like(input_tokens), np.zeros_like(input_tokens)
    for number in np.unique(nearest).tolist():
        wanting = np.flatnonzero(nearest == number)
        offered = rotated[source_bins[rotated] == number]
        turn = np.arange(len(wanting))
        chosen[wanting] = offered[turn % len(offered)]
        copy[wanting] = turn // len(offered)
    return chosen, copy


def _bins(tokens: IntColumn) -> IntColumn:
    octaves = np.arange(_OCTAVES * _BINS_PER_OCTAVE) / _BINS_PER_OCTAVE
    return np.searchsorted(exp(octaves * float(log(2.0))), tokens, side="right")


def _paths(
    source: Trace, chosen: IntColumn, copy: IntColumn, depth: IntColumn, block_size: int
) -> tuple[Ragged, int]:
    """The first ``depth`` small blocks of chosen paths, and the lowest id that is in none."""
    first, unique = dense_starts(source.hash_runs.values)
    per_id = source.block_size // block_size
    runs = np.stack([first, source.hash_runs.values[:, 1]], axis=1) * per_id
    paths = Ragged(source.hash_runs.offsets, runs).take(chosen)
    owner = owners(paths.offsets)
    before = running(paths.values[:, 1], paths.offsets) - paths.values[:, 1]
    ids = paths.values[:, 0] + copy[owner] * (unique * per_id)
    length = np.clip(depth[owner] - before, 0, paths.values[:, 1])
    kept = joined_runs(np.stack([ids, length], axis=1), paths.offsets)
    return kept, (int(np.max(copy)) + 1) * unique * per_id


def _behind(paths: Ragged, fresh: IntColumn) -> Ragged:
    """Each path and one more run behind it."""
    count = len(paths)
    both = Ragged.joined([paths, Ragged(np.arange(count + 1), fresh)])
    in_turn = np.stack([np.arange(count), np.arange(count) + count], axis=1).ravel()
    lists = both.take(in_turn)
    return joined_runs(lists.values, lists.offsets[::2])
