"""Recorded runs of vLLM with their latencies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from tests.traces.data import real

RUN = "../real_runs/RTX4090/Llama-3.1-8B/vllm/requests.jsonl"


def served(name: str, arrival: float, queued: float, **keys: Any) -> dict[str, Any]:
    row = {"request_id": name, "input_toks": 100, "output_toks": 9, "arrival_time": arrival}
    stamps = {"queued_ts": queued, "scheduled_ts": queued, "first_token_ts": queued + 1}
    return row | stamps | {"last_token_ts": queued + 3} | keys


def read(folder: Path, *rows: dict[str, Any]) -> Trace:
    path = folder / "requests.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_trace(path)


def test_latencies_count_from_the_arrival_on_the_clock_of_the_engine(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        served("a", 1787267980.5, 27000.75),
        served("b", 1787267981.0, 27001.0),
        served("c", 1787267982.0, 27002.0, first_token_ts=None, last_token_ts=None),
    )
    assert trace.meta.format == "vllm-run"
    assert trace.arrival_ns.tolist() == [0, 500_000_000, 1_500_000_000]
    assert trace.recorded_ttft_ns is not None
    assert trace.recorded_ttft_ns.tolist() == [1_250_000_000, 10**9, -1]
    assert trace.recorded_e2e_ns is not None
    assert trace.recorded_e2e_ns.tolist() == [3_250_000_000, 3 * 10**9, -1]
    assert list(trace.request_ids) == ["a", "b", "c"]


def test_a_missing_stamp_is_named(tmp_path: Path) -> None:
    row = served("b", 2.0, 1.0)
    del row["queued_ts"]
    with pytest.raises(TraceError, match=r"requests\.jsonl:2: queued_ts: is missing"):
        read(tmp_path, served("a", 1.0, 1.0), row)


def test_a_first_token_before_the_arrival_is_a_bad_line(tmp_path: Path) -> None:
    early = served("b", 2.0, 2.0, first_token_ts=1.5)
    with pytest.raises(TraceError, match=r"requests\.jsonl:2: first_token_ts: must be a time"):
        read(tmp_path, served("a", 1.0, 1.0), early)


def test_the_recorded_run_has_its_published_means() -> None:
    trace = read_trace(real(RUN))
    assert len(trace) == 300
    ttft, e2e = trace.recorded_ttft_ns, trace.recorded_e2e_ns
    assert ttft is not None
    assert e2e is not None
    # The published 65.46 and 86.58 s count from when the engine had the request.
    assert np.isclose(ttft.mean() / 1e9, 65.46, atol=0.05)
    assert np.isclose(e2e.mean() / 1e9, 86.58, atol=0.05)
    assert ttft.min() > 0
