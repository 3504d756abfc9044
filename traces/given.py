"""Columns as a caller gives them in Python: checked and copied."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from ..configs.errors import TraceError
from .columns import IntColumn, Numbered, Ragged, offsets_of
from .limits import MAX_HASH_ID, MAX_TOKENS, block_counts, check_block_size
from .runs import encode_runs

IntValues = Sequence[int] | npt.NDArray[np.integer]


def integers(
    name: str, values: IntValues, count: int, least: int = 0, most: int = MAX_TOKENS
) -> IntColumn:
    """Return a column of ``count`` integers from ``least`` to ``most``.

    Raises:
        TraceError: It has another length or type, or a value out of range; ``name`` is said.
    """
    try:
        column = np.array(values)
    except ValueError:
        raise TraceError(f"{name}: must be one flat sequence of integers") from None
    if column.shape != (count,):
        raise TraceError(f"{name}: has shape {column.shape}, arrival_ns has {count} entries")
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    if column.dtype.kind not in "iu":
        raise TraceError(f"{name}: must hold integers that fit int64, holds {column.dtype}")
    wrong = np.flatnonzero((column < least) | (column > most))
    if wrong.size:
        first = wrong[0]
        raise TraceError(f"{name}: entry {first} is {column[first]}, not from {least} to {most}")
    return column.astype(np.int64)


def unique_names(request_ids: Sequence[str] | None, count: int) -> Sequence[str]:
    """Return the names of requests, or their numbers if there are none.

    Raises:
        TraceError: There are not ``count`` of them, or two are equal.
    """
    if request_ids is None:
        return Numbered(np.arange(count, dtype=np.int64))
    names = tuple(request_ids)
    if len(names) != count:
        raise TraceError(f"request_ids: has {len(names)} entries, arrival_ns has {count}")
    if len(set(names)) != count:
        raise TraceError("request_ids: must be unique")
    return names


def predecessors(after: Sequence[Sequence[int]], count: int) -> Ragged:
    """Return who comes after whom as positions, one list per request.

    Raises:
        TraceError: There are not ``count`` lists, or one names a request that is not there.
    """
    if len(after) != count:
        raise TraceError(f"after: has {len(after)} entries, arrival_ns has {count}")
    column = Ragged.of([[(position,) for position in rows] for rows in after], 1)
    if np.any((column.values < 0) | (column.values >= count)):
        raise TraceError(f"after: must name requests from 0 to {count - 1}")
    return column


def runs_of_ids(
    hash_ids: Sequence[Sequence[int]] | None, inputs: IntColumn, block_size: int
) -> Ragged:
    """Return the hash ids of prompts of ``inputs`` tokens as runs; no ids if there are none.

    Raises:
        TraceError: Their number does not fit the prompts and blocks of ``block_size`` tokens.
    """
    check_block_size(block_size)
    count = len(inputs)
    if hash_ids is None:
        return Ragged.empty(count, 2)
    if len(hash_ids) != count:
        raise TraceError(f"hash_ids: has {len(hash_ids)} entries, arrival_ns has {count}")
    for index, (ids, tokens) in enumerate(zip(hash_ids, inputs.tolist(), strict=True)):
        if len(ids) and len(ids) not in block_counts(tokens, block_size):
            full, touched = block_counts(tokens, block_size)
            raise TraceError(f"hash_ids: entry {index} has {len(ids)} ids, not {touched} or {full}")
    flat = list(chain.from_iterable(hash_ids))
    offsets = offsets_of([len(ids) for ids in hash_ids])
    return encode_runs(offsets, integers("hash_ids", flat, len(flat), 0, MAX_HASH_ID))
