"""Replay a step-driven case as Jenga's artifact serves it: ``SchedulerV0`` over a step counter."""

from collections import deque
from dataclasses import replace
from typing import Any, cast

from ..configs.errors import ConfigError, InvariantError
from ..configs.specs import cdiv
from ..policies.base import GroupingContext, PageGroup
from ..policies.grouping.by_property import by_property
from ..policies.large_pages.artifact import ArtifactPages
from ..policies.large_pages.artifact_rules import large_page_bytes, static_shares
from .artifact_tables import ArtifactTables
from .cases import CaseSetup, prompt_tokens
from .prefix_keys import TokenKeys
from .requests import Requests
from .scheduler import Batch
from .scheduler_v0 import WATERMARK, SchedulerV0, token_budget
from .table_contract import Tables

Log = dict[str, Any]
ELEMENT_BYTES = 2
"""The artifact counts in elements of one 16-bit type."""
_NAMES = {
    "full": "self_attention",
    "sliding_window": "sliding_window",
    "mamba": "linear_attention",
    "cross": "encoder_decoder",
}


class JengaReplay:
    """One case; ``run`` returns a log in the shape of the artifact's recordings."""

    def __init__(self, setup: CaseSetup) -> None:
        case = setup.case
        self.setup = setup
        context = GroupingContext(block_size=case.block_size, max_model_len=case.max_model_len)
        _check_layers(setup)
        self.groups = by_property(setup.specs, context)
        self.pool = _make_pool(setup, self.groups)
        self.requests = Requests(
            arrival_ns=range(len(case.requests)),
            prompt_tokens=(sum(n for _, n in r.prompt) for r in case.requests),
            max_tokens=(r.output_len for r in case.requests),
            cross_tokens=[r.encoder_len for r in case.requests],
        )
        longest = max(
            (sum(n for _, n in r.prompt) + r.output_len for r in case.requests), default=0
        )
        keys = TokenKeys(lambda slot: prompt_tokens(case, slot), longest)
        self.tables = ArtifactTables(
            self.requests,
            self.groups,
            self.pool,
            keys if case.enable_prefix_caching else None,
        )
        config = replace(
            setup.scheduler,
            max_num_batched_tokens=token_budget(case.max_model_len),
            watermark=WATERMARK,
            async_scheduling=False,
        )
        # The scheduler asks for no more than these tables have.
        tables = cast(Tables, self.tables)
        self.scheduler = SchedulerV0(self.requests, tables, config)
        order = range(len(case.requests))
        self.pending = deque(sorted(order, key=lambda i: case.requests[i].arrival_step))
        self.steps: list[Log] = []
        self.finish_step: dict[str, int] = {}
        self.first_hits: dict[str, int] = {}
        self.error = ""

    def run(self) -> Log:
        """Replay to the end and return the log."""
        step = 0
        while self.pending or self.scheduler.has_requests:
            self._arrive(step)
            if self.scheduler.has_requests and not self._step(step):
                break
            step += 1
        return self._log()

    def _arrive(self, step: int) -> None:
        requests = self.setup.case.requests
        while self.pending and requests[self.pending[0]].arrival_step <= step:
            self.scheduler.add(self.pending.popleft())

    def _step(self, step: int) -> bool:
        """One step; False if the artifact breaks or waits for ever. What breaks is not logged."""
        self.tables.begin_step(step - 1)
        try:
            batch = self.scheduler.schedule()
            record = self._record(step, batch)
            finished = self.scheduler.complete(batch)
        except (InvariantError, KeyError) as error:
            self.error = f"the artifact breaks in step {step}: {error}"
            return False
        record["finished"] = [self.setup.ids[slot] for slot in finished]
        self.steps.append(record)
        self.finish_step.update(dict.fromkeys(record["finished"], step))
        idle = not (batch.tokens or batch.ignored or batch.preempted or self.pending)
        if idle and self.scheduler.has_requests:
            self.error = f"the artifact waits for ever from step {step} on"
        return not self.error

    def _record(self, step: int, batch: Batch) -> Log:
        ids, caching = self.setup.ids, self.setup.case.enable_prefix_caching
        prefill = [ids[slot] for slot in batch.admitted] or [
            ids[slot] for slot, new in batch.tokens.items() if self._is_prompt(slot, new)
        ]
        hits = {ids[slot]: hit for slot, hit in batch.admitted.items()} if caching else {}
        for name, hit in hits.items():
            self.first_hits.setdefault(name, hit)
        return {
            "step": step,
            "prefill": prefill,
            "decode": 0 if prefill else len(batch.tokens),
            "preempted": [ids[slot] for slot in batch.preempted],
            "ignored": [ids[slot] for slot in batch.ignored],
            "hits": hits,
            "free_large": self.pool.free_large,
            "groups": {
                group_name(group): self._group_record(index)
                for index, group in enumerate(self.groups)
            },
        }

    def _is_prompt(self, slot: int, new: int) -> bool:
        return self.requests.computed[slot] == new

    def _group_record(self, index: int) -> Log:
        small, idle = self.pool.small[index], self.pool.waiting[index]
        record: Log = {"large": small.num_large, "free_small": small.num_empty}
        if self.setup.case.enable_prefix_caching:
            record["evictable_large"] = idle.num_large
            record["evictable_small"] = len(idle)
        return record

    def _log(self) -> Log:
        ids = self.setup.ids
        log: Log = {
            "case": self.setup.case.name,
            "requests": list(ids),
            "config": self._config(),
            "total_steps": len(self.steps),
            "finish_step": self.finish_step,
            "first_admission_hit_tokens": self.first_hits,
            "preemptions": {ids[s]: n for s, n in enumerate(self.requests.preemptions) if n},
            "steps": self.steps,
        }
        if self.error:
            log["error"] = self.error
        return log

    def _config(self) -> Log:
        return {
            "groups": {
                group_name(group): {
                    "block_size": group.block_size,
                    "layers": len(group.layers),
                    "small_per_large": small.ratio,
                }
                for group, small in zip(self.groups, self.pool.small, strict=True)
            },
            "large_page_elements": self.groups[0].page_bytes
            * self.pool.small[0].ratio
            // ELEMENT_BYTES,
            "num_large_pages": self.pool.num_large,
        }


def group_name(group: PageGroup) -> str:
    """The artifact's name: kind, window if any, elements of one layer's page."""
    elements = group.page_bytes // len(group.layers) // ELEMENT_BYTES
    window = f"_{group.window}" if group.window else ""
    return f"{_NAMES[group.kind]}{window}_{elements}"


def _check_layers(setup: CaseSetup) -> None:
    """Refuse what the artifact does not know; ConfigError names the key."""
    kinds = {spec.kind for spec in setup.specs}
    if unknown := sorted(kinds - set(_NAMES)):
        raise ConfigError(f"layers: Jenga's artifact knows no kind {unknown[0]!r}")
    if "cross" in kinds and setup.case.enable_prefix_caching:
        raise ConfigError(
            "enable_prefix_caching: Jenga's artifact caches no prefix of a model with cross "
            "attention"
        )


def _make_pool(setup: CaseSetup, groups: tuple[PageGroup, ...]) -> ArtifactPages:
    case = setup.case
    # Pages are counted in elements, so an odd byte at the end does not count.
    usable = case.kv_bytes // ELEMENT_BYTES * ELEMENT_BYTES
    large_bytes = large_page_bytes(groups)
    num_large = cdiv(usable, large_bytes) - 1
    if num_large < len(groups):
        raise ConfigError(
            f"kv_bytes: {case.kv_bytes:,} hold {num_large} large pages of {large_bytes:,} bytes; "
            f"the null pages of {len(groups)} groups take one each"
        )
    ratios = [large_bytes // group.page_bytes for group in groups]
    most = None
    if case.jenga is not None and case.jenga.static_partition:
        most = static_shares(groups, num_large)
    return ArtifactPages(ratios, num_large, most, caching=case.enable_prefix_caching)
