"""Many decode steps at once: between two changes of the batch they differ only in lengths.

A leap ends before anything could decide differently than step by step: an arrival, a page that
might be refused, a page given back while somebody waits for memory. It may end with requests that
finish. Its steps are recorded one by one; the result is identical to running them one by one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..configs.errors import InvariantError
from ..policies.demand import demand, expired, live_tokens
from .recorder import StepRecord
from .usage import IntArray, Rows

if TYPE_CHECKING:
    from .engine import Replica

MAX_CELLS = 1 << 17
"""Steps times requests of one leap: bounds its memory."""


@dataclass
class Leap:
    """Decode steps of an unchanging batch, planned; ``durations[i]`` in ns."""

    slots: list[int]
    rows: Rows
    durations: IntArray
    changes: list[tuple[int, int]]
    """(step, position in ``slots``) at which pages are taken or given back, in order."""
    finished: list[int]

    def record(self, replica: "Replica") -> None:
        """Take and give back pages in the order of the steps, and record every step."""
        requests, tables = replica.requests, replica.scheduler.tables
        start = [requests.computed[slot] for slot in self.slots]
        kinds = [array.tolist() for array in replica.meter.kind_bytes(self.rows)]
        now = replica.now_ns
        slack = replica.slack(replica.refused)
        changes = iter([*self.changes, (len(self.durations), 0)])
        step, position = next(changes)
        for index, duration in enumerate(self.durations.tolist()):
            changed = step == index
            while step == index:
                slot = self.slots[position]
                requests.computed[slot] = start[position] + index
                if not tables.allocate(slot, 1):
                    raise InvariantError("the carving's horizon promised pages that are not there")
                step, position = next(changes)
            if changed:
                slack = replica.slack(replica.refused)
            replica.recorder.step(
                StepRecord(
                    start_ns=now,
                    duration_ns=duration,
                    running=len(self.slots),
                    waiting=len(replica.scheduler.waiting),
                    served=len(self.slots),
                    tokens=len(self.slots),
                    prefill_tokens=0,
                    parts=replica.parts([rows[index] for rows in kinds], slack),
                    slack=slack,
                )
            )
            self._tokens_out(replica, index, now, now + duration)
            now += duration
        count = len(self.durations)
        for slot, computed in zip(self.slots, start, strict=True):
            requests.computed[slot] = computed + count
            requests.output[slot] += count
            requests.last_token_ns[slot] = now

    def _tokens_out(self, replica: "Replica", index: int, start_ns: int, end_ns: int) -> None:
        gaps = replica.recorder.itl_ns
        if index:
            gaps[end_ns - start_ns] += len(self.slots)
            return
        for slot in self.slots:
            gaps[end_ns - replica.requests.last_token_ns[slot]] += 1


def plan_leap(replica: "Replica") -> Leap | None:
    """Plan a leap from here, or None where a single step must decide."""
    scheduler, requests = replica.scheduler, replica.requests
    slots = scheduler.running
    if not slots or len(slots) > scheduler.config.max_num_batched_tokens or not _unchanged(replica):
        return None
    text = np.array([requests.computed[slot] for slot in slots], dtype=np.int64)
    left = [requests.max_tokens[slot] - requests.output[slot] for slot in slots]
    steps = min(min(left), max(1, MAX_CELLS // len(slots)), _steps_to_arrival(replica))
    if steps < 2:
        return None
    rows = _rows(replica, slots, text, steps)
    steps = min(steps, _steps_with_pages(replica, slots, rows))
    if steps < 2:
        return None
    rows = _cut(rows, steps)
    durations = replica.latency.decode_ns(len(slots), _reads(replica, rows))
    steps = _steps_before_arrival(replica, durations)
    if steps < 2:
        return None
    rows = _cut(rows, steps)
    return Leap(
        slots=list(slots),
        rows=rows,
        durations=durations[:steps],
        changes=_changes(replica, slots, rows),
        finished=[slot for slot, more in zip(slots, left, strict=True) if more == steps],
    )


def _unchanged(replica: "Replica") -> bool:
    """Whether admission would decide as in the last step: nobody to admit, or the same refusal."""
    scheduler = replica.scheduler
    full = len(scheduler.running) >= scheduler.config.max_num_seqs
    return not len(scheduler.waiting) or full or scheduler.waiting.peek() == replica.blocked_head


def _steps_to_arrival(replica: "Replica") -> int:
    """A generous guess, so that no more steps are planned than can be used."""
    if replica.next_arrival >= len(replica.requests):
        return MAX_CELLS
    wait = replica.requests.arrival_ns[replica.next_arrival] - replica.now_ns
    return wait // max(replica.last_duration_ns // 2, 1) + 2


def _steps_before_arrival(replica: "Replica", durations: IntArray) -> int:
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
    allocated = tuple(demand(group, before + 1, cross) for group in tables.classes)
    return Rows(
        text=before + 1,
        new=one,
        cross=cross,
        prompt=cross * 0,
        in_flight=one * 0,
        expired=tuple(expired(group, before, one * 0) for group in tables.classes),
        allocated=allocated,
    )


def _cut(rows: Rows, steps: int) -> Rows:
    return Rows(
        *(rows_[:steps] for rows_ in rows[:5]),
        expired=tuple(array[:steps] for array in rows.expired),
        allocated=tuple(array[:steps] for array in rows.allocated),
    )


def _page_flow(replica: "Replica", slots: list[int], rows: Rows) -> list[tuple[IntArray, IntArray]]:
    """Per growth class: pages taken and given back, by step and request."""
    tables = replica.scheduler.tables
    flow: list[tuple[IntArray, IntArray]] = []
    for index in range(len(tables.classes)):
        have = np.array([tables.allocated[index][slot] for slot in slots], dtype=np.int64)
        gone = np.array([tables.expired[index][slot] for slot in slots], dtype=np.int64)
        taken = np.diff(rows.allocated[index], axis=0, prepend=have[None, :])
        given = np.diff(rows.expired[index], axis=0, prepend=gone[None, :])
        flow.append((taken, given))
    return flow


def _steps_with_pages(replica: "Replica", slots: list[int], rows: Rows) -> int:
    """Steps whose pages are surely there, ending before a page is freed that somebody awaits."""
    tables, scheduler = replica.scheduler.tables, replica.scheduler
    flow = _page_flow(replica, slots, rows)
    by_class = [taken.sum(axis=1).tolist() for taken, _ in flow]
    need = [tables.per_group(list(counts)) for counts in zip(*by_class, strict=True)]
    steps = tables.carving.horizon(need)
    if len(scheduler.waiting) and len(slots) < scheduler.config.max_num_seqs:
        freed = np.flatnonzero(sum(given.sum(axis=1) for _, given in flow))
        steps = min(steps, int(freed[0])) if freed.size else steps
    return steps


def _changes(replica: "Replica", slots: list[int], rows: Rows) -> list[tuple[int, int]]:
    changed: npt.NDArray[np.bool_] = np.zeros(rows.text.shape, dtype=bool)
    for taken, given in _page_flow(replica, slots, rows):
        changed |= (taken > 0) | (given > 0)
    return [(step, position) for step, position in np.argwhere(changed).tolist()]


def _reads(replica: "Replica", rows: Rows) -> IntArray:
    """Tokens that each attention class reads in each step: shape (steps, classes)."""
    none = rows.in_flight
    reads = [
        live_tokens(c.spec.kind, c.spec.window, rows.text, rows.cross, rows.new, none).sum(axis=1)
        for c in replica.latency.classes
    ]
    return np.stack(reads, axis=1) if reads else np.zeros((len(rows.text), 0), np.int64)
