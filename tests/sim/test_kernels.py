"""Kernel times: work by hand, priors in their limits, corrections that are exact where measured."""

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.sim.kernels.ops import OPS, FloatArray, causal_pairs
from jenga_sim.sim.kernels.prior import UNMEASURED, Prior
from jenga_sim.sim.kernels.residuals import Evidence
from jenga_sim.sim.kernels.table import KernelTable, Peaks, completed, make_table, unmeasured
from tests.sim.strategies import examples

PEAKS = Peaks(flops={"bf16": 1e15, "fp8": 2e15}, memory_bandwidth=4e12, link_bandwidth=5e11)
PRIOR = Prior(start_us=2.0, compute_factor=1.2, memory_factor=1.1, sharpness=2.0)
GEMM = {"dtype": "bf16"}


def work(op: str, tags: dict[str, str], **columns: float) -> tuple[float, float]:
    full = completed(OPS[op], {name: np.array([value]) for name, value in columns.items()})
    flops, moved = OPS[op].work(full, tags)
    return float(flops[0]), float(moved[0])


# --- work -----------------------------------------------------------------------------------------


def test_a_gemm_multiplies_all_and_moves_three_matrices() -> None:
    assert work("gemm", GEMM, m=2, n=3, k=5) == (60, 2 * (15 + 10 + 6))
    assert work("gemm", {"dtype": "fp8"}, m=2, n=3, k=5) == (60, 15 + 10 + 2 * 6)


def test_decode_attention_reads_what_is_cached_within_its_window() -> None:
    shape = {"heads": 8, "kv_heads": 2, "head_dim": 64, "batch": 3}
    flops, moved = work("attention_decode", {"kv_dtype": "bf16"}, **shape, kv_len=1000, window=0)
    assert flops == 3 * 1000 * 4 * 8 * 64
    assert moved == 3 * 1000 * 2 * 2 * 64 * 2 + 3 * 2 * 8 * 64 * 2
    windowed = work("attention_decode", {"kv_dtype": "bf16"}, **shape, kv_len=1000, window=100)
    assert windowed == work("attention_decode", {"kv_dtype": "bf16"}, **shape, kv_len=100, window=0)


@given(st.integers(0, 60), st.integers(1, 40), st.integers(0, 50))
def test_pairs_of_a_chunk_are_those_that_a_mask_has(prefix: int, new: int, window: int) -> None:
    query = np.arange(prefix, prefix + new)[:, None]
    key = np.arange(prefix + new)
    mask = (key <= query) & ((query - key < window) if window else True)
    reach = np.array([window or np.inf])
    ends = causal_pairs(np.array([prefix + new]), reach) - causal_pairs(np.array([prefix]), reach)
    assert ends[0] == mask.sum()


def test_few_tokens_reach_few_experts() -> None:
    shape = {"hidden": 16, "inner": 8, "top_k": 2, "experts": 4, "tp": 1, "ep": 1}
    tags = {"dtype": "bf16", "routing": "balanced"}
    one, all_of_them = work("moe", tags, **shape, tokens=1), work("moe", tags, **shape, tokens=1e6)
    expert = 3 * 16 * 8 * 2
    assert one[0] == 6 * 2 * 16 * 8
    assert expert <= one[1] - 4 * 2 * 16 < 2 * expert
    assert all_of_them[1] - 4 * 2e6 * 16 == pytest.approx(4 * expert)


def test_an_all_reduce_sends_twice_what_others_send() -> None:
    for world in (2, 8):
        reduce = work("collective", {"collective": "all_reduce"}, world=world, bytes=800)
        gather = work("collective", {"collective": "all_gather"}, world=world, bytes=800)
        assert reduce[1] == 2 * gather[1] == 2 * 800 * (world - 1) / world


# --- priors ---------------------------------------------------------------------------------------


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1, 16))
def test_a_prior_lies_between_the_larger_time_and_the_sum(
    compute: float, memory: float, sharpness: float
) -> None:
    prior = Prior(start_us=1.0, compute_factor=2.0, memory_factor=3.0, sharpness=sharpness)
    us = float(prior.us(np.array([compute]), np.array([memory]))[0])
    larger, both = max(2 * compute, 3 * memory), 2 * compute + 3 * memory
    assert 1 + larger * (1 - 1e-12) <= us <= 1 + both * (1 + 1e-12)


# --- tables ---------------------------------------------------------------------------------------

LENGTHS = (1.0, 16.0, 64.0, 1024.0)
BATCHES = (1.0, 4.0, 32.0)
SHAPES = ((32.0, 8.0, 128.0, 0.0), (32.0, 8.0, 128.0, 512.0), (64.0, 8.0, 128.0, 0.0))
KV = {"kv_dtype": "bf16"}
NAMES = OPS["attention_decode"].columns


def decode_table() -> tuple[KernelTable, dict[str, FloatArray], FloatArray]:
    """Three shapes on a grid whose largest batch stops early, as tables do where memory ends."""
    points = [
        (*shape, batch, length)
        for shape, batch, length in product(SHAPES, BATCHES, LENGTHS)
        if not (batch == 32 and length > 64)
    ]
    columns = dict(zip(NAMES, np.array(points).T, strict=True))
    limits = PEAKS.limits_us(OPS["attention_decode"], KV, columns)
    bumps = np.random.default_rng(0).uniform(-0.5, 0.5, len(points))
    us = PRIOR.us(*limits) * np.exp(bumps)
    return make_table(OPS["attention_decode"], KV, PEAKS, PRIOR, columns, us), columns, us


TABLE, COLUMNS, US = decode_table()


def at(*points: tuple[float, ...]) -> tuple[FloatArray, npt.NDArray[np.int8]]:
    return TABLE.us(dict(zip(NAMES, np.array(points, dtype=float).T, strict=True)))


def test_what_was_measured_comes_back_as_it_was() -> None:
    us, evidence = TABLE.us(COLUMNS)
    np.testing.assert_allclose(us, US, rtol=1e-12)
    assert set(evidence.tolist()) == {Evidence.MEASURED}


@pytest.mark.parametrize(
    ("point", "evidence"),
    [
        ((*SHAPES[0], 4, 64), Evidence.MEASURED),
        ((*SHAPES[0], 4, 100), Evidence.INTERPOLATED),
        ((*SHAPES[0], 5, 64), Evidence.INTERPOLATED),
        ((*SHAPES[0], 4, 5000), Evidence.EXTRAPOLATED),
        ((*SHAPES[0], 32, 1024), Evidence.EXTRAPOLATED),
        ((*SHAPES[0], 64, 64), Evidence.EXTRAPOLATED),
        ((48, 8, 128, 0, 4, 64), Evidence.INTERPOLATED),
        ((48, 8, 128, 0, 4, 5000), Evidence.EXTRAPOLATED),
        ((2, 1, 32, 0, 4, 64), Evidence.EXTRAPOLATED),
    ],
)
def test_a_number_says_what_it_is_based_on(point: tuple[float, ...], evidence: Evidence) -> None:
    assert at(point)[1].tolist() == [evidence]


def prior_at(*points: tuple[float, ...]) -> FloatArray:
    columns = dict(zip(NAMES, np.array(points, dtype=float).T, strict=True))
    return PRIOR.us(*PEAKS.limits_us(OPS["attention_decode"], KV, columns))


def test_outside_the_grid_the_prior_goes_on_with_the_last_correction() -> None:
    points = (*SHAPES[0], 4, 1024), (*SHAPES[0], 4, 1 << 20)
    inside, outside = at(*points)[0] / prior_at(*points)
    assert outside == pytest.approx(inside)


def test_between_two_lengths_the_correction_is_blended_on_a_logarithmic_axis() -> None:
    """16 and 64 tokens with 32 in the middle."""
    points = [(*SHAPES[0], 4, length) for length in (16, 32, 64)]
    low, middle, high = np.log(at(*points)[0] / prior_at(*points))
    assert middle == pytest.approx((low + high) / 2)


POINTS = st.tuples(
    st.sampled_from((*SHAPES, (48.0, 8.0, 128.0, 0.0))),
    st.floats(0.5, 300),
    st.floats(0.5, 1e5),
)


@examples(200)
@given(st.lists(POINTS, min_size=1, max_size=12))
def test_many_at_once_are_the_same_as_one_by_one(
    points: list[tuple[tuple[float, ...], float, float]],
) -> None:
    flat = [(*shape, batch, length) for shape, batch, length in points]
    together, evidence = at(*flat)
    for index, point in enumerate(flat):
        us, known = at(point)
        assert us[0] == together[index]
        assert known[0] == evidence[index]


@examples(200)
@given(st.sampled_from(SHAPES), st.floats(0.5, 300), st.floats(0.5, 1e5), st.floats(1, 8))
def test_more_work_takes_no_less_than_the_noise_of_the_table(
    shape: tuple[float, ...], batch: float, length: float, more: float
) -> None:
    """Corrections differ by a factor of e at most, here."""
    us, _ = at((*shape, batch, length), (*shape, batch * more, length * more))
    assert us[1] >= us[0] / np.e * (1 - 1e-9)


def test_a_point_that_was_measured_three_times_counts_as_its_median() -> None:
    columns = {"m": np.ones(3), "n": np.full(3, 64.0), "k": np.full(3, 64.0)}
    us = np.array([5.0, 50.0, 6.0])
    table = make_table(OPS["gemm"], GEMM, PEAKS, PRIOR, columns, us)
    assert table.us({name: values[:1] for name, values in columns.items()})[0] == pytest.approx(6)


def test_a_shape_takes_after_those_beside_it_by_the_inverse_square_of_their_distance() -> None:
    """128 columns lie one octave from 64 and two from 512: four parts and one."""
    columns = {"m": np.ones(2), "n": np.array([64.0, 512.0]), "k": np.full(2, 64.0)}
    asked = {"m": np.ones(1), "n": np.array([128.0]), "k": np.array([64.0])}
    priors = PRIOR.us(*PEAKS.limits_us(OPS["gemm"], GEMM, columns))
    corrections = np.array([0.5, -0.25])
    table = make_table(OPS["gemm"], GEMM, PEAKS, PRIOR, columns, priors * np.exp(corrections))
    prior = PRIOR.us(*PEAKS.limits_us(OPS["gemm"], GEMM, asked))
    expected = 0.8 * corrections[0] + 0.2 * corrections[1]
    assert np.log(table.us(asked)[0] / prior) == pytest.approx(expected)


def test_what_was_never_measured_is_answered_from_the_data_sheet() -> None:
    table = unmeasured("gemm", {"dtype": "nvfp4"}, PEAKS)
    us, evidence = table.us(
        {"m": np.array([1.0, 4096]), "n": np.array([4096.0]), "k": np.array([4096.0])}
    )
    assert evidence.tolist() == [Evidence.ANALYTICAL] * 2
    # Of four-bit products the sheet says nothing: the peak of bf16 counts.
    assert us[1] > 2 * 4096**3 / 1e15 * 1e6 * UNMEASURED.compute_factor


def test_a_cached_prefix_makes_a_chunk_dearer() -> None:
    points = [(*shape, batch, length) for shape, batch, length in product(SHAPES, (1.0,), LENGTHS)]
    op = OPS["attention_prefill"]
    columns = dict(zip(op.columns, np.array(points).T, strict=True))
    us = np.full(len(points), 30.0)
    table = make_table(op, KV, PEAKS, PRIOR, columns, us)
    one = {name: values[3:4] for name, values in columns.items()}
    alone, known = table.us(one)
    behind, based = table.us({**one, "prefix": np.array([30_000.0])})
    assert behind[0] > 3 * alone[0]
    assert (known.tolist(), based.tolist()) == ([Evidence.MEASURED], [Evidence.INTERPOLATED])
