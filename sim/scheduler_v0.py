"""The scheduler under Jenga's artifact (vLLM 0.6, ``core/scheduler.py``): whole prompts first.

A step computes either prompts or decodes. Waiting prompts go first, whole, as long as the next one
fits; only a step without any decodes, and then everybody who runs. There are no chunks, and one
batch at a time. ``max_num_batched_tokens`` is max(``max_model_len``, 2048) there.
"""

from typing import Protocol

from ..policies.base import Pages
from .requests import Requests, Status
from .scheduler import Batch, Scheduler, SchedulerConfig
from .table_contract import Hit, Tables

LEAST_BUDGET = 2048


class WholePromptTables(Tables, Protocol):
    """Block tables that this scheduler can serve from."""

    def trim(self, slot: int) -> None:
        """Give back the pages of a running request that no step will read."""
        ...

    def is_impossible(self, slot: int) -> bool:
        """Whether a waiting request that does not fit never will. Pure."""
        ...

    def late_hits(self) -> dict[int, int]:
        """Hits of the requests of this step that were looked up only after it was decided."""
        ...


def token_budget(max_model_len: int) -> int:
    """Tokens of a step without chunked prefill."""
    return max(max_model_len, LEAST_BUDGET)


class SchedulerV0(Scheduler):
    """Prefill first, no chunks; preemption by recomputation, the youngest first."""

    def __init__(
        self, requests: Requests, tables: WholePromptTables, config: SchedulerConfig
    ) -> None:
        super().__init__(requests, tables, config)
        self._tables = tables

    def schedule(self) -> Batch:
        """See Scheduler. Every window moves before anything else happens."""
        batch = Batch()
        self._tables.begin_step()
        for slot in self.running:
            self._tables.trim(slot)
        self._prefill(batch)
        if not batch.tokens:
            self._decode(batch)
        self._tables.end_step()
        for slot, hit in self._tables.late_hits().items():
            self._start(slot, hit, batch)
        self._advance(batch)
        return batch

    def _prefill(self, batch: Batch) -> None:
        """Admit waiting requests as long as the next one fits."""
        requests, left = self.requests, self.config.max_num_batched_tokens
        while len(self.waiting):
            slot = self.waiting.peek()
            hit = self._tables.look_up(slot)
            tokens = requests.num_tokens(slot)
            need = self.lacking(slot, hit, tokens - hit.tokens)
            if need is not None and self._tables.is_impossible(slot):
                self.waiting.pop()
                requests.status[slot] = Status.REJECTED
                batch.ignored.append(slot)
                continue
            if need is not None or tokens > left or len(self.running) >= self.config.max_num_seqs:
                batch.refused = need
                return
            self.waiting.pop()
            requests.status[slot] = Status.RUNNING
            self._tables.allocate(slot, tokens - hit.tokens, hit)
            self.running.append(slot)
            self._start(slot, hit.tokens, batch)
            left -= tokens

    def _start(self, slot: int, hit: int, batch: Batch) -> None:
        self._count_hit(slot, hit)
        batch.admitted[slot] = hit
        batch.tokens[slot] = self.requests.num_tokens(slot) - hit

    def _decode(self, batch: Batch) -> None:
        """One token for everybody who runs; who finds no page preempts the youngest."""
        index = 0
        while index < len(self.running):
            slot = self.running[index]
            while not self._tables.allocate(slot, 1):
                victim = self.running.pop()
                self._preempt(victim, batch)
                if victim == slot:
                    return
            batch.tokens[slot] = 1
            index += 1

    def lacking(self, slot: int, hit: Hit, new: int) -> Pages | None:
        """See Scheduler. The watermark is kept whether anything runs or not."""
        return self._tables.lacking(slot, hit, new, self.config.watermark, whole=True)

    def would_admit(self) -> bool:
        """See Scheduler."""
        if not len(self.waiting) or len(self.running) >= self.config.max_num_seqs:
            return False
        slot = self.waiting.peek()
        hit = self._tables.look_up(slot)
        tokens = self.requests.num_tokens(slot)
        fits = self.lacking(slot, hit, tokens - hit.tokens) is None
        return fits and tokens <= self.config.max_num_batched_tokens
