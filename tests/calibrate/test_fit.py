"""Fits: constants that are known come back, errors are those of what was held out."""

from itertools import product

import numpy as np
import pytest

from jenga_sim.calibrate.fit import fit_prior, fit_table, held_out
from jenga_sim.sim.kernels.ops import OPS, FloatArray
from jenga_sim.sim.kernels.prior import Prior
from jenga_sim.sim.kernels.profile import Measurements
from jenga_sim.sim.kernels.table import Peaks

PEAKS = Peaks(flops={"bf16": 1e15}, memory_bandwidth=4e12, link_bandwidth=5e11)
TRUTH = Prior(start_us=3.0, compute_factor=1.4, memory_factor=1.15, sharpness=2.5)
TAGS = {"dtype": "bf16"}
SIZES = (512.0, 1024.0, 2048.0, 4096.0, 8192.0)


def measured(noise: float = 0.0, wave: float = 0.0) -> Measurements:
    """GEMMs that take what TRUTH says, but for noise and a wave along each axis."""
    points = np.array(list(product(SIZES, SIZES, 2.0 ** np.arange(14))))
    columns: dict[str, FloatArray] = dict(zip(("n", "k", "m"), points.T, strict=True))
    us = TRUTH.us(*PEAKS.limits_us(OPS["gemm"], TAGS, columns))
    rng = np.random.default_rng(3)
    off = wave * np.sin(np.log2(points)).sum(axis=1) + noise * rng.standard_normal(len(us))
    return Measurements(OPS["gemm"], TAGS, columns, us * np.exp(off))


def constants(prior: Prior) -> FloatArray:
    return np.array(list(vars(prior).values()))


@pytest.mark.parametrize(("noise", "off"), [(0.0, 1e-3), (0.02, 0.05)])
def test_the_constants_come_back(noise: float, off: float) -> None:
    found = measured(noise)
    prior = fit_prior(found.op, TAGS, PEAKS, found.columns, found.us)
    np.testing.assert_allclose(constants(prior), constants(TRUTH), rtol=off)


def test_one_wild_measurement_in_twenty_moves_them_little() -> None:
    found = measured(0.01)
    wild = np.random.default_rng(5).random(len(found.us)) < 0.05
    us = np.where(wild, found.us * 5, found.us)
    prior = fit_prior(found.op, TAGS, PEAKS, found.columns, us)
    np.testing.assert_allclose(constants(prior), constants(TRUTH), rtol=0.1)


def test_errors_are_those_of_the_rows_that_were_held_out() -> None:
    """All below a size are known exactly; what is held out is ten per cent dearer."""
    found = measured()
    held = found.columns["m"] > 1000
    us = np.where(held, 1.1 * found.us, found.us)
    dearer = Measurements(found.op, found.tags, found.columns, us)
    error = held_out(dearer, PEAKS, held)
    assert error is not None
    assert error.count == held.sum()
    assert error.median_pct == pytest.approx(100 * (1 - 1 / 1.1), rel=0.01)
    assert error.signed_pct == pytest.approx(-error.median_pct)


@pytest.mark.parametrize(("wave", "most"), [(0.0, 0.01), (0.1, 10.0)])
def test_a_wave_through_all_shapes_is_known_from_the_nearest(wave: float, most: float) -> None:
    """The wave alone has a median of 9 %, with a factor of 1.3 at its height."""
    table = fit_table(measured(wave=wave), PEAKS)
    assert (table.rows, table.shapes) == (350, 25)
    for error in (table.points, table.unseen, table.beyond):
        assert error is not None
        assert error.median_pct < most


def test_of_few_measurements_nothing_is_held_out() -> None:
    columns = {"m": np.arange(1.0, 9), "n": np.full(8, 512.0), "k": np.full(8, 512.0)}
    us = TRUTH.us(*PEAKS.limits_us(OPS["gemm"], TAGS, columns))
    table = fit_table(Measurements(OPS["gemm"], TAGS, columns, us), PEAKS)
    assert (table.points, table.unseen, table.beyond) == (None, None, None)


def test_the_same_measurements_give_the_same_fit() -> None:
    assert fit_table(measured(0.05), PEAKS) == fit_table(measured(0.05), PEAKS)
