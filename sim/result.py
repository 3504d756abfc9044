"""What a run returns: a summary, two tables, its configuration, and where it all came from."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .frames import Table, frame_of, write_csv

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Result:
    """Everything a run knows. ``summary`` and the columns of the tables are the same everywhere."""

    summary: dict[str, Any]
    request_table: Table = field(repr=False)
    step_table: Table = field(repr=False)
    config: dict[str, Any]
    provenance: dict[str, Any]

    @cached_property
    def requests(self) -> "pd.DataFrame":
        """One row per request of the trace, in trace order; times in ms, NaN where none came."""
        return frame_of(self.request_table)

    @cached_property
    def steps(self) -> "pd.DataFrame":
        """A bounded sample of the engine's steps: times, batch, queue, bytes by part and kind."""
        return frame_of(self.step_table)

    @property
    def complete(self) -> bool:
        """False if the run was interrupted."""
        return bool(self.summary["complete"])

    def save(self, folder: str | Path) -> Path:
        """Write all files into ``folder``: each appears whole or not at all.

        Only ``provenance.json`` holds wall-clock time; two equal runs write the same bytes in all
        others.
        """
        from . import plots

        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        writers: dict[str, Callable[[Path], None]] = {
            "summary.json": lambda path: _write_json(path, self.summary),
            "requests.csv": lambda path: write_csv(self.request_table, path),
            "steps.csv": lambda path: write_csv(self.step_table, path),
            "config.resolved.yaml": self._write_config,
            "memory.png": lambda path: plots.memory_over_time(self, path),
            "batch.png": lambda path: plots.batch_over_time(self, path),
            "provenance.json": lambda path: _write_json(path, self.provenance),
        }
        staging = Path(tempfile.mkdtemp(prefix=".jenga-sim-", dir=target))
        try:
            for name, write in writers.items():
                write(staging / name)
            for name in writers:
                os.replace(staging / name, target / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return target

    def _write_config(self, path: Path) -> None:
        import yaml

        path.write_text(yaml.safe_dump(self.config, sort_keys=False), encoding="utf-8")


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")
