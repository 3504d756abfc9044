"""Reader for JSONL traces: the Mooncake format with a few optional keys."""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from typing import Literal

import numpy as np
from msgspec import UNSET

from ..configs.errors import TraceError
from .record import (
    DEFAULT_BLOCK_SIZE,
    NS_PER_MS,
    IntColumn,
    Trace,
    block_counts,
    check_block_size,
)
from .schema import DECODE_ERRORS, Line, decode_line, explain, shown
from .source import open_lines, text_problem

_LISTED_LINES = 3


def read_jsonl(
    path: str | os.PathLike[str],
    *,
    block_size: int = DEFAULT_BLOCK_SIZE,
    sort: bool = False,
    on_bad_line: Literal["error", "skip"] = "error",
) -> Trace:
    """Read a trace with one JSON object per line, plain or gzip-compressed (``.gz``).

    Required keys are ``timestamp`` (milliseconds, may be fractional), ``input_length`` and
    ``output_length`` (tokens, at least 1). Optional keys are ``hash_ids`` (ids of the prompt's
    blocks, with or without a partly filled last one; no list or an empty one if unknown),
    ``cross_tokens`` (encoder-side tokens that are not in ``input_length``), ``priority`` (smaller
    is served first) and ``request_id`` (unique string or integer; the line's 0-based index
    in the file if left out). Other keys and blank lines are ignored; a blank line still counts as a
    line.

    Args:
        path: The trace file.
        block_size: Tokens that one hash id of the trace stands for.
        sort: Put lines in order of time instead of refusing a trace that is out of order. Lines
            with equal times keep their order.
        on_bad_line: Whether bad lines make reading fail or are left out and counted.

    Raises:
        TraceError: The file is missing, damaged or empty, no good line is left, or (unless
            ``on_bad_line`` is ``"skip"``) a line is bad.
        ValueError: ``on_bad_line`` is neither ``"error"`` nor ``"skip"``.
    """
    if on_bad_line not in ("error", "skip"):
        raise ValueError(f"on_bad_line must be 'error' or 'skip', not {on_bad_line!r}")
    check_block_size(block_size)
    path = Path(path)
    reader = _Reader(block_size, sort)
    listed: list[str] = []
    total = bad = number = 0
    with open_lines(path) as lines:
        for number, line in lines.numbered:
            if line.isspace() and b"\r" not in line:
                continue
            total += 1
            problem = reader.take(number, line)
            if problem is not None:
                bad += 1
                if bad <= _LISTED_LINES:
                    listed.append(f"{path}:{number}: {problem}")
    if total == 0:
        raise TraceError(
            f"{path}:1: {'has only blank lines' if number else 'is empty'}; "
            f"a trace has one JSON object per line"
        )
    if bad and (on_bad_line == "error" or bad == total):
        raise TraceError(_bad_lines_message(listed, bad, total))
    return reader.trace(path.name, lines.sha256, bad)


def _bad_lines_message(listed: list[str], bad: int, total: int) -> str:
    if bad > len(listed):
        listed = [*listed, f"... and {bad - len(listed)} more bad lines of {total}"]
    return "\n".join(listed)


def _arrival_ns(timestamp_ms: int | float) -> int:
    # Splitting off the whole milliseconds first keeps a large fractional timestamp exact.
    whole = int(timestamp_ms)
    return whole * NS_PER_MS + round((timestamp_ms - whole) * NS_PER_MS)


class _Reader:
    """Columns that grow line by line, without keeping decoded lines."""

    def __init__(self, block_size: int, sort: bool) -> None:
        self._block_size = block_size
        self._sort = sort
        self._arrival_ns = array("q")
        self._input_tokens = array("q")
        self._output_tokens = array("q")
        self._cross_tokens = array("q")
        self._priority = array("q")
        self._hash_offsets = array("q", [0])
        self._hash_ids = array("q")
        self._line_of_id: dict[str, int] = {}
        self._latest_ns = 0
        self._latest_number = 0
        self._sorted_lines = 0

    def take(self, number: int, line: bytes) -> str | None:
        """Append one line, or say why it is bad."""
        if b"\r" in line or not line.isascii():
            problem = text_problem(number, line)
            if problem is not None:
                return problem
        try:
            row = decode_line(line)
        except DECODE_ERRORS as error:
            return explain(line, error)
        arrival_ns = _arrival_ns(row.timestamp)
        request_id = str(number - 1) if row.request_id is UNSET else str(row.request_id)
        problem = self._mismatch(row, arrival_ns, request_id)
        if problem is not None:
            return problem
        if arrival_ns >= self._latest_ns:
            self._latest_ns, self._latest_number = arrival_ns, number
        else:
            self._sorted_lines += 1
        self._line_of_id[request_id] = number
        self._append(row, arrival_ns)
        return None

    def trace(self, name: str, sha256: str, skipped_lines: int) -> Trace:
        """Return the lines taken so far, in order of time."""
        arrivals = _int_column(self._arrival_ns)
        offsets, ids = _int_column(self._hash_offsets), _int_column(self._hash_ids)
        names = tuple(self._line_of_id)
        order = slice(None)
        if self._sorted_lines:
            order = np.argsort(arrivals, kind="stable")
            offsets, ids = _reordered_runs(offsets, ids, order)
            names = tuple(names[index] for index in order)
        return Trace(
            arrival_ns=arrivals[order],
            input_tokens=_int_column(self._input_tokens)[order],
            output_tokens=_int_column(self._output_tokens)[order],
            cross_tokens=_int_column(self._cross_tokens)[order],
            priority=_int_column(self._priority)[order],
            request_ids=names,
            hash_offsets=offsets,
            hash_ids=ids,
            name=name,
            sha256=sha256,
            block_size=self._block_size,
            skipped_lines=skipped_lines,
            sorted_lines=self._sorted_lines,
        )

    def _mismatch(self, row: Line, arrival_ns: int, request_id: str) -> str | None:
        if arrival_ns < self._latest_ns and not self._sort:
            return (
                f"timestamp: {row.timestamp} ms is earlier than line {self._latest_number} "
                f"({self._latest_ns / NS_PER_MS:.15g} ms); sort the file, or pass --sort"
            )
        if row.hash_ids:
            full, touched = block_counts(row.input_length, self._block_size)
            count = len(row.hash_ids)
            if count != touched and count != full:
                return (
                    f"hash_ids: has {count} ids, but {row.input_length} tokens take {touched} "
                    f"blocks ({full} of them full); the trace is read with --trace-block-size "
                    f"{self._block_size}"
                )
        if request_id in self._line_of_id:
            first = self._line_of_id[request_id]
            return f"request_id: '{shown(request_id)}' is taken by line {first}; ids must be unique"
        return None

    def _append(self, row: Line, arrival_ns: int) -> None:
        self._arrival_ns.append(arrival_ns)
        self._input_tokens.append(row.input_length)
        self._output_tokens.append(row.output_length)
        self._cross_tokens.append(row.cross_tokens)
        self._priority.append(row.priority)
        if row.hash_ids:
            self._hash_ids.extend(row.hash_ids)
        self._hash_offsets.append(len(self._hash_ids))


def _int_column(column: array[int]) -> IntColumn:
    return np.array(column, dtype=np.int64)


def _reordered_runs(
    offsets: IntColumn, ids: IntColumn, order: IntColumn
) -> tuple[IntColumn, IntColumn]:
    lengths = np.diff(offsets)[order]
    moved = np.zeros_like(offsets)
    np.cumsum(lengths, out=moved[1:])
    source = np.repeat(offsets[:-1][order] - moved[:-1], lengths) + np.arange(len(ids))
    return moved, ids[source]
