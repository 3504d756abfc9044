from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace
from jenga_sim.traces.columns import offsets_of
from jenga_sim.traces.runs import block_counts, expand


def small_trace() -> Trace:
    return Trace.from_columns(
        [5, 5, 9],
        [1000, 512, 100],
        [3, 2, 1],
        priority=[-1, 0, 7],
        request_ids=["a", "b", "c"],
        hash_ids=[[1, 2], [], [3]],
    )


def test_columns_are_int64_and_in_csr_form() -> None:
    trace = small_trace()

    assert len(trace) == 3
    assert trace.arrival_ns.tolist() == [5, 5, 9]
    assert trace.priority.tolist() == [-1, 0, 7]
    assert trace.cross_tokens.tolist() == [0, 0, 0]
    assert offsets_of(block_counts(trace.hash_runs)).tolist() == [0, 2, 2, 3]
    assert expand(trace.hash_runs.values).tolist() == [1, 2, 3]
    assert trace.request_ids == ("a", "b", "c")
    assert (trace.name, trace.meta.sha256, trace.block_size) == ("columns", "", 512)
    assert (trace.meta.skipped_lines, trace.meta.sorted_lines) == (0, 0)
    for column in (trace.arrival_ns, trace.input_tokens, trace.hash_runs.offsets):
        assert column.dtype == np.int64


def test_columns_are_read_only_copies() -> None:
    arrivals = np.array([0, 1], dtype=np.int32)
    trace = Trace.from_columns(arrivals, [1, 1], [1, 1])

    arrivals[0] = 1
    assert trace.arrival_ns.tolist() == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        trace.arrival_ns[0] = 1


def test_span_is_last_minus_first_arrival() -> None:
    assert small_trace().span_ns == 4
    assert isinstance(small_trace().span_ns, int)


def test_empty_trace_is_allowed_from_columns() -> None:
    trace = Trace.from_columns([], [], [], hash_ids=[])

    assert len(trace) == 0
    assert trace.span_ns == 0
    assert offsets_of(block_counts(trace.hash_runs)).tolist() == [0]
    assert trace.head(3).arrival_ns.dtype == np.int64


def test_head_cuts_every_column() -> None:
    head = small_trace().head(2)

    assert head.arrival_ns.tolist() == [5, 5]
    assert head.input_tokens.tolist() == [1000, 512]
    assert head.output_tokens.tolist() == [3, 2]
    assert head.priority.tolist() == [-1, 0]
    assert len(head.cross_tokens) == 2
    assert head.request_ids == ("a", "b")
    assert offsets_of(block_counts(head.hash_runs)).tolist() == [0, 2, 2]
    assert expand(head.hash_runs.values).tolist() == [1, 2]


def test_head_beyond_the_end_is_the_whole_trace() -> None:
    assert len(small_trace().head(99)) == 3
    assert len(small_trace().head(0)) == 0


def test_head_refuses_a_negative_count() -> None:
    with pytest.raises(TraceError, match="head: -1 requests"):
        small_trace().head(-1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrival_ns": [2, 1]}, "arrival_ns: entry 1 is earlier"),
        ({"arrival_ns": [-1, 1]}, "arrival_ns: entry 0 is -1"),
        (
            {"arrival_ns": np.array([0, 2**63], dtype=np.uint64)},
            "arrival_ns: entry 1 is 9223372036854775808",
        ),
        (
            {"arrival_ns": [0.5, 1.5]},
            "arrival_ns: must hold integers that fit int64, holds float64",
        ),
        ({"input_tokens": [1]}, r"input_tokens: has shape \(1,\), arrival_ns has 2"),
        ({"input_tokens": [1, 0]}, "input_tokens: entry 1 is 0, not from 1"),
        (
            {"input_tokens": [1, 2**70]},
            "input_tokens: must hold integers that fit int64, holds object",
        ),
        (
            {"input_tokens": [True, True]},
            "input_tokens: must hold integers that fit int64, holds bool",
        ),
        ({"input_tokens": ["1", "2"]}, "input_tokens: must hold integers"),
        ({"input_tokens": [1, [2]]}, "input_tokens: must be one flat sequence"),
        ({"input_tokens": [[1], [2]]}, "input_tokens: has shape"),
        ({"output_tokens": [-1, 1]}, "output_tokens: entry 0 is -1, not from 0"),
        ({"output_tokens": [1, 2**40 + 1]}, "output_tokens: entry 1 is 1099511627777"),
        ({"cross_tokens": [0, -1]}, "cross_tokens: entry 1 is -1, not from 0"),
        ({"priority": [0]}, "priority: has shape"),
        ({"request_ids": ["a"]}, "request_ids: has 1 entries"),
        ({"request_ids": ["a", "a"]}, "request_ids: must be unique"),
        ({"hash_ids": [[1]]}, "hash_ids: has 1 entries"),
        ({"hash_ids": [[1, 2, 3], []]}, "hash_ids: entry 0 has 3 ids, not 1 or 0"),
        ({"hash_ids": [[-1], []]}, "hash_ids: entry 0 is -1"),
        ({"block_size": 0}, "--trace-block-size 0"),
    ],
)
def test_from_columns_names_the_bad_column(change: dict[str, Any], message: str) -> None:
    columns: dict[str, Any] = {
        "arrival_ns": [0, 1],
        "input_tokens": [10, 10],
        "output_tokens": [1, 1],
    }
    with pytest.raises(TraceError, match=message):
        Trace.from_columns(**(columns | change))
