"""Tables made when somebody looks: the same whole, in pieces, and as pandas writes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jenga_sim import Trace
from jenga_sim.sim import frames, requests
from jenga_sim.sim.frames import RequestTable, frame_of, write_csv
from jenga_sim.sim.requests import FINISHED, REJECTED, RUNNING, Requests

NAMES = ("a", "b, c", 'd "e"', "f\ng", "ä")


def table_of(count: int = len(NAMES)) -> RequestTable:
    """Requests of every fate, with names and sessions that a CSV file must quote."""
    trace = Trace.from_columns(
        np.arange(count) * 10**18,
        np.full(count, 7),
        np.full(count, 3),
        request_ids=NAMES[:count],
        session_ids=["s", None, "t", "", "u, v"][:count],
    )
    made = Requests(prompt_tokens=trace.input_tokens, max_tokens=trace.output_tokens)
    made.table[requests.ARRIVAL_NS] = trace.arrival_ns
    made.table[requests.STATUS] = [FINISHED, REJECTED, RUNNING, FINISHED, FINISHED][:count]
    made.table[requests.OUTPUT] = [3, 0, 1, 1, 2][:count]
    for row, delay in ((requests.SCHEDULED_NS, 1), (requests.FIRST_TOKEN_NS, 123_456_789)):
        made.table[row] = np.where(made.table[requests.STATUS] == REJECTED, -1, 0)
        made.table[row] += (made.table[row] == 0) * (trace.arrival_ns + delay)
    made.table[requests.LAST_TOKEN_NS] = made.table[requests.FIRST_TOKEN_NS] + 10**9 // 3
    return RequestTable(made.table, trace, {1: "max_model_len"})


@pytest.mark.parametrize("rows_at_once", [1, 2, 100])
def test_the_file_is_that_of_pandas_whatever_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(frames, "_ROWS_AT_ONCE", rows_at_once)
    table = table_of()

    write_csv(table, tmp_path / "ours.csv")

    frame_of(table).to_csv(tmp_path / "theirs.csv", index=False, lineterminator="\n")
    ours = (tmp_path / "ours.csv").read_bytes()
    assert ours == (tmp_path / "theirs.csv").read_bytes()
    assert b'"b, c",,rejected,max_model_len,1000000000000.0,7,0,0,,,,,0,0\n' in ours


def test_a_table_without_rows_has_its_header(tmp_path: Path) -> None:
    write_csv(table_of(0), tmp_path / "none.csv")

    assert (tmp_path / "none.csv").read_text() == ",".join(frame_of(table_of()).columns) + "\n"


def test_pieces_are_the_rows_of_the_whole() -> None:
    table = table_of()
    whole = table.columns(0, len(table))

    def row(at: int) -> dict[str, Any]:
        return {name: column.tolist()[0] for name, column in table.columns(at, at + 1).items()}

    for at in range(len(table)):
        expected = {name: column.tolist()[at] for name, column in whole.items()}
        assert repr(row(at)) == repr(expected)


def test_whoever_changes_columns_changes_nothing_else() -> None:
    table = table_of()
    before = table.columns(0, len(table))

    for column in table.columns(0, len(table)).values():
        column[:] = 0

    after = table.columns(0, len(table))
    assert all(np.array_equal(before[name], after[name]) for name in before if name[-3:] != "_ms")
    assert frame_of(table)["hit_tokens"].tolist() == before["hit_tokens"].tolist()
