"""Results of ``vllm bench serve``, as vllm/benchmarks/serve.py of vLLM 0.33.0 writes them.

sglang's ``bench_serving`` writes the same lists, and Python's ``Infinity`` for an unlimited rate.
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
from jenga_sim.traces.limits import MAX_NS
from tests.traces.formats.damage import damaged_bytes, damaged_json, read_or_refuse


def result(**changes: Any) -> dict[str, Any]:
    """Three requests, of which the second failed; keys that are None are left out."""
    run: dict[str, Any] = {
        "date": "20260101-120000",
        "endpoint_type": "openai",
        "backend": "openai",
        "label": None,
        "model_id": "meta-llama/Llama-3.1-8B",
        "tokenizer_id": "meta-llama/Llama-3.1-8B",
        "num_prompts": 3,
        "request_rate": 2.0,
        "burstiness": 1.0,
        "max_concurrency": None,
        "duration": 3.5,
        "completed": 2,
        "failed": 1,
        "total_input_tokens": 300,
        "total_output_tokens": 7,
        "request_throughput": 0.57,
        "input_lens": [100, 150, 200],
        "output_lens": [3, 0, 4],
        "ttfts": [0.25, 0.0, 0.5],
        "itls": [[0.125, 0.125], [], [0.1, 0.1, 0.1]],
        "latencies": [0.5, 0.0, 0.8],
        "start_times": [1000.5, 1000.75, 1002.0],
        "queue_times": [0.0, 0.0, 0.0],
        "generated_texts": ["a b c", "", "d e f g"],
        "errors": ["", "Bad Gateway", ""],
        "mean_ttft_ms": 375.0,
    }
    return {key: value for key, value in (run | changes).items() if value is not None}


def read(tmp_path: Path, *runs: dict[str, Any], **options: Any) -> Trace:
    path = tmp_path / "result.json"
    path.write_text("\n".join(json.dumps(run) for run in runs))
    return read_trace(path, **options)


def test_a_result_has_lengths_arrivals_and_recorded_latencies(tmp_path: Path) -> None:
    trace = read(tmp_path, result())

    assert trace.meta.format == "vllm-bench"
    assert trace.arrival_ns.tolist() == [0, 250_000_000, 1_500_000_000]
    assert trace.input_tokens.tolist() == [100, 150, 200]
    assert trace.output_tokens.tolist() == [3, 0, 4]
    assert trace.recorded_ttft_ns is not None
    assert trace.recorded_ttft_ns.tolist() == [250_000_000, -1, 500_000_000]
    assert trace.recorded_e2e_ns is not None
    assert trace.recorded_e2e_ns.tolist() == [500_000_000, -1, 800_000_000]
    assert trace.model is not None
    assert trace.model.word(2) == "meta-llama/Llama-3.1-8B"


def test_a_failed_request_is_kept_as_cancelled_and_counted(tmp_path: Path) -> None:
    trace = read(tmp_path, result())

    assert trace.cancelled is not None
    assert trace.cancelled.tolist() == [0, 1, 0]
    assert any(note.startswith("1 requests failed") for note in trace.meta.notes)


def test_a_failed_request_without_a_length_is_left_out_and_counted(tmp_path: Path) -> None:
    trace = read(tmp_path, result(input_lens=[100, 0, 200]))

    assert trace.request_ids == ("0", "2")
    assert any("without a prompt length" in note for note in trace.meta.notes)


def test_the_end_is_the_sum_of_gaps_where_there_are_no_latencies(tmp_path: Path) -> None:
    trace = read(tmp_path, result(latencies=None))

    assert trace.recorded_e2e_ns is not None
    assert trace.recorded_e2e_ns.tolist() == [500_000_000, -1, 800_000_000]


def test_without_start_times_arrivals_are_spaced_by_the_rate(tmp_path: Path) -> None:
    trace = read(tmp_path, result(start_times=None))

    assert trace.arrival_ns.tolist() == [0, 500_000_000, 1_000_000_000]
    assert any("spaced evenly at 2 requests/s" in note for note in trace.meta.notes)


def test_without_start_times_and_rate_all_arrive_at_once(tmp_path: Path) -> None:
    trace = read(tmp_path, result(start_times=None, request_rate="inf"))

    assert trace.arrival_ns.tolist() == [0, 0, 0]
    assert any("all sent at once" in note for note in trace.meta.notes)


def test_the_smallest_rate_leaves_arrivals_within_what_a_trace_can_have(tmp_path: Path) -> None:
    trace = read(tmp_path, result(start_times=None, request_rate=5e-324))

    assert trace.arrival_ns.tolist()[1:] == [MAX_NS, MAX_NS]


def test_a_limit_of_concurrency_makes_requests_wait_for_the_first_end(tmp_path: Path) -> None:
    run = result(
        start_times=None,
        request_rate="inf",
        max_concurrency=2,
        errors=["", "", ""],
        output_lens=[3, 2, 4],
        latencies=[0.5, 0.2, 0.8],
    )

    assert read(tmp_path, run).arrival_ns.tolist() == [0, 0, 200_000_000]


def test_of_appended_results_the_last_is_read_unless_one_is_named(tmp_path: Path) -> None:
    runs = (result(), result(request_rate=8.0, input_lens=[1, 2, 3]))

    last = read(tmp_path, *runs)
    first = read(tmp_path, *runs, run=1)

    assert last.input_tokens.tolist() == [1, 2, 3]
    assert first.input_tokens.tolist() == [100, 150, 200]
    assert "2: 8.0 requests/s" in last.meta.notes[0]


def test_a_run_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"result.json: run: must be from 1 to 1, is 2"):
        read(tmp_path, result(), run=2)


def test_a_list_of_results_is_read_as_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps([result(), result(input_lens=[7, 8, 9])], indent=1))

    assert read_trace(f"vllm-bench:{path}").input_tokens.tolist() == [7, 8, 9]


def test_infinity_as_python_writes_it_is_an_unlimited_rate(tmp_path: Path) -> None:
    trace = read(tmp_path, result(start_times=None, request_rate=float("inf")))

    assert trace.arrival_ns.tolist() == [0, 0, 0]


def test_a_result_without_details_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"input_lens: is missing; write .* --save-detailed"):
        read(tmp_path, result(input_lens=None, output_lens=None, start_times=None))


def test_lists_of_other_lengths_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"ttfts: must have 3 entries as input_lens, has 2"):
        read(tmp_path, result(ttfts=[0.1, 0.2]))


def test_a_bad_value_is_named_by_its_list_and_place(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r'result.json: ttfts\[2\]: must be .*, is "x"'):
        read(tmp_path, result(ttfts=[0.1, 0.2, "x"]))


def test_a_bad_request_can_be_skipped_and_is_counted(tmp_path: Path) -> None:
    trace = read(tmp_path, result(ttfts=[0.1, 0.2, "x"]), on_bad_line="skip")

    assert trace.request_ids == ("0", "1")
    assert trace.meta.skipped_lines == 1


@given(data=st.data())
def test_damaged_results_are_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = result()
    texts = damaged_json(good) | damaged_bytes(json.dumps(good).encode())
    path = tmp_path_factory.mktemp("damage") / "result.json"
    path.write_bytes(data.draw(texts))

    for on_bad_line in ("error", "skip"):
        read_or_refuse(path, "vllm-bench", on_bad_line)
