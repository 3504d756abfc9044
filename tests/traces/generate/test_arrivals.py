"""Arrival processes: rate, spread of the gaps, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces.columns import IntColumn
from jenga_sim.traces.generate import clients
from jenga_sim.traces.generate.arrivals import (
    TOO_LATE,
    Arrivals,
    AtOnce,
    Constant,
    Gamma,
    Poisson,
    Weibull,
    renewals,
    summed,
    with_rate,
)
from jenga_sim.traces.generate.changing import Diurnal, OnOff
from jenga_sim.traces.generate.clients import Clients
from jenga_sim.traces.generate.draw import Draw
from jenga_sim.traces.generate.gaps import GammaGaps, WeibullGaps, weibull_shape
from jenga_sim.traces.generate.generate import parse_arrivals
from jenga_sim.traces.limits import MAX_NS
from tests.traces.generate.claims import SIGMAS, assert_mean

COUNT = 200_000


def times(arrivals: Arrivals, count: int = COUNT, seed: int = 1) -> IntColumn:
    parts: list[IntColumn] = []
    for chunk in arrivals.chunks(Draw(seed)):
        parts.append(chunk)
        if sum(map(len, parts)) >= count:
            break
    return np.concatenate(parts)[:count]


RENEWALS: list[Arrivals] = [
    Poisson(4.0),
    Gamma(4.0, 0.3),
    Gamma(4.0, 1.1),
    Gamma(4.0, 2.5),
    Weibull(4.0, 0.5),
    Weibull(4.0, 2.0),
    OnOff(4.0, 2.0, 3.0),
]


@pytest.mark.parametrize("arrivals", RENEWALS, ids=repr)
def test_gaps_have_the_stated_mean_and_cv(arrivals: Arrivals) -> None:
    gaps = np.diff(times(arrivals)) / 1e9

    mean = 1 / arrivals.rate_per_s
    assert_mean(gaps, mean)
    assert_mean((gaps - mean) ** 2, (arrivals.cv * mean) ** 2)


EVERY: list[Arrivals] = [
    *RENEWALS,
    Gamma(50.0, 13.0),
    Constant(4.0),
    Diurnal(4.0, 1.8, 60.0),
    Clients(4.0, 20, 1.1, 2.0),
    Clients(4.0, 7, 1.1, 2.0, "weibull"),
]


@pytest.mark.parametrize("arrivals", EVERY, ids=repr)
def test_arrivals_ascend_and_come_at_the_stated_rate_from_the_start_on(arrivals: Arrivals) -> None:
    """A trace starts at no special moment: a minute of many traces has 60 times the rate."""
    counts = np.array([np.sum(times(arrivals, 8_000, seed) < 60e9) for seed in range(120)])

    assert np.all(np.diff(times(arrivals, 5_000)) >= 0)
    slack = max(SIGMAS * counts.std() / np.sqrt(len(counts)), 1.0)
    assert abs(counts.mean() - 60 * arrivals.rate_per_s) <= slack


@pytest.mark.parametrize("arrivals", EVERY, ids=repr)
def test_the_seed_decides_the_arrivals(arrivals: Arrivals) -> None:
    assert times(arrivals, 500).tolist() == times(arrivals, 500).tolist()
    if not isinstance(arrivals, Constant):
        assert times(arrivals, 500).tolist() != times(arrivals, 500, seed=2).tolist()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_renewals_do_not_depend_on_the_size_of_chunks(size: int) -> None:
    def first(chunks: Iterator[IntColumn]) -> list[int]:
        return np.concatenate(list(islice(chunks, -(-1000 // size)))).tolist()[:1000]

    for gaps in (GammaGaps(2.0), WeibullGaps(2.0)):
        whole = next(renewals(gaps, 3.0, Draw(1), 1000)).tolist()
        assert first(renewals(gaps, 3.0, Draw(1), size)) == whole


def test_clients_do_not_depend_on_the_size_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = times(Clients(4.0, 9), 9_000).tolist()
    monkeypatch.setattr(clients, "CHUNK", 333)

    assert times(Clients(4.0, 9), 9_000).tolist() == whole


def test_constant_arrivals_start_at_0_and_keep_their_distance() -> None:
    assert times(Constant(2.0), 4).tolist() == [0, 500_000_000, 1_000_000_000, 1_500_000_000]


def test_at_once_is_at_0() -> None:
    assert times(AtOnce(), 10_000).max() == 0


@pytest.mark.parametrize("cv", [0.05, 0.5, 1.0, 3.0, 50.0])
def test_the_shape_of_a_weibull_gives_its_cv(cv: float) -> None:
    from math import gamma

    shape = weibull_shape(cv)

    assert gamma(1 + 2 / shape) / gamma(1 + 1 / shape) ** 2 - 1 == pytest.approx(cv**2, rel=1e-9)
    if cv == 1.0:
        assert shape == pytest.approx(1.0, abs=1e-12)


def test_bursts_are_poisson_and_pauses_are_empty() -> None:
    """With bursts of a second and pauses of an hour almost all gaps are those of a burst."""
    gaps = np.diff(times(OnOff(1.0, 1.0, 3599.0), 100_000)) / 1e9

    short = gaps[gaps < 1]
    assert np.mean(gaps < 1) > 0.99
    assert short.mean() == pytest.approx(1 / 3600, rel=0.02)
    assert np.mean(gaps > 60) == pytest.approx(1 / 3600, rel=0.5)


def test_the_day_has_a_peak_and_a_trough() -> None:
    arrivals = Diurnal(10.0, 1.6, 1000.0)
    phase = times(arrivals, 300_000) % 1_000_000_000_000 / 1e12

    whole = len(phase)
    for start in (0.0, 0.2, 0.45, 0.7):
        # Integral of 1 + 0.6 sin over the next tenth of a period.
        edges = np.cos(2 * np.pi * np.array([start, start + 0.1]))
        expected = 0.1 + 0.6 * (edges[0] - edges[1]) / (2 * np.pi)
        share = np.mean((phase >= start) & (phase < start + 0.1))
        assert share == pytest.approx(expected, abs=SIGMAS * np.sqrt(0.2 / whole) + 1e-3)


def test_the_cv_of_long_periods_is_the_stated_one() -> None:
    arrivals = Diurnal(50.0, 1.6, 400.0)
    gaps = np.diff(times(arrivals, 400_000))

    assert gaps.std() / gaps.mean() == pytest.approx(arrivals.cv, rel=0.01)
    assert Diurnal(1.0, 2.0).cv == float("inf")


def test_clients_share_the_load_by_zipf() -> None:
    arrivals = Clients(10.0, 73, 1.1)

    assert sum(arrivals.shares) == pytest.approx(1.0)
    assert arrivals.shares[0] / arrivals.shares[9] == pytest.approx(10**1.1)
    # deepseek-r1 in ServeGen: .29 from the first of 73 clients, .68 from the first ten.
    assert 0.24 < arrivals.shares[0] < 0.30
    assert 0.63 < sum(arrivals.shares[:10]) < 0.70


def test_one_client_is_a_renewal_process() -> None:
    gaps = np.diff(times(Clients(3.0, 1, cv=2.5), 100_000)) / 1e9

    assert_mean(gaps, 1 / 3)
    assert_mean((gaps - 1 / 3) ** 2, (2.5 / 3) ** 2)


def test_times_beyond_those_of_a_trace_stay_at_the_first_of_them() -> None:
    last = MAX_NS - 10**6

    assert summed(np.array([4e5, 5e5, 9e5, 1e300]), last).tolist() == [
        MAX_NS - 600_000,
        MAX_NS - 100_000,
        TOO_LATE,
        TOO_LATE,
    ]


def test_words_give_arrivals() -> None:
    assert parse_arrivals("poisson") == Poisson(1.0)
    assert parse_arrivals("gamma:cv=2.5,rate=4") == Gamma(4.0, 2.5)
    assert parse_arrivals("weibull:cv=3", 2.0) == Weibull(2.0, 3.0)
    assert parse_arrivals("on-off:on=10,off=50") == OnOff(1.0, 10.0, 50.0)
    assert parse_arrivals("diurnal:peak=2,period=86400") == Diurnal(1.0, 2.0, 86_400.0)
    assert parse_arrivals("clients:n=50,zipf=1.1,cv=2", 9.0) == Clients(9.0, 50, 1.1, 2.0)
    assert parse_arrivals("at-once") == AtOnce()


@pytest.mark.parametrize("text", ["at-once", "poisson:rate=3"])
def test_a_rate_that_would_do_nothing_is_refused(text: str) -> None:
    with pytest.raises(TraceError, match="--rate: "):
        parse_arrivals(text, 9.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("poison", "arrivals 'poison': is unknown; known are poisson, constant, gamma"),
        ("gamma:cv=0", "gamma: cv: must be a number from 0.05 to 50, is 0.0"),
        ("gamma:cv=nan", "gamma: cv: must be a number from 0.05 to 50, is nan"),
        ("poisson:rate=0", "poisson: rate: must be a number from 1e-06 to 1000000, is 0.0"),
        ("diurnal:peak=3", "diurnal: peak: must be a number from 1 to 2, is 3.0"),
        ("clients:n=2.5", "clients: n: must be an integer, is '2.5'"),
        ("clients:family=normal", "clients: family: must be gamma or weibull, is normal"),
        ("on-off:on=0.001,off=0.002", "on-off: on: a burst has 0.003 arrivals on average"),
    ],
)
def test_errors_name_word_key_and_way_out(words: str, message: str) -> None:
    with pytest.raises(TraceError) as error:
        parse_arrivals(words)
    assert str(error.value).startswith(message)


def test_another_rate_changes_nothing_else() -> None:
    assert with_rate(Gamma(1.0, 3.0), 8.0) == Gamma(8.0, 3.0)
    slow, fast = times(Poisson(1.0), 100), times(Poisson(8.0), 100)
    assert np.all(np.abs(slow - 8 * fast) <= 8 * 100)
