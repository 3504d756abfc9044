"""Random numbers: their distributions, and that nothing but seed and name decides them."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.traces.generate.draw import Draw, Stream, zipf_weights
from tests.traces.generate.claims import assert_mean, assert_quantile, assert_share

COUNT = 200_000

DISTRIBUTIONS: dict[str, Callable[[Stream, int], np.ndarray]] = {
    "raw": lambda stream, count: stream.raw(count),
    "uniform": lambda stream, count: stream.uniform(count),
    "between": lambda stream, count: stream.between(count),
    "exponential": lambda stream, count: stream.exponential(count),
    "normal": lambda stream, count: stream.normal(count),
    "gamma below 1": lambda stream, count: stream.gamma(0.1, count),
    "gamma above 1": lambda stream, count: stream.gamma(2.5, count),
    "weibull": lambda stream, count: stream.weibull(0.7, count),
    "geometric": lambda stream, count: stream.geometric(1.6, count),
    "geometric of mean 1": lambda stream, count: stream.geometric(1.0, count),
    "lognormal": lambda stream, count: stream.lognormal(10.0, 1.5, count),
    "choice": lambda stream, count: stream.choice(zipf_weights(9, 1.1), count),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5))
def test_numbers_do_not_depend_on_how_they_are_cut_into_chunks(name: str, sizes: list[int]) -> None:
    draw = DISTRIBUTIONS[name]
    whole, stream = Draw(7).stream("s"), Draw(7).stream("s")

    parts = [draw(stream, size) for size in sizes]

    assert np.concatenate(parts).tolist() == draw(whole, sum(sizes)).tolist()


def test_a_name_and_a_seed_decide_a_stream_and_nothing_else_does() -> None:
    draw = Draw(1)
    first = draw.stream("a").raw(4).tolist()

    assert draw.stream("a").raw(4).tolist() == first
    assert draw.stream("b").raw(4).tolist() != first
    assert Draw(2).stream("a").raw(4).tolist() != first
    assert draw.child("x").stream("a").raw(4).tolist() != first
    assert draw.child("x").stream("a").raw(4).tolist() == Draw(1, "x/").stream("a").raw(4).tolist()


def test_streams_are_the_same_everywhere() -> None:
    stream = Draw(0).stream("arrivals")

    assert [hex(number) for number in stream.raw(2).tolist()] == [
        "0x27188a37e2b6357c",
        "0xeec86c9df58357ce",
    ]


def test_uniform_numbers_stay_within_their_bounds() -> None:
    class Extremes(Stream):
        def raw(self, count: int) -> np.ndarray:
            return np.array([0, 2**64 - 1], dtype=np.uint64)[:count]

    extremes = Extremes(bytes(32))

    assert extremes.uniform(2).tolist() == [0.0, 1.0 - 2.0**-53]
    assert extremes.between(2).tolist() == [2.0**-53, 1.0 - 2.0**-53]


def test_uniform_normal_and_exponential_numbers_have_their_quantiles() -> None:
    uniform = Draw(3).stream("u").uniform(COUNT)
    normal = Draw(3).stream("n").normal(COUNT)
    exponential = Draw(3).stream("e").exponential(COUNT)

    for at in (0.001, 0.1, 0.5, 0.9, 0.999):
        assert_quantile(uniform, at, at)
        assert_quantile(normal, at, NormalDist().inv_cdf(at))
        assert_quantile(exponential, at, -math.log(1 - at))


@pytest.mark.parametrize("shape", [0.006, 0.2, 1.0, 3.7, 50.0])
def test_gamma_numbers_have_mean_and_variance_of_their_shape(shape: float) -> None:
    gamma = Draw(5).stream(f"gamma {shape}").gamma(shape, COUNT)

    assert_mean(gamma, shape)
    assert_mean((gamma - shape) ** 2, shape)


def test_gamma_of_shape_1_is_exponential() -> None:
    gamma = Draw(5).stream("g").gamma(1.0, COUNT)

    for at in (0.01, 0.5, 0.99):
        assert_quantile(gamma, at, -math.log(1 - at))


def test_gamma_of_shape_a_half_is_half_a_squared_normal() -> None:
    gamma = Draw(5).stream("g").gamma(0.5, COUNT)

    for at in (0.01, 0.5, 0.99):
        assert_quantile(gamma, at, NormalDist().inv_cdf((1 + at) / 2) ** 2 / 2)


def test_weibull_numbers_have_their_quantiles() -> None:
    weibull = Draw(5).stream("w").weibull(0.5, COUNT)

    for at in (0.01, 0.5, 0.99):
        assert_quantile(weibull, at, math.log(1 - at) ** 2)


@pytest.mark.parametrize("mean", [1.0, 1.6, 20.0])
def test_geometric_numbers_start_at_1_and_have_no_memory(mean: float) -> None:
    numbers = Draw(5).stream(f"geometric {mean}").geometric(mean, COUNT)

    assert numbers.min() == 1
    assert_mean(numbers, mean)
    assert_share(numbers > 1, 1 - 1 / mean)
    assert_share(numbers > 2, (1 - 1 / mean) ** 2)


def test_choice_follows_the_weights() -> None:
    chosen = Draw(5).stream("c").choice(np.array([1.0, 0.0, 3.0]), COUNT)

    assert_share(chosen == 0, 0.25)
    assert not np.any(chosen == 1)
    assert_share(chosen == 2, 0.75)


def test_zipf_weights_are_powers_of_the_rank() -> None:
    assert zipf_weights(4, 1.0) == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4], rel=1e-15)
    assert zipf_weights(3, 0.0).tolist() == [1.0, 1.0, 1.0]


def test_order_holds_every_position_once() -> None:
    orders = np.array([Draw(seed).stream("o").order(5) for seed in range(2_000)])

    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(5), (2_000, 1)))
    assert_share(orders[:, 0] == 3, 1 / 5)
