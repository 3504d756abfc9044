from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces.stats import ArrivalCounts, ArrivalFigures
from jenga_sim.traces.stats.quantum import find_quantum
from tests.sim.strategies import examples

S = 10**9
GAPS = st.lists(
    st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 200 * S)), min_size=1, max_size=30
)


def figures(arrival_ns: np.ndarray, *cuts: int) -> ArrivalFigures:
    counts = ArrivalCounts()
    for chunk in np.split(np.asarray(arrival_ns, dtype=np.int64), cuts):
        counts.add(chunk)
        counts.result()  # looking must not change anything
    return counts.result()


def test_four_arrivals_by_hand() -> None:
    found = figures(np.array([5 * S, 5 * S, 6 * S, 9 * S]))

    assert found == ArrivalFigures(
        requests=4,
        span_s=4.0,
        rate_per_s=0.75,
        cv=math.sqrt(3 * (0 + 1 + 9) / 16 - 1),
        cv_spread=found.cv,
        idc60=None,
        quantum_ms=None,
        timestamps=3,
        per_timestamp_mean=4 / 3,
        per_timestamp_max=2,
    )


def test_dispersion_counts_full_windows_and_empty_ones() -> None:
    minutes = np.array([0, 0.1, 0.2, 0.3, 2, 2.5, 3.5])

    # 4, 0 and 2 requests in three full minutes; the fourth is not over.
    assert figures((minutes * 60 * S).astype(np.int64)).idc60 == pytest.approx((20 / 3 - 4) / 2)


@pytest.mark.parametrize("arrivals", [[], [7], [7, 7, 7]])
def test_too_few_arrivals_leave_figures_open(arrivals: list[int]) -> None:
    found = figures(np.array(arrivals))

    assert (found.requests, found.span_s) == (len(arrivals), 0.0)
    assert (found.rate_per_s, found.cv, found.cv_spread, found.idc60) == (None,) * 4


@examples(300)
@given(GAPS, st.lists(st.integers(0, 30), max_size=3))
def test_chunks_give_what_all_arrivals_at_once_give(gaps: list[int], cuts: list[int]) -> None:
    arrivals = np.cumsum(gaps)

    assert figures(arrivals, *sorted(cuts)) == figures(arrivals)


@examples(200)
@given(GAPS)
def test_figures_are_those_of_the_whole_column(gaps: list[int]) -> None:
    arrivals = np.cumsum(gaps)
    found = figures(arrivals)

    times, sizes = np.unique(arrivals, return_counts=True)
    assert (found.requests, found.timestamps) == (len(gaps), len(times))
    assert found.per_timestamp_max == sizes.max()
    apart = np.diff(arrivals) / S
    if apart.sum() > 0:
        assert found.cv == pytest.approx(apart.std() / apart.mean(), abs=1e-6)
    full = (arrivals[-1] - arrivals[0]) // (60 * S)
    counts = np.bincount((arrivals - arrivals[0]) // (60 * S))[:full]
    if full >= 2 and counts.sum():
        assert found.idc60 == pytest.approx(counts.var() / counts.mean())
    else:
        assert found.idc60 is None


def test_an_arrival_out_of_order_is_refused_by_its_place() -> None:
    counts = ArrivalCounts()
    counts.add(np.array([1, 2]))

    with pytest.raises(TraceError, match="entry 3 is earlier"):
        counts.add(np.array([3, 2]))


def poisson(seed: int) -> np.ndarray:
    """20,000 arrivals at 5 per second."""
    gaps = np.random.default_rng(seed).exponential(0.2 * S, 20_000)
    return np.cumsum(gaps).astype(np.int64)


@pytest.mark.parametrize("quantum_ms", [500, 1000, 3000, 10_000])
def test_a_coarse_clock_is_found_and_undone(quantum_ms: int) -> None:
    arrivals = poisson(1)
    coarse = arrivals // (quantum_ms * 10**6) * (quantum_ms * 10**6)

    found = figures(coarse)

    assert found.quantum_ms == quantum_ms
    assert found.cv is not None
    assert found.cv > 1.3
    assert found.cv_spread == pytest.approx(figures(arrivals).cv, abs=0.02)


def test_a_clock_that_skips_most_of_its_ticks_is_found_by_their_common_divisor() -> None:
    slow = poisson(7) * 16 // S * S  # one request in 3.2 s

    assert figures(slow).quantum_ms == 1000
    steps, counts = np.unique(np.diff(np.unique(slow)), return_counts=True)
    assert find_quantum(steps, counts, len(slow)) == S
    assert find_quantum(steps, counts, len(slow), exact=False) is None


def test_a_clock_that_jitters_is_found() -> None:
    ticks = np.arange(2_000) * 3 * S + np.random.default_rng(2).integers(-3, 4, 2_000) * 10**6
    found = figures(np.repeat(ticks - ticks[0], 10))

    assert found.quantum_ms == pytest.approx(3000, abs=1)


def test_expected_spread_is_the_mean_of_random_spreads() -> None:
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 6, 400)
    coarse = np.repeat(np.cumsum(rng.integers(1, 4, 400)) * S, sizes)

    drawn = [
        np.diff(np.sort(coarse + rng.uniform(0, S, len(coarse))).astype(np.int64))
        for _ in range(200)
    ]
    variations = [gaps.std() / gaps.mean() for gaps in drawn]
    assert figures(coarse).cv_spread == pytest.approx(np.mean(variations), abs=0.005)


def test_arrivals_without_shared_timestamps_have_no_quantum() -> None:
    steady = figures(np.arange(100) * S)

    assert (steady.quantum_ms, steady.cv, steady.cv_spread) == (None, 0.0, 0.0)
    assert figures(poisson(4)).quantum_ms is None


def test_a_later_start_changes_nothing() -> None:
    arrivals = poisson(5) // S * S

    assert figures(arrivals + 10**18) == figures(arrivals)
