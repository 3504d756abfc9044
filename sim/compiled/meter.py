"""Where the bytes are, kept up to date from step to step: ``sim.usage`` for the compiled engine.

Most requests decode one token per step, and what they hold grows by it or stays. So every seat has
a line: entries at some step, how many are added per step, and the length up to which that holds.
Sums of all lines are kept; a request is counted anew only when its table changed, it did not decode
just one token, or that length is passed.
"""

from typing import Any, NamedTuple

import numpy as np

from ...policies.caching.layout import CHUNKED
from ...policies.compiled import body_of, inner
from ...policies.demand_kernels import (
    BLOCK,
    BOTH,
    CROSS,
    EACH,
    SOURCE,
    ceil_div,
    kind_code,
    live_tokens,
    rule_rows,
    skipped_tokens,
)
from ..requests import CHUNK, COMPUTED, IN_FLIGHT, NEVER, SEAT
from ..requests import CROSS as CROSS_TOKENS
from ..usage import PARTS, UsageMeter
from . import contract
from .state import IntArray

NEEDED, DEAD = PARTS.index("needed"), PARTS.index("dead")
PADDING, INTERNAL = PARTS.index("padding"), PARTS.index("internal")
EXTERNAL = PARTS.index("external")
FOREVER = 1 << 62

(CLASS, LABEL, KIND, WINDOW, ENTRY_BYTES, PER_ENTRY, STATE_BYTES, CAPACITY, PADDED) = range(9)
"""Rows of ``contents``, one column per content of a growth class: the fields of a content in
``sim.usage``, PER_ENTRY the tokens of an entry and PADDED the padding of a block."""

SLOT, VERSION, START, TEXT, FLYING, UNTIL = range(6)
"""Rows of ``lines``, one column per seat: who has it, NEVER for nobody; ``tables.changed`` then;
the step and the length at which the line starts; tokens in flight beside those of the step; the
length up to which it holds."""
LIVE, GROWTH, GONE = range(3)
"""First axis of ``entries``: needed ones at the start of the line, those added per step, dead ones.
Of states LIVE counts the states."""
STEP, ACTIVE = range(2)
"""Entries of ``counters``: steps so far; seats with a line."""


class CountedMeter(NamedTuple):
    """Lines of all seats, and their sums."""

    contents: IntArray
    rules: IntArray
    """Of the growth classes; see ``policies.demand_kernels``."""
    group_label: IntArray
    lines: IntArray
    entries: IntArray
    """Shape (3, contents, seats)."""
    totals: IntArray
    """Sums of ``entries`` over the seats as of now, shape (3, contents)."""
    held: IntArray
    """Pages per growth class and seat; in the last column the sum."""
    counters: IntArray


def make_meter(meter: UsageMeter, seats: int) -> CountedMeter:
    """Nobody holds anything."""
    contents = [
        (
            index,
            c.label,
            kind_code(c.kind),
            c.window,
            c.entry_bytes,
            c.tokens_per_entry,
            c.state_bytes,
            c.capacity,
            c.padding,
        )
        for index, of_class in enumerate(meter.contents)
        for c in of_class
    ]
    lines = np.zeros((6, seats), dtype=np.int64)
    lines[SLOT] = NEVER
    return CountedMeter(
        contents=np.array(contents, dtype=np.int64).T.copy(),
        rules=rule_rows(meter.tables.classes),
        group_label=np.array(meter.group_label, dtype=np.int64),
        lines=lines,
        entries=np.zeros((3, len(contents), seats), dtype=np.int64),
        totals=np.zeros((3, len(contents)), dtype=np.int64),
        held=np.zeros((len(meter.contents), seats + 1), dtype=np.int64),
        counters=np.zeros(2, dtype=np.int64),
    )


@body_of(contract.measure, CountedMeter)
@inner
def measure(
    meter: CountedMeter,
    tables: Any,
    table: IntArray,
    running: IntArray,
    count: int,
    slack: IntArray,
    parts: IntArray,
) -> None:
    """See the contract."""
    lines, step = meter.lines, meter.counters[STEP] + 1
    meter.counters[STEP] = step
    for content in range(meter.contents.shape[1]):
        meter.totals[LIVE, content] += meter.totals[GROWTH, content]
    for place in range(count):
        slot = running[place]
        seat, text = table[SEAT, slot], table[COMPUTED, slot]
        if (
            lines[SLOT, seat] != slot
            or lines[VERSION, seat] != tables.changed[seat]
            or text > lines[UNTIL, seat]
            or text - lines[TEXT, seat] != step - lines[START, seat]
            or table[CHUNK, slot] != 1
            or max(table[IN_FLIGHT, slot] - 1, 0) != lines[FLYING, seat]
        ):
            _end_line(meter, seat)
            _start_line(meter, tables, table, slot, seat)
    if meter.counters[ACTIVE] != count:
        _forget_others(meter, table, running, count)
    _fill(meter, slack, parts)


@inner
def _end_line(meter: CountedMeter, seat: int) -> None:
    """Take a seat out of the sums."""
    if meter.lines[SLOT, seat] == NEVER:
        return
    steps = meter.counters[STEP] - meter.lines[START, seat]
    for content in range(meter.contents.shape[1]):
        growth = meter.entries[GROWTH, content, seat]
        meter.totals[LIVE, content] -= meter.entries[LIVE, content, seat] + growth * steps
        meter.totals[GROWTH, content] -= growth
        meter.totals[GONE, content] -= meter.entries[GONE, content, seat]
    last = meter.held.shape[1] - 1
    for index in range(meter.held.shape[0]):
        meter.held[index, last] -= meter.held[index, seat]
    meter.lines[SLOT, seat] = NEVER
    meter.counters[ACTIVE] -= 1


@inner
def _start_line(meter: CountedMeter, tables: Any, table: IntArray, slot: int, seat: int) -> None:
    """Count what a request holds now, and how it goes on."""
    lines, text, new = meter.lines, table[COMPUTED, slot], table[CHUNK, slot]
    flying = max(table[IN_FLIGHT, slot] - new, 0)
    lines[SLOT, seat], lines[VERSION, seat] = slot, tables.changed[seat]
    lines[START, seat], lines[TEXT, seat] = meter.counters[STEP], text
    # Behind a chunk of a prompt the next step reads otherwise.
    lines[FLYING, seat], lines[UNTIL, seat] = flying, FOREVER if new == 1 else text
    meter.counters[ACTIVE] += 1
    last = meter.held.shape[1] - 1
    for index in range(meter.held.shape[0]):
        meter.held[index, seat] = tables.allocated[index, seat] - tables.expired[index, seat]
        meter.held[index, last] += meter.held[index, seat]
    for content in range(meter.contents.shape[1]):
        _count(meter, tables, content, seat, text, table[CROSS_TOKENS, slot], new, flying)
        for row in range(3):
            meter.totals[row, content] += meter.entries[row, content, seat]


@inner
def _count(
    meter: CountedMeter,
    tables: Any,
    content: int,
    seat: int,
    text: int,
    cross: int,
    new: int,
    flying: int,
) -> None:
    """Entries of one content; see ``UsageMeter``."""
    contents, entries, rules = meter.contents, meter.entries, meter.rules
    index, kind, window = (
        contents[CLASS, content],
        contents[KIND, content],
        contents[WINDOW, content],
    )
    block, each = rules[BLOCK, index], rules[EACH, index]
    growth, until = 0, FOREVER
    if contents[STATE_BYTES, content]:
        live = 1 if tables.allocated[index, seat] > tables.expired[index, seat] else 0
        gone = 0
    else:
        live = live_tokens(kind, window, text, cross, new, flying)
        gone = 0
        if window:
            given = tables.expired[index, seat] // each * block
            # A prompt computed whole reads tokens of which no page is kept.
            live = min(live, text - given)
            gone = max(text - live - given, 0) // block * block
            growth, until = _trend(kind, window, block, text, flying, given)
        elif kind != CROSS:
            growth = 1
        if rules[SOURCE, index] == BOTH:
            gone += text if kind == CROSS else cross
        per_entry = contents[PER_ENTRY, content]
        if per_entry > 1 or (rules[SOURCE, index] == BOTH and kind == CROSS):
            until = text
        live, gone = ceil_div(live, per_entry), gone // per_entry
    entries[LIVE, content, seat], entries[GONE, content, seat] = live, gone
    entries[GROWTH, content, seat] = growth
    meter.lines[UNTIL, seat] = min(meter.lines[UNTIL, seat], until)


@inner
def _trend(
    kind: int, window: int, block: int, text: int, flying: int, given: int
) -> tuple[int, int]:
    """Needed tokens that each further decode adds in a window, and up to which length."""
    processed = text - 1 - flying
    skipped = skipped_tokens(kind, window, processed)
    if given > skipped:
        return 0, text
    if kind == CHUNKED:
        return 1, (processed // window + 1) * window + flying
    if text < window + flying:
        return 1, window + flying
    # Needed tokens stay as many; the tokens behind them fill another dead page then.
    return 0, text + block - 1 - (skipped - given) % block


@inner
def _forget_others(meter: CountedMeter, table: IntArray, running: IntArray, count: int) -> None:
    """End the lines of requests that do not run any more."""
    for seat in range(meter.lines.shape[1]):
        slot = meter.lines[SLOT, seat]
        if slot != NEVER and table[SEAT, slot] != seat:
            _end_line(meter, seat)


@inner
def _fill(meter: CountedMeter, slack: IntArray, parts: IntArray) -> None:
    """Write the sums down as bytes, with what the carving says of the rest."""
    contents, totals = meter.contents, meter.totals
    for part in range(parts.shape[0]):
        for label in range(parts.shape[1]):
            parts[part, label] = 0
    last = meter.held.shape[1] - 1
    for content in range(contents.shape[1]):
        label, index = contents[LABEL, content], contents[CLASS, content]
        blocks = meter.held[index, last] // meter.rules[EACH, index]
        size = contents[STATE_BYTES, content] or contents[ENTRY_BYTES, content]
        needed = totals[LIVE, content] * size
        dead = totals[GONE, content] * contents[ENTRY_BYTES, content]
        parts[NEEDED, label] += needed
        parts[DEAD, label] += dead
        parts[PADDING, label] += blocks * contents[PADDED, content]
        parts[INTERNAL, label] += blocks * contents[CAPACITY, content] - needed - dead
    groups = len(meter.group_label)
    for group in range(groups):
        parts[INTERNAL, meter.group_label[group]] += slack[group]
        parts[EXTERNAL, meter.group_label[group]] += slack[groups + group]


def meter_state(meter: UsageMeter, tables: Any, seats: int) -> Any:
    """``meter`` as the compiled engine asks it; ``tables``: their arrays."""
    del tables
    return make_meter(meter, seats)
