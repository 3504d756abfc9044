from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jenga_sim.traces import chat_trace, read_trace, sample_path, sample_rows, write_jsonl
from jenga_sim.traces.runs import block_counts, expand


def test_sample_file_is_what_the_code_generates(tmp_path: Path) -> None:
    write_jsonl(sample_rows(), tmp_path / "again.jsonl")

    assert sample_path().read_bytes() == (tmp_path / "again.jsonl").read_bytes()


def test_sample_is_small_and_has_the_promised_shape() -> None:
    trace = read_trace(sample_path())

    assert trace.name == "chat.jsonl"
    assert len(trace) == 600
    assert 540e9 < trace.span_ns < 660e9
    assert sample_path().stat().st_size < 200_000
    assert 200 < np.median(trace.output_tokens) < 300
    assert np.mean((trace.input_tokens >= 500) & (trace.input_tokens <= 4_000)) > 0.75
    assert 0.02 < np.mean(trace.input_tokens >= 16_000) < 0.15
    assert trace.input_tokens.max() < 100_000
    assert block_counts(trace.hash_runs).tolist() == (-(-trace.input_tokens // 512)).tolist()


def test_later_turns_share_the_full_blocks_of_the_turn_before() -> None:
    rows = chat_trace(requests=500, rate_per_s=2.0, seed=3, block_size=16)
    by_first_id: dict[int, list[Any]] = {}
    for row in rows:
        by_first_id.setdefault(row["hash_ids"][0], []).append(row)

    pairs = [pair for turns in by_first_id.values() for pair in pairwise(turns)]

    assert len(pairs) > 100
    for before, after in pairs:
        full = before["input_length"] // 16
        assert after["hash_ids"][:full] == before["hash_ids"][:full]
        assert not set(after["hash_ids"][full:]) & set(before["hash_ids"])
        assert after["input_length"] > before["input_length"] + before["output_length"]
        assert after["timestamp"] > before["timestamp"]


def test_ids_are_dense_and_shared_only_within_a_session() -> None:
    rows = chat_trace(requests=300, rate_per_s=1.0, seed=5)
    seen = {hash_id for row in rows for hash_id in row["hash_ids"]}
    owner: dict[int, int] = {}

    for row in rows:
        for hash_id in row["hash_ids"]:
            assert owner.setdefault(hash_id, row["hash_ids"][0]) == row["hash_ids"][0]
    assert seen == set(range(len(seen)))


def test_rate_and_turns_are_as_asked() -> None:
    rows = chat_trace(requests=20_000, rate_per_s=4.0, seed=1, document_share=0.0)
    first_turns = len({row["hash_ids"][0] for row in rows})
    times = [row["timestamp"] for row in rows]

    assert times == sorted(times)
    assert len(rows) / (times[-1] / 1_000) == pytest.approx(4.0, rel=0.05)
    assert len(rows) / first_turns == pytest.approx(1.6, rel=0.03)


def test_seed_decides_the_rows() -> None:
    one = chat_trace(requests=50, rate_per_s=1.0, seed=1)

    assert one == chat_trace(requests=50, rate_per_s=1.0, seed=1)
    assert one != chat_trace(requests=50, rate_per_s=1.0, seed=2)


@pytest.mark.parametrize(
    "change", [{"requests": 0}, {"rate_per_s": 0.0}, {"turns_mean": 0.5}, {"block_size": 0}]
)
def test_impossible_arguments_are_refused(change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"requests": 1, "rate_per_s": 1.0, "seed": 0}
    with pytest.raises(ValueError, match="must be positive"):
        chat_trace(**(arguments | change))


def test_written_rows_are_read_back(tmp_path: Path) -> None:
    rows = chat_trace(requests=40, rate_per_s=1.0, seed=9)
    write_jsonl(rows, tmp_path / "t.jsonl")

    trace = read_trace(tmp_path / "t.jsonl")

    assert trace.arrival_ns.tolist() == [row["timestamp"] * 1_000_000 for row in rows]
    assert trace.input_tokens.tolist() == [row["input_length"] for row in rows]
    assert trace.output_tokens.tolist() == [row["output_length"] for row in rows]
    assert expand(trace.hash_runs.values).tolist() == [i for row in rows for i in row["hash_ids"]]
