"""``benchmarks.json`` as guidellm 0.8.1 writes it (report version 2).

The requests are abridged from a run of that version against its own mock server.
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

START = 1_795_457_728.0


def request(
    name: str,
    start_s: float | None,
    end_s: float | None,
    *,
    conversation: str | None = None,
    turn: int = 0,
    parents: tuple[int, ...] = (),
    **changes: Any,
) -> dict[str, Any]:
    return {
        "type_": "generative_request_stats",
        "request_id": name,
        "output": "Score each cause.",
        "info": {
            "request_id": name,
            "conversation_id": conversation or f"conversation of {name}",
            "turn_index": turn,
            "node_id": f"turn_{turn}",
            "parent_node_ids": [f"turn_{parent}" for parent in parents],
            "status": "completed",
            "timings": {
                "targeted_start": START,
                "resolve_start": None if start_s is None else START + start_s - 0.001,
                "request_start": None if start_s is None else START + start_s,
                "request_end": None if end_s is None else START + end_s,
            },
        },
        "input_metrics": {"text_tokens": 40, "total_tokens": 40},
        "output_metrics": {"text_tokens": 8, "total_tokens": 8},
        "prompt_tokens": 40,
        "cached_tokens": None,
        "output_tokens": 8,
        "request_latency": 0.5,
        "time_to_first_token_ms": 26.25,
    } | changes


def benchmark(
    *successful: dict[str, Any],
    errored: tuple[dict[str, Any], ...] = (),
    incomplete: tuple[dict[str, Any], ...] = (),
    rate: float = 8.0,
    total: int | None = None,
) -> dict[str, Any]:
    count = len(successful) + len(errored) + len(incomplete)
    return {
        "type_": "generative_benchmark",
        "config": {"strategy": {"type_": "constant", "rate": rate}, "sample_size": None},
        "metrics": {"request_totals": {"total": count if total is None else total}},
        "requests": {
            "successful": list(successful),
            "errored": list(errored),
            "incomplete": list(incomplete),
            "total": None,
        },
    }


def report(*benchmarks: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"version": 2, "guidellm_version": "0.8.1"},
        "config": {"profile": {"kind": "constant"}},
        "benchmarks": list(benchmarks),
        "conclusions": [],
    }


def read(tmp_path: Path, *benchmarks: dict[str, Any], **options: Any) -> Trace:
    path = tmp_path / "benchmarks.json"
    path.write_text(json.dumps(report(*benchmarks)))
    return read_trace(path, **options)


def test_requests_have_lengths_arrivals_and_recorded_latencies(tmp_path: Path) -> None:
    trace = read(tmp_path, benchmark(request("b", 0.25, 0.75), request("a", 0.0, 0.5)))

    assert trace.meta.format == "guidellm"
    assert trace.request_ids == ("a", "b")
    assert trace.arrival_ns.tolist() == [0, 250_000_000]
    assert trace.input_tokens.tolist() == [40, 40]
    assert trace.output_tokens.tolist() == [8, 8]
    assert trace.recorded_ttft_ns is not None
    assert trace.recorded_ttft_ns.tolist() == [26_250_000] * 2
    assert trace.recorded_e2e_ns is not None
    assert trace.recorded_e2e_ns.tolist() == [500_000_000] * 2
    assert trace.meta.notes == ()


def test_of_several_benchmarks_the_last_is_read_and_the_choice_is_told(tmp_path: Path) -> None:
    runs = (benchmark(request("a", 0, 1)), benchmark(request("b", 0, 1), rate=15.0))

    assert read(tmp_path, *runs).request_ids == ("b",)
    assert read(tmp_path, *runs, run=1).request_ids == ("a",)
    assert read(tmp_path, *runs).meta.notes == (
        "benchmarks.json holds 2 runs (1: constant 8; 2: constant 15); run 2 is read, "
        "--recorded-run N takes another",
    )


def test_requests_that_failed_or_did_not_finish_are_kept_as_cancelled(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        benchmark(
            request("a", 0.0, 0.5),
            errored=(request("b", 0.5, None, output_tokens=None),),
            incomplete=(request("c", 0.75, None, output_tokens=3),),
        ),
    )

    assert trace.cancelled is not None
    assert trace.cancelled.tolist() == [0, 1, 1]
    assert trace.output_tokens.tolist() == [8, 0, 3]
    assert trace.recorded_ttft_ns is not None
    assert trace.recorded_ttft_ns.tolist() == [26_250_000, -1, -1]


def test_failures_without_a_length_are_left_out_and_counted(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        benchmark(request("a", 0, 1), errored=(request("b", 1, None, prompt_tokens=None),)),
    )

    assert trace.request_ids == ("a",)
    assert trace.meta.notes[0].startswith("1 requests failed without a start or a prompt length")


def test_a_report_that_keeps_a_sample_says_how_many_are_missing(tmp_path: Path) -> None:
    trace = read(tmp_path, benchmark(request("a", 0, 1), total=50))

    assert trace.meta.notes == ("49 requests of 50 are not in the file, which keeps a sample",)


def test_a_request_comes_after_its_parents_in_the_graph(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        benchmark(
            request("root", 0.0, 0.5, conversation="c"),
            request("left", 0.5, 1.0, conversation="c", turn=1, parents=(0,)),
            request("right", 0.5, 1.25, conversation="c", turn=2, parents=(0,)),
            request("join", 1.5, 2.0, conversation="c", turn=3, parents=(1, 2)),
        ),
    )

    assert trace.after is not None
    assert [sorted(trace.after.rows(at)[:, 0].tolist()) for at in range(4)] == [
        [],
        [0],
        [0],
        [1, 2],
    ]
    assert trace.delay_ns is not None
    assert trace.delay_ns.tolist() == [-1, 0, 0, 250_000_000]


def test_a_bad_request_is_named_by_its_place_and_key(tmp_path: Path) -> None:
    bad = request("b", 0, 1, prompt_tokens="many")

    with pytest.raises(TraceError) as error:
        read(tmp_path, benchmark(request("a", 0, 1), bad))

    assert str(error.value) == (
        f"{tmp_path / 'benchmarks.json'}: benchmarks[0].requests.successful[1]: prompt_tokens: "
        'must be an integer or null, is "many"'
    )


def test_a_bad_request_can_be_skipped_and_is_counted(tmp_path: Path) -> None:
    bad = request("b", 0, 1, prompt_tokens=None)

    trace = read(tmp_path, benchmark(request("a", 0, 1), bad), on_bad_line="skip")

    assert trace.request_ids == ("a",)
    assert trace.meta.skipped_lines == 1


def test_a_report_without_benchmarks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"benchmarks.json: has no runs"):
        read(tmp_path)


@given(data=st.data())
def test_damaged_reports_are_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = report(
        benchmark(request("a", 0, 1), errored=(request("b", 1, None, turn=1, parents=(0,)),))
    )
    path = tmp_path_factory.mktemp("damage") / "benchmarks.json"
    path.write_bytes(data.draw(damaged_json(good) | damaged_bytes(json.dumps(good).encode())))

    for on_bad_line in ("error", "skip"):
        read_or_refuse(path, "guidellm", on_bad_line)
