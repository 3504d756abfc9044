"""Many decode steps at once: between two changes of the batch they differ only in lengths.

While everything that runs decodes and nobody can be admitted, a step only takes pages at the end
of some tables and gives back others. A leap finds all these moments for many steps by array
arithmetic, lets them happen in the order of the steps, and stops before the first step that would
decide anything, or pay for anything: a refused page, an admission, an arrival, copies within the
pool. Pages that were taken for that step already are simply there when it is scheduled. The result
is identical to single steps.

With async scheduling one batch is on the GPU while the next is scheduled: a leap starts and ends
with such a batch in flight, and the tokens that come out in it are those of one step earlier.
"""

from collections import deque
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ..policies.base import Slack
from ..policies.demand import demand, expired, live_tokens
from .recorder import StepRecord
from .usage import IntArray, Rows

if TYPE_CHECKING:
    from .engine import InFlight, Replica

MAX_CELLS = 1 << 17
"""Steps times requests of one leap: bounds its memory."""
FIRST_STEPS, LEAST_STEPS, MOST_STEPS = 16, 4, 4096
"""Steps to plan: fewer after a leap that was cut short, more after a whole one."""


@dataclass
class Plan:
    """Decode steps of an unchanging batch, if nothing interferes; axis 0 of arrays is the step."""

    slots: list[int]
    rows: Rows
    durations: IntArray
    """Nanoseconds of each step."""
    in_flight_ns: int | None
    """Duration of the batch on the GPU while the first step is scheduled, if there is one."""

    @property
    def steps(self) -> int:
        """Number of steps planned."""
        return len(self.durations)


class Leapt(NamedTuple):
    """How far a leap went."""

    duration_ns: int
    """0 if not a single step could be taken."""
    decision_due: bool
    """Whether the next step must decide something, and so be scheduled by itself."""


def leap(replica: "Replica", in_flight: "deque[InFlight]") -> Leapt:
    """Run as many decode steps as need no decision.

    ``in_flight`` is empty, or holds the batch on the GPU; then that settles and the last batch of
    the leap takes its place. Requests whose last token came out are still running; the caller
    finishes them.
    """
    if in_flight and not replica.is_pure_decode(in_flight[0].batch):
        return Leapt(0, decision_due=True)
    # From now on a state that the last step wrote can be hit.
    replica.scheduler.tables.begin_step()
    plan = _plan(replica, in_flight[0].duration_ns if in_flight else None)
    if plan is None:
        return Leapt(0, decision_due=True)
    moments = _move_pages(replica, plan)
    replica.leap_steps = _adapted(replica.leap_steps, len(moments), plan.steps)
    if not moments:
        return Leapt(0, decision_due=True)
    settled = _settled_ns(plan, len(moments))
    _record(replica, plan, moments)
    _let_tokens_out(replica, plan.slots, settled)
    replica.gpu_free_ns += int(plan.durations[: len(moments)].sum())
    if in_flight:
        in_flight[0].duration_ns = int(plan.durations[len(moments) - 1])
    return Leapt(sum(settled), decision_due=len(moments) < plan.steps)


def _adapted(planned: int, done: int, possible: int) -> int:
    """How many steps to plan next time. A matter of speed only."""
    if done < possible:
        return max(LEAST_STEPS, min(planned, 2 * done))
    return min(2 * planned, MOST_STEPS)


def _plan(replica: "Replica", in_flight_ns: int | None) -> Plan | None:
    """Lengths and durations of the coming steps, up to the first finish or arrival."""
    scheduler, requests = replica.scheduler, replica.requests
    slots = list(scheduler.running)
    if not slots or len(slots) > scheduler.config.max_num_batched_tokens or not _unchanged(replica):
        return None
    # Steps until the first request has its last token scheduled.
    ends = (requests.prompt[slot] + requests.max_tokens[slot] for slot in slots)
    left = min(end - requests.computed[slot] - 1 for end, slot in zip(ends, slots, strict=True))
    steps = min(left, replica.leap_steps, max(1, MAX_CELLS // len(slots)))
    if steps < 2:
        return None
    text = np.array([requests.computed[slot] for slot in slots], dtype=np.int64)
    rows = _rows(replica, slots, text, steps, in_flight=0 if in_flight_ns is None else 1)
    durations = replica.latency.decode_ns(len(slots), _reads(replica, rows))
    plan = Plan(slots, rows, durations, in_flight_ns)
    steps = _steps_before_change(replica, plan)
    return Plan(slots, _cut(rows, steps), durations[:steps], in_flight_ns)


def _unchanged(replica: "Replica") -> bool:
    """Whether admission would decide as in the last step: nobody to admit, or the same refusal.

    With a prefix cache the refusal is asked for again: what the last step wrote can be hit now.
    """
    scheduler = replica.scheduler
    full = len(scheduler.running) >= scheduler.config.max_num_seqs
    if not len(scheduler.waiting) or full:
        return True
    if scheduler.waiting.peek() != replica.blocked_head:
        return False
    return not (scheduler.tables.keyed and scheduler.would_admit())


def _settled_ns(plan: Plan, steps: int) -> list[int]:
    """Durations of the batches that settle while ``steps`` are scheduled."""
    durations: list[int] = plan.durations[:steps].tolist()
    if plan.in_flight_ns is None:
        return durations
    return [plan.in_flight_ns, *durations[:-1]]


def _steps_before_change(replica: "Replica", plan: Plan) -> int:
    """Steps that are scheduled before the next request arrives and the carving wants to act."""
    limit = replica.scheduler.tables.due_ns()
    # Nobody ends before the last step has settled, so nobody arrives who is not known yet.
    arrival = replica.arrivals.peek()
    if arrival is not None:
        limit = arrival if limit is None else min(arrival, limit)
    if limit is None:
        return plan.steps
    settled = np.array(_settled_ns(plan, plan.steps), dtype=np.int64)
    scheduled = replica.now_ns + np.cumsum(settled) - settled
    return int(np.searchsorted(scheduled, limit, side="left"))


def _rows(
    replica: "Replica", slots: list[int], text: IntArray, steps: int, *, in_flight: int
) -> Rows:
    """Table lengths of ``steps`` decode steps: axis 0 steps, axis 1 requests."""
    tables, requests = replica.scheduler.tables, replica.requests
    before = text + np.arange(steps, dtype=np.int64)[:, None]
    one = np.ones_like(before)
    cross = np.array([requests.cross[slot] for slot in slots], dtype=np.int64) * one
    gone = tuple(
        np.maximum(expired(group, before, one * in_flight), [column[slot] for slot in slots])
        for group, column in zip(tables.classes, tables.expired, strict=True)
    )
    return Rows(
        text=before + 1,
        new=one,
        cross=cross,
        prompt=cross * 0,
        in_flight=one * in_flight,
        expired=gone,
        allocated=tuple(demand(group, before + 1, cross) for group in tables.classes),
        held=np.zeros((steps, len(tables.groups)), dtype=np.int64),
        excess=replica.meter.excess(slots, before + 1, before - in_flight, gone),
    )


def _cut(rows: Rows, steps: int) -> Rows:
    return Rows(
        text=rows.text[:steps],
        new=rows.new[:steps],
        cross=rows.cross[:steps],
        prompt=rows.prompt[:steps],
        in_flight=rows.in_flight[:steps],
        expired=tuple(array[:steps] for array in rows.expired),
        allocated=tuple(array[:steps] for array in rows.allocated),
        held=rows.held[:steps],
        excess=rows.excess[:steps],
    )


def _reads(replica: "Replica", rows: Rows) -> IntArray:
    """Tokens that each attention class reads in each step: shape (steps, classes)."""
    none = rows.new * 0
    reads = [
        live_tokens(c.spec.kind, c.spec.window, rows.text, rows.cross, rows.new, none).sum(axis=1)
        for c in replica.latency.classes
    ]
    return np.stack(reads, axis=1) if reads else np.zeros((len(rows.text), 0), np.int64)


class Moment(NamedTuple):
    """The pool while a step runs."""

    slack: Slack
    held: tuple[int, ...]
    """See ``Tables.held_pages``."""


def _moment(replica: "Replica") -> Moment:
    return Moment(replica.slack(replica.refused), replica.scheduler.tables.held_pages())


def _move_pages(replica: "Replica", plan: Plan) -> list[Moment]:
    """Take and give back pages step by step; the pool after each step that nothing stopped."""
    requests, scheduler = replica.requests, replica.scheduler
    start = [(requests.computed[slot], requests.output[slot]) for slot in plan.slots]
    changed, freeing = _changes(replica, plan)
    moments: list[Moment] = []
    moment = _moment(replica)
    due = scheduler.tables.due_ns()
    done = plan.steps
    for step, positions in changed:
        moments.extend([moment] * (step - len(moments)))
        scheduler.tables.begin_step()
        moved = _move(replica, plan, start, step, positions)
        scheduler.tables.end_step()
        # A page that was taken may have been cached: a shorter hit can need fewer pages.
        asks = step in freeing or scheduler.tables.keyed
        if not moved or (asks and scheduler.would_admit()) or scheduler.tables.due_ns() != due:
            # Also where pages were copied: the step by itself finds them in place, and pays.
            done = step
            break
        moment = _moment(replica)
    moments.extend([moment] * (done - len(moments)))
    for slot, (computed, output) in zip(plan.slots, start, strict=True):
        requests.computed[slot] = computed + done
        requests.output[slot] = output + done
    return moments


def _move(
    replica: "Replica",
    plan: Plan,
    start: list[tuple[int, int]],
    step: int,
    positions: list[int],
) -> bool:
    """Let the requests whose tables change in ``step`` change them; False if one is refused."""
    for position in positions:
        slot = plan.slots[position]
        computed, output = start[position]
        replica.requests.computed[slot] = computed + step
        replica.requests.output[slot] = output + step
        if not replica.scheduler.tables.allocate(slot, 1):
            return False
    return True


def _changes(replica: "Replica", plan: Plan) -> tuple[list[tuple[int, list[int]]], set[int]]:
    """Steps with the positions whose tables change in them, and the steps that free pages."""
    tables = replica.scheduler.tables
    changed: npt.NDArray[np.bool_] = np.zeros(plan.rows.text.shape, dtype=bool)
    freeing: npt.NDArray[np.bool_] = np.zeros(plan.steps, dtype=bool)
    for index in range(len(tables.classes)):
        have = np.array([tables.allocated[index][slot] for slot in plan.slots], dtype=np.int64)
        gone = np.array([tables.expired[index][slot] for slot in plan.slots], dtype=np.int64)
        taken = np.diff(plan.rows.allocated[index], axis=0, prepend=have[None, :]) > 0
        given = np.diff(plan.rows.expired[index], axis=0, prepend=gone[None, :]) > 0
        changed |= taken | given
        freeing |= given.any(axis=1)
    for group, column in zip(tables.classes, tables.keyed, strict=False):
        have = np.array([column[slot] for slot in plan.slots], dtype=np.int64)
        full = (plan.rows.text - plan.rows.in_flight) // group.block_size
        changed |= np.diff(full, axis=0, prepend=have[None, :]) > 0
    events = groupby(np.argwhere(changed).tolist(), key=itemgetter(0))
    by_step = [(step, [position for _, position in group]) for step, group in events]
    return by_step, set(np.flatnonzero(freeing).tolist())


def _record(replica: "Replica", plan: Plan, moments: list[Moment]) -> None:
    """Record every step as it runs."""
    count, steps = len(plan.slots), len(moments)
    rows = _cut(plan.rows, steps)
    if moments[0].held:
        rows = rows._replace(held=np.array([moment.held for moment in moments], dtype=np.int64))
    kinds = [array.tolist() for array in replica.meter.kind_bytes(rows)]
    waiting = len(replica.scheduler.waiting)
    start = replica.now_ns + (plan.in_flight_ns or 0)
    durations = plan.durations[:steps].tolist()
    for step, (duration, moment) in enumerate(zip(durations, moments, strict=True)):
        replica.recorder.step(
            StepRecord(
                start_ns=start,
                duration_ns=duration,
                running=count,
                waiting=waiting,
                served=count,
                tokens=count,
                prefill_tokens=0,
                parts=replica.parts([rows[step] for rows in kinds], moment.slack),
                slack=moment.slack,
            )
        )
        start += duration


def _let_tokens_out(replica: "Replica", slots: list[int], settled: list[int]) -> None:
    """Every batch that settles brings one token for each request."""
    requests, gaps = replica.requests, replica.recorder.gaps
    first = replica.now_ns + settled[0]
    for slot in slots:
        if requests.first_token_ns[slot] < 0:
            requests.first_token_ns[slot] = first
        else:
            gaps.add(first - requests.last_token_ns[slot])
        requests.chunk[slot] = 1
        requests.last_token_ns[slot] = replica.now_ns + sum(settled)
    for duration in settled[1:]:
        gaps.add(duration, len(slots))
