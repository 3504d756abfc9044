"""Replay a step-driven case: vLLM 0.33's engine loop over a step counter, without a clock."""

from collections import deque
from dataclasses import replace
from typing import Any

from ..configs.errors import ConfigError
from ..policies.caching.rules import CacheRules, cache_rules
from ..policies.grouping.layer_groups import LayerGroup, layer_name, spec_class
from ..policies.grouping.vllm import to_page_groups
from .cached_tables import CachedBlockTables
from .cases import CaseSetup, prompt_tokens
from .prefix_keys import TokenKeys
from .requests import Requests
from .scheduler import Batch, Scheduler
from .startup import Startup, startup_of_setup

Log = dict[str, Any]


class CaseReplay:
    """One case: arrivals by step; ``run`` returns a log in the shape of the recordings."""

    def __init__(self, setup: CaseSetup) -> None:
        case = setup.case
        self.setup = setup
        self.startup = startup_of_setup(setup)
        self.rules = _cache_rules(setup, self.startup)
        self.requests = Requests(
            arrival_ns=range(len(case.requests)),
            prompt_tokens=(sum(n for _, n in r.prompt) for r in case.requests),
            max_tokens=(r.output_len for r in case.requests),
            priority=(r.priority for r in case.requests),
        )
        config = replace(setup.scheduler, **self.rules.state_blocks())
        longest = self._longest()
        self.tables = CachedBlockTables(
            self.requests,
            self.rules,
            TokenKeys(lambda slot: prompt_tokens(case, slot), longest),
            config,
            pool_bytes=case.kv_bytes,
            longest=longest,
        )
        self.scheduler = Scheduler(self.requests, self.tables, config)
        order = range(len(case.requests))
        self.pending = deque(sorted(order, key=lambda i: case.requests[i].arrival_step))
        self.finish_step: dict[str, int] = {}
        self.first_hits: dict[str, int] = {}
        self.steps: list[Log] = []
        self.stalled_at: int | None = None
        self.end_step = 0

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
            if len(in_flight) < depth and (batch.tokens or self.pending):
                step += 1
                continue
            settled, settled_step = in_flight.popleft()
            finished = [self.setup.ids[slot] for slot in self.scheduler.complete(settled)]
            self.finish_step.update(dict.fromkeys(finished, settled_step))
            record["finished"] = finished
            busy = batch.tokens or finished or settled.tokens
            if not (busy or self.pending or any(running.tokens for running, _ in in_flight)):
                self.stalled_at = step
                break
            if not (busy or in_flight):
                step = max(step + 1, self._arrival_step(self.pending[0]))
                continue
            step += 1
        self.end_step = step
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
            "free_blocks": self.tables.pool.free_count,
            "cached_blocks": self.tables.pool.num_keys,
            "group_blocks": list(self.tables.held_pages()),
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
            "requests": list(ids),
            "prompt_tokens": sum(self.requests.prompt),
            "output_tokens": sum(self.requests.max_tokens),
            "config": config,
            "first_admission_hit_tokens": self.first_hits,
            "preemptions": preempted,
            "finish_step": self.finish_step,
            "end_step": self.end_step,
            "total_steps": len(self.steps),
            "total_scheduled_tokens": sum(sum(s["scheduled"].values()) for s in self.steps),
            "steps": self.steps,
        }

    def _config(self) -> Log:
        figures, case = self.startup.capacity, self.setup.case
        return {
            "num_blocks": figures.num_blocks,
            # As recorded: what is left over at the end of the pool is spread over the blocks.
            "bytes_per_block": case.kv_bytes // figures.num_blocks,
            "tensor_bytes": figures.num_blocks * figures.bytes_per_block,
            "scheduler_block_size": figures.scheduler_block_size,
            "hash_block_size": figures.hash_block_size,
            "max_concurrency": round(figures.max_concurrency, 6),
            "capacity_tokens_at_max_model_len": figures.capacity_tokens,
            "groups": [_describe(group) for group in self.startup.groups],
        }


def _cache_rules(setup: CaseSetup, startup: Startup) -> CacheRules:
    """How the case caches; ConfigError names the key of what vLLM does not start with."""
    case = setup.case
    try:
        return cache_rules(
            to_page_groups(startup.groups),
            enabled=case.enable_prefix_caching,
            retention=case.retention_interval,
        )
    except ConfigError as error:
        raise ConfigError(f"enable_prefix_caching, retention_interval: {error}") from error


def _describe(group: LayerGroup) -> Log:
    return {
        "n_layers": len(group.specs),
        "spec": spec_class(group.first),
        "block_size": group.block_size,
        # vLLM lets the first layer stand for all, even where pages differ.
        "page_size_bytes_per_layer": group.first.page_size_bytes,
        "first_layer": layer_name(group.first),
    }
