"""Replay a step-driven case and compare it with a recording of the real vLLM scheduler.

The log has the shape of the recording: ``config``, then one entry per step with the scheduled
tokens, both queues, preemptions, free blocks and blocks per group, then totals.
"""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ..configs.errors import ConfigError
from ..policies.base import GroupingContext, PageGroup
from ..policies.caching.rules import cache_rules
from ..policies.demand import admission_pages
from ..policies.grouping.vllm import vllm, vllm_nohybrid
from .cached_tables import CachedBlockTables
from .cases import CaseSetup, prompt_tokens, read_case
from .prefix_keys import TokenKeys
from .requests import Requests
from .scheduler import Batch, Scheduler

Log = dict[str, Any]
MISSING = "(missing)"
VLLM_SPECS = {
    "full": "FullAttentionSpec",
    "mla": "MLAAttentionSpec",
    "sliding_window": "SlidingWindowSpec",
    "chunked_local": "ChunkedLocalAttentionSpec",
    "mamba": "MambaSpec",
}
"""Names of vLLM's classes by how a group grows, as recordings have them."""


def replay(path: str | Path) -> Log:
    """Replay the case file and return its log."""
    return CaseReplay(read_case(path)).run()


class CaseReplay:
    """vLLM 0.33's engine loop over a step counter: arrivals by step, no clock."""

    def __init__(self, setup: CaseSetup) -> None:
        case = setup.case
        grouping = vllm if case.hybrid else vllm_nohybrid
        context = GroupingContext(block_size=case.block_size, max_model_len=case.max_model_len)
        self.setup = setup
        self.groups = grouping(setup.specs, context)
        self.rules = cache_rules(
            self.groups, enabled=case.enable_prefix_caching, retention=case.retention_interval
        )
        self.page_bytes = self.groups[0].page_bytes
        self.num_pages = case.kv_bytes // self.page_bytes
        self.requests = Requests(
            arrival_ns=range(len(case.requests)),
            prompt_tokens=(sum(n for _, n in r.prompt) for r in case.requests),
            max_tokens=(r.output_len for r in case.requests),
            priority=(r.priority for r in case.requests),
        )
        config = replace(setup.scheduler, **self.rules.state_blocks())
        self.tables = CachedBlockTables(
            self.requests,
            self.rules,
            TokenKeys(lambda slot: prompt_tokens(case, slot), self._longest()),
            num_pages=self.num_pages,
            max_num_seqs=config.max_num_seqs,
            max_in_flight_tokens=config.max_in_flight_tokens,
            max_model_len=case.max_model_len,
        )
        self.scheduler = Scheduler(self.requests, self.tables, config)
        order = range(len(case.requests))
        self.pending = deque(sorted(order, key=lambda i: case.requests[i].arrival_step))
        self.finish_step: dict[str, int] = {}
        self.first_hits: dict[str, int] = {}
        self.steps: list[Log] = []
        self.stalled_at: int | None = None

    def _longest(self) -> int:
        requests = self.requests
        both = zip(requests.prompt, requests.max_tokens, strict=True)
        return max((prompt + most for prompt, most in both), default=0)

    def run(self) -> Log:
        """Replay to the end and return the log."""
        depth = self.setup.scheduler.concurrent_batches
        in_flight: deque[tuple[Batch, int]] = deque()
        step = 0
        while True:
            self._arrive(step)
            if not self.scheduler.has_requests:
                if not self.pending:
                    break
                step = self._arrival_step(self.pending[0])
                continue
            batch = self.scheduler.schedule()
            record = self._record(step, batch)
            in_flight.append((batch, step))
            if len(in_flight) < depth and (batch.tokens or not self.pending):
                step += 1
                continue
            settled, settled_step = in_flight.popleft()
            finished = [self.setup.ids[slot] for slot in self.scheduler.complete(settled)]
            self.finish_step.update(dict.fromkeys(finished, settled_step))
            record["finished"] = finished
            if not (batch.tokens or finished or in_flight or settled.tokens):
                if not self.pending:
                    self.stalled_at = step
                    break
                step = max(step + 1, self._arrival_step(self.pending[0]))
                continue
            step += 1
        return self._log()

    def _arrival_step(self, slot: int) -> int:
        return self.setup.case.requests[slot].arrival_step

    def _arrive(self, step: int) -> None:
        while self.pending and self._arrival_step(self.pending[0]) <= step:
            self.scheduler.add(self.pending.popleft())

    def _record(self, step: int, batch: Batch) -> Log:
        ids = self.setup.ids
        admitted = {ids[slot]: hit for slot, hit in batch.admitted.items()}
        for request_id, hit in admitted.items():
            self.first_hits.setdefault(request_id, hit)
        record: Log = {
            "step": step,
            "scheduled": {ids[slot]: new for slot, new in batch.tokens.items()},
            "running": [ids[slot] for slot in self.scheduler.running],
            "waiting": [ids[slot] for slot in self.scheduler.waiting],
            "preempted": sorted(ids[slot] for slot in batch.preempted),
            "admitted_hit_tokens": admitted,
            "free_blocks": self.tables.free_count,
            "cached_blocks": self.tables.num_keys,
            "group_blocks": [self.tables.held(index) for index in range(len(self.groups))],
            "finished": [],
        }
        self.steps.append(record)
        return record

    def _log(self) -> Log:
        ids = self.setup.ids
        preempted = {ids[s]: n for s, n in enumerate(self.requests.preemptions) if n}
        config = self._config()
        if self.stalled_at is not None:
            config["stalled_at_step"] = self.stalled_at
        return {
            "case": self.setup.case.name,
            "config": config,
            "first_admission_hit_tokens": self.first_hits,
            "preemptions": preempted,
            "finish_step": self.finish_step,
            "total_steps": len(self.steps),
            "total_scheduled_tokens": sum(sum(s["scheduled"].values()) for s in self.steps),
            "steps": self.steps,
        }

    def _config(self) -> Log:
        groups, case = self.groups, self.setup.case
        need = sum(self._longest_request_pages(group) for group in groups)
        concurrency = self.num_pages / need
        return {
            "num_blocks": self.num_pages,
            "bytes_per_block": case.kv_bytes // self.num_pages,
            "tensor_bytes": self.num_pages * self.page_bytes,
            "scheduler_block_size": self.rules.scheduler_block_size,
            "hash_block_size": self.rules.hash_block_size,
            "max_concurrency": round(concurrency, 6),
            "capacity_tokens_at_max_model_len": int(concurrency * case.max_model_len),
            "groups": [self._describe(group) for group in groups],
        }

    def _describe(self, group: PageGroup) -> Log:
        first = self.setup.specs[group.layers[0]]
        page_bytes = replace(first, block_size=group.block_size).page_size_bytes
        if len(self.groups) > 1:
            # Pages are alike; the largest group fills its block.
            page_bytes = group.page_bytes // max(len(each.layers) for each in self.groups)
        return {
            "n_layers": len(group.layers),
            "spec": VLLM_SPECS["mla" if first.kind == "mla" else group.kind],
            "block_size": group.block_size,
            "first_layer": f"layers.{first.layer}.{first.kind}",
            "page_size_bytes_per_layer": page_bytes,
        }

    def _longest_request_pages(self, group: PageGroup) -> int:
        case, scheduler = self.setup.case, self.setup.scheduler
        if group.kind == "mamba" and group.spec is not None:
            states = 2 if group.spec.mamba_cache_mode == "align" else 1
            return states + group.spec.num_speculative_blocks
        length = case.max_model_len
        if group.kind in ("sliding_window", "chunked_local"):
            return admission_pages(group, 1 << 60, 0, scheduler.max_in_flight_tokens, length)
        return admission_pages(group, length, 0, scheduler.max_in_flight_tokens, length)


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
    steps: Any = golden.get("steps") if isinstance(golden, dict) else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ConfigError(
            f"{path}: not a recording: an object with a list 'steps' of objects is expected"
        )
    return cast(Log, golden)


def differences(ours: Log, golden: Log) -> Iterator[str]:
    """Say where ``ours`` and the recording part, first step first; nothing if they agree.

    Fields of the configuration that we do not know (version, checksum) are not compared.
    """
    for mine, theirs in zip(ours["steps"], golden["steps"], strict=False):
        for key in theirs:
            if mine.get(key, MISSING) != theirs[key]:
                yield f"step {mine['step']}: {key}: ours {mine.get(key)!r}, golden {theirs[key]!r}"
    if len(ours["steps"]) != len(golden["steps"]):
        yield f"number of steps: ours {len(ours['steps'])}, golden {len(golden['steps'])}"
    for key in _TOTALS:
        if key in golden and ours[key] != golden[key]:
            yield f"{key}: ours {ours[key]!r}, golden {golden[key]!r}"
    for key, value in golden.get("config", {}).items():
        if key in ours["config"] and key != "groups" and ours["config"][key] != value:
            yield f"config.{key}: ours {ours['config'][key]!r}, golden {value!r}"
    for index, theirs in enumerate(golden.get("config", {}).get("groups", [])):
        mine = dict(enumerate(ours["config"]["groups"])).get(index, {})
        for key, value in theirs.items():
            if mine.get(key, MISSING) != value:
                yield f"config.groups[{index}].{key}: ours {mine.get(key)!r}, golden {value!r}"
