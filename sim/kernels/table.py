"""Times of one op, from its prior and what was measured of it."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from .ops import COMPUTED_IN, OPS, Columns, FloatArray, Op, Tags
from .prior import UNMEASURED, Prior
from .residuals import Evidence, EvidenceArray, Residuals


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What the data sheet promises."""

    flops: dict[str, float]
    """Dense operations per second, by dtype."""
    memory_bandwidth: float
    """Bytes per second."""
    link_bandwidth: float
    """Bytes per second to other GPUs, one way."""

    def limits_us(self, op: Op, tags: Tags, columns: Columns) -> tuple[FloatArray, FloatArray]:
        """Microseconds that computing and moving take at the peaks."""
        work = op.work(columns, tags)
        dtype = tags.get("dtype", "bf16")
        name = COMPUTED_IN.get(dtype, dtype)
        flops = self.flops.get(name, self.flops["bf16"])
        rate = self.link_bandwidth if op.name == "collective" else self.memory_bandwidth
        return work.flops * (1e6 / flops), work.moved_bytes * (1e6 / rate)


@dataclass(frozen=True, kw_only=True)
class KernelTable:
    """All that is known of one op with one set of tags on one GPU."""

    op: Op
    tags: dict[str, str]
    peaks: Peaks
    prior: Prior
    residuals: Residuals | None
    """None: nothing was measured, the prior is all there is."""

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What tells it from others: its op and its tags, in their order."""
        return self.op.name, tuple((name, self.tags[name]) for name in self.op.tags)

    def us(self, columns: Columns) -> tuple[FloatArray, EvidenceArray]:
        """Microseconds of kernels, one per row of ``columns``, and what they are based on."""
        full = completed(self.op, columns)
        prior = self.prior.us(*self.peaks.limits_us(self.op, self.tags, full))
        if self.residuals is None:
            return prior, np.full(len(prior), Evidence.ANALYTICAL, dtype=np.int8)
        correction, evidence = np.zeros(len(prior)), np.zeros(len(prior), dtype=np.int8)
        for shape, rows in _rows_by_shape(self.op, full):
            inner = full[self.op.inner][rows]
            outer = full[self.op.outer][rows] if self.op.outer else np.ones(len(rows))
            correction[rows], evidence[rows] = self.residuals.at(shape, outer, inner)
        for name in self.op.extra:
            # Nothing was measured with it: the prior alone knows what it changes.
            beyond = (full[name] != 0) & (evidence < Evidence.EXTRAPOLATED)
            evidence[beyond] = Evidence.INTERPOLATED
        return prior * np.exp(correction), evidence


def make_table(
    op: Op, tags: Tags, peaks: Peaks, prior: Prior, columns: Columns, us: FloatArray
) -> KernelTable:
    """The table of measurements: microseconds ``us``, one per row of ``columns``."""
    full = completed(op, columns)
    known = prior.us(*peaks.limits_us(op, tags, full))
    residuals = Residuals(
        op.shapes(full),
        np.column_stack([full[name] for name in op.axes]),
        np.log(us / known),
    )
    return KernelTable(op=op, tags=dict(tags), peaks=peaks, prior=prior, residuals=residuals)


def unmeasured(name: str, tags: Tags, peaks: Peaks) -> KernelTable:
    """A table for an op that was not measured: the data sheet, and factors of bf16 GEMM."""
    return KernelTable(op=OPS[name], tags=dict(tags), peaks=peaks, prior=UNMEASURED, residuals=None)


def completed(op: Op, columns: Columns) -> dict[str, FloatArray]:
    """All columns of an op as numbers of one length; the extra ones are 0 unless given."""
    given = {name: np.atleast_1d(np.asarray(columns[name], dtype=float)) for name in op.columns}
    extra = {name: np.atleast_1d(np.asarray(columns.get(name, 0.0), float)) for name in op.extra}
    names = [*given, *extra]
    values = np.broadcast_arrays(*given.values(), *extra.values())
    return dict(zip(names, values, strict=True))


def _rows_by_shape(op: Op, columns: Columns) -> list[tuple[tuple[float, ...], list[int]]]:
    """Each shape that occurs, and the rows that have it."""
    places = op.shapes(columns)
    if (places == places[0]).all():
        return [(tuple(places[0].tolist()), list(range(len(places))))]
    shapes = list(map(tuple, places.tolist()))
    order = sorted(range(len(shapes)), key=shapes.__getitem__)
    return [(shape, list(rows)) for shape, rows in groupby(order, key=shapes.__getitem__)]
