"""``profile_export.jsonl`` as aiperf 0.13.0 writes it.

The records are abridged from a run of that version with multi-turn conversations and failures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from tests.traces.formats.damage import damaged_bytes, damaged_json, read_or_refuse

START = 1_795_457_905_142_532_504


def record(
    name: str, start_ns: int, end_ns: int, session: str = "s0", turn: int = 0, **changes: Any
) -> dict[str, Any]:
    """A request; ``changes`` replace metrics by tag, None removes one."""
    metrics: dict[str, Any] = {
        "usage_prompt_tokens": {"value": 45, "unit": "tokens"},
        "usage_completion_tokens": {"value": 8, "unit": "tokens"},
        "input_sequence_length": {"value": 23, "unit": "tokens"},
        "output_sequence_length": {"value": 5, "unit": "tokens"},
        "time_to_first_token": {"value": 56.25, "unit": "ms"},
        "request_latency": {"value": 77.5, "unit": "ms"},
        "inter_chunk_latency": {"value": [3.3, 1.2], "unit": "ms"},
    }
    metadata: dict[str, Any] = {
        "session_num": 0,
        "x_request_id": name,
        "x_correlation_id": session,
        "conversation_id": "conversation_7",
        "turn_index": turn,
        "request_start_ns": START + start_ns,
        "request_ack_ns": START + start_ns + 5,
        "request_end_ns": START + end_ns,
        "worker_id": "worker_d4c5730b",
        "record_processor_id": "record_processor_0fc0b535",
        "benchmark_phase": "profiling",
        "was_cancelled": False,
    }
    error = changes.pop("error", None)
    metadata |= {key: changes.pop(key) for key in list(changes) if key in metadata}
    metrics = {key: value for key, value in (metrics | changes).items() if value is not None}
    line = {"metadata": metadata, "metrics": metrics}
    return line if error is None else line | {"error": error}


def failed(name: str, start_ns: int, **tags: Any) -> dict[str, Any]:
    """A request that the server refused: it has no metrics but ``tags``."""
    line = record(name, start_ns, start_ns + 10, error={"code": 500, "message": "no"})
    return line | {"metrics": tags}


def read(tmp_path: Path, *records: dict[str, Any], **options: Any) -> Trace:
    path = tmp_path / "profile_export.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_trace(path, **options)


def test_records_have_the_lengths_that_the_server_counted(tmp_path: Path) -> None:
    trace = read(tmp_path, record("a", 0, 100))

    assert trace.meta.format == "aiperf"
    assert trace.input_tokens.tolist() == [45]
    assert trace.output_tokens.tolist() == [8]


def test_without_the_servers_count_the_clients_is_taken(tmp_path: Path) -> None:
    one = record("a", 0, 100, usage_prompt_tokens=None, usage_completion_tokens=None)

    trace = read(tmp_path, one)

    assert trace.input_tokens.tolist() == [23]
    assert trace.output_tokens.tolist() == [5]


def test_arrivals_count_from_the_first_one_although_lines_are_by_completion(
    tmp_path: Path,
) -> None:
    trace = read(tmp_path, record("late", 700, 800, "s1"), record("early", 200, 900, "s0"))

    assert trace.request_ids == ("early", "late")
    assert trace.arrival_ns.tolist() == [0, 500]


def test_latencies_are_read_with_their_units(tmp_path: Path) -> None:
    trace = read(tmp_path, record("a", 0, 100, request_latency={"value": 0.5, "unit": "sec"}))

    assert trace.recorded_ttft_ns is not None
    assert trace.recorded_ttft_ns.tolist() == [56_250_000]
    assert trace.recorded_e2e_ns is not None
    assert trace.recorded_e2e_ns.tolist() == [500_000_000]


def test_a_turn_comes_after_the_one_before_it_and_a_pause(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        record("first", 0, 100, "s0", 0),
        record("other", 50, 90, "s1", 0),
        record("second", 130, 200, "s0", 1),
    )

    assert trace.request_ids == ("first", "other", "second")
    assert trace.after is not None
    assert [trace.after.rows(at)[:, 0].tolist() for at in range(3)] == [[], [], [0]]
    assert trace.delay_ns is not None
    assert trace.delay_ns.tolist() == [-1, -1, 30]


def test_the_warm_up_is_left_out_and_counted(tmp_path: Path) -> None:
    warm = record("warm", 0, 10, benchmark_phase="warmup")

    trace = read(tmp_path, warm, record("a", 20, 30, "s1"))

    assert trace.request_ids == ("a",)
    assert any(note.startswith("1 records are of the warm-up") for note in trace.meta.notes)


def test_failures_are_kept_as_cancelled_with_the_length_that_was_sent(tmp_path: Path) -> None:
    trace = read(
        tmp_path, record("a", 0, 10), failed("b", 5, error_isl={"value": 18, "unit": "tokens"})
    )

    assert trace.cancelled is not None
    assert trace.cancelled.tolist() == [0, 1]
    assert trace.input_tokens.tolist() == [45, 18]
    assert trace.recorded_e2e_ns is not None
    assert trace.recorded_e2e_ns.tolist()[1] == -1


def test_a_failure_without_a_length_is_left_out_and_counted(tmp_path: Path) -> None:
    trace = read(tmp_path, record("a", 0, 10), failed("b", 5))

    assert len(trace) == 1
    assert any("without a prompt length" in note for note in trace.meta.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"usage_prompt_tokens": {"value": -1}},
            "metrics.usage_prompt_tokens.value: must be an integer >= 0, is -1",
        ),
        (
            {"time_to_first_token": {"value": "x"}},
            'metrics.time_to_first_token.value: must be a number, is "x"',
        ),
        ({"request_start_ns": None}, "metadata.request_start_ns: must be an integer, is null"),
        (
            {"usage_prompt_tokens": None, "input_sequence_length": None},
            "metrics.input_sequence_length: is missing",
        ),
    ],
)
def test_a_bad_record_is_named_by_line_and_key(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    lines = (record("a", 0, 10), record("b", 0, 10, **changes))

    with pytest.raises(TraceError) as error:
        read(tmp_path, *lines)

    assert str(error.value) == f"{tmp_path / 'profile_export.jsonl'}:2: {message}"


def test_bad_records_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    trace = read(
        tmp_path, record("a", 0, 10), record("b", 0, 10, request_end_ns=1.5), on_bad_line="skip"
    )

    assert trace.request_ids == ("a",)
    assert trace.meta.skipped_lines == 1


@given(data=st.data())
def test_damaged_records_are_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = record("a", 0, 100)
    lines = [json.dumps(record("b", 130, 200, turn=1)).encode() + b"\n"]
    lines.append(data.draw(damaged_json(good) | damaged_bytes(json.dumps(good).encode())))
    path = tmp_path_factory.mktemp("damage") / "profile_export.jsonl"
    path.write_bytes(b"".join(lines))

    for on_bad_line in ("error", "skip"):
        read_or_refuse(path, "aiperf", on_bad_line)
