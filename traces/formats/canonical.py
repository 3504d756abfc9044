"""Reader for our own format and for Mooncake, which is a part of it: one JSON object per line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from msgspec import UNSET

from ..columns import NONE, IntColumn, Labels, Ragged, offsets_of
from ..limits import NS_PER_MS
from ..problems import Problems
from ..record import IMAGE_COLUMNS
from ..rows import Column, Rows
from ..runs import encode_runs
from ..schema import DECODE_ERRORS, Line, decode_line, decode_lines, explain, unknown_fields
from ..source import Source, line_blocks, text_problem
from .format import Format

_LINES = 4096
"""Lines that are decoded together."""

KEYS = {
    "arrival_ns": "timestamp",
    "input_tokens": "input_length",
    "output_tokens": "output_length",
    "delay_ns": "delay",
    "reasoning_tokens": "reasoning_length",
    "request_ids": "request_id",
}


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    interned = _Words()
    for first, block in line_blocks(source.path, _LINES):
        decoded = _Block(source, first, block, problems)
        if decoded.lines:
            yield _rows(source, decoded, interned)


FORMAT = Format(
    name="jenga",
    summary="Our own JSONL: Mooncake's keys and sessions, images, latencies (docs/traces.md)",
    rows=rows,
    json_keys=frozenset(("input_length", "output_length")),
    matches=lambda head: bool(head.json_keys & {"timestamp", "after"}),
)

MOONCAKE = Format(
    name="mooncake",
    summary="JSONL with timestamp (ms), input_length, output_length, hash_ids (512 tokens each)",
    rows=rows,
    json_keys=frozenset(("timestamp", "input_length", "output_length", "hash_ids")),
)


class _Block:
    """Lines of a file that decoded, with their numbers from 0 and what else they held."""

    def __init__(self, source: Source, first: int, block: list[bytes], problems: Problems) -> None:
        self.lines: Sequence[Line] = []
        self.numbers: IntColumn = np.zeros(0, dtype=np.int64)
        self.unknown: tuple[bytes, ...] | None = None
        text = b"".join(block)
        if text.isascii() and b"\r" not in text:
            try:
                self.lines = decode_lines(text)
            except DECODE_ERRORS:
                self.lines = []
        if len(self.lines) == len(block) and not any(map(_contradiction, self.lines)):
            self.numbers = np.arange(first - 1, first - 1 + len(block), dtype=np.int64)
        else:
            self._one_by_one(source, first, block, problems)

    def _one_by_one(
        self, source: Source, first: int, block: list[bytes], problems: Problems
    ) -> None:
        """Decode a block in which something is unusual: blank, bad or with unknown keys."""
        lines: list[Line] = []
        numbers: list[int] = []
        unknown: list[bytes] = []
        for number, line in enumerate(block, first):
            if line.isspace() and b"\r" not in line:
                continue
            decoded = _decoded(number, line)
            if isinstance(decoded, str):
                problems.add(f"{source.path}:{number}", decoded)
                continue
            lines.append(decoded)
            numbers.append(number - 1)
            unknown.append(unknown_fields(line))
        self.lines, self.numbers = lines, np.array(numbers, dtype=np.int64)
        self.unknown = tuple(unknown) if any(unknown) else None


def _decoded(number: int, line: bytes) -> Line | str:
    """A line, or what is wrong with it."""
    if b"\r" in line or not line.isascii():
        problem = text_problem(number, line)
        if problem is not None:
            return problem
    try:
        decoded = decode_line(line)
    except DECODE_ERRORS as error:
        return explain(line, error)
    return _contradiction(decoded) or decoded


def _contradiction(line: Line) -> str:
    """What fields of one line say against each other; empty if nothing."""
    if line.timestamp is UNSET and not line.after:
        return "timestamp: is missing; only a request that comes after others needs none"
    if line.hash_runs:
        if line.hash_ids:
            return "hash_runs: give either hash_ids or hash_runs"
        if len(line.hash_runs) % 2:
            return "hash_runs: must have a length behind every first id"
    return ""


class _Words:
    """Words of the whole file, each with a number: parts of a trace share them."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, int]] = {}
        self._lists: dict[str, list[str]] = {}

    def labels(self, column: str, words: list[Any]) -> Labels:
        """Number words; UNSET stands for none."""
        numbers = self._names.setdefault(column, {})
        names = self._lists.setdefault(column, [])
        codes = np.full(len(words), NONE, dtype=np.int64)
        for at, word in enumerate(words):
            if word is UNSET:
                continue
            text = str(word)
            if text not in numbers:
                numbers[text] = len(names)
                names.append(text)
            codes[at] = numbers[text]
        return Labels(codes, names)


_WORDS = (("session", "session_id"), ("model", "model"), ("lora", "lora"), ("tenant", "tenant"))

_COUNTS = (
    ("turn", "turn"),
    ("reuse_output", "reuse_output"),
    ("reasoning_tokens", "reasoning_length"),
    ("cancelled", "cancelled"),
)

_NESTED_MS = (
    ("slo_ttft_ns", "slo", "ttft_ms"),
    ("slo_tpot_ns", "slo", "tpot_ms"),
    ("recorded_ttft_ns", "recorded", "ttft"),
    ("recorded_e2e_ns", "recorded", "e2e"),
    ("recorded_api_ns", "recorded", "api_time"),
)


def _rows(source: Source, block: _Block, words: _Words) -> Rows:
    lines = block.lines
    columns: dict[str, Column] = {
        "input_tokens": _integers(_all(lines, "input_length")),
        "output_tokens": _integers(_all(lines, "output_length")),
        "cross_tokens": _integers(_all(lines, "cross_tokens")),
        "priority": _integers(_all(lines, "priority")),
    }
    columns |= _times(lines) | _hashes(lines) | _nested(lines)
    for column, key in _WORDS:
        values = _given(lines, key)
        if values is not None:
            columns[column] = words.labels(column, values)
    for column, key in _COUNTS:
        values = _given(lines, key)
        if values is not None:
            none = 0 if column == "cancelled" else NONE
            columns[column] = _integers([none if v is UNSET else int(v) for v in values])
    images, names = _images(lines)
    if images is not None:
        columns["images"] = images
    return Rows(
        path=source.path,
        columns=columns,
        numbers=block.numbers,
        keys=KEYS,
        request_ids=_names(lines, block.numbers),
        after_names=_after(lines, block.numbers),
        image_names=names,
        unknown=block.unknown,
    )


def _all(lines: Sequence[Line], key: str) -> list[Any]:
    return list(map(attrgetter(key), lines))


def _given(lines: Sequence[Line], key: str) -> list[Any] | None:
    """Values of an optional key, if any line has it."""
    values = _all(lines, key)
    return values if values.count(UNSET) < len(values) else None


def _integers(values: list[int]) -> IntColumn:
    return np.array(values, dtype=np.int64)


def _ns(milliseconds: Sequence[int | float]) -> IntColumn:
    # Splitting off the whole milliseconds first keeps a large fractional timestamp exact.
    given = np.array(milliseconds, dtype=np.float64)
    whole = np.trunc(given)
    parts = np.rint((given - whole) * NS_PER_MS)
    return whole.astype(np.int64) * NS_PER_MS + parts.astype(np.int64)


def _known_ns(milliseconds: Sequence[Any], unknown: Any) -> IntColumn:
    """Times, and NONE where there is none."""
    missing = [value is unknown for value in milliseconds]
    times = _ns([0 if value is unknown else value for value in milliseconds])
    times[np.array(missing, dtype=bool)] = NONE
    return times


def _times(lines: Sequence[Line]) -> dict[str, Column]:
    stamps = _all(lines, "timestamp")
    columns: dict[str, Column] = {}
    if UNSET in stamps:
        columns["untimed"] = _integers([int(stamp is UNSET) for stamp in stamps])
        stamps = [0 if stamp is UNSET else stamp for stamp in stamps]
    columns["arrival_ns"] = _ns(stamps)
    delays = _given(lines, "delay")
    if delays is not None:
        columns["delay_ns"] = _known_ns(delays, UNSET)
    return columns


def _hashes(lines: Sequence[Line]) -> dict[str, Column]:
    ids = [row or () for row in _given(lines, "hash_ids") or ((),) * len(lines)]
    flat = np.array([i for row in ids for i in row], dtype=np.int64)
    column = encode_runs(offsets_of([len(row) for row in ids]), flat)
    coded = _given(lines, "hash_runs")
    if coded is not None:
        pairs = [row or () for row in coded]
        flat = np.array([i for row in pairs for i in row], dtype=np.int64).reshape(-1, 2)
        runs = Ragged(offsets_of([len(row) // 2 for row in pairs]), flat)
        column = runs if not len(column.values) else _either(column, runs)
    return {"hash_runs": column} if len(column.values) else {}


def _either(one: Ragged, other: Ragged) -> Ragged:
    """Lists of two columns, where each request has at most one of them."""
    count = len(one)
    order = np.stack([np.arange(count), np.arange(count) + count], axis=1).ravel()
    both = Ragged.joined([one, other]).take(order)
    return Ragged(both.offsets[::2], both.values)


def _nested(lines: Sequence[Line]) -> dict[str, Column]:
    """Milliseconds and tokens inside ``slo`` and ``recorded``."""
    columns: dict[str, Column] = {}
    given = {key: _given(lines, key) for key in ("slo", "recorded")}
    for column, key, part in _NESTED_MS:
        values = [getattr(item, part, None) for item in given[key] or ()]
        if any(value is not None for value in values):
            columns[column] = _known_ns(values, None)
    cached = [getattr(item, "cached_tokens", None) for item in given["recorded"] or ()]
    if any(value is not None for value in cached):
        columns["recorded_cached_tokens"] = _integers([NONE if v is None else v for v in cached])
    return columns


def _images(lines: Sequence[Line]) -> tuple[Ragged | None, tuple[str, ...]]:
    given = _given(lines, "images")
    if given is None:
        return None, ()
    names: dict[str, int] = {}
    lists: list[list[list[int]]] = []
    for items in given:
        rows: list[list[int]] = []
        for image in items or ():
            sizes = (image.tokens, image.width, image.height, image.pos)
            name = names.setdefault(str(image.hash), len(names))
            rows.append([name, *(NONE if size is None else size for size in sizes)])
        lists.append(rows)
    return Ragged.of(lists, len(IMAGE_COLUMNS)), tuple(names)


def _names(lines: Sequence[Line], numbers: IntColumn) -> list[str] | None:
    given = _given(lines, "request_id")
    if given is None:
        return None
    own = list(map(str, numbers.tolist()))
    if given == own:
        # Names that a row has anyway cost nothing.
        return None
    return [number if name is UNSET else str(name) for name, number in zip(given, own, strict=True)]


def _after(lines: Sequence[Line], numbers: IntColumn) -> dict[int, list[str]]:
    given = _given(lines, "after")
    if given is None:
        return {}
    pairs = zip(given, numbers.tolist(), strict=True)
    return {number: [str(name) for name in names] for names, number in pairs if names}
