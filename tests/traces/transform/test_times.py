from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace
from jenga_sim.traces.transform.times import (
    gaps_capped,
    session_codes,
    spread,
    time_scaled,
    with_rate,
    with_session_rate,
)
from tests.traces.strategies import assert_same, traces

S = 10**9
MS = 10**6


def three(*seconds: float, **columns: object) -> Trace:
    count = len(seconds)
    arrivals = [round(second * S) for second in seconds]
    return Trace.from_columns(arrivals, [10] * count, [1] * count, **columns)  # type: ignore[arg-type]


def test_a_scale_of_a_half_plays_arrivals_and_pauses_twice_as_fast() -> None:
    trace = three(4, 6, 10, after=[[], [0], [1]], delay_ns=[-1, S, 2 * S])

    fast = time_scaled(trace, 0.5)

    assert (fast.arrival_ns / S).tolist() == [4, 5, 7]
    assert fast.delay_ns is not None
    assert fast.delay_ns.tolist() == [-1, S // 2, S]


def test_another_rate_leaves_pauses_alone() -> None:
    trace = three(0, 2, 10, after=[[], [0], [1]], delay_ns=[-1, S, 2 * S])

    fast = with_rate(trace, 2.0)

    assert (fast.arrival_ns / S).tolist() == [0, 0.2, 1]
    assert fast.delay_ns is not None
    assert fast.delay_ns.tolist() == [-1, S, 2 * S]


@given(traces(least=2), st.floats(0.01, 100))
def test_the_rate_is_the_one_that_was_asked_for(trace: Trace, rate: float) -> None:
    changed = with_rate(trace, rate)
    if trace.span_ns > 1000:
        assert (len(changed) - 1) / (changed.span_ns / S) == pytest.approx(rate, rel=1e-3)
    assert np.all(np.diff(changed.arrival_ns) >= 0)


def test_requests_without_times_arrive_as_a_poisson_process() -> None:
    trace = Trace.from_columns([0] * 20_000, [10] * 20_000, [1] * 20_000)

    gaps = np.diff(with_rate(trace, 5.0).arrival_ns) / S

    assert gaps.mean() == pytest.approx(0.2, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, rel=0.03)
    assert any("no arrival times" in note for note in with_rate(trace, 5.0).meta.notes)


def test_sessions_start_at_the_rate_and_keep_their_own_times() -> None:
    count = 6_000
    arrivals = sorted([0] * (count // 2) + [7 * S] * (count // 2))
    names = [str(index % (count // 2)) for index in range(count)]
    trace = Trace.from_columns(arrivals, [10] * count, [1] * count, session_ids=names)

    changed = with_session_rate(trace, 2.0)

    assert changed.session is not None
    starts, ends = np.zeros(count // 2), np.zeros(count // 2)
    for code, at in zip(changed.session.codes.tolist(), changed.arrival_ns.tolist(), strict=True):
        starts[code] = at if not starts[code] else starts[code]
        ends[code] = at
    assert np.all(ends - starts == 7 * S)
    gaps = np.diff(np.sort(starts)) / S
    assert gaps.mean() == pytest.approx(0.5, rel=0.05)


def test_arrivals_of_a_quantum_are_spread_over_it_in_their_order() -> None:
    trace = Trace.from_columns(
        [0] * 50 + [3 * S] * 50,
        list(range(1, 101)),
        [1] * 100,
        request_ids=list(map(str, range(100))),
    )

    changed = spread(trace, 3 * S)

    assert np.all(np.diff(changed.arrival_ns) >= 0)
    assert changed.input_tokens.tolist() == trace.input_tokens.tolist()
    assert np.array_equal(changed.arrival_ns // (3 * S), trace.arrival_ns // (3 * S))
    assert len(np.unique(changed.arrival_ns)) == 100


def test_a_stamp_just_before_a_tick_of_the_clock_belongs_to_it() -> None:
    stamps_ms = np.array([0, 2999, 6001, 8999, 12_000])
    trace = Trace.from_columns(np.repeat(stamps_ms * MS, 20), [1] * 100, [1] * 100)

    changed = spread(trace, 3000 * MS)

    assert np.array_equal(changed.arrival_ns // (3000 * MS), np.repeat(np.arange(5), 20))


@given(traces(), st.integers(1, 10**10))
def test_spreading_moves_nobody_out_of_his_quantum(trace: Trace, quantum_ns: int) -> None:
    changed = spread(trace, quantum_ns)

    quanta = (trace.arrival_ns + quantum_ns // 100) // quantum_ns
    assert np.array_equal(changed.arrival_ns // quantum_ns, quanta)
    assert np.all(np.diff(changed.arrival_ns) >= 0)


@given(traces(), st.integers(1, 10**10))
def test_no_gap_and_no_pause_is_longer_than_the_cap(trace: Trace, gap_ns: int) -> None:
    changed = gaps_capped(trace, gap_ns)

    before, after = session_times(trace), session_times(changed)
    starts = sorted(times[0] for times in before)
    capped = sorted(times[0] for times in after)
    assert np.diff(capped).tolist() == np.minimum(np.diff(starts), gap_ns).tolist()
    assert sorted(np.minimum(np.diff(times), gap_ns).tolist() for times in before) == sorted(
        np.diff(times).tolist() for times in after
    )
    if trace.delay_ns is not None:
        assert changed.delay_ns is not None
        assert sorted(changed.delay_ns) == sorted(np.minimum(trace.delay_ns, gap_ns))


def session_times(trace: Trace) -> list[list[int]]:
    codes = session_codes(trace)
    return [trace.arrival_ns[codes == code].tolist() for code in np.unique(codes)]


def test_gaps_inside_a_session_are_capped_whatever_others_do() -> None:
    seconds = [0, 1, 2, 3, 4, 5, 100]
    names = ["a", None, None, None, None, "a", "a"]
    trace = three(*seconds, session_ids=names)

    changed = gaps_capped(trace, 3 * S)

    assert changed.session is not None
    own = changed.arrival_ns[changed.session.codes == 0] / S
    assert own.tolist() == [0, 3, 6]


@given(traces())
def test_a_scale_of_one_changes_nothing(trace: Trace) -> None:
    assert_same(time_scaled(trace, 1.0), trace)


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_what_is_not_positive_is_refused_by_its_flag(value: float) -> None:
    trace = three(0, 1)
    with pytest.raises(TraceError, match="--time-scale"):
        time_scaled(trace, value)
    with pytest.raises(TraceError, match="--rate"):
        with_rate(trace, value)
    with pytest.raises(TraceError, match="--session-rate"):
        with_session_rate(trace, value)


def test_times_that_overflow_are_refused() -> None:
    with pytest.raises(TraceError, match="are later than"):
        time_scaled(three(0, 1e6), 1e9)
