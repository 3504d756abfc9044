"""The scheduler of vLLM 0.33 (``v1/core/sched/scheduler.py``): decisions only, no clock.

Running requests are served first, in order, then waiting ones; a step has one token budget for
decodes and prefill chunks alike. It never reads how long an output will really be: ``max_tokens``
only ends a request once that many tokens are out.
"""

from dataclasses import dataclass, field
from typing import Literal

from ..configs.errors import InvariantError
from ..policies.base import Pages
from .chunks import cut_at_states
from .requests import NEVER, Requests, Status
from .table_contract import Hit, Tables
from .waiting import FCFSQueue, PriorityQueue, WaitingQueue


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig:
    """Settings that decide who is served; names and meaning as in vLLM."""

    max_num_seqs: int
    max_num_batched_tokens: int
    max_model_len: int
    policy: Literal["fcfs", "priority"] = "fcfs"
    watermark: float = 0.0
    scheduler_reserve_full_isl: bool = True
    long_prefill_token_threshold: int = 0
    enable_chunked_prefill: bool = True
    async_scheduling: bool = False
    state_block_size: int = 0
    """Tokens between recurrent states that are cached; 0 where none are."""
    state_hash_size: int = 0
    """Tokens between places where a hit may end inside such a block; 0 where it may not."""
    restart_alone: bool = False
    """Not vLLM's: a request that is refused a page though nobody else runs starts again with nobody
    beside it. Where pages have several sizes its own may lie scattered among those of requests that
    have left, and beside the same requests it would be refused for ever."""

    @property
    def concurrent_batches(self) -> int:
        """Batches in flight at once."""
        return 2 if self.async_scheduling else 1

    @property
    def max_in_flight_tokens(self) -> int:
        """Tokens scheduled but not settled, at most."""
        return self.concurrent_batches * self.max_num_batched_tokens


@dataclass(slots=True)
class Batch:
    """One step's decisions."""

    tokens: dict[int, int] = field(default_factory=dict[int, int])
    """Slot -> tokens computed in this step, in the order they were scheduled."""
    sampled: list[int] = field(default_factory=list[int])
    """Slots whose prompt is complete: each of them gets one output token."""
    admitted: dict[int, int] = field(default_factory=dict[int, int])
    """Slot -> tokens that the prefix cache had, in the order of admission."""
    preempted: list[int] = field(default_factory=list[int])
    ignored: list[int] = field(default_factory=list[int])
    """Waiting requests that were dropped because they never could be served."""
    refused: Pages | None = None
    """Need of the waiting request that did not fit, if that ended the step's admissions."""


class Scheduler:
    """Continuous batching with chunked prefill and preemption by recomputation."""

    can_leap = True
    """Whether decode steps of an unchanged batch follow from ``policies.demand`` alone."""

    def __init__(self, requests: Requests, tables: Tables, config: SchedulerConfig) -> None:
        self.config = config
        self.requests = requests
        self.tables = tables
        self.running: list[int] = []
        by_priority = config.policy == "priority"
        self.waiting: WaitingQueue = (
            PriorityQueue(requests.priority, requests.arrival_ns) if by_priority else FCFSQueue()
        )
        self.alone: int | None = None
        """The request that nobody is admitted beside until it is done: see ``restart_alone``."""

    @property
    def has_requests(self) -> bool:
        """Whether anything waits or runs."""
        return bool(self.running or len(self.waiting))

    def add(self, slot: int) -> None:
        """Let a request that arrived wait."""
        self.requests.status[slot] = Status.WAITING
        self.waiting.add(slot)

    def schedule(self) -> Batch:
        """Decide the next step and take its pages; computed tokens advance at once."""
        batch = Batch()
        self.tables.begin_step()
        several = len(self.running) + len(self.waiting) > 1
        threshold = self.config.long_prefill_token_threshold if several else 0
        budget = self._schedule_running(batch, self.config.max_num_batched_tokens, threshold)
        if not batch.preempted:
            self._schedule_waiting(batch, budget, threshold)
        self.tables.end_step()
        self._advance(batch)
        return batch

    def _schedule_running(self, batch: Batch, budget: int, threshold: int) -> int:
        index = 0
        while index < len(self.running) and budget > 0:
            slot = self.running[index]
            new = self._running_tokens(slot, budget, threshold)
            if new <= 0:
                index += 1
                continue
            while not self.tables.allocate(slot, new):
                victim = self._victim()
                if self.running.index(victim) < index:
                    index -= 1
                self.running.remove(victim)
                budget += batch.tokens.pop(victim, 0)
                self._preempt(victim, batch)
                if victim == slot:
                    if self.config.restart_alone and not self.running:
                        self.alone = slot
                    break
            if self.requests.status[slot] == Status.RUNNING:
                batch.tokens[slot] = new
                budget -= new
                index += 1
            elif self.config.policy == "fcfs":
                break
        return budget

    def _running_tokens(self, slot: int, budget: int, threshold: int) -> int:
        """Tokens that a running request may compute now; 0 if its last token is on its way."""
        requests = self.requests
        computed, placeholders = requests.computed[slot], requests.placeholders[slot]
        end = requests.prompt[slot] + requests.max_tokens[slot]
        if placeholders > 0 and computed + 2 - placeholders >= end:
            return 0
        new = requests.prompt[slot] + requests.output[slot] + placeholders - computed
        if 0 < threshold < new:
            new = threshold
        new = min(new, budget, self.config.max_model_len - computed - 1)
        return self._cut_at_states(slot, computed, new, requests.junction[slot])

    def _victim(self) -> int:
        """The running request to preempt: the last one, or the least important, latest one."""
        if self.config.policy == "fcfs":
            return self.running[-1]
        priority, arrival_ns = self.requests.priority, self.requests.arrival_ns
        return max(self.running, key=lambda slot: (priority[slot], arrival_ns[slot], slot))

    def _preempt(self, slot: int, batch: Batch) -> None:
        requests = self.requests
        self.tables.free(slot)
        requests.recomputed[slot] += requests.computed[slot]
        requests.lost[slot] = requests.computed[slot]
        requests.computed[slot] = 0
        requests.stale[slot] = requests.in_flight[slot]
        requests.placeholders[slot] = 0
        requests.preemptions[slot] += 1
        requests.status[slot] = Status.WAITING
        self.waiting.prepend(slot)
        batch.preempted.append(slot)

    def _schedule_waiting(self, batch: Batch, budget: int, threshold: int) -> None:
        config, requests = self.config, self.requests
        passed_over: list[int] = []
        while budget > 0 and len(self.waiting) and len(self.running) < config.max_num_seqs:
            slot = self._next()
            if slot is None:
                break
            if requests.stale[slot] > 0:
                # Its output from before the preemption is still in flight.
                self._leave_queue(slot)
                passed_over.append(slot)
                if slot == self.alone:
                    break
                continue
            hit = self.tables.look_up(slot)
            requests.junction[slot] = hit.junction
            new = self._first_chunk(slot, hit, budget, threshold)
            if not new:
                break
            batch.refused = self.lacking(slot, hit, new)
            if batch.refused is not None:
                break
            if not self.tables.allocate(slot, new, hit):
                raise InvariantError("the carving says that pages fit and then refuses them")
            self._leave_queue(slot)
            requests.status[slot] = Status.RUNNING
            self.running.append(slot)
            self._count_hit(slot, hit.tokens)
            batch.tokens[slot] = new
            batch.admitted[slot] = hit.tokens
            budget -= new
        for slot in reversed(passed_over):
            self.waiting.prepend(slot)

    def _next(self) -> int | None:
        """The waiting request to be admitted next, if any may be. Pure."""
        if self.alone is None:
            return self.waiting.peek()
        return self.alone if self.requests.status[self.alone] == Status.WAITING else None

    def _leave_queue(self, slot: int) -> None:
        """Remove the request that ``_next`` named."""
        if self.alone is None:
            self.waiting.pop()
        else:
            self.waiting.remove(slot)

    def _count_hit(self, slot: int, tokens: int) -> None:
        """Start a request behind the tokens that are cached."""
        requests = self.requests
        if requests.hit[slot] == NEVER:
            requests.hit[slot] = tokens
        # After a preemption the hit is not computed again.
        requests.recomputed[slot] -= min(tokens, requests.lost[slot])
        requests.lost[slot] = 0
        requests.computed[slot] = tokens

    def lacking(self, slot: int, hit: Hit, new: int) -> Pages | None:
        """The need of a waiting request with a first chunk of ``new``, if it does not fit. Pure.

        The whole prompt must fit (``scheduler_reserve_full_isl``) above the watermark, which does
        not apply while nothing runs.
        """
        watermark = self.config.watermark if self.running else 0.0
        whole = self.config.scheduler_reserve_full_isl
        return self.tables.lacking(slot, hit, new, watermark, whole)

    def would_admit(self) -> bool:
        """Whether a step of pure decodes would admit the first waiting request. Pure."""
        budget = self.config.max_num_batched_tokens - len(self.running)
        full = len(self.running) >= self.config.max_num_seqs
        if full or budget <= 0 or not len(self.waiting):
            return False
        slot = self._next()
        if slot is None:
            return False
        hit = self.tables.look_up(slot)
        new = self._first_chunk(slot, hit, budget, self.config.long_prefill_token_threshold)
        return new > 0 and self.lacking(slot, hit, new) is None

    def _first_chunk(self, slot: int, hit: Hit, budget: int, threshold: int) -> int:
        """Tokens of a waiting request's first chunk; 0 if it must wait for more budget."""
        new = self.requests.num_tokens(slot) - hit.tokens
        if 0 < threshold < new:
            new = threshold
        if not self.config.enable_chunked_prefill and new > budget:
            return 0
        return self._cut_at_states(slot, hit.tokens, min(new, budget), hit.junction)

    def _cut_at_states(self, slot: int, start: int, new: int, junction: int) -> int:
        """Shorten a chunk of a prompt so that it ends where a recurrent state is kept."""
        if self.config.state_block_size == 0:
            return new
        requests = self.requests
        return cut_at_states(
            start,
            new,
            prompt=requests.prompt[slot],
            num_tokens=requests.num_tokens(slot),
            junction=junction,
            config=self.config,
        )

    def _advance(self, batch: Batch) -> None:
        requests = self.requests
        for slot, new in batch.tokens.items():
            requests.computed[slot] += new
            requests.in_flight[slot] += new
            requests.chunk[slot] = new
            due = requests.num_tokens(slot) + requests.placeholders[slot]
            if requests.computed[slot] >= due:
                batch.sampled.append(slot)
                if self.config.async_scheduling:
                    requests.placeholders[slot] += 1

    def complete(self, batch: Batch) -> list[int]:
        """Settle a step that ran: tokens come out, finished requests give their pages back."""
        requests = self.requests
        for slot, new in batch.tokens.items():
            requests.in_flight[slot] -= new
        finished = [slot for slot in batch.sampled if self._receive_token(slot)]
        for slot, new in batch.tokens.items():
            requests.stale[slot] = max(0, requests.stale[slot] - new)
        for slot in finished:
            self.finish(slot)
        return finished

    def _receive_token(self, slot: int) -> bool:
        """Count one output token; True if it was the last."""
        requests = self.requests
        if requests.status[slot] == Status.FINISHED:
            return False
        requests.output[slot] += 1
        if not requests.stale[slot] and requests.placeholders[slot] > 0:
            requests.placeholders[slot] -= 1
            if requests.status[slot] == Status.RUNNING:
                # What the next step had to leave out because this token was not known.
                self.tables.commit(slot, requests.computed[slot] - requests.in_flight[slot])
        return self.is_done(slot)

    def is_done(self, slot: int) -> bool:
        """Whether a request has all its tokens, or no room for more."""
        at_limit = self.requests.num_tokens(slot) >= self.config.max_model_len
        return at_limit or self.requests.output[slot] >= self.requests.max_tokens[slot]

    def finish(self, slot: int) -> None:
        """Remove a request that is done and give its pages back."""
        if self.requests.status[slot] == Status.RUNNING:
            self.running.remove(slot)
        else:
            self.waiting.remove(slot)
        self.requests.status[slot] = Status.FINISHED
        self.alone = None if slot == self.alone else self.alone
        self.tables.free(slot)
