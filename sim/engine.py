"""One replica of an engine on simpy: arrivals, steps, completions.

A step is scheduled, takes its pages, runs for as long as the latency model says and then settles.
With async scheduling the next step is scheduled while one still runs. What is written here takes
one step after the other, in plain Python; ``compiled`` does the same thousands of steps at a time.
"""

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from ..configs.errors import StalledError
from ..policies.base import NO_MOVES, Moves, Pages, Slack
from ..policies.demand import live_tokens
from .arrivals import Arrivals
from .latency import LatencyModel, Prefill, StepShape
from .recorder import Recorder, StepRecord
from .requests import Requests, Status
from .scheduler import Batch, Scheduler
from .usage import Rows, UsageMeter

SimEvents = Generator[simpy.Event, Any, None]


@dataclass(slots=True)
class InFlight:
    """A batch on the GPU."""

    batch: Batch
    duration_ns: int


@dataclass
class Hooks:
    """What the caller wants to be told; all optional."""

    after_step: Callable[["Replica"], None] | None = None
    """Called after every settled step; of a compiled run after every few thousand."""
    should_stop: Callable[[], bool] | None = None
    """Asked as often; True ends the run with what is done."""
    before_compiling: Callable[[], None] | None = None
    """Called before a run waits for the compiler, because no run of its kind was made before."""


@dataclass
class Replica:
    """An engine that serves the requests of one table, as they arrive."""

    requests: Requests
    arrivals: Arrivals
    scheduler: Scheduler
    latency: LatencyModel
    recorder: Recorder
    meter: UsageMeter
    fast: bool = True
    """Whether compiled code takes the steps; the result is the same."""
    check: bool = False
    """Whether every invariant is checked after every step, which plain Python does."""
    hooks: Hooks = field(default_factory=Hooks)
    now_ns: int = 0
    rejected: dict[int, str] = field(default_factory=dict[int, str])
    truncated: bool = False
    refused: Pages | None = None
    """Need of the head of the queue that the last step refused."""
    gpu_free_ns: int = 0
    """When the GPU is done with all that was launched."""
    owed: Moves = NO_MOVES
    """Copies within the pool that the next step to be launched waits for."""

    def run(self) -> None:
        """Serve everything; raises StalledError if requests wait that can never be served."""
        env = simpy.Environment(initial_time=self.arrivals.peek() or 0)
        env.process(self._served(env))
        env.run()

    def _served(self, env: simpy.Environment) -> SimEvents:
        """The run, compiled if it may and can be."""
        if not self.fast or self.check:
            return self._serve(env)
        # The compiler is imported only where it is needed.
        from .compiled.replica import can_serve, serve_compiled

        return serve_compiled(self, env) if can_serve(self) else self._serve(env)

    def _serve(self, env: simpy.Environment) -> SimEvents:
        in_flight: deque[InFlight] = deque()
        depth = self.scheduler.config.concurrent_batches
        while not self.stopping():
            self.now_ns = int(env.now)
            self._arrive()
            if len(in_flight) < depth and self.scheduler.has_requests:
                launched = self._launch()
                if launched is not None:
                    in_flight.append(launched)
                    if len(in_flight) < depth:
                        continue
            if in_flight:
                first = in_flight.popleft()
                yield env.timeout(first.duration_ns)
                self._settle(first, int(env.now))
                continue
            wait = self._idle_until_arrival()
            if wait is None:
                return
            yield env.timeout(wait)
        self.truncated = True

    def stopping(self) -> bool:
        """Whether the caller wants the run to end with what is done."""
        return self.hooks.should_stop is not None and self.hooks.should_stop()

    def _arrive(self) -> None:
        """Let everything that arrived by now wait; reject what can never be served."""
        while (arrival_ns := self.arrivals.peek()) is not None and arrival_ns <= self.now_ns:
            slot = self.arrivals.pop()
            self.requests.arrival_ns[slot] = arrival_ns
            reason = self._never(slot)
            if reason is None:
                self.scheduler.add(slot)
            else:
                self._reject(slot, reason, arrival_ns)

    def _reject(self, slot: int, reason: str, at_ns: int) -> None:
        """Refuse a request for good, which ends it."""
        self.requests.status[slot] = Status.REJECTED
        self.rejected[slot] = reason
        self.arrivals.ended(slot, at_ns)

    def _never(self, slot: int) -> str | None:
        """Why a request can never be served, by its declared lengths; None if it can."""
        total = self.requests.prompt[slot] + self.requests.max_tokens[slot]
        if total > self.scheduler.config.max_model_len:
            return "max_model_len"
        return None if self.scheduler.tables.could_fit(slot, total) else "pool"

    def _launch(self) -> InFlight | None:
        """Schedule the next step and put it on the GPU; None if nobody can be served."""
        tables = self.scheduler.tables
        due = tables.tick(self.now_ns)
        batch = self._schedule()
        # Whoever took pages that had to be emptied first waits for the copies.
        self.owed = self.owed.plus(due).plus(tables.tick(self.now_ns))
        self.refused = batch.refused
        if self.check:
            tables.check()
        if not batch.tokens:
            return None
        requests, running = self.requests, self.scheduler.running
        for slot in batch.admitted:
            if requests.scheduled_ns[slot] < 0:
                requests.scheduled_ns[slot] = self.now_ns
        rows = self.meter.rows(requests, running)
        served = np.array([slot in batch.tokens for slot in running], dtype=bool)
        shape = self._shape(batch, rows, served)
        moves, self.owed = self.owed, NO_MOVES
        copy_ns = self.latency.copy_ns(*moves) if moves.launches else 0
        duration = copy_ns + self.latency.step_ns(shape)
        start = max(self.now_ns, self.gpu_free_ns)
        self.gpu_free_ns = start + duration
        slack = self.slack(batch.refused)
        kinds = self.meter.kind_bytes(rows)
        self.recorder.step(
            StepRecord(
                start_ns=start,
                duration_ns=duration,
                running=len(running),
                waiting=len(self.scheduler.waiting),
                served=len(batch.tokens),
                tokens=shape.num_tokens,
                prefill_tokens=shape.num_tokens - shape.decode_rows,
                parts=self.parts([array[0].tolist() for array in kinds], slack),
                slack=slack,
                moves=moves,
                copy_ns=copy_ns,
            )
        )
        return InFlight(batch, duration)

    def _schedule(self) -> Batch:
        """Decide the next step."""
        while True:
            batch = self.scheduler.schedule()
            for slot in batch.ignored:
                self._reject(slot, "pool", self.now_ns)
            # A request that preempted itself may start again as soon as it gave its pages back.
            if batch.tokens or not batch.preempted:
                return batch

    def slack(self, refused: Pages | None) -> Slack:
        """The carving's slack, with the watermark that holds while requests run."""
        return self.scheduler.tables.slack(refused, self.scheduler.config.watermark)

    def parts(self, kinds: list[list[int]], slack: Slack) -> list[list[int]]:
        """Bytes by part and kind from (needed, dead, padding, internal) and the slack."""
        needed, dead, padding, internal = kinds
        none = [0] * len(needed)
        parts = [needed, none, dead, list(padding), list(internal), list(none)]
        self.meter.add_slack(parts, slack)
        return parts

    def _shape(self, batch: Batch, rows: Rows, served: "np.ndarray[Any, Any]") -> StepShape:
        """What the step computes: decodes summed per attention class, prefill chunks one by one."""
        decode = served & (rows.new == 1) & (rows.text > rows.prompt)
        chunks = served & ~decode
        text, cross = rows.text[decode], rows.cross[decode]
        return StepShape(
            num_tokens=int(rows.new[served].sum()),
            num_samples=len(batch.sampled),
            decode_rows=int(decode.sum()),
            decode_reads=tuple(
                int(
                    live_tokens(
                        c.spec.kind, c.spec.window, text, cross, text * 0 + 1, text * 0
                    ).sum()
                )
                for c in self.latency.classes
            ),
            prefills=tuple(
                Prefill(int(new), int(end), int(encoder))
                for new, end, encoder in zip(
                    rows.new[chunks], rows.text[chunks], rows.cross[chunks], strict=True
                )
            ),
        )

    def _settle(self, done: InFlight, end_ns: int) -> None:
        """Let a step's tokens come out at ``end_ns``."""
        self.now_ns = end_ns
        for slot in done.batch.sampled:
            self._token_out(slot, end_ns)
        # Those who waited for the end of a request may arrive.
        for slot in self.scheduler.complete(done.batch):
            self.arrivals.ended(slot, end_ns)
        if self.check:
            self.scheduler.tables.check()
        if self.hooks.after_step is not None:
            self.hooks.after_step(self)

    def _token_out(self, slot: int, end_ns: int) -> None:
        requests = self.requests
        if requests.first_token_ns[slot] < 0:
            requests.first_token_ns[slot] = end_ns
        else:
            self.recorder.gaps.add(end_ns - requests.last_token_ns[slot])
        requests.last_token_ns[slot] = end_ns

    def _idle_until_arrival(self) -> int | None:
        """Time to the next arrival, recorded as idle; None at the end of the run."""
        arrival_ns = self.arrivals.peek()
        if arrival_ns is None:
            if self.scheduler.has_requests:
                raise self.stalled()
            return None
        wait = arrival_ns - self.now_ns
        # There is none if a request was dropped just now, and the next one comes after it.
        if wait:
            slack = self.slack(None)
            parts = self.parts([[0] * len(self.recorder.labels)] * 4, slack)
            self.recorder.idle(self.now_ns, wait, len(self.scheduler.waiting), parts, slack)
        return wait

    def stalled(self) -> StalledError:
        """Why the run cannot go on."""
        slot = self.scheduler.waiting.peek()
        tables = self.scheduler.tables
        need = tables.admission_need(slot, self.requests.num_tokens(slot))
        return StalledError(
            f"the run cannot make progress at {self.now_ns / 1e9:.3f} s: "
            f"{len(self.scheduler.waiting)} requests wait, {len(self.scheduler.running)} run, none "
            f"will arrive. The first, request {slot} with {self.requests.num_tokens(slot)} tokens, "
            f"needs {list(need)} pages; {list(tables.free_pages())} are free by group. "
            "A policy that says a request could fit an empty pool must serve it there."
        )
