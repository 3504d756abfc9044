"""Pages of running requests over Jenga's two levels of pages, with a prefix cache or without.

Full blocks are cached as soon as they are computed, whatever their kind, and stay so until their
pages are taken. See ``contract`` for what the functions promise.
"""

from ...configs.errors import InvariantError
from ...policies.compiled import body_of, inner
from ...policies.demand_kernels import BLOCK, EACH
from ...policies.large_pages import empty_pages, pages, room
from ...policies.large_pages import layout as at
from ...policies.large_pages import rule_kernels as rules_of
from ...policies.large_pages.layout import FIRST_HOLDER, IntArray
from ..requests import COMPUTED, CROSS, HIT, IN_FLIGHT, NEVER, OUTPUT, PROMPT, RUNNING, SEAT, STATUS
from . import contract, large, large_lookup
from .large_state import (
    ACCESSED,
    CACHING,
    CLOCK,
    COUNTS_STEPS,
    END_HIT,
    FIRST_HIT,
    FIRST_OF,
    GONE,
    HEAD_LIMITER,
    HEAD_LOST,
    HEAD_SLOT,
    HITS_NOTHING,
    KEYED,
    LENGTH,
    LIMITER,
    LOST_TOKENS,
    NEXT_KEY,
    UNIT,
    LargeTables,
)


@body_of(contract.allocate, LargeTables)
@inner
def allocate(tables: LargeTables, table: IntArray, slot: int, new: int, hit: int) -> bool:
    """See Tables."""
    seat, owner = table[SEAT, slot], FIRST_HOLDER + table[SEAT, slot]
    end = table[COMPUTED, slot] + hit + new
    if end > tables.quiet[seat]:
        if not empty_pages.is_joined(tables.pool, owner):
            if not _admit(tables, table, slot, end, hit):
                return False
        elif not _extend(tables, table, slot, end):
            room.refuse(tables.pool, owner)
            return False
    tables.seats[ACCESSED, seat] = tables.scalars[CLOCK]
    return True


@inner
def _extend(tables: LargeTables, table: IntArray, slot: int, end: int) -> bool:
    """Let a running request have pages for ``end`` tokens."""
    trim(tables, table, slot)
    seat, rules, need = table[SEAT, slot], tables.rules, tables.need
    for group in range(len(need)):
        need[group] = 0
        if rules_of.grows(rules, group):
            length = rules_of.length(rules, group, end, table[CROSS, slot])
            need[group] = max(0, length - tables.marks[seat, group, LENGTH])
    taken = room.least_large(tables.pool, need) <= room.available(tables.pool)
    if taken:
        _take(tables, table, slot, end)
    _note(tables, seat, table[CROSS, slot])
    return taken


@inner
def _admit(tables: LargeTables, table: IntArray, slot: int, end: int, hit: int) -> bool:
    seat, rows, cross = table[SEAT, slot], tables.rules.rows, table[CROSS, slot]
    lost = large.count_gains(tables, slot, hit)
    large.need_of_chunk(tables, hit, end, cross, tables.need)
    if large.least_beside(tables, tables.need) > room.available(tables.pool) - lost:
        return False
    if table[HIT, slot] == NEVER and tables.scalars[HEAD_SLOT] == slot:
        tables.short[LIMITER, slot] = tables.scalars[HEAD_LIMITER]
        tables.short[LOST_TOKENS, slot] = tables.scalars[HEAD_LOST]
    for group in range(len(tables.groups)):
        mine, mark = tables.groups[group], tables.marks[seat, group]
        behind = hit // rows[BLOCK, group] * rows[EACH, group]
        mark[LENGTH] = max(behind, rules_of.unheld(tables.rules, group, end))
        mark[KEYED] = hit // rows[BLOCK, group]
        first = mine[FIRST_HIT] if hit else 0
        held = mine[END_HIT] - first if hit else 0
        mark[GONE] = mark[LENGTH] - held
        for entry in range(held):
            page = tables.pages[len(tables.changed), group, first + entry]
            tables.pages[seat, group, mark[GONE] + entry] = page
            pages.hold(tables.pool, group, page)
    # What it keys itself would be news to it if it came back.
    tables.scalars[HEAD_SLOT] = NEVER
    empty_pages.join(tables.pool, FIRST_HOLDER + seat)
    if tables.scalars[CACHING]:
        large_lookup.fill(tables, slot, seat)
    _take(tables, table, slot, end)
    _note(tables, seat, cross)
    return True


@inner
def _take(tables: LargeTables, table: IntArray, slot: int, end: int) -> None:
    """Take the pages of ``tables.need``, and key what is full once ``end`` tokens are computed."""
    pool, seat, some = tables.pool, table[SEAT, slot], False
    for group in range(len(tables.need)):
        some |= tables.need[group] > 0
    if some and not room.set_quotas(pool, tables.need):
        raise InvariantError("the pool says that pages fit and then refuses them")
    for group in range(len(tables.need)):
        left, mark = tables.need[group], tables.marks[seat, group]
        while left > 0:
            page, count = pages.take(pool, group, FIRST_HOLDER + seat, left)
            for entry in range(count):
                tables.pages[seat, group, mark[LENGTH] + entry] = page + entry
            mark[LENGTH] += count
            left -= count
    _key_full_blocks(tables, seat, min(end, table[PROMPT, slot] + table[OUTPUT, slot]))


@inner
def _key_full_blocks(tables: LargeTables, seat: int, tokens: int) -> None:
    """Let later requests find the blocks that ``tokens`` fill."""
    if not tables.scalars[CACHING]:
        return
    for group in range(len(tables.groups)):
        mark = tables.marks[seat, group]
        block, each = tables.rules.rows[BLOCK, group], tables.rules.rows[EACH, group]
        full = min(tokens // block, mark[LENGTH] // each)
        for place in range(max(mark[KEYED], mark[GONE] // each), full):
            key = tables.known[seat, tables.groups[group, UNIT], place]
            for part in range(each):
                page = tables.pages[seat, group, place * each + part]
                pages.set_key(tables.pool, group, page, key, part, (place + 1) * block)
        mark[KEYED] = max(full, mark[KEYED])


@body_of(contract.commit, LargeTables)
@inner
def commit(tables: LargeTables, table: IntArray, slot: int, tokens: int) -> None:
    """See Tables."""
    seat = table[SEAT, slot]
    if tables.scalars[CACHING] and tokens >= tables.seats[NEXT_KEY, seat]:
        _key_full_blocks(tables, seat, tokens)
        pages.end_step(tables.pool)
        _note(tables, seat, table[CROSS, slot])


@body_of(contract.trim, LargeTables)
@inner
def trim(tables: LargeTables, table: IntArray, slot: int) -> None:
    """See Tables."""
    seat, computed = table[SEAT, slot], table[COMPUTED, slot]
    if computed < tables.quiet[seat]:
        return
    for group in range(len(tables.groups)):
        mark, rules = tables.marks[seat, group], tables.rules
        past = rules_of.past(rules, group, computed, table[IN_FLIGHT, slot], mark[LENGTH])
        if past > mark[GONE]:
            time = rules_of.left_at(rules, _time(tables, seat, slot))
            mine = tables.pages[seat, group]
            pages.release(tables.pool, group, mine, mark[GONE], past, time)
            mark[GONE] = past
    _note(tables, seat, table[CROSS, slot])


@inner
def _time(tables: LargeTables, seat: int, slot: int) -> float:
    """When pages that are given back now were used last."""
    if tables.scalars[COUNTS_STEPS]:
        # A request's pages have times of their own, so that they are evicted together.
        return tables.seats[ACCESSED, seat] + slot / 100
    tables.scalars[CLOCK] += 1
    return float(tables.scalars[CLOCK])


@body_of(contract.release, LargeTables)
@inner
def release(tables: LargeTables, table: IntArray, slot: int) -> None:
    """See Tables. What is cached stays so until its page is taken."""
    seat, pool = table[SEAT, slot], tables.pool
    if not empty_pages.is_joined(pool, FIRST_HOLDER + seat):
        return
    time = _time(tables, seat, slot)
    empty_pages.leave(pool, FIRST_HOLDER + seat)
    if not pool.counts[at.RUNNING] and table[STATUS, slot] == RUNNING:
        tables.short[HITS_NOTHING, slot] = 1
    for group in range(len(tables.groups)):
        mark = tables.marks[seat, group]
        pages.release(pool, group, tables.pages[seat, group], mark[GONE], mark[LENGTH], time)
    for index in range(len(tables.allocated)):
        tables.allocated[index, seat] = tables.expired[index, seat] = 0
    tables.quiet[seat] = tables.seats[NEXT_KEY, seat] = 0
    tables.changed[seat] += 1


@inner
def _note(tables: LargeTables, seat: int, cross: int) -> None:
    """Copy the lengths that others read, and say how long nothing will change."""
    quiet = next_key = rules_of.FOREVER
    for index in range(len(tables.allocated)):
        group = tables.groups[index, FIRST_OF]
        length, gone = tables.marks[seat, group, LENGTH], tables.marks[seat, group, GONE]
        if tables.allocated[index, seat] != length or tables.expired[index, seat] != gone:
            tables.changed[seat] += 1
        tables.allocated[index, seat], tables.expired[index, seat] = length, gone
        if tables.scalars[CACHING]:
            blocks = tables.marks[seat, group, KEYED] + 1
            next_key = min(next_key, blocks * tables.rules.rows[BLOCK, group])
        quiet = min(quiet, rules_of.quiet_until(tables.rules, group, length, gone, cross))
    tables.seats[NEXT_KEY, seat] = next_key
    tables.quiet[seat] = min(quiet, next_key - 1)
