"""The functions beside those of the C library, and values that must never change."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.traces.generate.elementary import exp, log, log_gamma, power, sine_of_turns
from jenga_sim.traces.generate.normal import quantile

POSITIVE = st.floats(min_value=1e-300, max_value=1e300)


def ulps(value: float, exact: float) -> float:
    return abs(value - exact) / math.ulp(exact)


@given(POSITIVE)
def test_log_is_within_two_units_in_the_last_place(x: float) -> None:
    assert ulps(float(log(x)), math.log(x)) <= 2


@given(st.floats(min_value=0.9, max_value=1.1))
def test_log_is_as_exact_near_1_where_it_vanishes(x: float) -> None:
    assert ulps(float(log(x)), math.log(x)) <= 2


@given(st.floats(min_value=-700.0, max_value=700.0))
def test_exp_is_within_two_units_in_the_last_place(x: float) -> None:
    assert ulps(float(exp(x)), math.exp(x)) <= 2


def test_exp_saturates_instead_of_overflowing() -> None:
    assert float(exp(1e6)) == float(exp(709.0)) < math.inf
    assert 0.0 < float(exp(-1e6)) < 1e-300


@given(st.floats(min_value=1e-3, max_value=1e3), st.floats(min_value=-20.0, max_value=20.0))
def test_power_loses_no_more_than_its_exponent_explains(x: float, y: float) -> None:
    assert ulps(float(power(x, y)), math.pow(x, y)) <= 4 + 2 * abs(y * math.log(x))


@given(st.floats(min_value=-5.0, max_value=5.0))
def test_sine_of_turns_is_the_sine(turns: float) -> None:
    assert float(sine_of_turns(turns)) == pytest.approx(
        math.sin(2 * math.pi * math.remainder(turns, 1.0)), abs=1e-15
    )


@given(st.floats(min_value=0.02, max_value=120.0))
def test_log_gamma_agrees_with_the_library(x: float) -> None:
    assert log_gamma(x) == pytest.approx(math.lgamma(x), rel=1e-13, abs=1e-13)


@given(st.floats(min_value=1e-300, max_value=1.0, exclude_max=True))
def test_normal_quantiles_agree_with_the_library(p: float) -> None:
    assert float(quantile(p)) == pytest.approx(NormalDist().inv_cdf(p), rel=2e-15, abs=1e-16)


def test_arrays_and_single_values_agree_to_the_last_bit() -> None:
    x = np.array([1e-9, 0.02, 0.3, 0.5, 0.7, 0.999])

    for function in (log, exp, sine_of_turns, quantile):
        assert function(x).tolist() == [float(function(value)) for value in x.tolist()]


def test_values_are_the_same_to_the_last_bit_everywhere() -> None:
    """Written down once; another machine or another numpy must not change a bit."""
    assert float(log(10.0)).hex() == "0x1.26bb1bbb55516p+1"
    assert float(exp(1.0)).hex() == "0x1.5bf0a8b14576ap+1"
    assert float(sine_of_turns(1 / 12)).hex() == "0x1.fffffffffffffp-2"
    assert float(quantile(0.975)).hex() == "0x1.f5c0331eeff82p+0"
    assert float(quantile(1e-10)).hex() == "-0x1.97203597a2154p+2"
