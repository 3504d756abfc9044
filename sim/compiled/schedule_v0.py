"""Whole prompts first, then decodes: ``sim.scheduler_v0`` for the compiled engine."""

from typing import Any, NamedTuple

from ...configs.errors import InvariantError
from ...policies.batch import NOTHING_REFUSED
from ...policies.compiled import body_of, inner
from ..requests import NEVER, OUTPUT, PROMPT, SCHEDULED_NS, IntArray
from . import contract, waiting
from .batches import admit, clear, give_seat, preempt, put, stop_running
from .schedule import next_waiting, schedule
from .state import (
    ALONE,
    MAX_SEQS,
    MAX_TOKENS_PER_STEP,
    NOW,
    NUM_RUNNING,
    NUM_SERVED,
    NUM_WAITING,
    REFUSED,
    RESTART_ALONE,
    RUNNING_LIST,
    EngineArrays,
)


class WholePrompts(NamedTuple):
    """Marks a run under ``SchedulerV0``."""


@body_of(schedule, WholePrompts)
@inner
def schedule_v0(
    rules: WholePrompts, engine: EngineArrays, table: IntArray, tables: Any, which: int
) -> None:
    """See SchedulerV0. Every window moves before anything else happens."""
    clear(engine, which)
    engine.needs[REFUSED, 0] = NOTHING_REFUSED
    contract.begin_step(tables)
    for place in range(engine.scalars[NUM_RUNNING]):
        contract.trim(tables, table, engine.lists[RUNNING_LIST, place])
    _prefill(engine, table, tables, which)
    if engine.counts[NUM_SERVED, which] == 0:
        _decode(engine, table, tables, which)
    contract.end_step(tables)


@inner
def _prefill(engine: EngineArrays, table: IntArray, tables: Any, which: int) -> None:
    """Admit waiting requests as long as the next one fits; the watermark is always kept."""
    scalars = engine.scalars
    left = scalars[MAX_TOKENS_PER_STEP]
    while scalars[NUM_WAITING]:
        slot = next_waiting(engine, table)
        if slot == NEVER:
            return
        hit, _ = contract.look_up(tables, table, slot)
        tokens = table[PROMPT, slot] + table[OUTPUT, slot]
        if contract.lacking(
            tables, table, slot, hit, tokens - hit, engine.watermark, True, engine.needs[REFUSED]
        ):
            return
        if tokens > left or scalars[NUM_RUNNING] >= scalars[MAX_SEQS]:
            return
        give_seat(engine, table, slot)
        if not contract.allocate(tables, table, slot, tokens - hit, hit):
            raise InvariantError("the carving says that pages fit and then refuses them")
        waiting.remove(engine, table, slot)
        admit(engine, table, which, slot, hit)
        put(engine, which, slot, tokens - hit)
        if table[SCHEDULED_NS, slot] < 0:
            table[SCHEDULED_NS, slot] = scalars[NOW]
        left -= tokens


@inner
def _decode(engine: EngineArrays, table: IntArray, tables: Any, which: int) -> None:
    """One token for everybody who runs; who finds no page preempts the youngest."""
    scalars = engine.scalars
    index = 0
    while index < scalars[NUM_RUNNING]:
        slot = engine.lists[RUNNING_LIST, index]
        while not contract.allocate(tables, table, slot, 1, 0):
            victim = engine.lists[RUNNING_LIST, scalars[NUM_RUNNING] - 1]
            stop_running(engine, victim)
            preempt(engine, table, tables, which, victim)
            if victim == slot:
                if scalars[RESTART_ALONE] and scalars[NUM_RUNNING] == 0:
                    scalars[ALONE] = slot
                return
        put(engine, which, slot, 1)
        index += 1
