"""Reader for files whose fields the user explains: CSV, or JSONL with one object per request."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from ...configs.errors import TraceError
from ..meta import NO_TIMES
from ..problems import Problems
from ..rows import Rows
from ..schema import DECODE_ERRORS, explain_syntax
from ..source import Source, line_blocks, text_problem
from .cells import UNITS, Cells, Field, columns_of
from .csv_lines import read_header
from .csv_table import csv_rows, note_wrong, rows_of, selected
from .format import Format, top_level_keys
from .meanings import Use, uses_of

UNIX_TIME_NS = 10**18
"""Arrivals from here on (the year 2001) are Unix time; a trace begins at its earliest."""

_LINES = 4096
_JSON_FIRST_LINE = 1

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    head = source.head()
    is_json = head.lstrip()[:1] == b"{"
    names = list(top_level_keys(head)) if is_json else list(read_header(source.path))
    uses = uses_of(source.path, names, source.columns)
    first = _first_json(head) if is_json else _first_csv(head, names)
    fields = [use.field(moment=_is_moment(use, first)) for use in uses]
    problems.notes.append(f"read as {_said(uses, fields)}")
    if not any(field.column == "arrival_ns" for field in fields):
        problems.notes.append(NO_TIMES)
    batches = _json_rows if is_json else _csv_rows
    is_unix_time: bool | None = None
    for batch in batches(source, fields, problems):
        arrival = batch.integers("arrival_ns")
        if arrival is not None and len(batch) and is_unix_time is None:
            is_unix_time = bool(arrival[0] >= UNIX_TIME_NS)
        yield replace(batch, is_time_of_day=bool(is_unix_time))


FORMAT = Format(
    name="mapped",
    summary="CSV or JSONL with other names: say what they mean with --column NAME=MEANING",
    rows=rows,
)


def _csv_rows(source: Source, fields: Sequence[Field], problems: Problems) -> Iterator[Rows]:
    return csv_rows(source.path, fields, problems)


def _json_rows(source: Source, fields: Sequence[Field], problems: Problems) -> Iterator[Rows]:
    path = source.path
    for first, block in line_blocks(path, _LINES):
        lines: list[int] = []
        texts: list[list[str]] = []
        for number, line in enumerate(block, first):
            if line.isspace() and b"\r" not in line:
                continue
            try:
                texts.append(_row(number, line, fields))
                lines.append(number)
            except TraceError as problem:
                problems.add(f"{path}:{number}", str(problem))
        if lines:
            numbers = np.array(lines, dtype=np.int64)
            table = np.array(texts, dtype=object)
            cells: dict[str, Cells] = {f.column: table[:, at] for at, f in enumerate(fields)}
            columns, wrong = columns_of(fields, cells)
            good = note_wrong(path, fields, cells, wrong, numbers, problems)
            batch = rows_of(path, fields, columns, numbers - _JSON_FIRST_LINE, _JSON_FIRST_LINE)
            yield selected(batch, good)


def _row(number: int, line: bytes, fields: Sequence[Field]) -> list[str]:
    """The texts of one line's fields; a field that is missing or null is empty."""
    problem = text_problem(number, line)
    if problem:
        raise TraceError(problem)
    try:
        values = _decode(line)
        return [_text(bytes(values.get(field.key, msgspec.Raw(b"null")))) for field in fields]
    except msgspec.ValidationError:
        raise TraceError("must be a JSON object") from None
    except DECODE_ERRORS as error:
        raise TraceError(explain_syntax(line, error)) from None


def _text(value: bytes) -> str:
    if value.startswith(b'"'):
        return msgspec.json.decode(value, type=str)
    return "" if value == b"null" else value.decode()


def _first_csv(head: bytes, names: Sequence[str]) -> dict[str, str]:
    """Cells of line 2, if there is one."""
    lines = head.decode(errors="replace").split("\n")
    try:
        cells = next(csv.reader(lines[1:2]), [])
    except csv.Error:
        cells = []
    return dict(zip(names, cells, strict=False))


def _first_json(head: bytes) -> dict[str, str]:
    """Values of the first line, if it is a JSON object."""
    try:
        return {key: _text(bytes(value)) for key, value in _decode(head.split(b"\n")[0]).items()}
    except DECODE_ERRORS:
        return {}


def _is_moment(use: Use, first: dict[str, str]) -> bool:
    if not use.may_be_moment:
        return False
    try:
        float(first.get(use.key, "0"))
    except ValueError:
        return True
    return False


def _said(uses: Sequence[Use], fields: Sequence[Field]) -> str:
    """Words for what every field is read as."""
    units = {"span": " ({})", "moment": " (date and time)"}
    return ", ".join(
        f"{use.meaning.name}: {field.key}{units.get(field.kind, '').format(UNITS[field.digits])}"
        for use, field in zip(uses, fields, strict=True)
    )
