"""Writing traces: what is written is read back, and equal traces are equal bytes."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace, write_trace
from jenga_sim.traces.assemble import taken
from jenga_sim.traces.columns import NONE, Numbered, Ragged
from jenga_sim.traces.lines import milliseconds
from tests.sim.strategies import examples
from tests.traces.strategies import assert_same, traces


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("written")


@examples(150)
@given(trace=traces(), packed=st.booleans())
def test_what_is_written_is_read_back(trace: Trace, packed: bool, folder: Path) -> None:
    path = folder / ("t.jsonl.gz" if packed else "t.jsonl")

    written = write_trace(trace, path)

    again = read_trace(path)
    assert_same(again, trace)
    assert (written.requests, written.bytes) == (len(trace), path.stat().st_size)
    assert again.meta.sha256 == written.sha256
    assert again.block_size == trace.block_size


@examples(60)
@given(trace=traces(), cut=st.integers(0, 12))
def test_parts_give_the_bytes_of_the_whole(trace: Trace, cut: int, folder: Path) -> None:
    at = min(cut, len(trace))
    parts = [taken(trace, np.arange(at)), taken(trace, np.arange(at, len(trace)))]
    whole = write_trace(trace, folder / "whole.jsonl")

    joined = write_trace([part for part in parts if len(part)], folder / "parts.jsonl")

    assert joined.sha256 == whole.sha256


@examples(60)
@given(trace=traces())
def test_mooncake_lines_have_its_four_keys_and_every_id(trace: Trace, folder: Path) -> None:
    written = write_trace(trace, folder / "m.jsonl", to="mooncake")

    rows = [json.loads(line) for line in (folder / "m.jsonl").read_text().splitlines()]
    again = read_trace(folder / "m.jsonl")
    keys = ["timestamp", "input_length", "output_length", "hash_ids"]
    assert [list(row) for row in rows] == [keys] * len(trace)
    assert again.meta.format == "mooncake"
    for column in ("arrival_ns", "input_tokens", "output_tokens"):
        assert getattr(again, column).tolist() == getattr(trace, column).tolist()
    assert [row["hash_ids"] for row in rows] == [
        trace.hash_ids(at).tolist() for at in range(len(trace))
    ]
    said = " ".join(written.notes)
    assert ("session_id" in said) == (trace.session is not None)
    assert ("unknown fields" in said) == (trace.unknown is not None)
    assert ("priority" in said) == bool(trace.priority.any())
    assert ("request_id" in said) == (not isinstance(trace.request_ids, Numbered))


def plain(count: int = 3, **columns: Any) -> Trace:
    trace = Trace.from_columns(
        [index * 10**9 for index in range(count)], [100] * count, [5] * count, block_size=16
    )
    return replace(trace, **columns)


def lines_of(trace: Trace, path: Path) -> list[dict[str, Any]]:
    write_trace(trace, path)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_mooncakes_where_nothing_else_is_known(tmp_path: Path) -> None:
    write_trace(plain(2), tmp_path / "t.jsonl")

    assert (tmp_path / "t.jsonl").read_text() == (
        '{"timestamp": 0, "input_length": 100, "output_length": 5}\n'
        '{"timestamp": 1000, "input_length": 100, "output_length": 5}\n'
    )


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0"),
        (5_000_000, "5"),
        (5_000_001, "5.000001"),
        (5_500_000, "5.5"),
        (1, "0.000001"),
        (2**63 - 1, "9223372036854.775807"),
    ],
)
def test_milliseconds_are_the_shortest_exact_decimals(ns: int, text: str) -> None:
    assert milliseconds(np.array([ns])) == [text]


@given(st.integers(0, 2**33 * 10**6))
def test_times_of_99_days_are_kept_to_the_nanosecond(ns: int) -> None:
    (text,) = milliseconds(np.array([ns]))
    value = json.loads(text)
    whole = int(value)

    assert whole * 10**6 + round((value - whole) * 10**6) == ns


def test_runs_stand_where_they_are_shorter_than_ids(tmp_path: Path) -> None:
    trace = Trace.from_columns(
        [0, 1, 2],
        [80, 32, 16],
        [1, 1, 1],
        hash_ids=[[0, 1, 2, 8, 9], [4, 7], []],
        block_size=16,
    )

    rows = lines_of(trace, tmp_path / "t.jsonl")

    assert rows[0]["hash_runs"] == [0, 3, 8, 2]
    assert rows[1]["hash_ids"] == [4, 7]
    assert not {"hash_ids", "hash_runs"} & set(rows[2])


def test_requests_have_a_name_where_it_is_not_their_line(tmp_path: Path) -> None:
    rows = lines_of(plain(request_ids=("0", "two", "1")), tmp_path / "t.jsonl")

    assert [row.get("request_id") for row in rows] == [None, "two", "1"]


def test_a_request_without_an_arrival_has_none_in_the_file(tmp_path: Path) -> None:
    trace = plain(
        untimed=np.array([0, 1, 1]),
        after=Ragged.of([[], [(0,)], []], 1),
        delay_ns=np.array([NONE, 10**9, NONE]),
    )

    rows = lines_of(trace, tmp_path / "t.jsonl")

    # The last one follows nobody: without its arrival it would be no request.
    assert ["timestamp" in row for row in rows] == [True, False, True]
    assert read_trace(tmp_path / "t.jsonl").arrival_ns.tolist() == [0, 10**9, 2 * 10**9]
    notes = write_trace(trace, tmp_path / "m.jsonl", to="mooncake").notes
    assert notes[-1].startswith("2 requests had no arrival")


def test_unknown_fields_come_back_unless_they_mean_something_here(tmp_path: Path) -> None:
    fields = (b'{"turn":"left","x":[1,\n2]}', b"", b'{"y":"\xc3\xa9"}')

    rows = lines_of(plain(unknown=fields), tmp_path / "t.jsonl")

    assert [{key: row[key] for key in ("turn", "x", "y") if key in row} for row in rows] == [
        {"x": [1, 2]},
        {},
        {"y": "\u00e9"},
    ]


@pytest.mark.parametrize("block", [3, 5_000])
def test_values_that_only_some_of_many_lines_have_stay_where_they_are(
    block: int, tmp_path: Path
) -> None:
    """Files are read some thousand lines at a time, and columns may begin in a later batch."""
    count = 9_000
    some = np.arange(count) >= count - block
    trace = plain(
        count,
        cancelled=some.astype(np.int64),
        untimed=some.astype(np.int64),
        after=Ragged.of([[(at - 1,)] if some[at] else [] for at in range(count)], 1),
        delay_ns=np.where(some, 10**9, NONE),
        turn=np.where(some, 7, NONE),
    )
    write_trace(trace, tmp_path / "t.jsonl")

    assert_same(read_trace(tmp_path / "t.jsonl"), trace)


def test_compressed_files_depend_on_the_trace_alone(tmp_path: Path) -> None:
    one = write_trace(plain(), tmp_path / "one.jsonl.gz")
    other = write_trace(plain(), tmp_path / "other.jsonl.gz")
    text = write_trace(plain(), tmp_path / "one.jsonl")

    assert one.path.read_bytes() == other.path.read_bytes()
    assert gzip.decompress(one.path.read_bytes()) == text.path.read_bytes()


def test_the_sidecar_holds_the_facts(tmp_path: Path) -> None:
    trace = plain().with_meta(
        hash_tail="ceil", tokenizer="cl100k", source="here", licence="MIT", time_quantum_ms=3.0
    )
    written = write_trace(trace, tmp_path / "t.jsonl.gz")

    assert written.sidecar == tmp_path / "t.meta.json"
    assert json.loads(written.sidecar.read_text()) == {
        "jenga_trace": 1,
        "block_size": 16,
        "hash_tail": "ceil",
        "hash_scope": "global",
        "tokenizer": "cl100k",
        "time_quantum_ms": 3.0,
        "source": "here",
        "licence": "MIT",
        "sha256": written.sha256,
    }
    meta = read_trace(written.path).meta
    assert (meta.tokenizer, meta.source, meta.licence) == ("cl100k", "here", "MIT")


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    old = write_trace(plain(), tmp_path / "t.jsonl")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    part = plain(after=Ragged.of([[], [(7,)], []], 1))

    with pytest.raises(TraceError, match="after: comes after request 7, which is not written yet"):
        write_trace([plain(), part], old.path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("trace", "name", "message"),
    [
        (plain(), "t.csv", r"t\.csv: must end in \.jsonl or \.jsonl\.gz"),
        (plain(0), "t.jsonl", "the trace has no requests"),
        ([], "t.jsonl", "the trace has no requests"),
        (plain(), "absent/t.jsonl", "cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_refused(
    trace: Any, name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(TraceError, match=message):
        write_trace(trace, tmp_path / name)
