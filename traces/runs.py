"""Block ids of prompts, run-length coded, and the small integers that stand for them.

A run is a pair (first id, length) of ids that count up by one. ``runs`` has shape (k, 2); request
``i`` owns ``runs[offsets[i]:offsets[i + 1]]``. Prompts are mostly such runs: 9 ids long
in Mooncake's trace of conversations, 600 in recorded agent sessions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


def encode_runs(offsets: IntArray, ids: IntArray) -> tuple[IntArray, IntArray]:
    """Code the ids of each request as runs, as few as possible.

    Args:
        offsets: Start of each request in ``ids``, from 0, with the total at the end; n + 1 entries.
        ids: Ids from 0 to 2**63 - 1 of all requests, one after the other.

    Returns:
        Offsets of the requests into the runs (n + 1 entries), and the runs, of shape (k, 2).
    """
    opens = np.ones(len(ids), dtype=np.bool_)
    opens[1:] = np.diff(ids) != 1
    opens[offsets[:-1][offsets[:-1] < offsets[1:]]] = True
    starts = np.flatnonzero(opens)
    lengths = np.diff(np.append(starts, len(ids)))
    runs_before = np.concatenate([[0], np.cumsum(opens)])
    return runs_before[offsets], np.stack([ids[starts], lengths], axis=1)


def id_offsets(offsets: IntArray, runs: IntArray) -> IntArray:
    """Where each request's ids would start if they were written out; n + 1 entries."""
    ids_before = np.concatenate([[0], np.cumsum(runs[:, 1])])
    return ids_before[offsets] - ids_before[offsets[0]]


def expand(offsets: IntArray, runs: IntArray) -> tuple[IntArray, IntArray]:
    """Write out the ids of some requests: the inverse of ``encode_runs``.

    Args:
        offsets: n + 1 offsets into ``runs``; the first need not be 0, so a slice of a trace's
            offsets gives the ids of those requests alone.
        runs: Pairs (first id, length) of the whole trace, of shape (k, 2).

    Returns:
        Start of each request in the ids (n + 1 entries, from 0), and the ids.
    """
    own = runs[offsets[0] : offsets[-1]]
    first, length = own[:, 0], own[:, 1]
    before = np.cumsum(length) - length
    ids = np.repeat(first - before, length)
    ids += np.arange(len(ids), dtype=np.int64)
    return id_offsets(offsets, runs), ids


def dense_starts(runs: IntArray) -> tuple[IntArray, int]:
    """Number the ids that occur from 0, without writing any run out.

    Ids that occur keep their order and their neighbours: runs that overlap still do, in the same
    places, and equal ids get equal numbers.

    Args:
        runs: Pairs (first id, length), of shape (k, 2); lengths of at least 1.

    Returns:
        The first number of each run (k entries), and how many different ids occur.
    """
    if not len(runs):
        return np.zeros(0, dtype=np.int64), 0
    order = np.argsort(runs[:, 0], kind="stable")
    first = runs[order, 0]
    reach = np.maximum.accumulate(first + (runs[order, 1] - 1))
    opens = np.concatenate([[True], first[1:] > reach[:-1]])
    heads = np.flatnonzero(opens)
    sizes = reach[np.append(heads[1:], len(runs)) - 1] - first[heads] + 1
    shift = first[heads] - (np.cumsum(sizes) - sizes)
    starts = np.empty(len(runs), dtype=np.int64)
    starts[order] = first - shift[np.cumsum(opens) - 1]
    return starts, int(sizes.sum())
