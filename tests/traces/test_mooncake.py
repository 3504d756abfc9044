"""The published Mooncake traces, where a copy is at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jenga_sim.traces import read_trace
from jenga_sim.traces.runs import block_counts, expand

ROOT = Path(__file__).resolve().parents[2]


def mooncake(name: str) -> Path:
    data = ROOT / os.environ.get("JENGA_SIM_DATA", "../shared/data")
    path = data / "traces" / "mooncake" / name
    if not path.is_file():
        pytest.skip(f"{path} is absent; set JENGA_SIM_DATA to the folder with traces/mooncake")
    return path


def test_conversation_trace_has_the_published_figures() -> None:
    trace = read_trace(mooncake("conversation_trace.jsonl"))

    assert len(trace) == 12_031
    assert round(trace.input_tokens.mean()) == 12_035
    assert round(trace.output_tokens.mean()) == 343
    assert round(trace.span_ns / 1e9) == 3_537


def test_synthetic_trace_has_the_published_number_of_requests() -> None:
    assert len(read_trace(mooncake("synthetic_trace.jsonl"))) == 3_993


@pytest.mark.parametrize("name", ["conversation_trace.jsonl", "synthetic_trace.jsonl"])
def test_columns_agree_with_a_plain_json_reader(name: str) -> None:
    path = mooncake(name)
    rows = [json.loads(line) for line in path.read_text().splitlines()]

    trace = read_trace(path)

    assert trace.arrival_ns.tolist() == [row["timestamp"] * 1_000_000 for row in rows]
    assert trace.input_tokens.tolist() == [row["input_length"] for row in rows]
    assert trace.output_tokens.tolist() == [row["output_length"] for row in rows]
    assert expand(trace.hash_runs.values).tolist() == [i for row in rows for i in row["hash_ids"]]
    assert block_counts(trace.hash_runs).sum() == sum(len(row["hash_ids"]) for row in rows)
