"""The trace in memory: one numpy column per quantity, one entry per request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from ..configs.errors import TraceError

IntColumn = npt.NDArray[np.int64]
IntValues = Sequence[int] | npt.NDArray[np.integer]

MAX_TOKENS = 2**40
"""Largest accepted token count of one request; sums over many requests still fit int64."""

MAX_TIMESTAMP_MS = 2**43
"""Largest accepted arrival in milliseconds (year 2248 of Unix time); fits int64 nanoseconds."""

MAX_HASH_ID = 2**63 - 1
"""Largest hash id that an int64 column holds."""

DEFAULT_BLOCK_SIZE = 512
"""Tokens that one hash id stands for in the published Mooncake traces."""

NS_PER_MS = 1_000_000


@dataclass(frozen=True, eq=False)
class Trace:
    """Requests in order of arrival.

    All columns have one entry per request and are read-only. The hash ids of request ``i`` are
    ``hash_ids[hash_offsets[i]:hash_offsets[i + 1]]``; a request without known ids has none.

    Attributes:
        arrival_ns: Arrival in nanoseconds after the trace's own zero, ascending.
        input_tokens: Prompt length in tokens, at least 1.
        output_tokens: Generated length in tokens, at least 1.
        cross_tokens: Encoder-side tokens that are not part of the prompt length.
        priority: Scheduling priority; smaller is served first.
        request_ids: Unique name of each request.
        hash_offsets: Start of each request's run in ``hash_ids``, with the total at the end.
        hash_ids: Ids of the prompt's blocks; equal ids mean equal block and equal prefix.
        name: File name without folder.
        sha256: Digest of the file's raw bytes (compressed bytes for ``.gz``); empty if the trace
            does not come from a file.
        block_size: Tokens that one hash id stands for.
        skipped_lines: Bad lines that reading left out.
        sorted_lines: Lines that arrived before a line above them and that reading moved up.
    """

    arrival_ns: IntColumn
    input_tokens: IntColumn
    output_tokens: IntColumn
    cross_tokens: IntColumn
    priority: IntColumn
    request_ids: tuple[str, ...]
    hash_offsets: IntColumn
    hash_ids: IntColumn
    name: str
    sha256: str
    block_size: int = DEFAULT_BLOCK_SIZE
    skipped_lines: int = 0
    sorted_lines: int = 0

    def __post_init__(self) -> None:
        for column in (
            self.arrival_ns,
            self.input_tokens,
            self.output_tokens,
            self.cross_tokens,
            self.priority,
            self.hash_offsets,
            self.hash_ids,
        ):
            column.setflags(write=False)

    def __len__(self) -> int:
        return len(self.arrival_ns)

    @property
    def span_ns(self) -> int:
        """Time from the first to the last arrival in nanoseconds (0 for an empty trace)."""
        return int(self.arrival_ns[-1] - self.arrival_ns[0]) if len(self) else 0

    def head(self, n: int) -> Trace:
        """Return the first ``n`` requests, or all of them where there are fewer.

        Name, digest and line counts stay those of the file that was read.

        Raises:
            TraceError: ``n`` is negative.
        """
        if n < 0:
            raise TraceError(f"head: {n} requests were asked for; give 0 or more")
        n = min(n, len(self))
        return replace(
            self,
            arrival_ns=self.arrival_ns[:n],
            input_tokens=self.input_tokens[:n],
            output_tokens=self.output_tokens[:n],
            cross_tokens=self.cross_tokens[:n],
            priority=self.priority[:n],
            request_ids=self.request_ids[:n],
            hash_offsets=self.hash_offsets[: n + 1],
            hash_ids=self.hash_ids[: self.hash_offsets[n]],
        )

    @classmethod
    def from_columns(
        cls,
        arrival_ns: IntValues,
        input_tokens: IntValues,
        output_tokens: IntValues,
        *,
        cross_tokens: IntValues | None = None,
        priority: IntValues | None = None,
        request_ids: Sequence[str] | None = None,
        hash_ids: Sequence[Sequence[int]] | None = None,
        name: str = "columns",
        block_size: int = DEFAULT_BLOCK_SIZE,
    ) -> Trace:
        """Build a trace from Python or numpy columns, which are copied.

        Args:
            arrival_ns: Arrivals in nanoseconds, ascending.
            input_tokens: Prompt lengths in tokens, at least 1.
            output_tokens: Generated lengths in tokens, at least 1.
            cross_tokens: Encoder-side tokens; 0 for every request if left out.
            priority: Priorities, smaller first; 0 for every request if left out.
            request_ids: Unique names; ``"0"``, ``"1"``, ... if left out.
            hash_ids: One list of block ids per request; no ids if left out.
            name: Name of the trace in reports.
            block_size: Tokens that one hash id stands for.

        Raises:
            TraceError: A column has the wrong length or type, or a value out of range.
        """
        count = len(arrival_ns)
        zeros = np.zeros(count, dtype=np.int64)
        arrivals = _column("arrival_ns", arrival_ns, count, 0, MAX_TIMESTAMP_MS * NS_PER_MS)
        inputs = _column("input_tokens", input_tokens, count, 1)
        late = np.flatnonzero(np.diff(arrivals) < 0)
        if late.size:
            raise TraceError(f"arrival_ns: entry {late[0] + 1} is earlier than the one before it")
        offsets, flat = _hash_columns(hash_ids, inputs, block_size)
        return cls(
            arrival_ns=arrivals,
            input_tokens=inputs,
            output_tokens=_column("output_tokens", output_tokens, count, 1),
            cross_tokens=zeros
            if cross_tokens is None
            else _column("cross_tokens", cross_tokens, count),
            priority=zeros
            if priority is None
            else _column("priority", priority, count, -MAX_TOKENS),
            request_ids=_names(request_ids, count),
            hash_offsets=offsets,
            hash_ids=flat,
            name=name,
            sha256="",
            block_size=block_size,
        )


def block_counts(input_tokens: int, block_size: int) -> tuple[int, int]:
    """Return how many hash ids a prompt may have: full blocks only, or a partly filled last one.

    Args:
        input_tokens: Prompt length in tokens.
        block_size: Tokens per block.
    """
    return input_tokens // block_size, -(-input_tokens // block_size)


def check_block_size(block_size: int) -> None:
    """Refuse a trace block size below one token.

    Raises:
        TraceError: ``block_size`` is smaller than 1.
    """
    if block_size < 1:
        raise TraceError(f"--trace-block-size {block_size}: a block holds at least 1 token")


def _column(
    name: str, values: IntValues, count: int, least: int = 0, most: int = MAX_TOKENS
) -> IntColumn:
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


def _names(request_ids: Sequence[str] | None, count: int) -> tuple[str, ...]:
    names = tuple(map(str, range(count))) if request_ids is None else tuple(request_ids)
    if len(names) != count:
        raise TraceError(f"request_ids: has {len(names)} entries, arrival_ns has {count}")
    if len(set(names)) != count:
        raise TraceError("request_ids: must be unique")
    return names


def _hash_columns(
    hash_ids: Sequence[Sequence[int]] | None, inputs: IntColumn, block_size: int
) -> tuple[IntColumn, IntColumn]:
    check_block_size(block_size)
    count = len(inputs)
    if hash_ids is None:
        return np.zeros(count + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if len(hash_ids) != count:
        raise TraceError(f"hash_ids: has {len(hash_ids)} entries, arrival_ns has {count}")
    for index, (ids, tokens) in enumerate(zip(hash_ids, inputs.tolist(), strict=True)):
        if len(ids) and len(ids) not in block_counts(tokens, block_size):
            full, touched = block_counts(tokens, block_size)
            raise TraceError(f"hash_ids: entry {index} has {len(ids)} ids, not {touched} or {full}")
    flat = list(chain.from_iterable(hash_ids))
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum([len(ids) for ids in hash_ids], out=offsets[1:])
    return offsets, _column("hash_ids", flat, len(flat), 0, MAX_HASH_ID)
