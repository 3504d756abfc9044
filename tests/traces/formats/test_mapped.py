"""Files whose fields the user explains."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from tests.traces.formats.attempts import attempt

LENGTHS = {"prompt": "input_length", "answer": "output_length"}


def csv_file(folder: Path, *rows: str) -> Path:
    path = folder / "mine.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def json_file(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("name", "meaning", "cell", "expected_ns"),
    [
        ("t", "timestamp_s", "1.5", 1_500_000_000),
        ("t", "timestamp_ms", "1.5", 1_500_000),
        ("t", "timestamp_us", "1.5", 1_500),
        ("t", "timestamp_ns", "15", 15),
        ("t", "timestamp", "1.5", 1_500_000),
        ("t", "arrived_at", "1.5", 1_500_000_000),
        ("arrived_at", "timestamp_ms", "1.5", 1_500_000),
        ("arrived_at", "timestamp", "1.5", 1_500_000),
        ("t_s", "timestamp", "1.5", 1_500_000_000),
        ("t_s", "timestamp_ms", "1.5", 1_500_000),
        ("arrived_at", "timestamp_ms", "2", 2_000_000),
        ("timestamp_ms", "arrived_at", "1.5", 1_500_000),
        ("Timestamp_US", "arrived_at", "1.5", 1_500),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_a_time_has_the_unit_that_a_name_says(
    tmp_path: Path, name: str, meaning: str, cell: str, expected_ns: int, reverse: bool
) -> None:
    path = csv_file(tmp_path, f"{name},prompt,answer", f"{cell},5,1")
    pair = (meaning, name) if reverse else (name, meaning)
    assert read_trace(path, columns=LENGTHS | dict([pair])).arrival_ns.tolist() == [expected_ns]


def test_one_pair_of_names_serves_a_file_with_either_name(tmp_path: Path) -> None:
    columns = {"arrived_at": "timestamp_ms"}
    first = csv_file(tmp_path, "arrived_at,input_length,output_length", "1500,5,1")
    assert read_trace(first, columns=columns).arrival_ns.tolist() == [1_500_000_000]
    second = csv_file(tmp_path, "timestamp_ms,input_length,output_length", "1500,5,1")
    assert read_trace(second, columns=columns).arrival_ns.tolist() == [1_500_000_000]


def test_all_meanings_become_columns_from_csv_and_jsonl_alike(tmp_path: Path) -> None:
    names = "when,chat,id,p,a,think,pause_s,prio,llm,enc,turn"
    meanings = (
        "timestamp_s,session_id,request_id,prompt_tokens,completion_tokens,reasoning_tokens,"
        "delay,priority,model,cross_tokens,turn"
    )
    rows = ["0,c1,r1,100,20,5,,0,big,6404,1", "2.5,c1,r2,150,30,,1.25,-2,small,,2"]
    columns: dict[str, str] = dict(zip(names.split(","), meanings.split(","), strict=True))
    table = read_trace(csv_file(tmp_path, names, *rows), columns=columns)
    objects = [dict(zip(names.split(","), row.split(","), strict=True)) for row in rows]
    numbers = {"when", "p", "a", "think", "pause_s", "prio", "enc", "turn"}
    typed = [
        {key: (json.loads(v) if v else None) if key in numbers else v for key, v in row.items()}
        for row in objects
    ]
    for trace in (table, read_trace(json_file(tmp_path, *typed), columns=columns)):
        assert trace.arrival_ns.tolist() == [0, 2_500_000_000]
        assert list(trace.request_ids) == ["r1", "r2"]
        assert trace.input_tokens.tolist() == [100, 150]
        assert trace.output_tokens.tolist() == [20, 30]
        assert trace.priority.tolist() == [0, -2]
        assert trace.cross_tokens.tolist() == [6404, 0]
        assert column(trace, "reasoning_tokens") == [5, -1]
        assert column(trace, "delay_ns") == [-1, 1_250_000_000]
        assert column(trace, "turn") == [1, 2]
        assert trace.session is not None
        assert trace.session.codes.tolist() == [0, 0]
        assert trace.model is not None
        assert trace.model.names == ("big", "small")


def column(trace: Trace, name: str) -> list[int]:
    return getattr(trace, name).tolist()


def test_dates_are_recognised_and_start_the_trace_at_zero(tmp_path: Path) -> None:
    rows = ("2024-05-10 00:00:01.5,5,1", "2024-05-10 00:00:00.25+00:00,6,1")
    path = csv_file(tmp_path, "when,prompt,answer", *rows)
    trace = read_trace(path, columns=LENGTHS | {"when": "timestamp"})
    assert trace.arrival_ns.tolist() == [0, 1_250_000_000]
    assert trace.input_tokens.tolist() == [6, 5]


@pytest.mark.parametrize(
    ("unit", "stamps", "expected_ns"),
    [
        ("s", ("1715299200.25", "1715299201"), 750_000_000),
        ("ms", ("1715299200250", "1715299201000.5"), 750_500_000),
        ("ns", ("1715299200250000001", "1715299201000000003"), 750_000_002),
    ],
)
def test_unix_time_starts_the_trace_at_zero(
    tmp_path: Path, unit: str, stamps: tuple[str, str], expected_ns: int
) -> None:
    path = csv_file(tmp_path, "t,prompt,answer", *(f"{stamp},5,1" for stamp in stamps))
    trace = read_trace(path, columns=LENGTHS | {"t": f"timestamp_{unit}"})
    assert trace.arrival_ns.tolist() == [0, expected_ns]


def test_fields_called_like_a_meaning_need_not_be_named_and_the_user_is_told(
    tmp_path: Path,
) -> None:
    path = csv_file(tmp_path, "timestamp_s,prompt_tokens,out,other", "1,5,2,x")
    trace = read_trace(path, columns={"out": "output_length"})
    assert trace.arrival_ns.tolist() == [1_000_000_000]
    assert trace.input_tokens.tolist() == [5]
    assert trace.meta.notes == (
        "read as output_length: out, timestamp: timestamp_s (seconds), input_length: prompt_tokens",
        "fields that are not used: other",
    )


def test_without_a_time_all_requests_arrive_at_once_and_the_user_is_told(tmp_path: Path) -> None:
    trace = read_trace(csv_file(tmp_path, "prompt,answer", "5,1", "6,2"), columns=LENGTHS)
    assert trace.arrival_ns.tolist() == [0, 0]
    assert "no arrival times: all requests arrive at once; give --rate" in trace.meta.notes


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"promt": "turn"}, "--column promt=turn: the file has no such field; its fields are t, p"),
        ({"prompt": "inputs"}, "prompt=inputs: says no known meaning; known are timestamp"),
        ({"prompt": "input_length_s"}, "says no known meaning"),
        (LENGTHS | {"t": "input_length"}, "t=input_length: prompt means input_length already"),
        ({"prompt": "input_length"}, "1: output_length: no field has this meaning; .* are t, pro"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_wrong_explanation_is_an_error_with_the_way_out(
    tmp_path: Path, columns: dict[str, str], words: str, kind: str
) -> None:
    if kind == "csv":
        path = csv_file(tmp_path, "t,prompt,answer", "1,5,1")
    else:
        path = json_file(tmp_path, {"t": 1, "prompt": 5, "answer": 1})
    with pytest.raises(TraceError, match=words):
        read_trace(path, columns=columns)


def test_a_bad_line_of_a_jsonl_file_is_named_with_its_field(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    good = b'{"prompt": 5, "answer": 1}\n'
    bad = {
        b'{"prompt": "x", "answer": 1}\n': "prompt: must be an integer from 1 to .*, is x",
        b'{"prompt": 5}\n': "answer: must be an integer from 0 to .*, is empty",
        b'{"prompt": null, "answer": 1}\n': "prompt: must be an integer .*, is empty",
        b'{"prompt": [5], "answer": 1}\n': r"prompt: must be an integer .*, is \[5\]",
        b'{"prompt": 5.5, "answer": 1}\n': r"prompt: must be an integer .*, is 5\.5",
        b'{"prompt": 5, "answer": -1}\n': "answer: must be an integer from 0 to .*, is -1",
        b"[]\n": "must be a JSON object",
        b'{"prompt": 5, "ans\n': "is not valid JSON",
        b'{"prompt": 5, "answer": 1\xff}\n': "is not valid UTF-8",
    }
    for line, words in bad.items():
        path.write_bytes(good + b"\n" + line + good)
        with pytest.raises(TraceError, match=rf"mine\.jsonl:3: {words}"):
            read_trace(path, columns=LENGTHS)
    path.write_bytes(good + b"".join(bad) + good)
    trace = read_trace(path, columns=LENGTHS, on_bad_line="skip")
    assert (len(trace), trace.meta.skipped_lines) == (2, len(bad))
    assert list(trace.request_ids) == ["0", str(len(bad) + 1)]


def test_two_requests_of_one_name_are_an_error_with_both_lines(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "id,prompt,answer", "a,5,1", "b,5,1", "a,5,1")
    with pytest.raises(TraceError, match=r"mine\.csv:4: id: 'a' is taken by line 2"):
        read_trace(path, columns=LENGTHS | {"id": "request_id"})


@pytest.mark.parametrize("good", [("r1,5,1",), ()])
def test_a_request_without_the_name_that_others_have_is_a_bad_line(
    tmp_path: Path, good: tuple[str, ...]
) -> None:
    path = csv_file(tmp_path, "id,prompt,answer", *good, ",6,1")
    line = 2 + len(good)
    with pytest.raises(TraceError, match=rf"mine\.csv:{line}: id: must be a word, is empty"):
        read_trace(path, columns=LENGTHS | {"id": "request_id"})


def test_an_explained_file_may_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"prompt": 5, "answer": 1}\n'))
    assert read_trace(path, columns=LENGTHS).input_tokens.tolist() == [5]


VALUES = st.sampled_from([1, 0, -1, 2.0, 2.5, 1e300, None, True, "7", "x", [], {}, "\ud800", ""])
OBJECTS = st.fixed_dictionaries({}, optional={"prompt": VALUES, "answer": VALUES, "t": VALUES})


@given(rows=st.lists(OBJECTS))
@settings(deadline=None)
def test_any_json_values_give_a_trace_or_a_trace_error(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = json_file(tmp_path_factory.mktemp("m"), {"prompt": 5, "answer": 1, "t": 0}, *rows)
    trace = read_trace(path, columns=LENGTHS | {"t": "timestamp"}, on_bad_line="skip")
    counts = (1, 2, 2.0, "7")
    good = [
        row
        for row in rows
        if any(row.get("prompt") is v or row.get("prompt") == v for v in counts)
        and row.get("prompt") is not True
        and row.get("answer") in (0, *counts)
        and not isinstance(row.get("answer"), bool)
        and row.get("t") in (0, 1, 2.0, 2.5, "7")
        and not isinstance(row.get("t"), bool)
    ]
    assert len(trace) == 1 + len(good)
    assert trace.meta.skipped_lines == len(rows) - len(good)


@given(data=st.binary(max_size=120))
@settings(deadline=None)
def test_random_bytes_give_a_trace_or_a_trace_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("m") / "mine.jsonl"
    path.write_bytes(b'{"prompt": 5, "answer": 1}\n' + data)
    found = attempt(lambda: read_trace(path, columns=LENGTHS, on_bad_line="skip"))
    assert "mine.jsonl" in found if isinstance(found, str) else len(found) >= 1
