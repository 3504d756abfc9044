"""How much of a prompt Jenga's pool has cached: the longest length that every kind can resume at.

Every kind allows the lengths at which it finds cached all that the next token reads; the hit is the
longest length that all of them allow (interval intersection, Jenga, SOSP 2025, section 5.2).
"""

from ...policies.compiled import inner
from ...policies.demand_kernels import BLOCK, EACH
from ...policies.large_pages import layout as at
from ...policies.large_pages import pages
from ...policies.large_pages.rule_kernels import READS_ALL, first_read
from .keys import fill_keys
from .large_state import (
    ALIGNMENT,
    END_HIT,
    FIRST_HIT,
    HEAD_CHANGES,
    HEAD_HIT,
    HEAD_LIMITER,
    HEAD_LOST,
    HEAD_SLOT,
    HEAD_TOKENS,
    UNIT,
    UNIT_SIZE,
    LargeTables,
)

MISSING, UNKNOWN = -1, -2
"""Found pages that are none."""


@inner
def find(tables: LargeTables, slot: int, tokens: int) -> None:
    """Note the longest hit within the first ``tokens`` of a request, and its pages."""
    head, rows = tables.scalars, tables.rules.rows
    changes = tables.pool.counts[at.CHANGES]
    same = head[HEAD_SLOT] == slot
    if same and head[HEAD_TOKENS] == tokens and head[HEAD_CHANGES] == changes:
        return
    if not same:
        fill(tables, slot, len(tables.changed))
    head[HEAD_SLOT], head[HEAD_TOKENS], head[HEAD_CHANGES] = slot, tokens, changes
    # Nobody can resume behind what is missing of a kind that reads everything.
    longest = tokens
    for group in range(len(tables.groups)):
        if rows[READS_ALL, group]:
            longest = _leading(tables, group, longest // rows[BLOCK, group]) * rows[BLOCK, group]
    longest = longest // head[ALIGNMENT] * head[ALIGNMENT]
    found = tables.pages[len(tables.changed)]
    for group in range(len(tables.groups)):
        if not rows[READS_ALL, group]:
            for entry in range(longest // rows[BLOCK, group] * rows[EACH, group]):
                found[group, entry] = UNKNOWN
    hit = _intersection(tables, longest, len(tables.groups))
    _note_limiter(tables, longest, hit)
    head[HEAD_HIT] = hit
    for group in range(len(tables.groups)):
        end = hit // rows[BLOCK, group]
        first = min(first_read(tables.rules, group, hit), end)
        tables.groups[group, FIRST_HIT] = first * rows[EACH, group]
        tables.groups[group, END_HIT] = end * rows[EACH, group]


@inner
def fill(tables: LargeTables, slot: int, row: int) -> None:
    """Write down the keys of a request."""
    for unit in range(tables.known.shape[1]):
        keys = tables.known[row, unit]
        fill_keys(tables.keys, slot, tables.groups[unit, UNIT_SIZE], len(keys), keys)


@inner
def _note_limiter(tables: LargeTables, longest: int, hit: int) -> None:
    """Without which kind the hit would have been longer; never one that reads every token."""
    best, limiter = hit, 0
    if hit < longest:
        for group in range(len(tables.groups)):
            if not tables.rules.rows[READS_ALL, group]:
                others = _intersection(tables, longest, group)
                if others > best:
                    best, limiter = others, group + 1
    tables.scalars[HEAD_LIMITER] = limiter
    tables.scalars[HEAD_LOST] = best - hit


@inner
def _leading(tables: LargeTables, group: int, blocks: int) -> int:
    """Leading blocks, of ``blocks``, that are cached."""
    each, seats = tables.rules.rows[EACH, group], len(tables.changed)
    for block in range(blocks):
        key = tables.known[seats, tables.groups[group, UNIT], block]
        for part in range(each):
            page = pages.find(tables.pool, group, key, part)
            if page == MISSING:
                return block
            tables.pages[seats, group, block * each + part] = page
    return blocks


@inner
def _intersection(tables: LargeTables, longest: int, without: int) -> int:
    """The longest length up to ``longest`` that all groups but one allow; 0 if there is none."""
    length, before = longest, -1
    while length != before:
        before = length
        for group in range(len(tables.groups)):
            if group != without and not tables.rules.rows[READS_ALL, group]:
                length = _allowed(tables, group, length)
    return length


@inner
def _allowed(tables: LargeTables, group: int, length: int) -> int:
    """The longest length up to ``length`` at which a group finds all blocks that it reads."""
    block = tables.rules.rows[BLOCK, group]
    alignment = tables.scalars[ALIGNMENT]
    while length > 0:
        first = first_read(tables.rules, group, length)
        last = length // block - 1
        while last >= first and _is_cached(tables, group, last):
            last -= 1
        if last < first:
            break
        # The next length that does not read what is missing ends before it.
        length = last * block // alignment * alignment
    return length


@inner
def _is_cached(tables: LargeTables, group: int, block: int) -> bool:
    """Whether all pages of a block are cached; they are among the found pages then."""
    each = tables.rules.rows[EACH, group]
    seats, unit = len(tables.changed), tables.groups[group, UNIT]
    found, key = tables.pages[seats, group], tables.known[seats, unit, block]
    for part in range(each):
        entry = block * each + part
        if found[entry] == UNKNOWN:
            found[entry] = pages.find(tables.pool, group, key, part)
        if found[entry] == MISSING:
            return False
    return True
