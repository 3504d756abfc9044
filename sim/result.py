"""What a run returns: a summary, two tables, its configuration, and where it all came from."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ..policies.base import MemoryUsage
from ..traces import Trace
from .recorder import Recorder
from .requests import NEVER, Requests, Status
from .usage import PARTS, memory_usage


@dataclass(frozen=True)
class Result:
    """Everything a run knows. ``summary`` and the columns of the tables are the same everywhere."""

    summary: dict[str, Any]
    requests: pd.DataFrame
    """One row per request of the trace, in trace order."""
    steps: pd.DataFrame
    """A bounded sample of the engine's steps: times, batch, queue, bytes by part and kind."""
    config: dict[str, Any]
    provenance: dict[str, Any]

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
            "requests.csv": lambda path: _write_csv(path, self.requests),
            "steps.csv": lambda path: _write_csv(path, self.steps),
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
        path.write_text(yaml.safe_dump(self.config, sort_keys=False), encoding="utf-8")


def requests_frame(requests: Requests, trace: Trace, rejected: dict[int, str]) -> pd.DataFrame:
    """One row per request; times in ms, NaN where a moment did not come."""
    columns = {
        name: pd.Series(column, dtype="int64")
        for name, column in (
            ("arrival", requests.arrival_ns),
            ("scheduled", requests.scheduled_ns),
            ("first", requests.first_token_ns),
            ("last", requests.last_token_ns),
            ("status", requests.status),
            ("output", requests.output),
            ("unread", requests.unread),
        )
    }
    done = columns["status"] == Status.FINISHED
    arrived = columns["arrival"] != NEVER

    def since_arrival(name: str, known: pd.Series) -> pd.Series:
        return ((columns[name] - columns["arrival"]) / 1e6).where(known)

    columns["output"] *= 1 - columns["unread"]
    ttft = since_arrival("first", (columns["first"] != NEVER) & (columns["unread"] == 0))
    e2e = since_arrival("last", done)
    several = done & (columns["output"] > 1)
    decoding = (columns["last"] - columns["first"]) / 1e6
    return pd.DataFrame(
        {
            "request_id": list(trace.request_ids),
            **_sessions(trace),
            "status": [Status(value).name.lower() for value in requests.status],
            "rejected_by": [rejected.get(slot, "") for slot in range(len(requests))],
            # In two parts: Unix time in ns has more digits than a float.
            "arrival_ms": (columns["arrival"] // 10**6 + columns["arrival"] % 10**6 / 1e6).where(
                arrived
            ),
            "input_tokens": pd.Series(requests.prompt, dtype="int64"),
            "output_tokens": columns["output"],
            "hit_tokens": pd.Series(requests.hit, dtype="int64").clip(lower=0),
            "queue_ms": since_arrival("scheduled", columns["scheduled"] != NEVER),
            "ttft_ms": ttft,
            "tpot_ms": (decoding / (columns["output"] - 1).clip(lower=1)).where(several),
            "e2el_ms": e2e,
            "preemptions": pd.Series(requests.preemptions, dtype="int64"),
            "recomputed_tokens": pd.Series(requests.recomputed, dtype="int64"),
        }
    )


def _sessions(trace: Trace) -> dict[str, list[str | None]]:
    """The session of each request, where the trace names any."""
    if trace.session is None:
        return {}
    return {"session_id": [trace.session.word(index) for index in range(len(trace))]}


def steps_frame(recorder: Recorder) -> pd.DataFrame:
    """One row per sampled step; bytes by part in total, then by ``part:kind``."""
    rows: list[dict[str, Any]] = []
    for step, record in recorder.samples:
        usage: MemoryUsage = memory_usage(recorder.pool_bytes, record.parts, record.slack)
        row: dict[str, Any] = {
            "step": step,
            "start_ms": record.start_ns / 10**6,
            "duration_ms": record.duration_ns / 1e6,
            "running": record.running,
            "waiting": record.waiting,
            "served": record.served,
            "tokens": record.tokens,
            "prefill_tokens": record.prefill_tokens,
        }
        row |= {part: getattr(usage, part) for part in (*PARTS, "reserved", "free")}
        for part, values in zip(PARTS, record.parts, strict=True):
            row |= {f"{part}:{k}": v for k, v in zip(recorder.labels, values, strict=True)}
        rows.append(row)
    return pd.DataFrame(rows)


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(path, index=False, lineterminator="\n")
