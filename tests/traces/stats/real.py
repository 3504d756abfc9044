"""The published traces that are at hand, as plain columns; a test without its file is skipped."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jenga_sim.traces.columns import IntColumn as IntArray
from jenga_sim.traces.runs import encode_runs
from jenga_sim.traces.stats import Prompts

ROOT = Path(__file__).resolve().parents[3]
MS, S = 10**6, 10**9


@dataclass(frozen=True, eq=False)
class Columns:
    """Prompts with outputs, and what sessions the file has."""

    prompts: Prompts
    output_tokens: IntArray
    codes: IntArray | None = None
    think_ns: IntArray | None = None


def published(name: str) -> Path:
    """A file of the folder ``traces`` of the data."""
    path = ROOT / os.environ.get("JENGA_SIM_DATA", "../shared/data") / "traces" / name
    if not path.is_file():
        pytest.skip(f"{path} is absent; set JENGA_SIM_DATA to the folder with traces/{name}")
    return path


def mooncake(name: str) -> Columns:
    """A trace of JSON lines with full lists of ids, 512 tokens each."""
    path = published(f"mooncake/{name}_trace.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    starts = np.cumsum([0, *(len(row["hash_ids"]) for row in rows)]).astype(np.int64)
    ids = np.array([i for row in rows for i in row["hash_ids"]], dtype=np.int64)
    coded = encode_runs(starts, ids)
    offsets, runs = coded.offsets, coded.values
    arrival_ns = _column(rows, "timestamp") * MS
    prompts = Prompts(arrival_ns, _column(rows, "input_length"), offsets, runs, 512)
    return Columns(prompts, _column(rows, "output_length"))


def azure(name: str) -> Columns:
    """A table of times to 100 ns and lengths."""
    table = pd.read_csv(published(f"azure-llm-2023/AzureLLMInferenceTrace_{name}.csv"))
    times = pd.to_datetime(table["TIMESTAMP"]).to_numpy().astype("datetime64[ns]").astype(np.int64)
    order = np.argsort(times, kind="stable")
    inputs = table["ContextTokens"].to_numpy(np.int64)[order]
    outputs = table["GeneratedTokens"].to_numpy(np.int64)[order]
    return _lengths(times[order], inputs, outputs)


def lengths(name: str) -> Columns:
    """A table of lengths alone."""
    table = pd.read_csv(published(name))
    inputs = table["num_prefill_tokens"].to_numpy(np.int64)
    outputs = table["num_decode_tokens"].to_numpy(np.int64)
    return _lengths(np.zeros(len(table), dtype=np.int64), inputs, outputs)


def weka(sessions: int | None = None) -> Columns:
    """The first of the recorded agent sessions, ids as runs of blocks of 64 tokens.

    Requests of sub-agents count as turns of their session; their times count from the spawn.
    """
    traces = weka_sessions()
    rows: list[dict[str, Any]] = [
        {**row, "session": code}
        for code, trace in enumerate(traces[:sessions])
        for row in _requests(trace["requests"], 0.0)
    ]
    rows.sort(key=lambda row: row["t"])
    counts = [len(row["hash_runs"]) // 2 for row in rows]
    codes = _column(rows, "session")
    runs = np.array([i for row in rows for i in row["hash_runs"]], dtype=np.int64).reshape(-1, 2)
    runs[:, 0] += np.repeat(codes, counts) << 32  # the ids of a file mean nothing outside it
    offsets = np.cumsum([0, *counts]).astype(np.int64)
    arrival_ns = np.array([round(row["t"] * S) for row in rows], dtype=np.int64)
    think_ns = np.array([round(row.get("think_time", -1) * S) for row in rows], dtype=np.int64)
    prompts = Prompts(arrival_ns, _column(rows, "in"), offsets, runs, 64)
    return Columns(prompts, _column(rows, "out"), codes, think_ns)


def weka_sessions() -> list[dict[str, Any]]:
    """The recorded agent sessions as the file has them."""
    with gzip.open(published("weka-claude-code/sessions-head.rle.jsonl.gz"), "rt") as file:
        return [json.loads(line) for line in file]


def _requests(rows: list[dict[str, Any]], start: float) -> list[dict[str, Any]]:
    """All requests of some rows, those of sub-agents included, at times from ``start`` on."""
    found: list[dict[str, Any]] = []
    for row in rows:
        if row["type"] == "subagent":
            found += _requests(row["requests"], start + row["t"])
        else:
            found.append({**row, "t": start + row["t"]})
    return found


def _column(rows: list[dict[str, Any]], name: str) -> IntArray:
    return np.array([row[name] for row in rows], dtype=np.int64)


def _lengths(arrival_ns: IntArray, inputs: IntArray, outputs: IntArray) -> Columns:
    none = np.zeros(len(inputs) + 1, dtype=np.int64), np.zeros((0, 2), dtype=np.int64)
    return Columns(Prompts(arrival_ns, inputs, *none, block_size=1), outputs)
