"""A CSV file as rows of a trace: pandas parses numbers, and tells where there are none."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...configs.errors import TraceError
from ..columns import IntColumn, Labels, Ragged
from ..problems import Problems
from ..rows import BoolColumn, Column, Rows
from ..text import shown
from .cells import Cells, Field, columns_of
from .csv_lines import read_header, sound_blocks
from .moments import MOMENT_BYTES

FIRST_LINE = 2
"""Line of the first request: the header is line 1."""


def csv_rows(path: Path, wanted: Sequence[Field], problems: Problems) -> Iterator[Rows]:
    """Yield the rows of a CSV file.

    Args:
        path: The file, plain or ``.gz``.
        wanted: Its fields that become columns; their keys are compared without regard to case.
        problems: Where bad lines are noted, and once what fields are not used.

    Raises:
        TraceError: A field is missing, or there is nothing below the header.
    """
    header = read_header(path)
    fields = _present(path, header, wanted)
    unused = [name for name in header if name not in {field.key for field in fields}]
    if unused:
        problems.notes.append(f"fields that are not used: {shown(', '.join(unused), limit=200)}")
    bad = problems.count
    empty = True
    for lines, block in sound_blocks(path, len(header), problems):
        if len(lines):
            empty = False
            yield _rows(path, header, fields, lines, block, problems)
    if empty and problems.count == bad:
        raise TraceError(f"{path}:1: names columns, but no line with a request follows")


def _present(path: Path, header: Sequence[str], wanted: Sequence[Field]) -> list[Field]:
    """The wanted fields that are there, with their keys as the header has them."""
    fields: list[Field] = []
    for field in wanted:
        names = [name for name in header if name == field.key]
        names = names or [name for name in header if name.lower() == field.key.lower()]
        if len(names) > 1:
            raise TraceError(f"{path}:1: {field.key}: is there {len(names)} times, not once")
        if names:
            fields.append(replace(field, key=names[0]))
        elif not field.optional:
            there = shown(", ".join(header), limit=200)
            raise TraceError(f"{path}:1: {field.key}: is missing; the fields are {there}")
    return fields


def _rows(
    path: Path,
    header: Sequence[str],
    fields: Sequence[Field],
    lines: IntColumn,
    block: bytes,
    problems: Problems,
) -> Rows:
    typed = _parsed(header, fields, block)
    columns, wrong = columns_of(fields, typed) if typed is not None else ({}, {})
    if typed is None or wrong:
        texts = _texts(header, fields, block)
        columns, wrong = columns_of(fields, texts)
        good = note_wrong(path, fields, texts, wrong, lines, problems)
        return selected(rows_of(path, fields, columns, lines - FIRST_LINE, FIRST_LINE), good)
    return rows_of(path, fields, columns, lines - FIRST_LINE, FIRST_LINE)


def rows_of(
    path: Path,
    fields: Sequence[Field],
    columns: dict[str, Column],
    numbers: IntColumn,
    first_line: int,
) -> Rows:
    """Return columns of a table as rows.

    Args:
        path: The file.
        fields: Where the columns come from.
        columns: The columns; ``request_ids`` as words.
        numbers: Number of each row, from 0.
        first_line: Line of row 0.
    """
    names = columns.pop("request_ids", None)
    ids: list[str] | None = None
    if isinstance(names, Labels):
        ids = [names.word(at) or "" for at in range(len(names))]
    return Rows(
        path=path,
        columns=columns,
        numbers=numbers,
        where=lambda number: str(number + first_line),
        keys={field.column: field.key for field in fields},
        request_ids=ids,
        is_time_of_day=any(field.kind == "moment" for field in fields),
    )


def note_wrong(
    path: Path,
    fields: Sequence[Field],
    texts: dict[str, Cells],
    wrong: dict[str, BoolColumn],
    lines: IntColumn,
    problems: Problems,
) -> BoolColumn:
    """Note each line with a wrong cell once, for its first one; return which lines are good."""
    good = np.ones(len(lines), dtype=bool)
    found: list[tuple[int, str]] = []
    for field in fields:
        if field.column not in wrong:
            continue
        for at in np.flatnonzero(wrong[field.column] & good).tolist():
            text = shown(str(texts[field.column][at]))
            found.append((at, f"{field.key}: must be {field.rule}, is {text or 'empty'}"))
        good &= ~wrong[field.column]
    for at, text in sorted(found):
        problems.add(f"{path}:{lines[at]}", text)
    return good


def selected(rows: Rows, keep: BoolColumn) -> Rows:
    """Return the rows for which ``keep`` is true."""
    index = np.flatnonzero(keep)
    columns: dict[str, Column] = {
        name: column.take(index) if isinstance(column, Ragged | Labels) else column[index]
        for name, column in rows.columns.items()
    }
    ids = rows.request_ids
    return replace(
        rows,
        columns=columns,
        numbers=rows.numbers[index],
        request_ids=None if ids is None else [ids[at] for at in index.tolist()],
    )


def _parsed(
    header: Sequence[str], fields: Sequence[Field], block: bytes
) -> dict[str, Cells] | None:
    """Cells as numbers, bytes and words; None if something in the block is not what it must be."""
    types: dict[str, Any] = {}
    for field in fields:
        if field.kind == "word":
            types[field.key] = object
        elif field.kind == "moment":
            types[field.key] = f"S{MOMENT_BYTES}"
    blanks = {f.key: [""] for f in fields if f.is_number and f.blank is not None}
    cells = _cells(header, fields, block, types, blanks)
    for field in fields:
        if field.kind == "moment":  # pandas 2 returns bytes as objects
            cells[field.column] = cells[field.column].astype(types[field.key], copy=False)
    numbers = [cells[field.column] for field in fields if field.is_number]
    return cells if all(column.dtype.kind in "if" for column in numbers) else None


def _texts(header: Sequence[str], fields: Sequence[Field], block: bytes) -> dict[str, Cells]:
    """Cells as they are written."""
    return _cells(header, fields, block, dict.fromkeys((f.key for f in fields), object), {})


def _cells(
    header: Sequence[str],
    fields: Sequence[Field],
    block: bytes,
    types: dict[str, Any],
    blanks: dict[str, list[str]],
) -> dict[str, Cells]:
    # Names by place: those of the header may be equal or empty.
    import pandas as pd

    places = {field.key: str(header.index(field.key)) for field in fields}
    frame = pd.read_csv(
        io.BytesIO(block),
        header=None,
        names=[str(place) for place in range(len(header))],
        usecols=list(places.values()),
        dtype={places[key]: kind for key, kind in types.items()},
        na_values={places[key]: words for key, words in blanks.items()},
        na_filter=bool(blanks),
        keep_default_na=False,
        skip_blank_lines=False,
        low_memory=False,
    )
    return {field.column: frame[places[field.key]].to_numpy() for field in fields}
