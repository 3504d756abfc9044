"""Write the files of a profile, in such a way that the same measurements give the same bytes."""

import csv
import gzip
import hashlib
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

import yaml

from ..sim.kernels.profile import (
    TIME,
    FitShape,
    Measurements,
    MeasurementsShape,
    ProfileShape,
    TableShape,
)

LARGE_BYTES = 100_000
"""A file of more is compressed."""


def write_measurements(folder: Path, tables: Sequence[Measurements]) -> list[MeasurementsShape]:
    """Write ``measurements/OP.csv`` of each op, rows in ascending order; what to say of them."""
    (folder / "measurements").mkdir(parents=True, exist_ok=True)
    made: list[MeasurementsShape] = []
    for name in sorted({table.op.name for table in tables}):
        rows = [row for table in tables if table.op.name == name for row in _rows(table)]
        rows.sort(key=lambda row: (row[0], row[1]))
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        op = next(table.op for table in tables if table.op.name == name)
        writer.writerow([*op.tags, *op.columns, TIME])
        for tags, numbers, us in rows:
            writer.writerow([*tags, *(f"{number:.10g}" for number in numbers), f"{us:.4g}"])
        data = text.getvalue().encode()
        file = f"measurements/{name}.csv"
        if len(data) > LARGE_BYTES:
            file, data = f"{file}.gz", gzip.compress(data, mtime=0)
        (folder / file).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        made.append(MeasurementsShape(op=name, file=file, rows=len(rows), sha256=digest))
    return made


def _rows(table: Measurements) -> Iterable[tuple[tuple[str, ...], tuple[float, ...], float]]:
    tags = tuple(table.tags[name] for name in table.op.tags)
    numbers = zip(*(table.columns[name].tolist() for name in table.op.columns), strict=True)
    return ((tags, row, us) for row, us in zip(numbers, table.us.tolist(), strict=True))


def write_about(folder: Path, about: ProfileShape) -> None:
    """Write profile.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "profile.yaml", about.model_dump(by_alias=True, mode="json"))


def write_fit(folder: Path, tables: list[TableShape]) -> None:
    """Write fit.yaml."""
    _write(folder / "fit.yaml", FitShape(tables=tables).model_dump(mode="json"))


def _write(path: Path, data: object) -> None:
    path.write_text(
        yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100), encoding="utf-8"
    )
