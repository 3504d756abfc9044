"""Block ids for prompts of which it is known with whom they share how much."""

from __future__ import annotations

import numpy as np

from ..columns import NONE, IntColumn, Ragged, offsets_of


def minted_runs(
    groups: IntColumn, shared: IntColumn, sequences: IntColumn, blocks: IntColumn
) -> Ragged:
    """Return new ids for the full blocks of prompts, as runs (first id, length).

    Args:
        groups: Number of the group that a prompt begins like, ``NONE`` for none.
        shared: Leading blocks that it has in common with its group.
        sequences: Number of the text that it is a beginning of, after those blocks.
        blocks: Full blocks of the prompt.
    """
    shared = np.where(groups == NONE, 0, np.minimum(shared, blocks))
    group_starts, first = _starts(groups + 1, shared, 0)
    sequence_starts, _ = _starts(sequences, blocks, first)
    heads = np.stack([group_starts, shared], axis=1)
    tails = np.stack([sequence_starts + shared, blocks - shared], axis=1)
    pairs = np.stack([heads, tails], axis=1).reshape(-1, 2)
    there = pairs[:, 1] > 0
    counts = there.reshape(-1, 2).sum(axis=1)
    return Ragged(offsets_of(counts), pairs[there])


def _starts(owners: IntColumn, lengths: IntColumn, first: int) -> tuple[IntColumn, int]:
    """First id of every owner's range, which holds its greatest length, and the end of all."""
    longest = np.zeros(int(owners.max(initial=0)) + 1, dtype=np.int64)
    np.maximum.at(longest, owners, lengths)
    ends = first + np.cumsum(longest)
    return (ends - longest)[owners], int(ends[-1])
