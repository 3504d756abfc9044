"""A step of the compiled engine: launched, on the GPU, settled; see ``sim.engine``."""

from typing import Any, NamedTuple

from ...policies.batch import BYTES, LAUNCHES, NOTHING_REFUSED
from ...policies.compiled import by_reference, inner
from ..requests import (
    ARRIVAL_NS,
    COMPUTED,
    CROSS,
    FIRST_TOKEN_NS,
    IN_FLIGHT,
    LAST_TOKEN_NS,
    MAX_TOKENS,
    PROMPT,
    REJECTED,
    STALE,
    STATUS,
    WAITING,
    IntArray,
)
from . import contract, waiting
from .batches import advance, finish, receive_token, rows_of
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


@by_reference
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
    """Advance a batch's requests: how long it takes, all of its tokens, and those of prompts."""
    row, lists = rows_of(which), engine.lists
    reads, prefills = clockwork.reads, clockwork.prefills
    reads[:] = 0
    tokens = decodes = chunks = 0
    for place in range(engine.counts[NUM_SERVED, which]):
        advance(engine, table, which, place)
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
    slots, sampled = lists[rows_of(which) + SLOTS], lists[rows_of(which) + SAMPLED]
    now, finished = scalars[NOW], 0
    gap = alike = 0
    for place in range(engine.counts[NUM_SERVED, which]):
        slot, new = slots[place], lists[rows_of(which) + NEW, place]
        table[IN_FLIGHT, slot] -= new
        if sampled[place]:
            mine = _token_out(table, slot, now, now)
            # Most requests have the same gap before their token.
            if mine != gap:
                _record_gaps(clockwork.recorder, gap, alike)
                gap, alike = mine, 0
            alike += 1
            if receive_token(engine, table, tables, slot):
                # What stood here was read already.
                sampled[finished] = slot
                finished += 1
        table[STALE, slot] = max(0, table[STALE, slot] - new)
    _record_gaps(clockwork.recorder, gap, alike)
    for place in range(finished):
        finish(engine, table, tables, sampled[place])
    for place in range(finished):
        contract.has_ended(clockwork.arrivals, sampled[place], now)
    return scalars[MAY_LEAP] and finished == 0 and is_pure_decode(engine, which)


@inner
def _token_out(table: IntArray, slot: int, first_ns: int, last_ns: int) -> int:
    """Note tokens of a request, from ``first_ns`` to ``last_ns``; the gap before, 0 if none is."""
    gap = 0
    if table[FIRST_TOKEN_NS, slot] < 0:
        table[FIRST_TOKEN_NS, slot] = first_ns
    else:
        gap = first_ns - table[LAST_TOKEN_NS, slot]
    table[LAST_TOKEN_NS, slot] = last_ns
    return gap


@inner
def let_tokens_out(
    table: IntArray, recorder: Any, slots: IntArray, count: int, first_ns: int, last_ns: int
) -> None:
    """Note that the first ``count`` of ``slots`` get tokens, from ``first_ns`` to ``last_ns``."""
    gap = alike = 0
    for place in range(count):
        mine = _token_out(table, slots[place], first_ns, last_ns)
        if mine != gap:
            _record_gaps(recorder, gap, alike)
            gap, alike = mine, 0
        alike += 1
    _record_gaps(recorder, gap, alike)


@inner
def _record_gaps(recorder: Any, gap_ns: int, count: int) -> None:
    """Record a gap unless it is 0: there is none before a first token."""
    if gap_ns:
        record_gap(recorder, gap_ns, count)


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
