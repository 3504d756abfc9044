"""TraceLab: rounds of coding agents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from jenga_sim.traces.runs import block_counts
from tests.traces.data import real
from tests.traces.formats.attempts import attempt


def event(kind: str, second: float) -> dict[str, Any]:
    return {"event_type": kind, "timestamp": f"2026-06-01T05:40:{second:06.3f}Z"}


def a_round(
    index: int, total: int, cached: int, sent: float, ended: float | None, **keys: Any
) -> dict[str, Any]:
    events = [event("user_message", sent)] + ([] if ended is None else [event("text", ended)])
    row = {"session_id": "s", "round_index": index, "input_tokens_total": total, "model": "m"}
    tokens = {"prefix_tokens": cached, "newly_append_tokens": total - cached, "output_tokens": 9}
    return row | tokens | {"reasoning_output_tokens": None, "timing_events": events} | keys


def read(folder: Path, *rows: dict[str, Any], skip: bool = False) -> Trace:
    path = folder / "rounds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_trace(path, on_bad_line="skip" if skip else "error")


def after(trace: Trace) -> list[list[int]]:
    assert trace.after is not None
    return [trace.after.rows(at)[:, 0].tolist() for at in range(len(trace))]


def column(trace: Trace, name: str) -> list[int]:
    return getattr(trace, name).tolist()


def test_a_round_comes_after_the_one_before_it_and_a_pause(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        a_round(0, 200, 0, 1.0, 4.0, reasoning_output_tokens=3),
        a_round(1, 300, 200, 4.5, 6.25),
        a_round(2, 310, 300, 6.0, None),
    )
    assert trace.meta.format == "tracelab"
    assert trace.arrival_ns.tolist() == [0, 3_500_000_000, 5_000_000_000]
    assert after(trace) == [[], [0], [1]]
    assert column(trace, "delay_ns") == [-1, 500_000_000, 0]
    assert column(trace, "recorded_api_ns") == [3_000_000_000, 1_750_000_000, -1]
    assert column(trace, "recorded_cached_tokens") == [0, 200, 300]
    assert column(trace, "reasoning_tokens") == [3, -1, -1]
    assert column(trace, "turn") == [0, 1, 2]


def test_a_round_is_sent_with_the_last_of_its_inputs(tmp_path: Path) -> None:
    events = [event("tool_result", 7.0), event("tool_result", 9.5), event("reasoning", 11.0)]
    events += [event("tool_call", 12.0), event("usage_report", 13.0)]
    trace = read(
        tmp_path, a_round(0, 200, 0, 1.0, 4.0), a_round(1, 300, 200, 0, 0, timing_events=events)
    )
    assert trace.arrival_ns.tolist() == [0, 8_500_000_000]
    assert column(trace, "delay_ns") == [-1, 5_500_000_000]
    assert column(trace, "recorded_api_ns")[1] == 2_500_000_000


def test_a_prompt_keeps_the_cached_full_blocks_of_the_round_before(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        a_round(0, 200, 50, 1.0, 2.0),
        a_round(1, 330, 200, 3.0, 4.0),
        a_round(2, 400, 127, 5.0, 6.0),
        a_round(3, 100, 0, 7.0, 8.0),
    )
    ids = [trace.hash_ids(at).tolist() for at in range(4)]
    assert ids[0] == [0, 1, 2]
    assert ids[1] == [0, 1, 2, 3, 4]
    assert ids[2] == [0, 5, 6, 7, 8, 9]
    assert ids[3] == [10]
    assert (trace.meta.block_size, trace.meta.hash_tail) == (64, "floor")


def test_sessions_share_no_ids_and_the_user_is_told(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        a_round(0, 200, 128, 1.0, 2.0),
        a_round(0, 200, 128, 1.5, 2.0, session_id="t"),
        a_round(1, 200, 192, 3.0, 4.0),
    )
    ids = [set(trace.hash_ids(at).tolist()) for at in range(3)]
    assert ids[0] == ids[2]
    assert not ids[0] & ids[1]
    assert after(trace) == [[], [], [0]]
    assert trace.meta.hash_scope == "session"
    assert "what sessions share is not known" in trace.meta.notes[0]


def test_rounds_of_a_session_are_in_order_of_time_wherever_they_stand(tmp_path: Path) -> None:
    trace = read(tmp_path, a_round(1, 300, 200, 4.5, 6.0), a_round(0, 200, 0, 1.0, 4.0))
    assert list(trace.request_ids) == ["1", "0"]
    assert after(trace) == [[], [0]]
    assert trace.hash_ids(1).tolist()[:3] == trace.hash_ids(0).tolist()


def test_another_block_size_cuts_the_prompts_finer(tmp_path: Path) -> None:
    read(tmp_path, a_round(0, 200, 0, 1.0, 2.0))
    trace = read_trace(tmp_path / "rounds.jsonl", block_size=16)
    assert len(trace.hash_ids(0)) == 12


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"timing_events": []}, "timing_events: must hold inputs or outputs, each with a date"),
        ({"timing_events": [event("text", 1) | {"timestamp": "now"}]}, "timing_events: must hold"),
        ({"timing_events": [{"event_type": "text"}]}, "timing_events: must hold inputs"),
        ({"timing_events": [1]}, r"timing_events\[0\]: must be `object`, is `int`"),
        ({"prefix_tokens": 301}, "prefix_tokens: must be at most input_tokens_total = 300, is 301"),
        ({"input_tokens_total": 0}, "input_tokens_total: must be `int` >= 1"),
        ({"session_id": None}, "session_id: must be `str`, is `null`"),
    ],
)
def test_a_bad_line_is_named_with_its_field(
    tmp_path: Path, keys: dict[str, Any], words: str
) -> None:
    rows = (a_round(0, 200, 0, 1.0, 2.0), a_round(1, 300, 200, 3.0, 4.0) | keys)
    with pytest.raises(TraceError, match=rf"rounds\.jsonl:2: {words}"):
        read(tmp_path, *rows)
    assert read(tmp_path, *rows, skip=True).meta.skipped_lines == 1


@pytest.mark.parametrize("name", ["sanitized", "derived"])
def test_the_published_examples_are_two_sessions_of_nineteen_rounds(name: str) -> None:
    trace = read_trace(real(f"tracelab/tracelab_{name}_example.jsonl"))
    assert trace.session is not None
    assert (len(trace), len(trace.session.names)) == (19, 2)
    assert np.array_equal(block_counts(trace.hash_runs), trace.input_tokens // 64)
    assert sum(not before for before in after(trace)) == 2
    assert trace.recorded_cached_tokens is not None
    for at in range(1, 9):
        shared = np.intersect1d(trace.hash_ids(at), trace.hash_ids(at - 1))
        # What was cached beyond the prompt before is what the model then said.
        known = min(trace.recorded_cached_tokens[at], trace.input_tokens[at - 1])
        assert len(shared) == known // 64


@given(cut=st.integers(0, 900), at=st.integers(0, 899), byte=st.binary(min_size=1, max_size=3))
@settings(deadline=None)
def test_a_damaged_file_gives_a_trace_or_a_trace_error(
    tmp_path_factory: pytest.TempPathFactory, cut: int, at: int, byte: bytes
) -> None:
    rows = [a_round(0, 200, 0, 1.0, 4.0), a_round(1, 300, 200, 4.5, 6.25)]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = tmp_path_factory.mktemp("t") / "rounds.jsonl"
    path.write_bytes((data[:at] + byte + data[at + 1 :])[: cut or None])
    found = attempt(lambda: read_trace(f"tracelab:{path}", on_bad_line="skip"))
    assert "rounds.jsonl" in found if isinstance(found, str) else 1 <= len(found) <= 3
