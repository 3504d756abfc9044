"""What running requests need of their pages, kept up to date from step to step: for the meter.

Most requests decode one token per step, and what they need grows by it or stays. So every content
of a seat has a line: entries at some step, how many are added per step, and the step up to which
that holds. Sums of all lines are kept. A content is counted anew only when its line ends or pages
were given back, all of a seat when its request did not decode just one token.
"""

from typing import Any, NamedTuple

import numpy as np

from ...policies.caching.layout import CHUNKED
from ...policies.compiled import by_reference, inner
from ...policies.demand_kernels import (
    BLOCK,
    BOTH,
    CROSS,
    EACH,
    SOURCE,
    ceil_div,
    kind_code,
    rule_rows,
    skipped_tokens,
)
from ..requests import CHUNK, COMPUTED, IN_FLIGHT, SEAT
from ..requests import CROSS as CROSS_TOKENS
from ..usage import UsageMeter
from .state import IntArray

FOREVER = 1 << 62

CLASS, KIND, WINDOW, PER_ENTRY, IS_STATE = range(5)
"""Rows of ``contents``, one column per content of a growth class; PER_ENTRY: tokens of an entry."""

HOLDER, VERSION, LEAD, FLYING, START, UNTIL, HEADER = range(7)
"""Columns of ``lines``, one row per seat: slot plus one, 0 for nobody; ``tables.changed`` then;
length less the number of the step; tokens in flight beside those of the step; steps at which the
line starts and ends. From HEADER on a pair per growth class, then four entries per content."""
HELD, GIVEN, OF_CLASS = range(3)
"""Of each class: pages that are held, and that were given back; entries per class."""
LIVE, GROWTH, GONE, ENDS, OF_CONTENT = range(5)
"""Of each content: needed entries when the line starts, those added per step, dead ones, the last
step that this is true in; entries per content. Of states LIVE counts the states."""
STEP, ACTIVE, ALL_UNTIL = range(3)
"""Entries of ``counters``: steps so far; seats with a line; the step at which some line ends."""
NOT_ALIKE = -1
"""FLYING behind a chunk of a prompt: the next step reads otherwise."""


@by_reference
class Lines(NamedTuple):
    """Lines of all seats, and their sums."""

    contents: IntArray
    rules: IntArray
    """Of the growth classes; see ``policies.demand_kernels``."""
    lines: IntArray
    totals: IntArray
    """Sums over the seats as of now: LIVE, GROWTH and GONE of each content."""
    held: IntArray
    """Pages that are held, per growth class."""
    counters: IntArray


def make_lines(meter: UsageMeter, seats: int) -> Lines:
    """Nobody holds anything."""
    contents = [
        (index, kind_code(c.kind), c.window, c.tokens_per_entry, int(c.state_bytes > 0))
        for index, of_class in enumerate(meter.contents)
        for c in of_class
    ]
    classes = len(meter.contents)
    width = HEADER + OF_CLASS * classes + OF_CONTENT * len(contents)
    return Lines(
        contents=np.array(contents, dtype=np.int64).T.copy(),
        rules=rule_rows(meter.tables.classes),
        lines=np.zeros((seats, width), dtype=np.int64),
        totals=np.zeros((3, len(contents)), dtype=np.int64),
        held=np.zeros(classes, dtype=np.int64),
        counters=np.zeros(3, dtype=np.int64),
    )


@inner
def follow(lines: Lines, tables: Any, table: IntArray, running: IntArray, count: int) -> None:
    """Bring the sums up to a step that was scheduled for the first ``count`` of ``running``."""
    _add_growth(lines)
    counters, step = lines.counters, lines.counters[STEP]
    all_until = FOREVER
    for place in range(count):
        slot = running[place]
        seat, chunk = table[SEAT, slot], table[CHUNK, slot]
        line = lines.lines[seat]
        flying = max(table[IN_FLIGHT, slot] - chunk, 0)
        if (
            line[HOLDER] != slot + 1
            or table[COMPUTED, slot] - step != line[LEAD]
            or flying != line[FLYING]
            or chunk != 1
        ):
            _end_line(lines, line)
            _start_line(lines, line, slot, table[COMPUTED, slot] - step, flying)
            _count_changed(lines, tables, table, slot)
            if chunk != 1:
                line[FLYING], line[UNTIL] = NOT_ALIKE, step
        elif line[VERSION] != tables.changed[seat] or step > line[UNTIL]:
            _count_changed(lines, tables, table, slot)
        all_until = min(all_until, line[UNTIL])
    counters[ALL_UNTIL] = all_until
    if counters[ACTIVE] != count:
        _forget_others(lines, table)


@inner
def follow_decode(lines: Lines) -> bool:
    """``follow``, where everybody decoded a token as before and no table changed.

    False if somebody must be counted anew; nothing has happened then.
    """
    if lines.counters[STEP] >= lines.counters[ALL_UNTIL]:
        return False
    _add_growth(lines)
    return True


@inner
def _add_growth(lines: Lines) -> None:
    lines.counters[STEP] += 1
    for content in range(lines.contents.shape[1]):
        lines.totals[LIVE, content] += lines.totals[GROWTH, content]


@inner
def _place_of(lines: Lines, content: int) -> int:
    """Where the entries of a content begin in a line."""
    return HEADER + OF_CLASS * len(lines.held) + OF_CONTENT * content


@inner
def _start_line(lines: Lines, line: IntArray, slot: int, lead: int, flying: int) -> None:
    """Let a seat take part in the sums, with nothing as yet."""
    line[HOLDER], line[LEAD], line[FLYING] = slot + 1, lead, flying
    line[START] = lines.counters[STEP]
    lines.counters[ACTIVE] += 1
    for entry in range(HEADER, len(line)):
        line[entry] = 0


@inner
def _end_line(lines: Lines, line: IntArray) -> None:
    """Take a seat out of the sums."""
    if line[HOLDER] == 0:
        return
    for content in range(lines.contents.shape[1]):
        _add(lines, line, content, -1)
    for index in range(len(lines.held)):
        lines.held[index] -= line[HEADER + OF_CLASS * index + HELD]
    line[HOLDER] = 0
    lines.counters[ACTIVE] -= 1


@inner
def _add(lines: Lines, line: IntArray, content: int, sign: int) -> None:
    """Add a content of a seat to the sums as it is now, or take it out."""
    at, steps = _place_of(lines, content), lines.counters[STEP] - line[START]
    lines.totals[LIVE, content] += sign * (line[at + LIVE] + line[at + GROWTH] * steps)
    lines.totals[GROWTH, content] += sign * line[at + GROWTH]
    lines.totals[GONE, content] += sign * line[at + GONE]


@inner
def _count_changed(lines: Lines, tables: Any, table: IntArray, slot: int) -> None:
    """Count what of a seat is not known any more."""
    seat, contents, step = table[SEAT, slot], lines.contents, lines.counters[STEP]
    line, until = lines.lines[seat], FOREVER
    for content in range(contents.shape[1]):
        at, index = _place_of(lines, content), contents[CLASS, content]
        given = line[HEADER + OF_CLASS * index + GIVEN]
        is_given = tables.expired[index, seat] != given
        if contents[IS_STATE, content] or is_given or step > line[at + ENDS]:
            _add(lines, line, content, -1)
            _count(lines, tables, table, slot, content)
            _add(lines, line, content, 1)
        until = min(until, line[at + ENDS])
    for index in range(len(lines.held)):
        at = HEADER + OF_CLASS * index
        held = tables.allocated[index, seat] - tables.expired[index, seat]
        lines.held[index] += held - line[at + HELD]
        line[at + HELD], line[at + GIVEN] = held, tables.expired[index, seat]
    line[VERSION], line[UNTIL] = tables.changed[seat], until


@inner
def _count(lines: Lines, tables: Any, table: IntArray, slot: int, content: int) -> None:
    """Begin the line of one content anew; see ``UsageMeter`` for what is counted."""
    contents, step = lines.contents, lines.counters[STEP]
    seat, text, cross = table[SEAT, slot], table[COMPUTED, slot], table[CROSS_TOKENS, slot]
    index, kind = contents[CLASS, content], contents[KIND, content]
    line = lines.lines[seat]
    gone, growth, left = 0, 0, FOREVER - step
    if contents[WINDOW, content]:
        processed = text - table[CHUNK, slot] - line[FLYING]
        live, gone, growth, left = _in_window(lines, tables, seat, content, text, processed)
    elif contents[IS_STATE, content]:
        live = 1 if tables.allocated[index, seat] > tables.expired[index, seat] else 0
    elif kind == CROSS:
        live = cross
    else:
        live, growth = text, 1
    if lines.rules[SOURCE, index] == BOTH and not contents[IS_STATE, content]:
        gone += text if kind == CROSS else cross
        left = 0 if kind == CROSS else left
    per_entry = contents[PER_ENTRY, content]
    if per_entry > 1:
        # An entry that is begun is needed: the tokens to come complete it.
        whole = ceil_div(live, per_entry)
        left = min(left, whole * per_entry - live) if growth else left
        live, gone, growth = whole, gone // per_entry, 0
    at = _place_of(lines, content)
    line[at + LIVE] = live - growth * (step - line[START])
    line[at + GROWTH], line[at + GONE], line[at + ENDS] = growth, gone, step + left


@inner
def _in_window(
    lines: Lines, tables: Any, seat: int, content: int, text: int, processed: int
) -> tuple[int, int, int, int]:
    """Needed tokens, dead ones, needed ones that a decode adds, and for how many decodes."""
    index, window = lines.contents[CLASS, content], lines.contents[WINDOW, content]
    kind, block = lines.contents[KIND, content], lines.rules[BLOCK, index]
    given = tables.expired[index, seat]
    if lines.rules[EACH, index] > 1:
        given //= lines.rules[EACH, index]
    given *= block
    skipped = skipped_tokens(kind, window, processed)
    # A prompt computed whole reads tokens of which no page is kept.
    live = text - max(skipped, given)
    dead = max(skipped - given, 0) // block * block
    if kind == CHUNKED:
        return live, dead, 1, skipped + window - 1 - processed
    if processed < window - 1:
        return live, dead, 1, window - 1 - processed
    if skipped < given:
        return live, dead, 1, given - skipped
    return live, dead, 0, dead + block - 1 - (skipped - given)


@inner
def _forget_others(lines: Lines, table: IntArray) -> None:
    """End the lines of requests that do not run any more."""
    for seat in range(len(lines.lines)):
        line = lines.lines[seat]
        if line[HOLDER] and table[SEAT, line[HOLDER] - 1] != seat:
            _end_line(lines, line)
