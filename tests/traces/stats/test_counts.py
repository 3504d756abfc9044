from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.traces.stats import Correlation, Distribution, ValueCounts, distribution
from jenga_sim.traces.stats.exact import exact_dot, exact_sum
from tests.sim.strategies import examples

LARGEST = 2**63 - 1
VALUES = st.one_of(st.integers(0, 40), st.integers(0, LARGEST), st.integers(0, 2**21))
COLUMNS = st.lists(VALUES, min_size=1, max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=4)


def chunks(column: list[int], cuts: list[int]) -> list[np.ndarray]:
    return np.split(np.array(column, dtype=np.int64), sorted(min(c, len(column)) for c in cuts))


def test_figures_of_five_values_by_hand() -> None:
    assert distribution(np.array([40, 10, 20, 50, 30])) == Distribution(
        count=5, mean=30.0, p10=14.0, p50=30.0, p90=46.0, p99=49.6, max=50.0
    )


def test_nothing_has_no_figures() -> None:
    counts = ValueCounts()
    counts.add(np.zeros(0, dtype=np.int64))

    assert counts.result() is None


@examples(200)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=60))
def test_percentiles_are_those_of_numpy(column: list[int]) -> None:
    found = distribution(np.array(column), per=1000)

    assert found is not None
    expected = np.percentile(np.array(column) / 1000, [10, 50, 90, 99])
    assert [found.p10, found.p50, found.p90, found.p99] == pytest.approx(expected.tolist())
    assert found.mean == sum(column) / (1000 * len(column))
    assert found.max == max(column) / 1000


@examples(200)
@given(COLUMNS, CUTS, st.sampled_from([1, 5, 1000]))
def test_chunks_give_what_the_whole_column_gives(
    column: list[int], cuts: list[int], most_distinct: int
) -> None:
    whole, parts = ValueCounts(most_distinct), ValueCounts(most_distinct)
    whole.add(np.array(column))
    for chunk in chunks(column, cuts):
        parts.add(chunk)
        parts.result()  # looking must not change anything

    assert parts.result() == whole.result()
    assert parts.rounded == whole.rounded == (len(set(column)) > most_distinct)


@examples(200)
@given(COLUMNS)
def test_rounded_percentiles_are_as_close_as_they_say(column: list[int]) -> None:
    counts = ValueCounts(most_distinct=0)
    counts.add(np.array(column))
    found, exact = counts.result(), distribution(np.array(column))

    assert found is not None
    assert exact is not None
    assert found.relative_error == 2**-11
    for name in ("p10", "p50", "p90", "p99"):
        bound = found.relative_error * getattr(exact, name) * (1 + 1e-9)
        assert abs(getattr(found, name) - getattr(exact, name)) <= bound
    assert (found.mean, found.max) == (exact.mean, exact.max)


def test_rounding_leaves_few_values_of_any_size() -> None:
    spread = np.unique(np.geomspace(1, 2**62, 400_000).astype(np.int64))
    counts = ValueCounts(most_distinct=1000)
    counts.add(spread)

    values, many = counts.table()
    assert len(values) < 60_000
    assert many.sum() == len(spread)


@examples(100)
@given(st.lists(st.tuples(VALUES, VALUES), max_size=30))
def test_sums_are_those_of_python_integers(pairs: list[tuple[int, int]]) -> None:
    left = np.array([a for a, _ in pairs], dtype=np.int64)
    right = np.array([b for _, b in pairs], dtype=np.int64)

    assert exact_sum(left) == sum(a for a, _ in pairs)
    if pairs:
        assert exact_dot(left, right) == sum(a * b for a, b in pairs)


def test_products_of_a_long_column_do_not_overflow() -> None:
    column = np.full(3_000_000, LARGEST)

    assert exact_dot(column, column) == 3_000_000 * LARGEST**2


@examples(50)
@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)), min_size=3), CUTS)
def test_correlation_is_that_of_numpy(pairs: list[tuple[int, int]], cuts: list[int]) -> None:
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    found = Correlation()
    for a, b in zip(chunks(left, cuts), chunks(right, cuts), strict=True):
        found.add(a, b)

    if len(set(left)) == 1 or len(set(right)) == 1:
        assert found.result() is None
    else:
        assert found.result() == pytest.approx(np.corrcoef(left, right)[0, 1])
