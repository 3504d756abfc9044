"""The tables of a run, one row per request or per sampled step, made when somebody asks for them.

A run of a million requests needs neither a data frame nor the library for it, and its file is
written piece by piece.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ..traces import Trace
from . import requests as facts
from .recorder import DURATION_NS, RUNNING, SAMPLE_FACTS, START_NS, STEP
from .requests import FINISHED, NEVER, REJECTED, IntArray, Status
from .usage import PARTS

if TYPE_CHECKING:
    import pandas as pd

NS_PER_MS = 10**6
_ROWS_AT_ONCE = 1 << 16

Column = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]


class Table(Protocol):
    """Rows that exist as facts and become columns when they are read."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def columns(self, start: int, end: int) -> dict[str, Column]:
        """Return the rows from ``start`` up to ``end``: integers, floats, or objects for words.

        NaN or None stands for what a row does not have. The arrays belong to the caller.
        """
        ...


def frame_of(table: Table) -> "pd.DataFrame":
    """Return a whole table as a data frame."""
    import pandas as pd

    return pd.DataFrame(table.columns(0, len(table)), copy=False)


def write_csv(table: Table, path: Path) -> None:
    """Write a table with its header, as pandas would; what a row does not have stays empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.columns(0, 0))
        for start in range(0, len(table), _ROWS_AT_ONCE):
            columns = table.columns(start, min(start + _ROWS_AT_ONCE, len(table)))
            writer.writerows(zip(*map(_cells, columns.values()), strict=True))


def _cells(column: Column) -> list[Any]:
    cells = column.tolist()
    if column.dtype.kind == "f":
        for at in np.flatnonzero(np.isnan(column)).tolist():
            cells[at] = None
    return cells


@dataclass(frozen=True, eq=False)
class RequestTable:
    """One row per request of the trace, in trace order; times in ms."""

    facts: IntArray
    """``Requests.table``."""
    trace: Trace
    rejected: dict[int, str]
    """Why requests were rejected, by slot."""

    def __len__(self) -> int:
        """See Table."""
        return self.facts.shape[1]

    def columns(self, start: int, end: int) -> dict[str, Column]:
        """See Table."""
        rows = self.facts[:, start:end]
        arrival, status = rows[facts.ARRIVAL_NS], rows[facts.STATUS]
        first, last = rows[facts.FIRST_TOKEN_NS], rows[facts.LAST_TOKEN_NS]
        scheduled, unread = rows[facts.SCHEDULED_NS], rows[facts.UNREAD]
        output = rows[facts.OUTPUT] * (1 - unread)
        done = status == FINISHED
        tpot = (last - first) / 1e6 / np.maximum(output - 1, 1)
        return {
            "request_id": _words(self.trace.request_ids[start:end]),
            **self._sessions(start, end),
            "status": _STATUS_NAMES[status],
            "rejected_by": self._rejected_by(start, status),
            # In two parts: Unix time in ns has more digits than a float.
            "arrival_ms": _where(
                arrival != NEVER, arrival // NS_PER_MS + arrival % NS_PER_MS / 1e6
            ),
            "input_tokens": rows[facts.PROMPT].copy(),
            "output_tokens": output,
            "hit_tokens": np.maximum(rows[facts.HIT], 0),
            "queue_ms": _where(scheduled != NEVER, (scheduled - arrival) / 1e6),
            "ttft_ms": _where((first != NEVER) & (unread == 0), (first - arrival) / 1e6),
            "tpot_ms": _where(done & (output > 1), tpot),
            "e2el_ms": _where(done, (last - arrival) / 1e6),
            "preemptions": rows[facts.PREEMPTIONS].copy(),
            "recomputed_tokens": rows[facts.RECOMPUTED].copy(),
        }

    def _sessions(self, start: int, end: int) -> dict[str, Column]:
        """The session of each request, where the trace names any."""
        session = self.trace.session
        if session is None:
            return {}
        # The code of no session is -1, so None stands last.
        return {"session_id": _words([*session.names, None])[session.codes[start:end]]}

    def _rejected_by(self, start: int, status: IntArray) -> Column:
        reasons = np.full(len(status), "", dtype=object)
        for at in np.flatnonzero(status == REJECTED).tolist():
            reasons[at] = self.rejected[start + at]
        return reasons


@dataclass(frozen=True, eq=False)
class StepTable:
    """One row per sampled step; bytes by part in total, then by ``part:kind``."""

    samples: IntArray
    """See ``Recorder.samples``."""
    labels: tuple[str, ...]
    """Layer kinds."""

    def __len__(self) -> int:
        """See Table."""
        return len(self.samples)

    def columns(self, start: int, end: int) -> dict[str, Column]:
        """See Table."""
        facts, sizes = np.split(self.samples[start:end].T.copy(), [len(SAMPLE_FACTS)])
        parts = sizes[:-2].reshape(len(PARTS), len(self.labels), -1)
        totals = parts.sum(axis=1)
        return {
            "step": facts[STEP],
            # Quotients of integers: Unix time in ns has more digits than a float.
            "start_ms": np.array([start_ns / NS_PER_MS for start_ns in facts[START_NS].tolist()]),
            "duration_ms": facts[DURATION_NS] / NS_PER_MS,
            **dict(zip(SAMPLE_FACTS[RUNNING:], facts[RUNNING:], strict=True)),
            **dict(zip(PARTS, totals, strict=True)),
            "reserved": sizes[-2],
            "free": sizes[-1],
            **{
                f"{part}:{label}": parts[at, kind]
                for at, part in enumerate(PARTS)
                for kind, label in enumerate(self.labels)
            },
        }


def _words(words: Sequence[str | None]) -> Column:
    column = np.empty(len(words), dtype=object)
    column[:] = list(words)
    return column


def _where(known: BoolArray, values: npt.NDArray[np.float64]) -> Column:
    return np.where(known, values, np.nan)


_STATUS_NAMES = _words([status.name.lower() for status in Status])
