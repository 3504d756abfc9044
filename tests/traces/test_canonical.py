from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import read_trace
from jenga_sim.traces.columns import offsets_of
from jenga_sim.traces.runs import block_counts, expand


def row(timestamp: float, **keys: Any) -> dict[str, Any]:
    return {"timestamp": timestamp, "input_length": 600, "output_length": 5} | keys


def write(tmp_path: Path, *rows: dict[str, Any], name: str = "trace.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("".join(json.dumps(line) + "\n" for line in rows))
    return path


def test_all_keys_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        row(2, hash_ids=[4, 9]),
        row(2.5, input_length=7, request_id="x", priority=-3, cross_tokens=11, other={"a": [1]}),
    )

    trace = read_trace(path)

    assert trace.arrival_ns.tolist() == [2_000_000, 2_500_000]
    assert trace.input_tokens.tolist() == [600, 7]
    assert trace.output_tokens.tolist() == [5, 5]
    assert trace.cross_tokens.tolist() == [0, 11]
    assert trace.priority.tolist() == [0, -3]
    assert trace.request_ids == ("0", "x")
    assert offsets_of(block_counts(trace.hash_runs)).tolist() == [0, 2, 2]
    assert expand(trace.hash_runs.values).tolist() == [4, 9]
    assert trace.name == "trace.jsonl"
    assert trace.meta.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (trace.block_size, trace.meta.skipped_lines, trace.meta.sorted_lines) == (512, 0, 0)
    columns = (
        trace.arrival_ns,
        trace.input_tokens,
        trace.output_tokens,
        trace.cross_tokens,
        trace.priority,
        trace.hash_runs.offsets,
        trace.hash_runs.values,
    )
    for column in columns:
        assert column.dtype == np.int64
        assert not column.flags.writeable


@pytest.mark.parametrize(
    ("timestamp_ms", "arrival_ns"),
    [
        (0, 0),
        (0.1, 100_000),
        (1e3, 1_000_000_000),
        (0.000_001, 1),
        (1_700_000_000_123, 1_700_000_000_123_000_000),
        # The nearest double to ...123.25 is exact; a plain product with 1e6 would be rounded.
        (1_700_000_000_123.25, 1_700_000_000_123_250_000),
        (2**43, 2**43 * 1_000_000),
    ],
)
def test_milliseconds_become_nanoseconds(
    tmp_path: Path, timestamp_ms: float, arrival_ns: int
) -> None:
    assert read_trace(write(tmp_path, row(timestamp_ms))).arrival_ns.tolist() == [arrival_ns]


def test_gzip_gives_the_same_columns_and_the_digest_of_the_packed_bytes(tmp_path: Path) -> None:
    plain = write(tmp_path, row(0, hash_ids=[1, 2]), row(1))
    packed = tmp_path / "trace.jsonl.gz"
    # Two members in one file, as `cat a.gz b.gz` makes them.
    first, second = plain.read_bytes().splitlines(keepends=True)
    packed.write_bytes(gzip.compress(first) + gzip.compress(second))

    trace = read_trace(packed)

    assert trace.arrival_ns.tolist() == read_trace(plain).arrival_ns.tolist()
    assert expand(trace.hash_runs.values).tolist() == [1, 2]
    assert trace.name == "trace.jsonl.gz"
    assert trace.meta.sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()


def test_last_line_needs_no_newline(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(json.dumps(row(0)) + "\n" + json.dumps(row(1)))

    assert len(read_trace(path)) == 2


def test_blank_lines_are_ignored_but_counted_in_indices(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text("\n" + json.dumps(row(0)) + "\n  \t\n" + json.dumps(row(1)) + "\n\n")

    trace = read_trace(path)

    assert trace.request_ids == ("1", "3")
    assert trace.meta.skipped_lines == 0


def test_path_may_be_a_string(tmp_path: Path) -> None:
    assert len(read_trace(str(write(tmp_path, row(0))))) == 1


def test_unicode_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(json.dumps(row(0, request_id="é😀"), ensure_ascii=False), encoding="utf-8")

    assert read_trace(path).request_ids == ("é😀",)


@pytest.mark.parametrize(
    ("tokens", "ids"), [(1, 0), (1, 1), (16, 1), (17, 1), (17, 2), (600, 0), (600, 37), (600, 38)]
)
def test_hash_ids_cover_full_blocks_or_also_the_last(tmp_path: Path, tokens: int, ids: int) -> None:
    path = write(tmp_path, row(0, input_length=tokens, hash_ids=list(range(ids))))

    trace = read_trace(path, block_size=16)

    assert expand(trace.hash_runs.values).tolist() == list(range(ids))
    assert trace.block_size == 16


@pytest.mark.parametrize(("tokens", "ids"), [(16, 2), (17, 3), (600, 36), (600, 39)])
def test_other_numbers_of_hash_ids_are_refused(tmp_path: Path, tokens: int, ids: int) -> None:
    path = write(tmp_path, row(0, input_length=tokens, hash_ids=list(range(ids))))

    with pytest.raises(TraceError) as caught:
        read_trace(path, block_size=16)

    message = str(caught.value)
    assert message.startswith(f"{path}:1: hash_ids: has {ids} ids, but {tokens} tokens take ")
    assert f"take {-(-tokens // 16)} blocks ({tokens // 16} of them full)" in message
    assert "read with --trace-block-size 16" in message


def test_sort_is_stable_moves_whole_requests_and_counts_late_lines(tmp_path: Path) -> None:
    rows = [
        row(5, request_id="e", hash_ids=[50, 51]),
        row(1, request_id="a", input_length=3, output_length=9, priority=4, cross_tokens=8),
        row(7, request_id="g", hash_ids=[70, 71]),
        row(5, request_id="f"),
        row(1, request_id="b", hash_ids=[10, 11]),
    ]

    trace = read_trace(write(tmp_path, *rows))

    assert trace.request_ids == ("a", "b", "e", "f", "g")
    assert trace.meta.sorted_lines == 3
    assert trace.meta.skipped_lines == 0
    assert trace.arrival_ns.tolist() == [1_000_000, 1_000_000, 5_000_000, 5_000_000, 7_000_000]
    assert trace.input_tokens.tolist() == [3, 600, 600, 600, 600]
    assert trace.output_tokens.tolist() == [9, 5, 5, 5, 5]
    assert trace.priority.tolist() == [4, 0, 0, 0, 0]
    assert trace.cross_tokens.tolist() == [8, 0, 0, 0, 0]
    assert offsets_of(block_counts(trace.hash_runs)).tolist() == [0, 0, 2, 4, 4, 6]
    assert expand(trace.hash_runs.values).tolist() == [10, 11, 50, 51, 70, 71]


def test_sort_leaves_a_sorted_trace_alone(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, row(1), row(1), row(2)))

    assert trace.request_ids == ("0", "1", "2")
    assert trace.meta.sorted_lines == 0
