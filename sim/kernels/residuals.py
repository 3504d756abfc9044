"""Corrections of a prior, as logarithms: exact where measured, blended between, held outside.

A correction is a smooth, small number where times themselves span five decades, so that linear
interpolation between logarithms of lengths has no bias, and outside the prior goes on.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from .ops import FloatArray

EvidenceArray = npt.NDArray[np.int8]
NEAREST = 4
"""Shapes that stand in for one that was not measured."""
FAR_OCTAVES = 2.0
"""Distance of the nearest of them beyond which this is extrapolation."""


class Evidence(IntEnum):
    """Where a number comes from, from the best to the worst."""

    MEASURED = 0
    INTERPOLATED = 1
    EXTRAPOLATED = 2
    ANALYTICAL = 3


@dataclass(frozen=True)
class Surface:
    """Corrections of one shape: for each outer value a curve over the inner axis."""

    outer: FloatArray
    """Ascending, log2."""
    inner: tuple[FloatArray, ...]
    """Per outer value ascending, log2."""
    values: tuple[FloatArray, ...]

    def at(self, outer: FloatArray, inner: FloatArray) -> tuple[FloatArray, EvidenceArray]:
        """Corrections at points given in log2, and what they are based on."""
        below = np.clip(np.searchsorted(self.outer, outer, side="right") - 1, 0, None)
        above = np.minimum(below + (outer > self.outer[below]), len(self.outer) - 1)
        span = np.where(above > below, self.outer[above] - self.outer[below], 1.0)
        weight = np.clip((outer - self.outer[below]) / span, 0.0, 1.0)
        used = np.unique(np.concatenate([below, above]))
        curves = np.empty((len(self.outer), len(inner)))
        known = np.zeros(curves.shape, dtype=np.int8)
        for row in used:
            points = self.inner[row]
            curves[row] = np.interp(inner, points, self.values[row])
            known[row] = np.where(
                (inner < points[0]) | (inner > points[-1]),
                Evidence.EXTRAPOLATED,
                np.where(np.isin(inner, points), Evidence.MEASURED, Evidence.INTERPOLATED),
            )
        column = np.arange(len(inner))
        value = curves[below, column] * (1 - weight) + curves[above, column] * weight
        evidence = np.maximum(known[below, column], known[above, column])
        between = np.where(above > below, Evidence.INTERPOLATED, Evidence.MEASURED)
        outside = (outer < self.outer[0]) | (outer > self.outer[-1])
        evidence = np.maximum(evidence, np.where(outside, Evidence.EXTRAPOLATED, between))
        return value, evidence.astype(np.int8)


class Residuals:
    """Corrections of all measured shapes of one table."""

    def __init__(self, shapes: FloatArray, axes: FloatArray, values: FloatArray) -> None:
        """One row per measurement: ``shapes`` (rows, shape), ``axes`` (rows, 1 or 2), logarithms.

        Several measurements of one point count as their median.
        """
        if axes.shape[1] == 1:
            axes = np.hstack([np.ones_like(axes), axes])
        keys = np.hstack([shapes, axes])
        points, which = np.unique(keys, axis=0, return_inverse=True)
        medians = _medians(which.ravel(), values, len(points))
        width = shapes.shape[1]
        self.shapes, first = np.unique(points[:, :width], axis=0, return_index=True)
        """Ascending; shape (shapes, columns)."""
        self._places = np.log2(np.maximum(self.shapes, 0.5))
        ends = [*first[1:].tolist(), len(points)]
        self._surfaces = [
            _surface(points[start:end, width:], medians[start:end])
            for start, end in zip(first.tolist(), ends, strict=True)
        ]
        self._row_of = {tuple(shape): row for row, shape in enumerate(self.shapes.tolist())}

    def at(
        self, shape: tuple[float, ...], outer: FloatArray, inner: FloatArray
    ) -> tuple[FloatArray, EvidenceArray]:
        """Corrections of one shape at points of both axes."""
        points = np.log2(outer), np.log2(inner)
        row = self._row_of.get(shape)
        if row is not None:
            return self._surfaces[row].at(*points)
        distance = np.linalg.norm(self._places - np.log2(np.maximum(shape, 0.5)), axis=1)
        nearest = np.argsort(distance, kind="stable")[:NEAREST]
        weights = 1 / distance[nearest] ** 2
        total = np.zeros(len(inner))
        evidence = np.full(len(inner), Evidence.INTERPOLATED, dtype=np.int8)
        for place, weight in zip(nearest.tolist(), weights / weights.sum(), strict=True):
            value, known = self._surfaces[place].at(*points)
            total += weight * value
            evidence = np.maximum(evidence, known)
        if distance[nearest[0]] > FAR_OCTAVES:
            evidence[:] = Evidence.EXTRAPOLATED
        return total, evidence


def _medians(groups: npt.NDArray[np.int64], values: FloatArray, count: int) -> FloatArray:
    """The median of the values of each group."""
    order = np.lexsort((values, groups))
    sizes = np.bincount(groups, minlength=count)
    starts = np.cumsum(sizes) - sizes
    ordered = values[order]
    return (ordered[starts + (sizes - 1) // 2] + ordered[starts + sizes // 2]) / 2


def _surface(axes: FloatArray, values: FloatArray) -> Surface:
    """``axes`` ascending, outer axis first."""
    outer, first = np.unique(axes[:, 0], return_index=True)
    ends = [*first[1:].tolist(), len(axes)]
    parts = [slice(start, end) for start, end in zip(first.tolist(), ends, strict=True)]
    return Surface(
        np.log2(outer),
        tuple(np.log2(axes[part, 1]) for part in parts),
        tuple(values[part] for part in parts),
    )
