"""Figures against arithmetic by hand, and percentiles against numpy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.sim.gaps import Gaps
from jenga_sim.sim.metrics import (
    FORMULAS,
    PERCENTILES,
    gap_figures,
    latency_figures,
    quantile_row,
    summarize,
    weighted_percentile,
)
from tests.sim.clockwork import MS, Ask, run


def figures(*asks: Ask, **settings: Any) -> dict[str, Any]:
    """The figures of a run: the same in leaps and step by step, no byte of the pool unaccounted."""
    replica = run(*asks, **settings)
    recorder = replica.recorder
    byte_ns = (
        recorder.reserved_byte_ns + recorder.free_byte_ns + sum(map(sum, recorder.kind_byte_ns))
    )
    assert byte_ns == recorder.observed_ns * recorder.pool_bytes
    found = summarize(replica.requests, recorder, 1)
    single = run(*asks, fast=False, **settings)
    assert summarize(single.requests, single.recorder, 1) == found
    return found


def test_one_request() -> None:
    found = figures(Ask(5, prompt=4, output=3))

    assert found["mean_ttft_ms"] == found["median_ttft_ms"] == found["p99_ttft_ms"] == 10
    assert found["mean_tpot_ms"] == found["mean_itl_ms"] == 10
    assert found["mean_e2el_ms"] == 30
    assert found["std_ttft_ms"] == found["std_e2el_ms"] == 0
    assert found["duration"] == 0.03
    assert found["num_steps"] == 3


def test_three_requests_that_overlap() -> None:
    # ends of steps:      10      20      30      40
    # A (arrives at 0)    A1      A2      A3
    # B (5)                       B1
    # C (12)                              C1      C2
    found = figures(Ask(0, 4, 3), Ask(5, 6, 1), Ask(12, 4, 2))

    ttft, e2e, itl, tpot = [10, 15, 18], [30, 15, 28], [10, 10, 10], [10, 10]
    for name, values in (("ttft", ttft), ("e2el", e2e), ("itl", itl), ("tpot", tpot)):
        assert found[f"mean_{name}_ms"] == pytest.approx(np.mean(values))
        assert found[f"median_{name}_ms"] == pytest.approx(np.median(values))
        assert found[f"std_{name}_ms"] == pytest.approx(np.std(values))
        for percent in PERCENTILES:
            expected = np.percentile(values, percent)
            assert found[f"p{percent}_{name}_ms"] == pytest.approx(expected)
    assert found["duration"] == 0.04
    assert (found["num_prompts"], found["completed"], found["failed"]) == (3, 3, 0)
    assert (found["total_input_tokens"], found["total_output_tokens"]) == (14, 6)
    assert found["request_throughput"] == pytest.approx(3 / 0.04)
    assert found["output_throughput"] == pytest.approx(6 / 0.04)
    assert found["total_token_throughput"] == pytest.approx(20 / 0.04)
    assert found["batch_size"] == {
        "mean": 1.5,
        "p50": 1.5,
        "p95": pytest.approx(np.percentile([1, 2, 2, 1], 95)),
        "max": 2,
    }
    assert found["num_steps"] == 4
    assert found["busy_share"] == 1


def test_figures_per_gpu_are_shared_by_the_gpus_of_the_replica() -> None:
    replica = run(Ask(0, 4, 3), Ask(5, 6, 1))
    one, four = (summarize(replica.requests, replica.recorder, gpus) for gpus in (1, 4))

    for name in ("request_throughput", "output_throughput"):
        assert one[f"{name}_per_gpu"] == one[name]
        assert four[f"{name}_per_gpu"] == one[name] / 4
        assert four[name] == one[name]


def test_an_output_of_one_token_has_no_time_per_output_token() -> None:
    found = figures(Ask(0, 4, 1), Ask(0, 7, 1))

    assert found["mean_ttft_ms"] == found["mean_e2el_ms"] == 10
    for name in ("tpot", "itl"):
        figures_of = [key for key in found if key.endswith(f"_{name}_ms")]
        assert len(figures_of) == 3 + len(PERCENTILES)
        assert all(found[key] is None for key in figures_of)


def test_a_prompt_in_chunks_has_its_first_token_after_the_last_chunk() -> None:
    found = figures(Ask(0, prompt=10, output=2), budget=4)

    assert found["mean_ttft_ms"] == 30
    assert found["mean_e2el_ms"] == 40
    assert found["batch_size"]["mean"] == 1


def test_a_preemption_shows_in_the_gaps_and_in_what_is_computed_twice() -> None:
    # Three pages: in step 2 the first request takes the last one, so the second gives its page
    # back, waits for the first to end at 40, and computes its prompt and first token again.
    found = figures(Ask(0, 4, 4), Ask(0, 4, 4), pages=4)

    assert found["mean_ttft_ms"] == 10
    assert found["mean_e2el_ms"] == (40 + 70) / 2
    assert found["mean_tpot_ms"] == (10 + 20) / 2
    assert found["mean_itl_ms"] == (5 * 10 + 40) / 6
    assert found["p50_itl_ms"] == 10
    assert (found["preempted"], found["num_preemptions"], found["recomputed_tokens"]) == (1, 1, 4)
    assert found["batch_size"]["mean"] == pytest.approx(8 / 7)


def test_memory_is_weighted_by_time_and_counts_idle_time() -> None:
    # Two steps of 10 ms, 20 ms of nothing between them; 3 tokens in a page for 4, 10 pages.
    found = figures(Ask(0, 3, 1), Ask(30, 3, 1), pages=10)

    busy = 20 / 40
    assert found["memory"] == pytest.approx(
        {
            "needed": busy * 30 / 400,
            "cached": 0,
            "dead": 0,
            "padding": 0,
            "internal": busy * 10 / 400,
            "external": 0,
            "reserved": 40 / 400,
            "free": 360 / 400 - busy * 40 / 400,
        }
    )
    assert found["memory_by_kind"]["full"]["needed"] == found["memory"]["needed"]
    assert found["waste"] == 10 / 40
    assert found["peak_needed"] == 30 / 400
    assert found["busy_share"] == 0.5
    assert found["duration"] == 0.04


def test_rejected_requests_count_as_failed_and_in_nothing_else() -> None:
    alone = figures(Ask(0, 4, 3), Ask(12, 4, 2))
    found = figures(Ask(0, 4, 3), Ask(3, 300, 5), Ask(12, 4, 2))

    assert (found["num_prompts"], found["completed"]) == (3, 2)
    assert found["failed"] == found["rejected"] == 1
    counts = {"num_prompts", "failed", "rejected"}
    assert {k: v for k, v in found.items() if k not in counts} == {
        k: v for k, v in alone.items() if k not in counts
    }


def test_nothing_served_gives_nulls_for_times_and_zeros_for_rates() -> None:
    found = figures(Ask(0, 300, 5), Ask(7, 300, 5))

    assert (found["completed"], found["failed"], found["num_steps"]) == (0, 2, 0)
    assert found["duration"] == found["request_throughput"] == found["output_throughput"] == 0
    assert found["batch_size"] == {"mean": 0, "p50": 0, "p95": 0, "max": 0}
    for name in ("ttft", "tpot", "itl", "e2el"):
        assert quantile_row(found, name) == [None] * len(PERCENTILES)
        assert found[f"mean_{name}_ms"] is found[f"std_{name}_ms"] is None
    assert found["waste"] == found["peak_needed"] == found["memory"]["needed"] == 0


def test_every_formula_is_written_down_once_and_shown_to_the_user() -> None:
    from jenga_sim.cli.run import FORMULAS as SHOWN

    for name in ("TTFT", "TPOT", "ITL", "E2E", "throughput", "memory", "waste"):
        assert name in FORMULAS
        assert name in SHOWN


VALUES = st.one_of(
    st.integers(0, 10**12).map(float), st.floats(0, 1e9, allow_nan=False, allow_infinity=False)
)
HISTOGRAMS = st.dictionaries(VALUES, st.integers(1, 40), min_size=1, max_size=30)


@given(HISTOGRAMS, st.one_of(st.sampled_from([0.0, 50.0, 95.0, 99.0, 100.0]), st.floats(0, 100)))
def test_weighted_percentile_is_the_percentile_of_repeated_values(
    histogram: dict[float, int], percent: float
) -> None:
    values = np.array(sorted(histogram))
    weights = np.array([histogram[value] for value in values.tolist()], dtype=np.int64)

    found = weighted_percentile(values, weights, percent)

    expected = float(np.percentile(np.repeat(values, weights), percent))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * float(values[-1]))


@given(st.lists(VALUES, min_size=1, max_size=60))
def test_figures_of_a_list_are_those_of_numpy(values: list[float]) -> None:
    found = latency_figures("x", np.array(values))

    scale = max(values)
    assert found["mean_x_ms"] == pytest.approx(np.mean(values), rel=1e-9)
    assert found["median_x_ms"] == pytest.approx(np.median(values), rel=1e-9, abs=1e-9 * scale)
    assert found["std_x_ms"] == pytest.approx(np.std(values), rel=1e-6, abs=1e-6 * scale)
    for percent in PERCENTILES:
        expected = np.percentile(values, percent)
        assert found[f"p{percent}_x_ms"] == pytest.approx(expected, rel=1e-9, abs=1e-9 * scale)


@given(st.lists(st.integers(1, 10**11), min_size=1, max_size=60))
def test_figures_do_not_depend_on_how_or_in_which_order_values_are_given(values: list[int]) -> None:
    in_ms = latency_figures("x", np.array(values) / MS)

    assert latency_figures("x", np.array(values[::-1]) / MS) == in_ms
    gaps = Gaps()
    for value in values:
        gaps.add(value)
    assert gap_figures("x", gaps) == in_ms
