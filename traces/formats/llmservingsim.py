"""Reader for workloads of LLMServingSim (casys-kaist/LLMServingSim): requests or agent sessions.

A line is a request, or a session of ``sub_requests`` of which each is sent ``tool_duration_ns``
after the one before it has ended. Prompts may come with their token ids; every full block of them
gets an id that also stands for all before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta as Rule

from ..columns import NONE, IntColumn, Labels, Ragged, offsets_of
from ..limits import MAX_NS, MAX_TOKENS
from ..meta import Meta
from ..problems import Problems
from ..rows import Column, Rows
from ..runs import encode_runs
from ..source import Source
from .chains import Trie
from .format import Format
from .json_lines import decoded_blocks

BLOCK_SIZE = 16

_Length = Annotated[int, Rule(ge=1, le=MAX_TOKENS)]
_Tokens = Annotated[int, Rule(ge=0, le=MAX_TOKENS)]
_Nanoseconds = Annotated[int, Rule(ge=0, le=MAX_NS)]
_TokenIds = list[Annotated[int, Rule(ge=0, lt=2**32)]]


class Call(msgspec.Struct):
    """A call inside a session."""

    input_toks: _Length
    output_toks: _Tokens
    tool_duration_ns: _Nanoseconds = 0
    input_tok_ids: _TokenIds | None = None


class Line(msgspec.Struct):
    """A request, or a session with ``sub_requests``."""

    arrival_time_ns: _Nanoseconds
    session_id: str | int | None = None
    sub_requests: list[Call] | None = None
    input_toks: _Length | None = None
    output_toks: _Tokens | None = None
    input_tok_ids: _TokenIds | None = None

    def calls(self) -> list[Call]:
        """Return its calls: those of the session, or the request."""
        if self.sub_requests is not None:
            return self.sub_requests
        assert self.input_toks is not None
        assert self.output_toks is not None
        return [Call(self.input_toks, self.output_toks, 0, self.input_tok_ids)]

    def contradiction(self) -> str | None:
        """Say what its fields lack, or say against each other."""
        if self.sub_requests is None and (self.input_toks is None or self.output_toks is None):
            missing = "input_toks" if self.input_toks is None else "output_toks"
            return f"{missing}: is missing; a line without it must have sub_requests"
        if self.sub_requests is not None and not self.sub_requests:
            return "sub_requests: must hold at least one request"
        for index, call in enumerate(self.calls()):
            if call.input_tok_ids is not None and len(call.input_tok_ids) != call.input_toks:
                where = f"sub_requests[{index}]." if self.sub_requests else ""
                return (
                    f"{where}input_tok_ids: must hold input_toks = {call.input_toks} ids, "
                    f"holds {len(call.input_tok_ids)}"
                )
        return None


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    trie = Trie()
    first_row = 0
    for numbers, block in decoded_blocks(source.path, Line, problems):
        places: list[str] = []
        lines: list[Line] = []
        for number, line in zip(numbers, block, strict=True):
            problem = line.contradiction()
            if problem:
                problems.add(f"{source.path}:{number}", problem)
                continue
            lines.append(line)
            inner = range(len(line.sub_requests or ()))
            places += [f"{number}: sub_requests[{at}]" for at in inner] or [str(number)]
        if lines:
            yield _rows(source, lines, places, first_row, trie)
            first_row += len(places)


FORMAT = Format(
    name="llmservingsim",
    summary="JSONL of LLMServingSim: arrival_time_ns with input_toks, output_toks or sub_requests",
    rows=rows,
    json_keys=frozenset(("arrival_time_ns",)),
    matches=lambda head: bool(head.json_keys & {"input_toks", "sub_requests"}),
    meta=Meta(block_size=BLOCK_SIZE),
)


def _rows(source: Source, lines: list[Line], places: list[str], first_row: int, trie: Trie) -> Rows:
    calls = [line.calls() for line in lines]
    turns = np.array([turn for row in calls for turn in range(len(row))], dtype=np.int64)
    flat = [call for row in calls for call in row]
    numbers = np.arange(first_row, first_row + len(flat), dtype=np.int64)
    columns: dict[str, Column] = {
        "arrival_ns": np.repeat(
            np.array([line.arrival_time_ns for line in lines], dtype=np.int64),
            [len(row) for row in calls],
        ),
        "input_tokens": np.array([call.input_toks for call in flat], dtype=np.int64),
        "output_tokens": np.array([call.output_toks for call in flat], dtype=np.int64),
        "hash_runs": _hashes(flat, source.block_size or BLOCK_SIZE, trie),
    }
    if any(line.sub_requests is not None for line in lines):
        columns |= _links(lines, calls, turns, numbers)
    return Rows(
        path=source.path,
        columns=columns,
        numbers=numbers,
        where=lambda number: places[number - first_row],
        keys={"input_tokens": "input_toks", "output_tokens": "output_toks"},
    )


def _links(
    lines: list[Line], calls: list[list[Call]], turns: IntColumn, numbers: IntColumn
) -> dict[str, Column]:
    """Who comes after whom in sessions, and how long after."""
    later = turns > 0
    pauses = [[NONE, *(call.tool_duration_ns for call in row[:-1])] for row in calls]
    return {
        "after": Ragged(offsets_of(later.astype(np.int64)), (numbers[later] - 1)[:, None]),
        "delay_ns": np.array([one for row in pauses for one in row], dtype=np.int64),
        "untimed": later.astype(np.int64),
        "turn": turns,
        "session": Labels.of(
            None if line.sub_requests is None or line.session_id is None else str(line.session_id)
            for line, row in zip(lines, calls, strict=True)
            for _ in row
        ),
    }


def _hashes(calls: list[Call], block_size: int, trie: Trie) -> Ragged:
    ids = [trie.ids(call.input_tok_ids or [], block_size) for call in calls]
    flat = np.array([one for row in ids for one in row], dtype=np.int64)
    return encode_runs(offsets_of([len(row) for row in ids]), flat)
