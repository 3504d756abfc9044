"""Hash ids as runs of consecutive ids: real traces number new blocks in order.

A run is a row (first id, length). In the published Mooncake conversation trace 288,500 ids are
33,391 runs; in agent sessions a prompt of a thousand blocks is a handful.
"""

from __future__ import annotations

import numpy as np

from .columns import IntColumn, Ragged, offsets_of


def encode_runs(offsets: IntColumn, ids: IntColumn) -> Ragged:
    """Return lists of ids as lists of runs.

    Args:
        offsets: Where each request's ids start, with the total at the end.
        ids: The ids of all requests, one after the other.
    """
    if not len(ids):
        return Ragged.empty(len(offsets) - 1, 2)
    starts = np.ones(len(ids), dtype=bool)
    starts[1:] = ids[1:] != ids[:-1] + 1
    nonempty = offsets[:-1] < offsets[1:]
    starts[offsets[:-1][nonempty]] = True
    first = np.flatnonzero(starts)
    lengths = np.diff(first, append=len(ids))
    runs = np.stack([ids[first], lengths], axis=1)
    return Ragged(np.searchsorted(first, offsets).astype(np.int64), runs)


def id_offsets(offsets: IntColumn, runs: IntColumn) -> IntColumn:
    """Return where each request's ids would start if they were written out; n + 1 entries.

    Args:
        offsets: Where each request's runs start; the first need not be 0.
        runs: Shape (k, 2).
    """
    before = offsets_of(runs[:, 1])
    return before[offsets] - before[offsets[0]]


def expand(runs: IntColumn) -> IntColumn:
    """Return the ids of runs, shape (k, 2), one after the other."""
    lengths = runs[:, 1]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(runs[:, 0] - (ends - lengths), lengths) + np.arange(total)


def block_counts(column: Ragged) -> IntColumn:
    """Return the number of ids of each request."""
    return np.diff(id_offsets(column.offsets, column.values))


def dense_starts(runs: IntColumn) -> tuple[IntColumn, int]:
    """Give ids ranks without gaps: runs keep their lengths and start at new places.

    Two ids are equal after it if and only if they were before, and an id that follows another one
    still does. So ids of any size index an array.

    Args:
        runs: Shape (k, 2).

    Returns:
        The new first id of each run, and the number of different ids.
    """
    if not len(runs):
        return np.zeros(0, dtype=np.int64), 0
    order = np.argsort(runs[:, 0], kind="stable")
    first, length = runs[order, 0], runs[order, 1]
    # Inclusive: the end of the last possible id would not fit an int64.
    last = np.maximum.accumulate(first + (length - 1))
    opens = np.ones(len(order), dtype=bool)
    opens[1:] = first[1:] > last[:-1]
    island = np.cumsum(opens) - 1
    heads = first[opens]
    closes = np.append(np.flatnonzero(opens)[1:] - 1, len(order) - 1)
    bases = offsets_of(last[closes] - heads + 1)
    dense = np.empty(len(order), dtype=np.int64)
    dense[order] = bases[island] + (first - heads[island])
    return dense, int(bases[-1])


def joined_runs(runs: IntColumn, offsets: IntColumn) -> Ragged:
    """Return lists of runs without empty ones, and with neighbours joined that go on as one.

    Args:
        runs: Shape (k, 2); lengths may be 0.
        offsets: Where each request's runs start, with the total at the end.
    """
    there = runs[:, 1] > 0
    offsets = offsets_of(there.astype(np.int64))[offsets]
    runs = runs[there]
    starts = np.ones(len(runs), dtype=bool)
    starts[1:] = runs[1:, 0] != runs[:-1, 0] + runs[:-1, 1]
    starts[offsets[:-1][np.diff(offsets) > 0]] = True
    heads = np.flatnonzero(starts)
    if not len(heads):
        return Ragged.empty(len(offsets) - 1, 2)
    lengths = np.add.reduceat(runs[:, 1], heads)
    joined = np.stack([runs[heads, 0], lengths], axis=1)
    return Ragged(np.searchsorted(heads, offsets).astype(np.int64), joined)
