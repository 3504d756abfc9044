"""Cells of a table as columns of a trace, and plain words for what a cell must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..columns import NONE, IntColumn, Labels
from ..limits import MAX_TOKENS
from ..rows import LIMITS, BoolColumn, Column
from .moments import MOMENT_BYTES, MOMENT_RULE, moments_ns, spans_ns

Cells = npt.NDArray[Any]
"""Cells of one field: numbers, bytes or str objects."""

UNITS = {9: "seconds", 6: "milliseconds", 3: "microseconds", 0: "nanoseconds"}
"""Units of a span by ``Field.digits``."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a table that becomes a column.

    Attributes:
        key: Its name in the file.
        column: The column of ``Trace``, or a name of the reader's own.
        kind: A whole number, a time in some unit, a date with a time of day, or a word.
        digits: Power of ten from nanoseconds to the unit of a span.
        blank: What an empty cell means; None if a cell must not be empty.
        optional: Whether a file may lack the field.
    """

    key: str
    column: str
    kind: Literal["count", "span", "moment", "word"] = "count"
    digits: int = 9
    blank: int | None = None
    optional: bool = False

    @property
    def is_number(self) -> bool:
        """Whether cells are numbers."""
        return self.kind in ("count", "span")

    @property
    def rule(self) -> str:
        """Words for what a cell must be."""
        if self.kind == "moment":
            return MOMENT_RULE
        if self.kind == "span":
            return f"a number of {UNITS[self.digits]}"
        if self.kind == "word":
            return "a word"
        least, most = LIMITS.get(self.column, (0, MAX_TOKENS))
        return f"an integer from {max(least, 0) if least == NONE else least} to {most}"


def columns_of(
    fields: Sequence[Field], cells: Mapping[str, Cells]
) -> tuple[dict[str, Column], dict[str, BoolColumn]]:
    """Return the columns of fields.

    Args:
        fields: What is wanted.
        cells: Cells by column, as str or already as numbers (NaN where empty) or bytes.

    Returns:
        The columns, and which cells are wrong for every field that has wrong ones; a column holds
        0 there. Values out of range are not wrong here, except where no int64 holds them.
    """
    columns: dict[str, Column] = {}
    wrong: dict[str, BoolColumn] = {}
    for field in fields:
        column, known = _column(field, cells[field.column])
        columns[field.column] = column
        if not known.all():
            wrong[field.column] = ~known
    return columns, wrong


def _column(field: Field, cells: Cells) -> tuple[Column, BoolColumn]:
    if field.kind == "word":
        return _words(field, cells)
    if field.kind == "moment":
        return moments_ns(_as_bytes(cells) if cells.dtype == object else cells)
    blank = _blanks(cells) if field.blank is not None else np.zeros(len(cells), dtype=bool)
    numbers, known = _numbers(cells)
    column, fits = _counts(numbers) if field.kind == "count" else spans_ns(numbers, field.digits)
    return np.where(blank, field.blank or 0, column), blank | (known & fits)


def _words(field: Field, cells: Cells) -> tuple[Labels, BoolColumn]:
    import pandas as pd

    codes, names = pd.factorize(cells)
    words = [str(name) for name in names]
    codes = codes.astype(np.int64)
    if "" in words:
        # The empty word goes, and those after it move up.
        empty = words.index("")
        codes = np.where(codes == empty, NONE, codes - (codes > empty))
        words.remove("")
    known = codes != NONE if field.blank is None else np.ones(len(codes), dtype=bool)
    return Labels(codes, tuple(words)), known


def _blanks(cells: Cells) -> BoolColumn:
    if cells.dtype.kind == "f":
        return np.isnan(cells)
    return cells == "" if cells.dtype == object else np.zeros(len(cells), dtype=bool)


def _numbers(cells: Cells) -> tuple[Cells, BoolColumn]:
    """Texts as int64 or float64, and where they are numbers that an int64 has room for."""
    import pandas as pd

    if cells.dtype.kind in "if":
        return cells, np.ones(len(cells), dtype=bool)
    texts = pd.Series(cells, dtype=object)
    rough = pd.to_numeric(texts, errors="coerce").to_numpy().astype(np.float64)
    known: BoolColumn = np.abs(rough) < 2.0**63
    # Once more without what is no number: beside it, large integers would become floats.
    numbers = pd.to_numeric(texts[known]).to_numpy()
    column = np.zeros(len(cells), dtype=numbers.dtype)
    column[known] = numbers
    return column, known


def _counts(numbers: Cells) -> tuple[IntColumn, BoolColumn]:
    if numbers.dtype.kind == "i":
        return numbers, np.ones(len(numbers), dtype=bool)
    known: BoolColumn = (np.abs(numbers) < 2.0**53) & (numbers == np.floor(numbers))
    return np.where(known, numbers, 0).astype(np.int64), known


def _as_bytes(cells: Cells) -> npt.NDArray[np.bytes_]:
    texts = [text.encode("ascii", "replace")[:MOMENT_BYTES] for text in cells.tolist()]
    return np.array(texts, dtype=f"S{MOMENT_BYTES}")
