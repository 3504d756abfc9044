"""Compare the replay of a step-driven case with a recording of the real engine.

A recording of vLLM's scheduler holds ``config`` and one entry per step (queues, scheduled tokens,
preemptions, free and cached blocks, blocks per group), or, for long cases, totals only. One of the
allocator of Jenga's artifact has other entries (prefills, decodes, hits, large and small pages).
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from ..configs.errors import ConfigError
from .cases import CaseSetup, only_jenga_reads, read_case
from .jenga_replay import JengaReplay
from .replay import CaseReplay, Log

Engine = Literal["vllm", "jenga"]
MISSING = "(missing)"
STEP_KEYS: dict[Engine, tuple[str, ...]] = {
    "vllm": ("scheduled", "running", "waiting", "preempted", "finished"),
    "jenga": ("prefill", "decode", "preempted", "free_large", "groups", "finished"),
}
"""What a step of a recording must say."""
SHORT = 16
"""Lists up to this length are shown whole."""


def replay(path: str | Path, engine: Engine | None = None) -> Log:
    """Replay the case file and return its log; raises ConfigError naming the file.

    ``engine`` None: Jenga's artifact if the case has a key that only that reads, else vLLM.
    """
    return replay_case(read_case(path), path, engine)


def replay_case(setup: CaseSetup, path: str | Path, engine: Engine | None = None) -> Log:
    """Replay a case that was read from ``path``."""
    special = only_jenga_reads(setup.case)
    if engine == "vllm" and special:
        raise ConfigError(f"{path}: {special}: only Jenga's artifact reads it (--engine jenga)")
    try:
        if engine == "jenga" or special:
            return JengaReplay(setup).run()
        return CaseReplay(setup).run()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


_TOTALS = (
    "total_steps",
    "total_scheduled_tokens",
    "preemptions",
    "finish_step",
    "first_admission_hit_tokens",
)


def read_golden(path: str | Path) -> Log:
    """Read a recording; raises ConfigError if it is none."""
    try:
        golden: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot read the recording: {error}") from error
    if not isinstance(golden, dict) or not (_has_steps(golden) or _has_totals(golden)):
        raise ConfigError(
            f"{path}: not a recording: an object with a list 'steps' is expected, each step an "
            f"object with {', '.join(STEP_KEYS['vllm'])} (vLLM) or "
            f"{', '.join(STEP_KEYS['jenga'])} (Jenga's artifact); or totals with a number of "
            "'steps' and a list 'finish_step'"
        )
    config: Any = golden.get("config", {})
    groups: Any = config.get("groups", []) if isinstance(config, dict) else None
    described = list(groups.values()) if isinstance(groups, dict) else groups
    if not isinstance(described, list) or not all(isinstance(group, dict) for group in described):
        raise ConfigError(f"{path}: config: an object with 'groups', all objects, is expected")
    return cast(Log, golden)


def engine_of(golden: Log) -> Engine:
    """The engine that made a recording."""
    return "jenga" if "large_page_elements" in golden.get("config", {}) else "vllm"


def _has_steps(golden: Log) -> bool:
    steps: Any = golden.get("steps")
    return isinstance(steps, list) and any(
        all(isinstance(step, dict) and all(key in step for key in keys) for step in steps)
        for keys in STEP_KEYS.values()
    )


def _has_totals(golden: Log) -> bool:
    steps: Any = golden.get("steps")
    counted = isinstance(steps, int) and not isinstance(steps, bool)
    return counted and isinstance(golden.get("finish_step"), list)


def differences(ours: Log, golden: Log) -> Iterator[str]:
    """Say where ``ours`` and the recording part, first step first; nothing if they agree.

    Fields that we do not know (version, checksum of the file, timings) are not compared.
    """
    if isinstance(golden["steps"], list):
        yield from _step_differences(ours, golden)
    else:
        yield from _fields("", totals(ours), golden)
    yield from _config_differences(ours["config"], golden.get("config", {}))


def _step_differences(ours: Log, golden: Log) -> Iterator[str]:
    for mine, theirs in zip(ours["steps"], golden["steps"], strict=False):
        for key in theirs:
            if mine.get(key, MISSING) != theirs[key]:
                yield f"step {mine['step']}: {key}: ours {mine.get(key)!r}, golden {theirs[key]!r}"
    if len(ours["steps"]) != len(golden["steps"]):
        yield f"number of steps: ours {len(ours['steps'])}, golden {len(golden['steps'])}"
    if "error" in ours and "error" not in golden:
        yield f"error: ours {ours['error']!r}, golden has none"
    yield from _fields("", {key: ours[key] for key in _TOTALS if key in ours}, golden)


def _config_differences(ours: Log, golden: Log) -> Iterator[str]:
    yield from _fields("config.", {k: v for k, v in ours.items() if k != "groups"}, golden)
    groups: list[Log] | dict[str, Log] = golden.get("groups", [])
    if isinstance(ours["groups"], dict) or isinstance(groups, dict):
        if groups and groups != ours["groups"]:
            yield f"config.groups: ours {ours['groups']!r}, golden {groups!r}"
        return
    if len(groups) not in (0, len(ours["groups"])):
        yield f"config.groups: ours {len(ours['groups'])}, golden {len(groups)}"
    for index, (mine, theirs) in enumerate(zip(ours["groups"], groups, strict=False)):
        yield from _fields(f"config.groups[{index}].", mine, theirs)


def _fields(prefix: str, ours: Log, golden: Log) -> Iterator[str]:
    """Differences in the fields that both have."""
    for key, value in ours.items():
        if key in golden and golden[key] != value:
            yield from _difference(prefix + key, value, golden[key])


def _difference(name: str, ours: Any, golden: Any) -> Iterator[str]:
    """One line; of two long lists the first place where they part."""
    if isinstance(ours, list) and isinstance(golden, list) and len(ours) == len(golden) > SHORT:
        place = next(
            i for i, pair in enumerate(zip(ours, golden, strict=True)) if pair[0] != pair[1]
        )
        name, ours, golden = f"{name}[{place}]", ours[place], golden[place]
    yield f"{name}: ours {ours!r}, golden {golden!r}"


def totals(log: Log) -> Log:
    """Totals of a replay under the names that recordings of long cases have."""
    steps: list[Log] = log["steps"]
    ids: list[str] = log["requests"]
    finished = [log["finish_step"].get(name) for name in ids]
    hits = [log["first_admission_hit_tokens"].get(name, 0) for name in ids]
    preemptions = [log["preemptions"].get(name, 0) for name in ids]
    done = [step for step in finished if step is not None]
    blocks = list(zip(*(step["group_blocks"] for step in steps), strict=True))
    running = [len(step["running"]) for step in steps]
    return {
        "requests": len(ids),
        "prompt_tokens": log["prompt_tokens"],
        "output_tokens": log["output_tokens"],
        "first_admission_hit_tokens_total": sum(hits),
        "requests_with_hit": sum(hit > 0 for hit in hits),
        "preemptions_total": sum(preemptions),
        "requests_preempted": sum(count > 0 for count in preemptions),
        "steps": log["end_step"],
        "schedule_calls": len(steps),
        "scheduled_tokens": log["total_scheduled_tokens"],
        "last_finish_step": max(done, default=None),
        "sum_finish_step": sum(done),
        "mean_running": _mean(running),
        "max_running": max(running, default=0),
        "mean_waiting": _mean([len(step["waiting"]) for step in steps]),
        "mean_blocks_in_use_per_group": [_mean(group) for group in blocks],
        "max_blocks_in_use_per_group": [max(group) for group in blocks],
        "min_free_blocks": min((step["free_blocks"] for step in steps), default=None),
        "finish_step": finished,
        "hit_tokens": hits,
        "preemptions": preemptions,
        "sha256_lists": hashlib.sha256(
            json.dumps([finished, hits, preemptions]).encode()
        ).hexdigest(),
    }


def _mean(values: Sequence[int]) -> float:
    return round(sum(values) / len(values), 3) if values else 0.0
