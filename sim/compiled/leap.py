"""Decode steps of an unchanging batch, without deciding anew who is served.

While everything that runs decodes and nobody can be admitted, steps differ in lengths only. A leap
takes them one after the other, asks the tables only where a page is due, and stops before the first
step that would decide anything, or pay for anything: a refused page, an admission, an arrival,
copies within the pool. Pages that were taken for that step already are simply there when it is
scheduled. The result is identical to single steps.

With async scheduling one batch is on the GPU while the next is scheduled: a leap starts and ends
with such a batch in flight, and the tokens that come out in it are those of one step earlier.
"""

from typing import Any

from ...policies.batch import NEVER_DUE
from ...policies.compiled import inner
from ..requests import (
    COMPUTED,
    CROSS,
    IN_FLIGHT,
    MAX_TOKENS,
    OUTPUT,
    PROMPT,
    SEAT,
    IntArray,
)
from . import contract, waiting
from .batches import finish, is_done, rows_of
from .recorder import record_gap, record_step
from .schedule import would_admit
from .state import (
    BLOCKED_HEAD,
    DURATION,
    GPU_FREE,
    MAX_SEQS,
    MAX_TOKENS_PER_STEP,
    NO_COPIES,
    NOW,
    NUM_IN_FLIGHT,
    NUM_RUNNING,
    NUM_STEPS,
    NUM_WAITING,
    OLDEST,
    REFUSED,
    RUNNING_LIST,
    SAMPLED,
    EngineArrays,
)
from .step import Clockwork, is_pure_decode, let_tokens_out, measure_now

SAME, CHANGED, NOT_TO_BE_HAD = range(3)


@inner
def leap(
    engine: EngineArrays, table: IntArray, tables: Any, clockwork: Clockwork, most: int
) -> int:
    """Take up to ``most`` decode steps that need no decision; how many they were."""
    scalars = engine.scalars
    flying, oldest = scalars[NUM_IN_FLIGHT], scalars[OLDEST]
    if flying and not is_pure_decode(engine, oldest):
        return 0
    # From now on a state that the last step wrote can be hit.
    contract.begin_step(tables)
    if not _is_unchanged(engine, table, tables):
        return 0
    most = min(most, _steps_to_end(engine, table))
    due_ns = contract.tables_due(tables)
    limit_ns = _limit_ns(due_ns, contract.next_ns(clockwork.arrivals))
    settling = engine.counts[DURATION, oldest] if flying else 0
    first_ns = 0
    steps = 0
    while steps < most and scalars[NOW] < limit_ns:
        changed = _change_pages(engine, table, tables)
        if changed == NOT_TO_BE_HAD:
            break
        if changed and scalars[NUM_WAITING] and would_admit(engine, table, tables):
            break
        # Where pages were copied the step by itself finds them in place, and pays.
        if contract.tables_due(tables) != due_ns:
            break
        if changed or not steps:
            contract.tables_slack(tables, engine.needs[REFUSED], engine.watermark, clockwork.slack)
        duration = _run_step(engine, table, tables, clockwork, steps > 0 and changed == SAME)
        if not flying:
            settling = duration
        if steps:
            record_gap(clockwork.recorder, settling, scalars[NUM_RUNNING])
        else:
            first_ns = scalars[NOW] + settling
        scalars[NOW] += settling
        settling = duration
        steps += 1
    if steps:
        if flying:
            engine.counts[DURATION, oldest] = settling
        let_tokens_out(
            table,
            clockwork.recorder,
            engine.lists[RUNNING_LIST],
            scalars[NUM_RUNNING],
            first_ns,
            scalars[NOW],
        )
    return steps


@inner
def _is_unchanged(engine: EngineArrays, table: IntArray, tables: Any) -> bool:
    """Whether admission would decide as in the last step: nobody to admit, or the same refusal.

    What is cached since then may be hit now, so the refusal is asked for again.
    """
    scalars = engine.scalars
    running = scalars[NUM_RUNNING]
    if not running or running > scalars[MAX_TOKENS_PER_STEP]:
        return False
    if not scalars[NUM_WAITING] or running >= scalars[MAX_SEQS]:
        return True
    if waiting.first(engine) != scalars[BLOCKED_HEAD]:
        return False
    return not would_admit(engine, table, tables)


@inner
def _steps_to_end(engine: EngineArrays, table: IntArray) -> int:
    """Steps until the first request has its last token scheduled."""
    steps = NEVER_DUE
    for place in range(engine.scalars[NUM_RUNNING]):
        slot = engine.lists[RUNNING_LIST, place]
        end = table[PROMPT, slot] + table[MAX_TOKENS, slot]
        steps = min(steps, end - table[COMPUTED, slot] - 1)
    return steps


@inner
def _limit_ns(due_ns: int, arrival_ns: int) -> int:
    """When the carving wants to act or the next request arrives.

    Nobody ends before the last step has settled, so nobody arrives who is not known yet.
    """
    return due_ns if arrival_ns < 0 else min(due_ns, arrival_ns)


@inner
def _change_pages(engine: EngineArrays, table: IntArray, tables: Any) -> int:
    """Let the tables that must change do so: SAME, CHANGED, or NOT_TO_BE_HAD if one may not."""
    contract.begin_step(tables)
    outcome = SAME
    for place in range(engine.scalars[NUM_RUNNING]):
        slot = engine.lists[RUNNING_LIST, place]
        if table[COMPUTED, slot] >= tables.quiet[table[SEAT, slot]]:
            outcome = CHANGED
            if not contract.allocate(tables, table, slot, 1, 0):
                outcome = NOT_TO_BE_HAD
                break
    contract.end_step(tables)
    return outcome


@inner
def _run_step(
    engine: EngineArrays, table: IntArray, tables: Any, clockwork: Clockwork, alike: bool
) -> int:
    """Compute one token of everybody; how long that takes.

    ``alike``: the step differs from the one before in lengths only.
    """
    scalars, running = engine.scalars, engine.lists[RUNNING_LIST]
    count, reads = scalars[NUM_RUNNING], clockwork.reads
    reads[:] = 0
    for place in range(count):
        slot = running[place]
        table[COMPUTED, slot] += 1
        table[IN_FLIGHT, slot] += 1
        contract.decode_reads(clockwork.latency, table[COMPUTED, slot], table[CROSS, slot], reads)
    duration = contract.step_ns(
        clockwork.latency, count, count, count, reads, clockwork.prefills, 0
    )
    start = max(scalars[NOW], scalars[GPU_FREE])
    scalars[GPU_FREE] = start + duration
    measure_now(engine, table, tables, clockwork, alike)
    record_step(
        clockwork.recorder,
        start,
        duration,
        count,
        scalars[NUM_WAITING],
        count,
        count,
        0,
        clockwork.parts,
        clockwork.slack,
        engine.counts[NO_COPIES],
        0,
    )
    scalars[NUM_STEPS] += 1
    # The token that comes out while the next step is scheduled.
    for place in range(count):
        slot = running[place]
        table[IN_FLIGHT, slot] -= 1
        table[OUTPUT, slot] += 1
    return duration


@inner
def finish_done(engine: EngineArrays, table: IntArray, tables: Any, arrivals: Any) -> bool:
    """Finish the requests that a leap brought to their end; whether there were any."""
    scalars, lists = engine.scalars, engine.lists
    # A free batch names them: nothing is scheduled now.
    row = rows_of(1 - scalars[OLDEST]) + SAMPLED
    finished = 0
    for place in range(scalars[NUM_RUNNING]):
        slot = lists[RUNNING_LIST, place]
        if is_done(engine, table, slot):
            lists[row, finished] = slot
            finished += 1
    for place in range(finished):
        finish(engine, table, tables, lists[row, place])
    for place in range(finished):
        contract.has_ended(arrivals, lists[row, place], scalars[NOW])
    return finished > 0
