"""From a replica that ran to a Result: figures, tables, configuration and provenance."""

import hashlib
import json
import platform
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..policies.base import PageGroup
from .dependencies import Dependencies, sessions_of
from .engine import Replica
from .frames import RequestTable, StepTable
from .gaps import Gaps
from .measured import MeasuredLatency
from .metrics import FORMULAS, prefix_cache_figures, summarize
from .requests import Requests
from .result import Result
from .sessions import SESSION_FORMULAS, session_figures
from .setup import Setup


def make_result(setup: Setup, replica: Replica) -> Result:
    """Collect figures, tables, configuration and provenance."""
    config = _config(setup)
    figures = summarize(replica.requests, replica.recorder, setup.engine.tp)
    sessions = _sessions(setup, replica.requests, figures["duration"])
    summary: dict[str, Any] = {
        "schema": "jenga-sim/summary/1",
        "backend": "jenga-sim",
        "complete": not replica.truncated,
        "model_id": setup.model.name,
        "gpu": setup.gpu.name,
        "num_gpus": setup.engine.tp,
        "policy": setup.policy.name,
        "trace": setup.trace.name,
        "skipped_lines": setup.trace.meta.skipped_lines,
        "replay": asdict(setup.replay),
        **figures,
        **sessions,
        **prefix_cache_figures(replica.requests, replica.scheduler.tables),
        "rejected_by": dict(sorted(Counter(replica.rejected.values()).items())),
        "kv_pool": setup.pool.describe(),
        "page_groups": [_describe_group(group) for group in setup.groups],
        "latency_model": replica.latency.describe(),
        "warnings": [*setup.warnings, *_rounding(replica.recorder.gaps)],
        "formulas": FORMULAS | SESSION_FORMULAS if sessions else FORMULAS,
    }
    return Result(
        summary=summary,
        request_table=RequestTable(replica.requests.table, setup.trace, replica.rejected),
        step_table=StepTable(replica.recorder.samples, replica.recorder.labels),
        config=config,
        provenance=_provenance(setup, config, replica),
    )


def _rounding(gaps: Gaps) -> list[str]:
    """What percentiles of gaps do not tell."""
    if gaps.unit_ns == 1:
        return []
    return [
        f"more than {gaps.limit:,} different gaps between tokens: percentiles of ITL are known to "
        f"{gaps.unit_ns} ns"
    ]


def _sessions(setup: Setup, requests: Requests, seconds: float) -> dict[str, Any]:
    """Figures of sessions, where the replay knows any."""
    if setup.replay.mode == "open":
        return {}
    known = setup.dependencies
    session = sessions_of(Dependencies.none(len(requests)) if known is None else known)
    return {"sessions": session_figures(requests, session, seconds)}


def _describe_group(group: PageGroup) -> dict[str, Any]:
    return {
        "name": group.name,
        "kind": group.kind,
        "layers": sum(content.layers for content in group.contents),
        "block_size": group.block_size,
        "page_bytes": group.page_bytes,
        "padding_bytes": group.padding_bytes,
    }


def _config(setup: Setup) -> dict[str, Any]:
    policy = asdict(setup.policy)
    del policy["summary"]
    profile = setup.latency.profile if isinstance(setup.latency, MeasuredLatency) else None
    timed = {} if profile is None else {"name": profile.about.name, "sha256": profile.sha256}
    return {
        "trace": {"name": setup.trace.name, "sha256": setup.trace.meta.sha256},
        "model": setup.model.name,
        "gpu": setup.gpu.name,
        "policy": policy,
        "engine": asdict(setup.engine.config),
        "replay": asdict(setup.replay),
        **({"profile": timed} if timed else {}),
        "kv_pool": setup.pool.describe(),
    }


def _provenance(setup: Setup, config: dict[str, Any], replica: Replica) -> dict[str, Any]:
    latency = replica.latency.describe()
    return {
        "schema": "jenga-sim/provenance/1",
        "trace_sha256": setup.trace.meta.sha256,
        "config_sha256": _sha256(config),
        "profile": latency["model"],
        "profile_sha256": latency.get("profile_sha256") or _sha256(latency),
        "seed": None,
        "model_source": setup.model.source,
        "gpu_source": setup.gpu.source,
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in ("jenga-sim", "numpy", "pandas", "simpy")},
        },
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _sha256(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        from .._version import __version__

        return __version__
