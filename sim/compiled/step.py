"""A step of the compiled engine: launched, on the GPU, settled; see ``sim.engine``."""

from typing import Any, NamedTuple

from ...policies.batch import BYTES, LAUNCHES, NOTHING_REFUSED
from ...policies.compiled import inner
from ..requests import (
    ARRIVAL_NS,
    COMPUTED,
    CROSS,
    FIRST_TOKEN_NS,
    LAST_TOKEN_NS,
    MAX_TOKENS,
    PROMPT,
    REJECTED,
    STATUS,
    WAITING,
    IntArray,
)
from . import contract, waiting
from .batches import finish, receive_tokens, rows_of
from .recorder import record_gap, record_idle, record_step
from .schedule import schedule
from .state import (
    ASKED,
    BLOCKED_HEAD,
    DURATION,
    GPU_FREE,
    MAX_MODEL_LEN,
    MAY_LEAP,
    MOST_NEW,
    NEW,
    NOW,
    NUM_ADMITTED,
    NUM_PREEMPTED,
    NUM_RUNNING,
    NUM_SAMPLED,
    NUM_SERVED,
    NUM_STEPS,
    NUM_WAITING,
    OWED,
    REASON,
    REFUSED,
    RUNNING_LIST,
    SAMPLED,
    SLOTS,
    TOO_LARGE,
    TOO_LONG,
    EngineArrays,
)


class Clockwork(NamedTuple):
    """What the clock, the memory and the results of a run depend on, and scratch for a step."""

    scheduler: Any
    meter: Any
    latency: Any
    recorder: Any
    arrivals: Any
    parts: IntArray
    """Bytes by part and kind."""
    slack: IntArray
    reads: IntArray
    """Tokens that decodes read, per attention class."""
    prefills: IntArray
    """Columns of new, text and cross tokens, one per chunk."""


@inner
def arrive(engine: EngineArrays, table: IntArray, tables: Any, arrivals: Any) -> None:
    """Let everything that arrived by now wait; reject what can never be served."""
    while True:
        arrival_ns = contract.next_ns(arrivals)
        if arrival_ns < 0 or arrival_ns > engine.scalars[NOW]:
            return
        slot = contract.next_slot(arrivals)
        table[ARRIVAL_NS, slot] = arrival_ns
        total = table[PROMPT, slot] + table[MAX_TOKENS, slot]
        if total > engine.scalars[MAX_MODEL_LEN]:
            engine.queue[REASON, slot] = TOO_LONG
        elif not contract.possible(tables, table, slot, total):
            engine.queue[REASON, slot] = TOO_LARGE
        else:
            table[STATUS, slot] = WAITING
            waiting.add(engine, table, slot)
            continue
        table[STATUS, slot] = REJECTED
        contract.has_ended(arrivals, slot, arrival_ns)


@inner
def launch(
    engine: EngineArrays, table: IntArray, tables: Any, clockwork: Clockwork, which: int
) -> bool:
    """Schedule the next step as batch ``which`` and put it on the GPU; False if it is empty."""
    scalars, counts = engine.scalars, engine.counts
    contract.tables_tick(tables, scalars[NOW], engine.counts[OWED])
    while True:
        schedule(clockwork.scheduler, engine, table, tables, which)
        # A request that preempted itself may start again as soon as it gave its pages back.
        if counts[NUM_SERVED, which] or not counts[NUM_PREEMPTED, which]:
            break
    # Whoever took pages that had to be emptied first waits for the copies.
    contract.tables_tick(tables, scalars[NOW], engine.counts[OWED])
    scalars[BLOCKED_HEAD] = waiting.first(engine)
    if not counts[NUM_SERVED, which]:
        return False
    _run_batch(engine, table, tables, clockwork, which)
    return True


@inner
def _run_batch(
    engine: EngineArrays, table: IntArray, tables: Any, clockwork: Clockwork, which: int
) -> None:
    """Time, measure and record a batch."""
    scalars, counts, owed = engine.scalars, engine.counts, engine.counts[OWED]
    work_ns, tokens, prefill_tokens = _work_ns(engine, table, clockwork, which)
    copy_ns = 0
    if owed[LAUNCHES]:
        copy_ns = contract.copy_ns(clockwork.latency, owed[BYTES], owed[LAUNCHES])
    start = max(scalars[NOW], scalars[GPU_FREE])
    counts[DURATION, which] = copy_ns + work_ns
    scalars[GPU_FREE] = start + copy_ns + work_ns
    contract.tables_slack(tables, engine.needs[REFUSED], engine.watermark, clockwork.slack)
    measure_now(engine, table, tables, clockwork, False)
    record_step(
        clockwork.recorder,
        start,
        copy_ns + work_ns,
        scalars[NUM_RUNNING],
        scalars[NUM_WAITING],
        counts[NUM_SERVED, which],
        tokens,
        prefill_tokens,
        clockwork.parts,
        clockwork.slack,
        owed,
        copy_ns,
    )
    scalars[NUM_STEPS] += 1
    owed[BYTES] = owed[LAUNCHES] = 0


@inner
def measure_now(
    engine: EngineArrays, table: IntArray, tables: Any, clockwork: Clockwork, alike: bool
) -> None:
    """Fill ``parts`` from the tables and from ``slack``; for ``alike`` see ``contract.measure``."""
    contract.measure(
        clockwork.meter,
        tables,
        table,
        engine.lists[RUNNING_LIST],
        engine.scalars[NUM_RUNNING],
        alike,
        clockwork.slack,
        clockwork.parts,
    )


@inner
def _work_ns(
    engine: EngineArrays, table: IntArray, clockwork: Clockwork, which: int
) -> tuple[int, int, int]:
    """Duration of a batch, all of its tokens, and those of prompts."""
    row, lists = rows_of(which), engine.lists
    reads, prefills = clockwork.reads, clockwork.prefills
    reads[:] = 0
    tokens = decodes = chunks = 0
    for place in range(engine.counts[NUM_SERVED, which]):
        slot, new = lists[row + SLOTS, place], lists[row + NEW, place]
        text, cross = table[COMPUTED, slot], table[CROSS, slot]
        tokens += new
        if new == 1 and text > table[PROMPT, slot]:
            contract.decode_reads(clockwork.latency, text, cross, reads)
            decodes += 1
        else:
            prefills[0, chunks], prefills[1, chunks], prefills[2, chunks] = new, text, cross
            chunks += 1
    sampled = engine.counts[NUM_SAMPLED, which]
    duration = contract.step_ns(
        clockwork.latency, tokens, sampled, decodes, reads, prefills, chunks
    )
    return duration, tokens, tokens - decodes


@inner
def settle(
    engine: EngineArrays, table: IntArray, tables: Any, clockwork: Clockwork, which: int
) -> bool:
    """Let a batch's tokens come out now; True if the next steps may be alike."""
    scalars, lists = engine.scalars, engine.lists
    row, now = rows_of(which), scalars[NOW]
    let_tokens_out(
        table, clockwork.recorder, lists[row + SAMPLED], engine.counts[NUM_SAMPLED, which], now, now
    )
    # Whoever has its last token is moved to the front of the row of those that got one.
    finished = receive_tokens(engine, table, tables, which)
    for place in range(finished):
        finish(engine, table, tables, lists[row + SAMPLED, place])
    for place in range(finished):
        contract.has_ended(clockwork.arrivals, lists[row + SAMPLED, place], now)
    return scalars[MAY_LEAP] and finished == 0 and is_pure_decode(engine, which)


@inner
def let_tokens_out(
    table: IntArray, recorder: Any, slots: IntArray, count: int, first_ns: int, last_ns: int
) -> None:
    """Note that the first ``count`` of ``slots`` get tokens, from ``first_ns`` to ``last_ns``.

    The gap before the first of them is recorded; most requests have the same.
    """
    gap = alike = 0
    for place in range(count):
        slot = slots[place]
        if table[FIRST_TOKEN_NS, slot] < 0:
            table[FIRST_TOKEN_NS, slot] = first_ns
        else:
            mine = first_ns - table[LAST_TOKEN_NS, slot]
            if alike and mine != gap:
                record_gap(recorder, gap, alike)
                alike = 0
            gap = mine
            alike += 1
        table[LAST_TOKEN_NS, slot] = last_ns
    if alike:
        record_gap(recorder, gap, alike)


@inner
def is_pure_decode(engine: EngineArrays, which: int) -> bool:
    """Whether everything that runs decoded one token and nothing else happened."""
    counts, running = engine.counts, engine.scalars[NUM_RUNNING]
    if counts[NUM_ADMITTED, which] or counts[NUM_PREEMPTED, which]:
        return False
    everyone = counts[NUM_SAMPLED, which] == running and counts[NUM_SERVED, which] == running
    return everyone and counts[MOST_NEW, which] == 1


@inner
def idle(
    engine: EngineArrays, table: IntArray, tables: Any, clockwork: Clockwork, wait_ns: int
) -> None:
    """Record a time in which nothing runs."""
    engine.needs[ASKED, 0] = NOTHING_REFUSED
    contract.tables_slack(tables, engine.needs[ASKED], engine.watermark, clockwork.slack)
    measure_now(engine, table, tables, clockwork, False)
    record_idle(
        clockwork.recorder,
        engine.scalars[NOW],
        wait_ns,
        engine.scalars[NUM_WAITING],
        clockwork.parts,
        clockwork.slack,
    )
