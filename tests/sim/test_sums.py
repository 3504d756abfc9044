"""Sums of arrays against ``math.fsum``, bit by bit."""

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from jenga_sim.sim import sums

FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@given(st.lists(FINITE, max_size=50))
@example([1e300, 1.0, -1e300])
@example([5e-324, 5e-324, 1.5])
@example([0.1] * 10)
@example([-0.0])
def test_the_sum_is_that_of_fsum(values: list[float]) -> None:
    assert sums.fsum(np.array(values)) == math.fsum(values)


def test_many_values_are_added_slice_by_slice_without_an_error() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 3 * sums._SLICE + 7) * 10.0 ** rng.integers(-12, 12, 3 * 65536 + 7)

    assert sums.fsum(values) == math.fsum(values.tolist())


def test_a_slice_of_the_largest_mantissas_is_exact() -> None:
    values = np.full(sums._SLICE, np.nextafter(1.0, 0.0))

    assert sums.fsum(values) == math.fsum(values.tolist())
    assert sums.fsum(-values) == math.fsum((-values).tolist())
