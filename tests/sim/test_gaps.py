"""Gaps between tokens: exact while they are few, and the same in arrays as in Python."""

import math
from collections import Counter
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.policies.compiled import compiled
from jenga_sim.sim.compiled.gaps import GapArrays, add_gap, make_gaps, pour_gaps
from jenga_sim.sim.compiled.state import IntArray
from jenga_sim.sim.gaps import Gaps
from jenga_sim.sim.metrics import gap_figures
from tests.sim.strategies import examples

VALUES = st.one_of(st.integers(0, 300), st.integers(0, 1 << 40), st.integers(0, (1 << 62) - 1))
COUNTS = st.one_of(st.integers(1, 50), st.integers(1, 1 << 20))
ADDED = st.lists(st.tuples(VALUES, COUNTS), min_size=1, max_size=40)
LIMITS = st.integers(1, 20)


def gaps_of(added: list[tuple[int, int]], limit: int) -> Gaps:
    gaps = Gaps(limit)
    for gap_ns, count in added:
        gaps.add(gap_ns, count)
    return gaps


@compiled
def add_all(gaps: GapArrays, added: IntArray) -> None:
    for row in range(len(added)):
        add_gap(gaps, added[row, 0], added[row, 1])


@examples(200)
@given(ADDED, LIMITS)
def test_number_sum_and_squares_are_exact(added: list[tuple[int, int]], limit: int) -> None:
    gaps = gaps_of(added, limit)
    assert gaps.num == sum(count for _, count in added)
    assert gaps.total_ns == sum(gap * count for gap, count in added)
    assert gaps.squares_ns2 == sum(gap * gap * count for gap, count in added)


@examples(200)
@given(ADDED, LIMITS)
def test_gaps_are_told_apart_as_well_as_the_limit_allows(
    added: list[tuple[int, int]], limit: int
) -> None:
    gaps = gaps_of(added, limit)
    values = {gap for gap, _ in added}
    unit = gaps.unit_ns
    assert len({value // unit for value in values}) == len(gaps.counts) <= limit
    assert unit == 1 or len({value // (unit // 2) for value in values}) > limit
    found, counts = gaps.sorted()
    assert found.tolist() == [
        units * unit + unit // 2 for units in sorted({value // unit for value in values})
    ]
    expected = Counter[int]()
    for gap, count in added:
        expected[gap // unit] += count
    assert counts.tolist() == [expected[units] for units in sorted(expected)]


@examples(200)
@given(ADDED, LIMITS, st.randoms(use_true_random=False))
def test_the_order_of_gaps_does_not_matter(
    added: list[tuple[int, int]], limit: int, random: Random
) -> None:
    shuffled = list(added)
    random.shuffle(shuffled)
    assert gaps_of(shuffled, limit) == gaps_of(added, limit)


@examples(200)
@given(ADDED, LIMITS)
def test_gaps_in_arrays_are_those_in_python(added: list[tuple[int, int]], limit: int) -> None:
    arrays = make_gaps(limit)
    add_all(arrays, np.array(added, dtype=np.int64))
    assert pour_gaps(arrays) == gaps_of(added, limit)


def test_many_gaps_are_found_again_however_wide_the_table_grows() -> None:
    """Every one twice, a part of them before the table grows and after."""
    rng = np.random.default_rng(4)
    for values in (
        np.arange(30_000) * 4096 + 25_000_000,
        rng.integers(0, 1 << 36, 30_000),
        rng.integers(24_000_000, 24_060_000, 30_000),
    ):
        twice = np.concatenate([values, values[::-1]])
        added = np.column_stack([twice, np.tile([1, 2, 5], len(twice) // 3)])
        arrays = make_gaps()
        add_all(arrays, added)
        assert pour_gaps(arrays) == gaps_of(added.tolist(), make_gaps().values.shape[1] - 1)


def test_without_gaps_there_are_no_values() -> None:
    assert pour_gaps(make_gaps()) == Gaps()
    values, counts = Gaps().sorted()
    assert len(values) == len(counts) == 0
    assert set(gap_figures("itl", Gaps()).values()) == {None}


def test_mean_and_std_do_not_suffer_from_large_units() -> None:
    gaps = gaps_of([(3_000_000, 1), (4_000_000, 2), (9_000_000, 1)], limit=2)
    assert gaps.unit_ns > 1
    figures = gap_figures("itl", gaps)
    assert figures["mean_itl_ms"] == 5
    assert figures["std_itl_ms"] == math.sqrt(5.5)
    exact = gap_figures("itl", gaps_of([(3_000_000, 1), (4_000_000, 2), (9_000_000, 1)], limit=3))
    assert (figures["mean_itl_ms"], figures["std_itl_ms"]) == (
        exact["mean_itl_ms"],
        exact["std_itl_ms"],
    )
