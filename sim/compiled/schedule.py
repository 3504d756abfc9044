"""Who computes how many tokens in a step: ``sim.scheduler`` for the compiled engine."""

from typing import Any, NamedTuple

from ...configs.errors import InvariantError
from ...policies.batch import NOTHING_REFUSED
from ...policies.compiled import body_of, inner
from ...policies.compiled import contract as declare
from ..requests import (
    ARRIVAL_NS,
    COMPUTED,
    JUNCTION,
    MAX_TOKENS,
    NEVER,
    OUTPUT,
    PLACEHOLDERS,
    PRIORITY,
    PROMPT,
    RUNNING,
    SCHEDULED_NS,
    SEAT,
    STALE,
    STATUS,
    WAITING,
    IntArray,
)
from . import contract, waiting
from .batches import admit, clear, drop, give_seat, preempt, put, stop_running
from .state import (
    ALONE,
    ASKED,
    BY_PRIORITY,
    CHUNKED_PREFILL,
    MAX_MODEL_LEN,
    MAX_SEQS,
    MAX_TOKENS_PER_STEP,
    NOW,
    NUM_PREEMPTED,
    NUM_RUNNING,
    NUM_WAITING,
    PASSED_OVER,
    REFUSED,
    RESERVE_WHOLE,
    RESTART_ALONE,
    RUNNING_LIST,
    STATE_BLOCK,
    STATE_UNIT,
    THRESHOLD,
    EngineArrays,
)


class ChunkedPrompts(NamedTuple):
    """Marks a run under ``Scheduler``."""


@declare
def schedule(rules: Any, engine: EngineArrays, table: IntArray, tables: Any, which: int) -> None:
    """Decide the next step as batch ``which`` and take its pages."""
    ...


@body_of(schedule, ChunkedPrompts)
@inner
def schedule_v1(
    rules: ChunkedPrompts, engine: EngineArrays, table: IntArray, tables: Any, which: int
) -> None:
    """See Scheduler."""
    scalars = engine.scalars
    clear(engine, which)
    engine.needs[REFUSED, 0] = NOTHING_REFUSED
    contract.begin_step(tables)
    several = scalars[NUM_RUNNING] + scalars[NUM_WAITING] > 1
    threshold = scalars[THRESHOLD] if several else 0
    budget = _serve_running(engine, table, tables, which, scalars[MAX_TOKENS_PER_STEP], threshold)
    if engine.counts[NUM_PREEMPTED, which] == 0:
        _serve_waiting(engine, table, tables, which, budget, threshold)
    contract.end_step(tables)


@inner
def _serve_running(
    engine: EngineArrays, table: IntArray, tables: Any, which: int, budget: int, threshold: int
) -> int:
    scalars = engine.scalars
    index = 0
    while index < scalars[NUM_RUNNING] and budget > 0:
        slot = engine.lists[RUNNING_LIST, index]
        new = _running_tokens(engine, table, slot, budget, threshold)
        if new <= 0:
            index += 1
            continue
        # Asked here, because most need no page and a call costs more than the question.
        fits = table[COMPUTED, slot] + new <= tables.quiet[table[SEAT, slot]]
        while not fits and not contract.allocate(tables, table, slot, new, 0):
            victim = _victim(engine, table)
            if stop_running(engine, victim) < index:
                index -= 1
            budget += drop(engine, which, victim)
            preempt(engine, table, tables, which, victim)
            if victim == slot:
                if scalars[RESTART_ALONE] and scalars[NUM_RUNNING] == 0:
                    scalars[ALONE] = slot
                break
        if table[STATUS, slot] == RUNNING:
            put(engine, which, slot, new)
            budget -= new
            index += 1
        elif not scalars[BY_PRIORITY]:
            break
    return budget


@inner
def _running_tokens(
    engine: EngineArrays, table: IntArray, slot: int, budget: int, threshold: int
) -> int:
    """Tokens that a running request may compute now; 0 if its last token is on its way."""
    computed, placeholders = table[COMPUTED, slot], table[PLACEHOLDERS, slot]
    prompt = table[PROMPT, slot]
    if placeholders > 0 and computed + 2 - placeholders >= prompt + table[MAX_TOKENS, slot]:
        return 0
    new = prompt + table[OUTPUT, slot] + placeholders - computed
    if 0 < threshold < new:
        new = threshold
    new = min(new, budget, engine.scalars[MAX_MODEL_LEN] - computed - 1)
    if engine.scalars[STATE_BLOCK] == 0:
        return new
    return cut_at_states(engine, table, slot, computed, new, table[JUNCTION, slot])


@inner
def _victim(engine: EngineArrays, table: IntArray) -> int:
    """The running request to preempt: the last one, or the least important, latest one."""
    running = engine.lists[RUNNING_LIST]
    last = running[engine.scalars[NUM_RUNNING] - 1]
    if not engine.scalars[BY_PRIORITY]:
        return last
    for place in range(engine.scalars[NUM_RUNNING] - 1):
        slot = running[place]
        if table[PRIORITY, slot] != table[PRIORITY, last]:
            is_later = table[PRIORITY, slot] > table[PRIORITY, last]
        elif table[ARRIVAL_NS, slot] != table[ARRIVAL_NS, last]:
            is_later = table[ARRIVAL_NS, slot] > table[ARRIVAL_NS, last]
        else:
            is_later = slot > last
        last = slot if is_later else last
    return last


@inner
def _serve_waiting(
    engine: EngineArrays, table: IntArray, tables: Any, which: int, budget: int, threshold: int
) -> None:
    scalars, passed_over = engine.scalars, 0
    while budget > 0 and scalars[NUM_WAITING] and scalars[NUM_RUNNING] < scalars[MAX_SEQS]:
        slot = next_waiting(engine, table)
        if slot == NEVER:
            break
        if table[STALE, slot] > 0:
            # Its output from before the preemption is still in flight.
            waiting.remove(engine, table, slot)
            engine.lists[PASSED_OVER, passed_over] = slot
            passed_over += 1
            if slot == scalars[ALONE]:
                break
            continue
        hit, junction = contract.look_up(tables, table, slot)
        table[JUNCTION, slot] = junction
        new = _first_chunk(engine, table, slot, hit, junction, budget, threshold)
        if new == 0:
            break
        if is_lacking(engine, table, tables, slot, hit, new, engine.needs[REFUSED]):
            break
        give_seat(engine, table, slot)
        if not contract.allocate(tables, table, slot, new, hit):
            raise InvariantError("the carving says that pages fit and then refuses them")
        waiting.remove(engine, table, slot)
        admit(engine, table, which, slot, hit)
        put(engine, which, slot, new)
        if table[SCHEDULED_NS, slot] < 0:
            table[SCHEDULED_NS, slot] = scalars[NOW]
        budget -= new
    for place in range(passed_over - 1, -1, -1):
        waiting.prepend(engine, table, engine.lists[PASSED_OVER, place])


@inner
def next_waiting(engine: EngineArrays, table: IntArray) -> int:
    """The waiting request to be admitted next; NEVER if none may be. Pure."""
    alone = engine.scalars[ALONE]
    if alone == NEVER:
        return waiting.first(engine)
    return alone if table[STATUS, alone] == WAITING else NEVER


@inner
def is_lacking(
    engine: EngineArrays,
    table: IntArray,
    tables: Any,
    slot: int,
    hit: int,
    new: int,
    need: IntArray,
) -> bool:
    """Whether a first chunk of ``new`` tokens does not fit; ``need`` is filled then.

    The whole prompt must fit above the watermark, which does not apply while nothing runs.
    """
    watermark = engine.watermark if engine.scalars[NUM_RUNNING] else 0.0
    whole = engine.scalars[RESERVE_WHOLE] != 0
    return contract.lacking(tables, table, slot, hit, new, watermark, whole, need)


@inner
def would_admit(engine: EngineArrays, table: IntArray, tables: Any) -> bool:
    """Whether a step of pure decodes would admit the first waiting request. Pure."""
    scalars = engine.scalars
    budget = scalars[MAX_TOKENS_PER_STEP] - scalars[NUM_RUNNING]
    full = scalars[NUM_RUNNING] >= scalars[MAX_SEQS]
    if full or budget <= 0 or not scalars[NUM_WAITING]:
        return False
    slot = next_waiting(engine, table)
    if slot == NEVER:
        return False
    hit, junction = contract.look_up(tables, table, slot)
    new = _first_chunk(engine, table, slot, hit, junction, budget, scalars[THRESHOLD])
    return new > 0 and not is_lacking(engine, table, tables, slot, hit, new, engine.needs[ASKED])


@inner
def _first_chunk(
    engine: EngineArrays,
    table: IntArray,
    slot: int,
    hit: int,
    junction: int,
    budget: int,
    threshold: int,
) -> int:
    """Tokens of a waiting request's first chunk; 0 if it must wait for more budget."""
    new = table[PROMPT, slot] + table[OUTPUT, slot] - hit
    if 0 < threshold < new:
        new = threshold
    if not engine.scalars[CHUNKED_PREFILL] and new > budget:
        return 0
    if engine.scalars[STATE_BLOCK] == 0:
        return min(new, budget)
    return cut_at_states(engine, table, slot, hit, min(new, budget), junction)


@inner
def cut_at_states(
    engine: EngineArrays, table: IntArray, slot: int, start: int, new: int, junction: int
) -> int:
    """Shorten a chunk so that it ends where a recurrent state is kept; see ``sim.chunks``."""
    prompt = table[PROMPT, slot]
    num_tokens = prompt + table[OUTPUT, slot]
    prefill_end = max(prompt, num_tokens - 1)
    if start >= prefill_end:
        return new
    block, unit = engine.scalars[STATE_BLOCK], engine.scalars[STATE_UNIT]
    end = start + new
    if end < prefill_end:
        longest, threshold = engine.scalars[MAX_TOKENS_PER_STEP], engine.scalars[THRESHOLD]
        if threshold:
            longest = min(longest, threshold)
        if end // block * block > start or block <= longest:
            end = end // block * block
    first = end
    last_boundary = (num_tokens - 1) // block * block
    if start < last_boundary < end:
        first = min(first, last_boundary)
    next_boundary = (start // block + 1) * block
    if start % block and next_boundary < end:
        first = min(first, next_boundary)
    tail = (prompt - 1) // unit * unit if unit else 0
    if last_boundary < tail < prompt and start < tail < end:
        first = min(first, tail)
    if start < junction < end:
        stop = start + (junction - start) // block * block
        if start < stop < end:
            first = min(first, stop)
    return max(first - start, 0)
