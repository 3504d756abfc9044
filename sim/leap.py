"""Many decode steps at once: between two changes of the batch they differ only in lengths.

While everything that runs decodes and nobody can be admitted, a step only takes pages at the end
of some tables and gives back others. A leap finds all these moments for many steps by array
arithmetic, lets them happen in the order of the steps, and stops before the first step that would
decide anything: a refused page, an admission, an arrival. Pages that were taken for that step
already are simply there when it is scheduled. The result is identical to single steps.
"""

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
    from .engine import Replica

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


def leap(replica: "Replica") -> Leapt:
    """Run as many decode steps as need no decision.

    Requests whose last token came out are still running; the caller finishes them.
    """
    plan = _plan(replica)
    if plan is None:
        return Leapt(0, decision_due=True)
    slacks = _move_pages(replica, plan)
    replica.leap_steps = _adapted(replica.leap_steps, len(slacks), plan.steps)
    if slacks:
        _record(replica, plan, slacks)
    duration = int(plan.durations[: len(slacks)].sum())
    return Leapt(duration, decision_due=len(slacks) < plan.steps)


def _adapted(planned: int, done: int, possible: int) -> int:
    """How many steps to plan next time. A matter of speed only."""
    if done < possible:
        return max(LEAST_STEPS, min(planned, 2 * done))
    return min(2 * planned, MOST_STEPS)


def _plan(replica: "Replica") -> Plan | None:
    """Lengths and durations of the coming steps, up to the first finish or arrival."""
    scheduler, requests = replica.scheduler, replica.requests
    slots = list(scheduler.running)
    if not slots or len(slots) > scheduler.config.max_num_batched_tokens or not _unchanged(replica):
        return None
    left = min(requests.max_tokens[slot] - requests.output[slot] for slot in slots)
    steps = min(left, replica.leap_steps, max(1, MAX_CELLS // len(slots)))
    if steps < 2:
        return None
    text = np.array([requests.computed[slot] for slot in slots], dtype=np.int64)
    rows = _rows(replica, slots, text, steps)
    durations = replica.latency.decode_ns(len(slots), _reads(replica, rows))
    steps = _steps_before_arrival(replica, durations)
    return Plan(slots, _cut(rows, steps), durations[:steps])


def _unchanged(replica: "Replica") -> bool:
    """Whether admission would decide as in the last step: nobody to admit, or the same refusal."""
    scheduler = replica.scheduler
    full = len(scheduler.running) >= scheduler.config.max_num_seqs
    return not len(scheduler.waiting) or full or scheduler.waiting.peek() == replica.blocked_head


def _steps_before_arrival(replica: "Replica", durations: IntArray) -> int:
    """Steps that start before the next request arrives."""
    if replica.next_arrival >= len(replica.requests):
        return len(durations)
    starts = replica.now_ns + np.cumsum(durations) - durations
    arrival = replica.requests.arrival_ns[replica.next_arrival]
    return int(np.searchsorted(starts, arrival, side="left"))


def _rows(replica: "Replica", slots: list[int], text: IntArray, steps: int) -> Rows:
    """Table lengths of ``steps`` decode steps: axis 0 steps, axis 1 requests."""
    tables, requests = replica.scheduler.tables, replica.requests
    before = text + np.arange(steps, dtype=np.int64)[:, None]
    one = np.ones_like(before)
    cross = np.array([requests.cross[slot] for slot in slots], dtype=np.int64) * one
    return Rows(
        text=before + 1,
        new=one,
        cross=cross,
        prompt=cross * 0,
        in_flight=one * 0,
        expired=tuple(expired(group, before, one * 0) for group in tables.classes),
        allocated=tuple(demand(group, before + 1, cross) for group in tables.classes),
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
    )


def _reads(replica: "Replica", rows: Rows) -> IntArray:
    """Tokens that each attention class reads in each step: shape (steps, classes)."""
    none = rows.in_flight
    reads = [
        live_tokens(c.spec.kind, c.spec.window, rows.text, rows.cross, rows.new, none).sum(axis=1)
        for c in replica.latency.classes
    ]
    return np.stack(reads, axis=1) if reads else np.zeros((len(rows.text), 0), np.int64)


def _move_pages(replica: "Replica", plan: Plan) -> list[Slack]:
    """Take and give back pages step by step; the slack after each step that nothing stopped."""
    requests, scheduler = replica.requests, replica.scheduler
    start = [requests.computed[slot] for slot in plan.slots]
    changed, freeing = _changes(replica, plan)
    slacks: list[Slack] = []
    slack = replica.slack(replica.refused)
    done = plan.steps
    for step, positions in changed:
        slacks.extend([slack] * (step - len(slacks)))
        if not _move(replica, plan, start, step, positions) or (
            step in freeing and scheduler.would_admit()
        ):
            done = step
            break
        slack = replica.slack(replica.refused)
    slacks.extend([slack] * (done - len(slacks)))
    for slot, computed in zip(plan.slots, start, strict=True):
        requests.computed[slot] = computed + done
    return slacks


def _move(
    replica: "Replica", plan: Plan, start: list[int], step: int, positions: list[int]
) -> bool:
    """Let the requests whose tables change in ``step`` change them; False if one is refused."""
    for position in positions:
        slot = plan.slots[position]
        replica.requests.computed[slot] = start[position] + step
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
    events = groupby(np.argwhere(changed).tolist(), key=itemgetter(0))
    by_step = [(step, [position for _, position in group]) for step, group in events]
    return by_step, set(np.flatnonzero(freeing).tolist())


def _record(replica: "Replica", plan: Plan, slacks: list[Slack]) -> None:
    """Record every step and let its tokens come out."""
    requests, count = replica.requests, len(plan.slots)
    steps = len(slacks)
    kinds = [array.tolist() for array in replica.meter.kind_bytes(_cut(plan.rows, steps))]
    waiting = len(replica.scheduler.waiting)
    now = replica.now_ns
    gaps = replica.recorder.itl_ns
    for step, (duration, slack) in enumerate(
        zip(plan.durations[:steps].tolist(), slacks, strict=True)
    ):
        replica.recorder.step(
            StepRecord(
                start_ns=now,
                duration_ns=duration,
                running=count,
                waiting=waiting,
                served=count,
                tokens=count,
                prefill_tokens=0,
                parts=replica.parts([rows[step] for rows in kinds], slack),
                slack=slack,
            )
        )
        now += duration
        if step:
            gaps[duration] += count
        else:
            for slot in plan.slots:
                gaps[now - requests.last_token_ns[slot]] += 1
    for slot in plan.slots:
        requests.output[slot] += steps
        requests.chunk[slot] = 1
        requests.last_token_ns[slot] = now
