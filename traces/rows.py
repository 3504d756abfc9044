"""Requests as a reader found them, and the checks that all formats share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .columns import NONE, IntColumn, Labels, Ragged
from .limits import MAX_HASH_ID, MAX_NS, MAX_TOKENS
from .problems import Problems
from .runs import block_counts

Column = IntColumn | Labels | Ragged
BoolColumn = npt.NDArray[np.bool_]

LIMITS: dict[str, tuple[int, int]] = {
    "arrival_ns": (0, MAX_NS),
    "input_tokens": (1, MAX_TOKENS),
    "output_tokens": (0, MAX_TOKENS),
    "cross_tokens": (0, MAX_TOKENS),
    "priority": (-MAX_TOKENS, MAX_TOKENS),
    "turn": (NONE, MAX_TOKENS),
    "delay_ns": (NONE, MAX_NS),
    "untimed": (0, 1),
    "reuse_output": (NONE, 1),
    "reasoning_tokens": (NONE, MAX_TOKENS),
    "slo_ttft_ns": (NONE, MAX_NS),
    "slo_tpot_ns": (NONE, MAX_NS),
    "cancelled": (0, 1),
    "recorded_ttft_ns": (NONE, MAX_NS),
    "recorded_e2e_ns": (NONE, MAX_NS),
    "recorded_api_ns": (NONE, MAX_NS),
    "recorded_cached_tokens": (NONE, MAX_TOKENS),
}
"""Least and greatest value of every column of integers."""


@dataclass
class Rows:
    """Some requests of a file, in its order.

    Attributes:
        path: The file.
        columns: Columns of ``Trace`` by name; ``input_tokens`` and ``output_tokens`` at least.
            Values need not be in range: that is checked afterwards. ``after`` holds row numbers.
        numbers: Number of each row in all that is read, ascending; a request without a name is
            called so.
        where: From such a number to the place in the file: a line, or `` requests[3]``.
        keys: What a column is called in the file, for messages.
        request_ids: Names; the row numbers if left out.
        after_names: Numbers of rows that come after named requests.
        image_names: Hashes of the images in the column ``images``.
        unknown: JSON object per row with the fields that have no column; empty if there are none.
        is_time_of_day: Whether arrivals are nanoseconds of a clock that did not start with the
            trace; the trace starts at the earliest. All rows of a file alike; none is untimed.
    """

    path: Path
    columns: dict[str, Column]
    numbers: IntColumn
    where: Callable[[int], str] = lambda number: str(number + 1)
    keys: Mapping[str, str] = field(default_factory=dict[str, str])
    request_ids: Sequence[str] | None = None
    after_names: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    image_names: tuple[str, ...] = ()
    unknown: tuple[bytes, ...] | None = None
    is_time_of_day: bool = False

    def __len__(self) -> int:
        return len(self.numbers)

    def integers(self, name: str) -> IntColumn | None:
        """Return a column of integers, if the rows have it."""
        column = self.columns.get(name)
        return column if isinstance(column, np.ndarray) else None

    def complain(self, wrong: BoolColumn, problems: Problems, text: Callable[[int], str]) -> None:
        """Note what is wrong with some rows.

        Args:
            wrong: The rows.
            problems: Where it is noted.
            text: From a position in these rows to the field and what it must be.
        """
        for at in np.flatnonzero(wrong).tolist():
            problems.add(f"{self.path}:{self.where(int(self.numbers[at]))}", text(at))


def good_rows(rows: Rows, block_size: int, problems: Problems) -> BoolColumn:
    """Return which rows are in range; a bad one is noted for the first column that is wrong."""
    good = np.ones(len(rows), dtype=bool)
    for name, (least, most) in LIMITS.items():
        column = rows.integers(name)
        if column is None:
            continue
        wrong = good & ((column < least) | (column > most))
        if wrong.any():
            rows.complain(wrong, problems, _out_of_range(rows.keys.get(name, name), name, column))
            good &= ~wrong
    hashes = rows.columns.get("hash_runs")
    if isinstance(hashes, Ragged) and len(hashes.values):
        good &= ~_broken_runs(rows, hashes, good, problems)
        good &= ~_wrong_counts(rows, hashes, good, block_size, problems)
    return good


def _out_of_range(key: str, name: str, column: IntColumn) -> Callable[[int], str]:
    least, most = LIMITS[name]
    if not name.endswith("_ns"):
        return lambda at: f"{key}: must be an integer from {least} to {most}, is {column[at]}"
    span = f"from {max(least, 0) / 1e9:g} to {most / 1e9:g} s"
    return lambda at: f"{key}: must be a time {span}, is {column[at] / 1e9:.9g} s"


def _broken_runs(rows: Rows, hashes: Ragged, good: BoolColumn, problems: Problems) -> BoolColumn:
    start, length = hashes.values[:, 0], hashes.values[:, 1]
    bad = np.zeros(len(rows), dtype=bool)
    broken = (start < 0) | (length < 1) | (start > MAX_HASH_ID - length + 1)
    if broken.any():
        bad[np.repeat(np.arange(len(rows)), hashes.counts)[broken]] = True
        bad &= good
        key = rows.keys.get("hash_runs", "hash_ids")
        rows.complain(bad, problems, lambda _: f"{key}: must hold ids from 0 to {MAX_HASH_ID}")
    return bad


def _wrong_counts(
    rows: Rows, hashes: Ragged, good: BoolColumn, block_size: int, problems: Problems
) -> BoolColumn:
    tokens = rows.integers("input_tokens")
    assert tokens is not None
    counts = block_counts(hashes)
    full, touched = tokens // block_size, -(-tokens // block_size)
    bad = good & (counts > 0) & (counts != full) & (counts != touched)
    key = rows.keys.get("hash_runs", "hash_ids")
    rows.complain(
        bad,
        problems,
        lambda at: (
            f"{key}: has {counts[at]} ids, but {tokens[at]} tokens take {touched[at]} blocks "
            f"({full[at]} of them full); the trace is read with --trace-block-size {block_size}"
        ),
    )
    return bad
