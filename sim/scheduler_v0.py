"""The scheduler of vLLM's v0 engine, on which Jenga's artifact runs: whole prompts first.

A step computes either prompts or decodes. Waiting prompts go first, whole, as long as the next one
fits; only a step without any decodes, and then everybody who runs. There are no chunks, and one
batch at a time. ``max_num_batched_tokens`` is max(``max_model_len``, 2048) there.

Source: ``core/scheduler.py``, branch ``vllm-v0-jenga``.
"""

from ..policies.base import Pages
from .requests import Status
from .scheduler import Batch, Scheduler
from .table_contract import Hit

LEAST_BUDGET = 2048
WATERMARK = 0.01
"""Share of the pool that an admission leaves free (``block_manager.py``)."""


def token_budget(max_model_len: int) -> int:
    """Tokens of a step without chunked prefill."""
    return max(max_model_len, LEAST_BUDGET)


class SchedulerV0(Scheduler):
    """Prefill first, no chunks; preemption by recomputation, the youngest first."""

    can_leap = False

    def schedule(self) -> Batch:
        """See Scheduler. Every window moves before anything else happens."""
        batch = Batch()
        self.tables.begin_step()
        for slot in self.running:
            self.tables.trim(slot)
        self._prefill(batch)
        if not batch.tokens:
            self._decode(batch)
        self.tables.end_step()
        for slot, hit in self.tables.late_hits().items():
            self._start(slot, hit, batch)
        self._advance(batch)
        return batch

    def _prefill(self, batch: Batch) -> None:
        """Admit waiting requests as long as the next one fits."""
        requests, left = self.requests, self.config.max_num_batched_tokens
        while len(self.waiting):
            slot = self._next()
            if slot is None:
                return
            hit = self.tables.look_up(slot)
            tokens = requests.num_tokens(slot)
            need = self.lacking(slot, hit, tokens - hit.tokens)
            if need is not None and self.tables.is_impossible(slot):
                self._leave_queue(slot)
                requests.status[slot] = Status.REJECTED
                batch.ignored.append(slot)
                continue
            if need is not None or tokens > left or len(self.running) >= self.config.max_num_seqs:
                batch.refused = need
                return
            self._leave_queue(slot)
            requests.status[slot] = Status.RUNNING
            self.tables.allocate(slot, tokens - hit.tokens, hit)
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
            while not self.tables.allocate(slot, 1):
                victim = self.running.pop()
                self._preempt(victim, batch)
                if victim == slot:
                    if self.config.restart_alone and not self.running:
                        self.alone = slot
                    return
            batch.tokens[slot] = 1
            index += 1

    def lacking(self, slot: int, hit: Hit, new: int) -> Pages | None:
        """See Scheduler. The watermark is kept whether anything runs or not."""
        return self.tables.lacking(slot, hit, new, self.config.watermark, whole=True)

    def would_admit(self) -> bool:
        """See Scheduler."""
        if not len(self.waiting) or len(self.running) >= self.config.max_num_seqs:
            return False
        slot = self._next()
        if slot is None:
            return False
        hit = self.tables.look_up(slot)
        tokens = self.requests.num_tokens(slot)
        fits = self.lacking(slot, hit, tokens - hit.tokens) is None
        return fits and tokens <= self.config.max_num_batched_tokens
