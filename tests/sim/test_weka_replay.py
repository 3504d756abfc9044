"""Recorded agent sessions, replayed as their client would have waited."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jenga_sim import Trace, read_trace, run
from jenga_sim.configs.replay import ReplayConfig
from jenga_sim.sim.result import Result
from tests.traces.data import real

SESSIONS = "weka-claude-code/sessions"


def replayed(trace: Trace, replay: ReplayConfig, policy: str) -> Result:
    return run(trace, model="qwen3-next-80b", policy=policy, replay=replay, tensor_parallel_size=4)


def assert_nobody_is_early(trace: Trace, result: Result) -> int:
    """Every request arrives when the last one before it has ended, plus its pause; how many do."""
    assert trace.after is not None
    assert trace.delay_ns is not None
    frame = result.requests
    assert frame["request_id"].tolist() == list(trace.request_ids)
    arrival_ns = np.rint(frame["arrival_ms"].to_numpy() * 1e6).astype(np.int64)
    end_ns = arrival_ns + np.rint(frame["e2el_ms"].to_numpy() * 1e6).astype(np.int64)
    waited = 0
    for index in range(len(trace)):
        before = trace.after.rows(index)[:, 0]
        if not len(before):
            continue
        waited += 1
        ended = int(end_ns[before].max())
        assert arrival_ns[index] >= ended
        delay = int(trace.delay_ns[index])
        if delay >= 0:
            # Columns in ms are rounded to the nanosecond, once each.
            assert abs(arrival_ns[index] - ended - delay) <= 3
    return waited


@pytest.mark.parametrize("name", ["trace_0277", "trace_0291", "trace_0371"])
@pytest.mark.parametrize("policy", ["vllm", "lcm"])
def test_no_turn_starts_before_the_turn_before_it_has_ended(name: str, policy: str) -> None:
    trace = read_trace(real(f"{SESSIONS}/{name}.json"))

    result = replayed(trace, ReplayConfig("session"), policy)

    assert result.summary["completed"] == len(trace)
    assert assert_nobody_is_early(trace, result) >= len(trace) - 2


def test_in_closed_loop_too() -> None:
    trace = read_trace(real(SESSIONS))

    result = replayed(trace, ReplayConfig("closed", 2), "vllm")

    assert assert_nobody_is_early(trace, result) > 100
    assert result.summary["sessions"]["completed"] == 7


def test_open_loop_does_not_wait() -> None:
    # The same check fails there, or it would say nothing.
    trace = read_trace(real(f"{SESSIONS}/trace_0277.json"))

    result = replayed(trace, ReplayConfig("open"), "vllm")

    with pytest.raises(AssertionError):
        assert_nobody_is_early(trace, result)


def test_turns_of_a_small_session_come_at_the_times_worked_out_by_hand(tmp_path: Path) -> None:
    lines = (
        '{"timestamp": 0, "input_length": 600, "output_length": 5, "request_id": "a"}\n'
        '{"after": ["a"], "delay": 250, "input_length": 700, "output_length": 5, '
        '"request_id": "b"}\n'
        '{"after": ["a"], "delay": 100, "input_length": 300, "output_length": 900, '
        '"request_id": "c"}\n'
        '{"after": ["b", "c"], "input_length": 800, "output_length": 5, "request_id": "d"}\n'
    )
    path = tmp_path / "session.jsonl"
    path.write_text(lines)
    trace = read_trace(path)

    frame = replayed(trace, ReplayConfig("session"), "vllm").requests.set_index("request_id")
    end = frame["arrival_ms"] + frame["e2el_ms"]

    assert frame["arrival_ms"]["b"] == pytest.approx(end["a"] + 250)
    assert frame["arrival_ms"]["c"] == pytest.approx(end["a"] + 100)
    assert frame["arrival_ms"]["d"] == pytest.approx(max(end["b"], end["c"]))
    assert end["c"] > end["b"]
