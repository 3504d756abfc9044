"""Block tables as counts over a carving: ``sim.tables.BlockTables`` for the compiled engine."""

from typing import Any, NamedTuple

import numpy as np

from ...policies import batch
from ...policies.caching.layout import CHUNKED, SLIDING, STATE
from ...policies.compiled import body_of, by_reference, inner
from ...policies.demand_kernels import (
    BLOCK,
    BOTH,
    EACH,
    ENCODER,
    KIND,
    SOURCE,
    WINDOW,
    admission_pages,
    ceil_div,
    demand,
    expired,
    most_pages,
    rule_rows,
)
from ..requests import COMPUTED, CROSS, IN_FLIGHT, OUTPUT, PROMPT, SEAT
from ..tables import BlockTables
from . import contract
from .state import IntArray

FOREVER = 1 << 62
MAX_IN_FLIGHT, LONGEST, BY_SLOT = range(3)
"""Entries of ``limits``: tokens scheduled but not settled, at most; ``max_model_len``; whether the
carving knows requests by slot."""
BY_CLASS, BY_GROUP = range(2)
"""Rows of ``need``."""


@by_reference
class CountedTables(NamedTuple):
    """Pages of each running request; see ``BlockTables``."""

    rules: IntArray
    """Of the growth classes; see ``policies.demand_kernels``."""
    class_of: IntArray
    """Class of each group."""
    allocated: IntArray
    expired: IntArray
    changed: IntArray
    quiet: IntArray
    """Per seat: sequence length up to which no page is needed and none expires."""
    need: IntArray
    limits: IntArray
    pool: Any


def make_counted(tables: BlockTables, seats: int, slots: int) -> CountedTables:
    """Empty tables of ``seats`` running requests, of ``slots`` altogether."""
    carving, classes = tables.carving, tables.classes
    by_slot = carving.holders_are_slots
    return CountedTables(
        rules=rule_rows(classes),
        class_of=np.array(tables.class_of, dtype=np.int64),
        allocated=np.zeros((len(classes), seats), dtype=np.int64),
        expired=np.zeros((len(classes), seats), dtype=np.int64),
        changed=np.zeros(seats, dtype=np.int64),
        quiet=np.zeros(seats, dtype=np.int64),
        need=np.zeros((2, len(tables.groups)), dtype=np.int64),
        limits=np.array(
            [tables.max_in_flight_tokens, tables.max_model_len, by_slot], dtype=np.int64
        ),
        pool=carving.batch(slots if by_slot else seats),
    )


@inner
def _holder(tables: CountedTables, table: IntArray, slot: int) -> int:
    return slot if tables.limits[BY_SLOT] else table[SEAT, slot]


@inner
def _spread(tables: CountedTables) -> None:
    """Repeat the need of each growth class for its groups."""
    for group in range(len(tables.class_of)):
        tables.need[BY_GROUP, group] = tables.need[BY_CLASS, tables.class_of[group]]


@inner
def _note_need(tables: CountedTables, need: IntArray) -> None:
    for group in range(len(need)):
        need[group] = tables.need[BY_GROUP, group]


@body_of(contract.begin_step, CountedTables)
@inner
def begin_step(tables: CountedTables) -> None:
    """See Tables. Nothing to do."""


@body_of(contract.end_step, CountedTables)
@inner
def end_step(tables: CountedTables) -> None:
    """See Tables. Nothing to do."""


@body_of(contract.possible, CountedTables)
@inner
def possible(tables: CountedTables, table: IntArray, slot: int, tokens: int) -> bool:
    """See Tables.could_fit."""
    for index in range(tables.rules.shape[1]):
        # Without a cache nothing keeps states at block boundaries: batches do not matter.
        tables.need[BY_CLASS, index] = most_pages(
            tables.rules,
            index,
            tokens,
            table[CROSS, slot],
            tables.limits[MAX_IN_FLIGHT],
            tables.limits[LONGEST],
            1,
        )
    _spread(tables)
    return batch.could_fit(tables.pool, tables.need[BY_GROUP])


@body_of(contract.look_up, CountedTables)
@inner
def look_up(tables: CountedTables, table: IntArray, slot: int) -> tuple[int, int]:
    """See Tables. Nothing is cached."""
    return 0, 0


@body_of(contract.lacking, CountedTables)
@inner
def lacking(
    tables: CountedTables,
    table: IntArray,
    slot: int,
    hit: int,
    new: int,
    watermark: float,
    whole: bool,
    need: IntArray,
) -> bool:
    """See Tables."""
    if whole:
        tokens = min(table[PROMPT, slot] + table[OUTPUT, slot], tables.limits[LONGEST])
        for index in range(tables.rules.shape[1]):
            tables.need[BY_CLASS, index] = admission_pages(
                tables.rules,
                index,
                tokens,
                table[CROSS, slot],
                tables.limits[MAX_IN_FLIGHT],
                tables.limits[LONGEST],
            )
        _spread(tables)
        if not batch.fits(tables.pool, tables.need[BY_GROUP], watermark):
            _note_need(tables, need)
            return True
    for index in range(tables.rules.shape[1]):
        tables.need[BY_CLASS, index] = demand(tables.rules, index, new, table[CROSS, slot])
    _spread(tables)
    if batch.fits(tables.pool, tables.need[BY_GROUP], watermark):
        return False
    _note_need(tables, need)
    return True


@body_of(contract.allocate, CountedTables)
@inner
def allocate(tables: CountedTables, table: IntArray, slot: int, new: int, hit: int) -> bool:
    """See Tables. What expired stays given back even if the rest is refused, as in vLLM."""
    seat = table[SEAT, slot]
    end = table[COMPUTED, slot] + new
    if end <= tables.quiet[seat]:
        return True
    trim(tables, table, slot)
    for index in range(tables.rules.shape[1]):
        lacks = demand(tables.rules, index, end, table[CROSS, slot]) - tables.allocated[index, seat]
        tables.need[BY_CLASS, index] = max(0, lacks)
    _spread(tables)
    if not batch.take(tables.pool, _holder(tables, table, slot), tables.need[BY_GROUP]):
        return False
    for index in range(tables.rules.shape[1]):
        tables.allocated[index, seat] += tables.need[BY_CLASS, index]
    tables.changed[seat] += 1
    tables.quiet[seat] = _next_change(tables, seat, table[CROSS, slot])
    return True


@body_of(contract.commit, CountedTables)
@inner
def commit(tables: CountedTables, table: IntArray, slot: int, tokens: int) -> None:
    """See Tables. Nothing is cached."""


@body_of(contract.trim, CountedTables)
@inner
def trim(tables: CountedTables, table: IntArray, slot: int) -> None:
    """See Tables."""
    seat = table[SEAT, slot]
    for index in range(tables.rules.shape[1]):
        past = expired(tables.rules, index, table[COMPUTED, slot], table[IN_FLIGHT, slot])
        past = min(past, tables.allocated[index, seat])
        count = past - tables.expired[index, seat]
        if count > 0:
            for group in range(len(tables.class_of)):
                if tables.class_of[group] == index:
                    batch.give(tables.pool, _holder(tables, table, slot), group, count)
            tables.expired[index, seat] = past
            tables.changed[seat] += 1


@body_of(contract.release, CountedTables)
@inner
def release(tables: CountedTables, table: IntArray, slot: int) -> None:
    """See Tables.free."""
    seat = table[SEAT, slot]
    batch.free(tables.pool, _holder(tables, table, slot))
    for index in range(tables.rules.shape[1]):
        tables.allocated[index, seat] = tables.expired[index, seat] = 0
    tables.quiet[seat] = 0
    tables.changed[seat] += 1


@inner
def _next_change(tables: CountedTables, seat: int, cross: int) -> int:
    """Sequence length up to which no page is needed and none expires."""
    rules, quiet = tables.rules, FOREVER
    for index in range(rules.shape[1]):
        block, window, kind = rules[BLOCK, index], rules[WINDOW, index], rules[KIND, index]
        blocks = tables.allocated[index, seat] // rules[EACH, index]
        past = (tables.expired[index, seat] // rules[EACH, index] + 1) * block
        if rules[SOURCE, index] != ENCODER:
            extra = cross if rules[SOURCE, index] == BOTH else 0
            quiet = min(quiet, blocks * block - extra)
        if kind == SLIDING:
            quiet = min(quiet, past + window - 1)
        elif kind == CHUNKED:
            quiet = min(quiet, ceil_div(past, window) * window)
        elif kind == STATE:
            quiet = min(quiet, past + 1)
    return quiet


@body_of(contract.tables_slack, CountedTables)
@inner
def tables_slack(tables: CountedTables, refused: IntArray, watermark: float, out: IntArray) -> None:
    """See Tables.slack."""
    batch.slack(tables.pool, refused, watermark, out)


@body_of(contract.tables_tick, CountedTables)
@inner
def tables_tick(tables: CountedTables, now_ns: int, moved: IntArray) -> None:
    """See Tables.tick."""
    batch.tick(tables.pool, now_ns, moved)


@body_of(contract.tables_due, CountedTables)
@inner
def tables_due(tables: CountedTables) -> int:
    """See Tables.due_ns."""
    return batch.due_ns(tables.pool)
