"""A profile: what was measured on one GPU, as a folder.

``profile.yaml`` says on what, with what and by whom; ``measurements/OP.csv`` (``.csv.gz`` where
large) hold one kernel per row: its tags, its numbers, microseconds; ``fit.yaml`` has the prior of
each table and how far off predictions were where a measurement was held out. An op has a file of
its own because ops have different columns, and because a run reads only those that it needs.
"""

import csv
import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from io import StringIO
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from ...configs.errors import ConfigError
from ...configs.strict import Shape, ShapeT, StrictFile, suggest
from .ops import OPS, FloatArray, Op, Tags
from .prior import Prior
from .table import KernelTable, Peaks, make_table, unmeasured

SCHEMA = "jenga-sim/profile/1"
TIME = "us"
"""The last column of measurements."""


class PeaksShape(Shape):
    """``peaks`` of profile.yaml."""

    flops_tflops: dict[str, float]
    memory_bandwidth_gbs: float = Field(gt=0)
    link_gbs: float = Field(gt=0)


class OriginShape(Shape):
    """``origin`` of profile.yaml: who measured, and under what terms."""

    kind: Literal["measured", "imported"]
    source: str
    licence: str
    date: str


class MeasurementsShape(Shape):
    """An entry of ``measurements`` of profile.yaml."""

    op: str
    file: str
    rows: int = Field(ge=1)
    sha256: str


class ProfileShape(Shape):
    """profile.yaml."""

    schema_: Literal["jenga-sim/profile/1"] = Field(alias="schema")
    name: str
    device: str
    software: dict[str, str]
    origin: OriginShape
    peaks: PeaksShape
    measurements: list[MeasurementsShape]


class PriorShape(Shape):
    """``prior`` of an entry of fit.yaml."""

    start_us: float = Field(ge=0)
    compute_factor: float = Field(ge=0)
    memory_factor: float = Field(ge=0)
    sharpness: float = Field(ge=1)


class ErrorShape(Shape):
    """How far off predictions of held-out measurements were, in per cent."""

    count: int
    median_pct: float
    p95_pct: float
    signed_pct: float


class TableShape(Shape):
    """An entry of ``tables`` of fit.yaml."""

    op: str
    tags: dict[str, str]
    rows: int
    shapes: int
    prior: PriorShape
    points: ErrorShape | None = None
    """Of points of a measured shape."""
    unseen: ErrorShape | None = None
    """Of shapes of which nothing was known."""
    beyond: ErrorShape | None = None
    """Of points up to four times as far as the last that was known of their shape."""


class FitShape(Shape):
    """fit.yaml."""

    tables: list[TableShape]


@dataclass(frozen=True)
class Measurements:
    """Rows of one op that have the same tags."""

    op: Op
    tags: dict[str, str]
    columns: dict[str, FloatArray]
    us: FloatArray


@dataclass(frozen=True)
class Profile:
    """A profile that was opened; measurements are read when they are asked for."""

    folder: Traversable
    about: ProfileShape
    fits: dict[tuple[str, tuple[tuple[str, str], ...]], TableShape]
    _tables: dict[tuple[str, tuple[tuple[str, str], ...]], KernelTable] = field(
        default_factory=dict[tuple[str, tuple[tuple[str, str], ...]], KernelTable]
    )

    @cached_property
    def peaks(self) -> Peaks:
        """The data sheet."""
        peaks = self.about.peaks
        return Peaks(
            flops={name: value * 1e12 for name, value in peaks.flops_tflops.items()},
            memory_bandwidth=peaks.memory_bandwidth_gbs * 1e9,
            link_bandwidth=peaks.link_gbs * 1e9,
        )

    @cached_property
    def sha256(self) -> str:
        """Of profile.yaml, which has digests of the measurements, and of fit.yaml."""
        files = ("profile.yaml", "fit.yaml")
        found = [(self.folder / name) for name in files]
        data = b"".join(file.read_bytes() for file in found if file.is_file())
        return hashlib.sha256(data).hexdigest()

    def table(self, op: str, **tags: str) -> KernelTable:
        """Times of one op; what was not measured and fitted is answered from the data sheet.

        Raises:
            ConfigError: A file of the profile is not what profile.yaml says it is.
        """
        key = table_key(op, tags)
        if key not in self._tables:
            fit = self.fits.get(key)
            self._tables[key] = (
                unmeasured(op, tags, self.peaks) if fit is None else self._fitted(key, fit)
            )
        return self._tables[key]

    def _fitted(self, key: tuple[str, tuple[tuple[str, str], ...]], fit: TableShape) -> KernelTable:
        for found in self.measurements(fit.op):
            if table_key(found.op.name, found.tags) == key:
                prior = Prior(**fit.prior.model_dump())
                return make_table(found.op, found.tags, self.peaks, prior, found.columns, found.us)
        raise ConfigError(
            f"{self.folder}/fit.yaml: tables: {_named(*key)} has a fit and no measurements: run "
            "`jenga-sim calibrate fit` again"
        )

    def measurements(self, op: str) -> list[Measurements]:
        """All that was measured of an op, by tags in the order of the file."""
        for entry in self.about.measurements:
            if entry.op == op:
                return list(_measurements(self.folder, entry))
        return []


def profile_names() -> tuple[str, ...]:
    """The names of the profiles that the package ships, sorted."""
    return tuple(sorted(entry.name for entry in _shipped().iterdir() if entry.is_dir()))


def load_profile(name_or_folder: str | Path) -> Profile:
    """A shipped profile by name, or that of a folder (a ``Path``, or text with a ``/``).

    Raises:
        ConfigError: There is none, or one of its files has problems.
    """
    folder = _find(name_or_folder)
    about = _read(folder / "profile.yaml", ProfileShape)
    fit = _read(folder / "fit.yaml", FitShape) if (folder / "fit.yaml").is_file() else None
    tables = [] if fit is None else fit.tables
    return Profile(folder, about, {table_key(entry.op, entry.tags): entry for entry in tables})


def table_key(op: str, tags: Tags) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What tells tables apart."""
    return op, tuple((name, tags[name]) for name in OPS[op].tags)


def _named(op: str, tags: tuple[tuple[str, str], ...]) -> str:
    return " ".join([op, *(f"{name}={value}" for name, value in tags)])


def _shipped() -> Traversable:
    return resources.files("jenga_sim.configs") / "profiles"


def _find(name_or_folder: str | Path) -> Traversable:
    if isinstance(name_or_folder, Path) or "/" in name_or_folder:
        folder = Path(name_or_folder)
        if not (folder / "profile.yaml").is_file():
            raise ConfigError(f"profile {folder}: no profile.yaml in this folder")
        return folder
    names = profile_names()
    if name_or_folder not in names:
        raise ConfigError(
            f"no profile {name_or_folder!r}"
            f"{suggest(name_or_folder, names)}; or give a folder, ./mine"
        )
    return _shipped() / name_or_folder


def _read(source: Traversable, shape: type[ShapeT]) -> ShapeT:
    file = StrictFile(source)
    made = file.parse(shape, file.data)
    file.raise_problems()
    assert made is not None, "parse reports a problem whenever it returns None"
    return made


def _measurements(folder: Traversable, entry: MeasurementsShape) -> Iterator[Measurements]:
    """Rows of a file, apart by tags."""
    name = f"{folder}/{entry.file}"
    if entry.op not in OPS:
        raise ConfigError(
            f"{folder}/profile.yaml: measurements: unknown op {entry.op!r}{suggest(entry.op, OPS)}"
        )
    op = OPS[entry.op]
    data = (folder / entry.file).read_bytes()
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise ConfigError(f"{name}: not the file that profile.yaml describes (sha256 differs)")
    text = gzip.decompress(data) if entry.file.endswith(".gz") else data
    rows = csv.reader(StringIO(text.decode()))
    expected = [*op.tags, *op.columns, TIME]
    if (header := next(rows, [])) != expected:
        raise ConfigError(f"{name}:1: columns are {','.join(header)}, not {','.join(expected)}")
    by_tags: dict[tuple[str, ...], list[list[float]]] = {}
    count = len(op.tags)
    for line, row in enumerate(rows, start=2):
        try:
            numbers = [float(cell) for cell in row[count:]]
        except ValueError as error:
            raise ConfigError(f"{name}:{line}: {error}") from error
        if len(row) != len(expected) or min(numbers[:-1]) < 0 or not 0 < numbers[-1] < np.inf:
            raise ConfigError(f"{name}:{line}: {','.join(row)} is no kernel and its microseconds")
        by_tags.setdefault(tuple(row[:count]), []).append(numbers)
    for tags, found in by_tags.items():
        table = np.array(found)
        yield Measurements(
            op,
            dict(zip(op.tags, tags, strict=True)),
            {column: table[:, place] for place, column in enumerate(op.columns)},
            table[:, -1],
        )
