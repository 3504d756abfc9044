"""The prior of each table of a profile, fitted; and how far off it is where something is held out.

A prior has four constants per table. They are fitted to logarithms, so that a kernel of a
microsecond counts as much as one of a second, with a loss that outliers do not rule. What the prior
leaves over is kept point by point and is no part of the fit.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from ..sim.kernels.ops import Columns, FloatArray, Op, Tags
from ..sim.kernels.prior import Prior
from ..sim.kernels.profile import ErrorShape, Measurements, PriorShape, Profile, TableShape
from ..sim.kernels.table import Peaks, make_table

Rows = npt.NDArray[np.bool_]

MOST_ROWS = 20_000
"""Of a table that its prior is fitted to, drawn at random: four constants need no more."""
OUTLIER = 0.1
"""Relative error beyond which a row counts less."""
LOWEST, HIGHEST = (1e-3, 0.2, 0.2, 1.0), (1e4, 50.0, 50.0, 16.0)
"""Bounds of the constants, in the order of Prior."""
SHARPNESSES = (1.5, 4.0)
"""Where the fit starts; the better end counts."""
FEWEST_ROWS, FEWEST_SHAPES = 40, 10
"""With fewer, nothing can be held out."""
SMALLEST_GEMM = 512
"""``n`` and ``k`` below which a GEMM is no projection of a model: not asked for when shapes are
held out (launch times, as the smallest decide)."""


def fit_profile(profile: Profile, tell: Callable[[str], None] = lambda _: None) -> list[TableShape]:
    """The tables of fit.yaml; ``tell`` hears of each before it is made."""
    made: list[TableShape] = []
    for entry in profile.about.measurements:
        for found in profile.measurements(entry.op):
            tell(" ".join([entry.op, *found.tags.values()]))
            made.append(fit_table(found, profile.peaks))
    return made


def fit_table(found: Measurements, peaks: Peaks) -> TableShape:
    """The prior of one table, and its errors."""
    op, tags, columns, us = found.op, found.tags, found.columns, found.us
    prior = fit_prior(op, tags, peaks, columns, us)
    shapes = shape_numbers(op, columns)
    return TableShape(
        op=op.name,
        tags=tags,
        rows=len(us),
        shapes=int(shapes.max()) + 1,
        prior=PriorShape(**{name: _digits(value) for name, value in vars(prior).items()}),
        points=held_out(found, peaks, _points(len(us))),
        unseen=held_out(found, peaks, *_unseen(op, columns, shapes)),
        beyond=held_out(found, peaks, _beyond(op, columns, shapes)),
    )


def fit_prior(op: Op, tags: Tags, peaks: Peaks, columns: Columns, us: FloatArray) -> Prior:
    """The constants that come closest to ``us``; the same for the same rows."""
    if len(us) > MOST_ROWS:
        chosen = np.random.default_rng(0).choice(len(us), MOST_ROWS, replace=False)
        columns, us = _at(columns, chosen), us[chosen]
    extra = {name: np.zeros(len(us)) for name in op.extra}
    limits = peaks.limits_us(op, tags, {**columns, **extra})

    def off(logarithms: FloatArray) -> FloatArray:
        return np.log(_prior(logarithms).us(*limits) / us)

    best, least = np.zeros(4), np.inf
    bounds = np.log(LOWEST), np.log(HIGHEST)
    for sharpness in SHARPNESSES:
        start = np.clip(np.log([0.8 * us.min(), 1.3, 1.2, sharpness]), *bounds)
        found = least_squares(off, start, bounds=bounds, loss="soft_l1", f_scale=OUTLIER)
        if found.cost < least:
            best, least = found.x, found.cost
    return _prior(best)


def _prior(logarithms: FloatArray) -> Prior:
    start, compute, memory, sharpness = np.exp(logarithms).tolist()
    return Prior(start_us=start, compute_factor=compute, memory_factor=memory, sharpness=sharpness)


def held_out(
    found: Measurements, peaks: Peaks, held: Rows | None, asked: Rows | None = None
) -> ErrorShape | None:
    """Errors of predictions of the rows ``held`` (those ``asked`` of them) from all others."""
    if held is None or not held.any() or held.all():
        return None
    known, asked = ~held, held if asked is None else held & asked
    if not asked.any():
        return None
    rows, us = _at(found.columns, known), found.us[known]
    prior = fit_prior(found.op, found.tags, peaks, rows, us)
    table = make_table(found.op, found.tags, peaks, prior, rows, us)
    predicted, _ = table.us(_at(found.columns, asked))
    off = 100 * (predicted / found.us[asked] - 1)
    return ErrorShape(
        count=int(asked.sum()),
        median_pct=_digits(float(np.median(np.abs(off)))),
        p95_pct=_digits(float(np.percentile(np.abs(off), 95))),
        signed_pct=_digits(float(np.median(off))),
    )


def _points(rows: int) -> Rows | None:
    """Every seventh row, at random: what a denser grid would have had."""
    if rows < FEWEST_ROWS:
        return None
    return np.random.default_rng(1).random(rows) < 0.15


def _unseen(
    op: Op, columns: Columns, shapes: npt.NDArray[np.int64]
) -> tuple[Rows | None, Rows | None]:
    """Two fifths of the shapes, whole; of a GEMM those are asked for that models have."""
    count = int(shapes.max()) + 1
    if count < FEWEST_SHAPES:
        return None, None
    held = np.random.default_rng(0).permutation(count) < 2 * count // 5
    asked = None
    if op.name == "gemm":
        asked = (columns["n"] >= SMALLEST_GEMM) & (columns["k"] >= SMALLEST_GEMM)
    return held[shapes], asked


def _beyond(op: Op, columns: Columns, shapes: npt.NDArray[np.int64]) -> Rows | None:
    """Rows beyond a quarter of the longest of their shape, on the last axis."""
    axis = columns[op.inner]
    longest = np.zeros(int(shapes.max()) + 1)
    np.maximum.at(longest, shapes, axis)
    return axis > longest[shapes] / 4 if len(axis) >= FEWEST_ROWS else None


def shape_numbers(op: Op, columns: Columns) -> npt.NDArray[np.int64]:
    """The number of each row's shape, from 0 in ascending order."""
    return np.unique(op.shapes(columns), axis=0, return_inverse=True)[1].ravel()


def _at(columns: Columns, rows: Rows | npt.NDArray[np.int64]) -> dict[str, FloatArray]:
    return {name: values[rows] for name, values in columns.items()}


def _digits(value: float) -> float:
    """Five digits: the last ones of a fit are those of a library's version."""
    return float(f"{value:.5g}")
