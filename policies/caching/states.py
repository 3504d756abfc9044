"""Recurrent states kept at block boundaries (vLLM 0.33, ``MambaManager`` in mode ``align``).

A request holds the state that it writes and, until that one is computed, the one before it: table
entries in between are NULL. A state inside a block that others may hit is copied before it changes.
"""

from ..compiled import inner
from .layout import (
    BLOCK,
    KEY,
    LAST_STATE,
    LENGTH,
    NONE,
    NULL,
    NUM_PAGES,
    RETIRED,
    SHARED_AT,
    SHARED_PAGE,
    SIBLING,
    SPECULATIVE,
    STARTED,
    TOKENS,
    Arrays,
    IntArray,
)
from .queue import forget, insert, is_fresh, keep_for_copy, pop, release, touch
from .retention import renew


@inner
def is_not_computed_yet(arrays: Arrays, group: int, page: int) -> bool:
    """Whether the state on ``page`` is only written in this step."""
    pages = arrays.pages
    if pages[page, TOKENS] == 0:
        return False
    return is_fresh(pages, arrays.buckets, arrays.counters, pages[page, KEY], group)


@inner
def states_needed(
    arrays: Arrays,
    group: int,
    marks: IntArray,
    found: IntArray,
    length: int,
    hit: int,
    tokens: int,
) -> int:
    """Pages that must be free; more than there are if the hit is not computed yet."""
    if length and is_not_computed_yet(arrays, group, found[group, length - 1]):
        return arrays.counters[NUM_PAGES] + 1
    block, speculative = arrays.rules[BLOCK, group], arrays.rules[SPECULATIVE, group]
    need = -(-tokens // block) + speculative - length - marks[LENGTH, group]
    copies = 0
    if (length and hit % block) or marks[SHARED_AT, group] != NONE:
        copies = 1
        need = max(need, 0) + 1
    most = 1 + copies + (0 if marks[STARTED, group] else speculative)
    return max(min(need, most), 0)


@inner
def trim_states(
    arrays: Arrays, group: int, table: IntArray, marks: IntArray, past: int, processed: int
) -> None:
    """Give back states before block ``past``, then the last one if a later one is computed."""
    front = NULL
    if past > marks[RETIRED, group]:
        for index in range(past - 1, marks[RETIRED, group] - 1, -1):
            if table[group, index] != NULL:
                front = release(arrays.pages, arrays.counters, table[group, index], front)
                table[group, index] = NULL
        marks[RETIRED, group] = past
    last = marks[LAST_STATE, group]
    if last == NONE or last >= -(-processed // arrays.rules[BLOCK, group]) - 1:
        return
    if table[group, last] != NULL:
        release(arrays.pages, arrays.counters, table[group, last], NULL)
        table[group, last] = NULL


@inner
def move_keys(arrays: Arrays, source: int, target: int) -> None:
    """Let ``target`` answer for what ``source`` was keyed for."""
    pages, tokens = arrays.pages, arrays.pages[source, TOKENS]
    row = source if tokens else 0
    while row:
        insert(pages, arrays.buckets, arrays.counters, pages[row, KEY], target, tokens)
        row = pages[row, SIBLING]
    forget(pages, arrays.buckets, arrays.counters, source)


@inner
def copy_shared(arrays: Arrays, group: int, table: IntArray, marks: IntArray, page: int) -> None:
    """Copy a state that others may hit to ``page`` before it changes.

    A request that wrote it keeps its page and leaves the copy to the cache; one that hit it goes on
    with the copy.
    """
    source = marks[SHARED_PAGE, group]
    if marks[STARTED, group]:
        move_keys(arrays, source, page)
        renew(arrays, page)
        touch(arrays.pages, arrays.counters, source)
    else:
        table[group, marks[SHARED_AT, group]] = page
        touch(arrays.pages, arrays.counters, page)
    keep_for_copy(arrays.counters, arrays.pending, source, page)
    marks[SHARED_AT, group] = NONE


@inner
def make_room(rules: IntArray, group: int, table: IntArray, marks: IntArray, current: int) -> None:
    """Move the end of the table to block ``current``: NULL before it, spare pages behind it."""
    length, speculative = marks[LENGTH, group], rules[SPECULATIVE, group]
    if marks[STARTED, group]:
        marks[LAST_STATE, group] = length - 1 - speculative
    elif length:
        marks[LAST_STATE, group] = length - 1
    end = max(length, current)
    for index in range(length, end):
        table[group, index] = NULL
    if marks[STARTED, group]:
        for index in range(length - speculative, min(length, current)):
            table[group, end] = table[group, index]
            table[group, index] = NULL
            end += 1
    marks[LENGTH, group] = end


@inner
def grow_states(arrays: Arrays, group: int, table: IntArray, marks: IntArray, tokens: int) -> None:
    """Take a page for the state that ``tokens`` end in, and one for a copy if one is due."""
    rules = arrays.rules
    blocks = -(-tokens // rules[BLOCK, group]) + rules[SPECULATIVE, group]
    shared = marks[SHARED_AT, group] != NONE
    if blocks > marks[LENGTH, group] or shared:
        make_room(rules, group, table, marks, blocks - rules[SPECULATIVE, group] - 1)
        if shared:
            page = pop(arrays.pages, arrays.buckets, arrays.counters, group)
            copy_shared(arrays, group, table, marks, page)
        for index in range(marks[LENGTH, group], blocks):
            table[group, index] = pop(arrays.pages, arrays.buckets, arrays.counters, group)
            marks[LENGTH, group] = index + 1
    marks[STARTED, group] = 1
