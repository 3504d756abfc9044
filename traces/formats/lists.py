"""Columns from Python lists in which values may be missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..columns import NONE, Labels, Ragged
from ..rows import Column


def integers(**lists: Sequence[int | None]) -> dict[str, Column]:
    """Return columns of integers by name, without those in which nothing is given."""
    return {
        name: np.array([NONE if value is None else value for value in values], dtype=np.int64)
        for name, values in lists.items()
        if any(value is not None for value in values)
    }


def words(**lists: Sequence[str | None]) -> dict[str, Column]:
    """Return columns of words by name, without those in which nothing is given."""
    return {
        name: Labels.of(values)
        for name, values in lists.items()
        if any(value is not None for value in values)
    }


def predecessors(after: Sequence[Sequence[int]]) -> dict[str, Column]:
    """Return the column ``after`` from the row numbers before each row, if there are any."""
    if not any(after):
        return {}
    return {"after": Ragged.of([[(number,) for number in numbers] for numbers in after], 1)}


def nanoseconds(seconds: float | None) -> int | None:
    """Return a duration in whole nanoseconds; None stays None."""
    return None if seconds is None else round(seconds * 1e9)
