"""Batches of the compiled engine, and what becomes of the requests in them."""

from typing import Any

from ...policies.compiled import inner
from ..requests import (
    CHUNK,
    COMPUTED,
    FINISHED,
    HIT,
    IN_FLIGHT,
    LOST,
    MAX_TOKENS,
    NEVER,
    OUTPUT,
    PLACEHOLDERS,
    PREEMPTIONS,
    PROMPT,
    RECOMPUTED,
    RUNNING,
    SEAT,
    STALE,
    STATUS,
    WAITING,
    IntArray,
)
from . import contract, waiting
from .state import (
    ALONE,
    BATCH,
    BATCH_ROWS,
    DEPTH,
    MAX_MODEL_LEN,
    MOST_NEW,
    NEW,
    NUM_ADMITTED,
    NUM_PREEMPTED,
    NUM_RUNNING,
    NUM_SAMPLED,
    NUM_SEATS,
    NUM_SERVED,
    RUNNING_LIST,
    SAMPLED,
    SEATS,
    SLOTS,
    EngineArrays,
)


@inner
def rows_of(which: int) -> int:
    """First row of a batch in ``EngineArrays.lists``."""
    return BATCH + BATCH_ROWS * which


@inner
def clear(engine: EngineArrays, which: int) -> None:
    """Start a batch."""
    for row in (NUM_SERVED, NUM_SAMPLED, NUM_ADMITTED, NUM_PREEMPTED, MOST_NEW):
        engine.counts[row, which] = 0


@inner
def put(engine: EngineArrays, which: int, slot: int, new: int) -> None:
    """Serve ``new`` tokens of a request."""
    row, count = rows_of(which), engine.counts[NUM_SERVED, which]
    engine.lists[row + SLOTS, count] = slot
    engine.lists[row + NEW, count] = new
    engine.counts[NUM_SERVED, which] = count + 1


@inner
def drop(engine: EngineArrays, which: int, slot: int) -> int:
    """Take a request out of a batch again; its tokens, 0 if it is not in it."""
    row, count = rows_of(which), engine.counts[NUM_SERVED, which]
    for place in range(count - 1, -1, -1):
        if engine.lists[row + SLOTS, place] == slot:
            new = engine.lists[row + NEW, place]
            for later in range(place + 1, count):
                engine.lists[row + SLOTS, later - 1] = engine.lists[row + SLOTS, later]
                engine.lists[row + NEW, later - 1] = engine.lists[row + NEW, later]
            engine.counts[NUM_SERVED, which] = count - 1
            return new
    return 0


@inner
def admit(engine: EngineArrays, table: IntArray, which: int, slot: int, hit: int) -> None:
    """Let a request that left the queue run behind the tokens that are cached."""
    table[STATUS, slot] = RUNNING
    engine.lists[RUNNING_LIST, engine.scalars[NUM_RUNNING]] = slot
    engine.scalars[NUM_RUNNING] += 1
    engine.counts[NUM_ADMITTED, which] += 1
    if table[HIT, slot] == NEVER:
        table[HIT, slot] = hit
    # After a preemption the hit is not computed again.
    table[RECOMPUTED, slot] -= min(hit, table[LOST, slot])
    table[LOST, slot] = 0
    table[COMPUTED, slot] = hit


@inner
def give_seat(engine: EngineArrays, table: IntArray, slot: int) -> None:
    """Give a request a seat before it takes pages."""
    engine.scalars[NUM_SEATS] -= 1
    table[SEAT, slot] = engine.lists[SEATS, engine.scalars[NUM_SEATS]]


@inner
def leave(engine: EngineArrays, table: IntArray, tables: Any, slot: int) -> None:
    """Give back the pages and the seat of a request, if it has any."""
    if table[SEAT, slot] == NEVER:
        return
    contract.release(tables, table, slot)
    engine.lists[SEATS, engine.scalars[NUM_SEATS]] = table[SEAT, slot]
    engine.scalars[NUM_SEATS] += 1
    table[SEAT, slot] = NEVER


@inner
def stop_running(engine: EngineArrays, slot: int) -> int:
    """Take a request out of the list of those that run; the place where it was."""
    lists, count = engine.lists, engine.scalars[NUM_RUNNING]
    place = 0
    while lists[RUNNING_LIST, place] != slot:
        place += 1
    for later in range(place + 1, count):
        lists[RUNNING_LIST, later - 1] = lists[RUNNING_LIST, later]
    engine.scalars[NUM_RUNNING] = count - 1
    return place


@inner
def preempt(engine: EngineArrays, table: IntArray, tables: Any, which: int, slot: int) -> None:
    """Let a request that was taken out of the running ones wait at the front."""
    leave(engine, table, tables, slot)
    table[RECOMPUTED, slot] += table[COMPUTED, slot]
    table[LOST, slot] = table[COMPUTED, slot]
    table[COMPUTED, slot] = 0
    table[STALE, slot] = table[IN_FLIGHT, slot]
    table[PLACEHOLDERS, slot] = 0
    table[PREEMPTIONS, slot] += 1
    table[STATUS, slot] = WAITING
    waiting.prepend(engine, table, slot)
    engine.counts[NUM_PREEMPTED, which] += 1


@inner
def advance(engine: EngineArrays, table: IntArray, which: int, place: int) -> None:
    """Count the tokens of a batch's entry as computed, and note whether it gets a token."""
    row = rows_of(which)
    slot, new = engine.lists[row + SLOTS, place], engine.lists[row + NEW, place]
    computed = table[COMPUTED, slot] + new
    table[COMPUTED, slot] = computed
    table[IN_FLIGHT, slot] += new
    table[CHUNK, slot] = new
    engine.counts[MOST_NEW, which] = max(engine.counts[MOST_NEW, which], new)
    due = table[PROMPT, slot] + table[OUTPUT, slot] + table[PLACEHOLDERS, slot]
    engine.lists[row + SAMPLED, place] = computed >= due
    if computed >= due:
        engine.counts[NUM_SAMPLED, which] += 1
        if engine.scalars[DEPTH] > 1:
            table[PLACEHOLDERS, slot] += 1


@inner
def receive_token(engine: EngineArrays, table: IntArray, tables: Any, slot: int) -> bool:
    """Count one output token; True if it was the last."""
    if table[STATUS, slot] == FINISHED:
        return False
    table[OUTPUT, slot] += 1
    if table[STALE, slot] == 0 and table[PLACEHOLDERS, slot] > 0:
        table[PLACEHOLDERS, slot] -= 1
        if table[STATUS, slot] == RUNNING:
            # What the next step had to leave out because this token was not known.
            contract.commit(tables, table, slot, table[COMPUTED, slot] - table[IN_FLIGHT, slot])
    return is_done(engine, table, slot)


@inner
def is_done(engine: EngineArrays, table: IntArray, slot: int) -> bool:
    """Whether a request has all its tokens, or no room for more."""
    at_limit = table[PROMPT, slot] + table[OUTPUT, slot] >= engine.scalars[MAX_MODEL_LEN]
    return at_limit or table[OUTPUT, slot] >= table[MAX_TOKENS, slot]


@inner
def finish(engine: EngineArrays, table: IntArray, tables: Any, slot: int) -> None:
    """Remove a request that is done and give its pages back."""
    if table[STATUS, slot] == RUNNING:
        stop_running(engine, slot)
    else:
        waiting.remove(engine, table, slot)
    table[STATUS, slot] = FINISHED
    if engine.scalars[ALONE] == slot:
        engine.scalars[ALONE] = NEVER
    leave(engine, table, tables, slot)
