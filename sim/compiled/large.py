"""Block tables over Jenga's two levels of pages, with a prefix cache or without, compiled.

A prompt is looked up first, holds what it hits and then takes what it lacks. Here is what is asked
without a change; ``large_running`` takes pages and gives them back. See ``contract`` for what the
functions promise.
"""

from ...configs.errors import InvariantError
from ...policies import batch
from ...policies.compiled import body_of, inner
from ...policies.demand_kernels import BLOCK, EACH
from ...policies.large_pages import layout as at
from ...policies.large_pages import pages, room
from ...policies.large_pages import rule_kernels as rules_of
from ...policies.large_pages.layout import IntArray
from ..requests import CROSS, OUTPUT, PROMPT
from . import contract, large_lookup
from .large_state import (
    CACHING,
    CLOCK,
    COUNTS_STEPS,
    END_HIT,
    FIRST_HIT,
    GAINED,
    HEAD_HIT,
    HEAD_SLOT,
    HITS_NOTHING,
    LEFT_FREE,
    LargeTables,
)


@body_of(contract.begin_step, LargeTables)
@inner
def begin_step(tables: LargeTables) -> None:
    """See Tables."""
    tables.scalars[CLOCK] += tables.scalars[COUNTS_STEPS]


@body_of(contract.end_step, LargeTables)
@inner
def end_step(tables: LargeTables) -> None:
    """See Tables."""
    pages.end_step(tables.pool)


@body_of(contract.possible, LargeTables)
@inner
def possible(tables: LargeTables, table: IntArray, slot: int, tokens: int) -> bool:
    """See Tables. What kinds that recycle leave behind is cached beside what they hold."""
    least, num_groups = tables.scalars[LEFT_FREE], len(tables.groups)
    for group in range(num_groups):
        ratio = tables.pool.groups[group, at.RATIO]
        need = rules_of.most(tables.rules, group, tokens, table[CROSS, slot])
        if tables.scalars[CACHING] and not tables.rules.rows[rules_of.IS_FULL, group]:
            need += ratio
        least += room.in_large(need - (ratio - 1), ratio)
    return least <= tables.pool.counts[at.SIZE] - num_groups


@body_of(contract.look_up, LargeTables)
@inner
def look_up(tables: LargeTables, table: IntArray, slot: int) -> tuple[int, int]:
    """See Tables. While nobody holds a page, a hit that stands in its own way is no hit."""
    if not tables.scalars[CACHING] or tables.short[HITS_NOTHING, slot]:
        return 0, 0
    large_lookup.find(tables, slot, table[PROMPT, slot] + table[OUTPUT, slot] - 1)
    hit = tables.scalars[HEAD_HIT]
    if hit and not tables.pool.counts[at.RUNNING]:
        enough = room.available(tables.pool) - count_gains(tables, slot, hit)
        need_of_prompt(tables, table, slot, hit, tables.need)
        if least_beside(tables, tables.need) > enough:
            return 0, 0
        need_of_chunk(tables, hit, hit, table[CROSS, slot], tables.need)
        if least_beside(tables, tables.need) > enough:
            return 0, 0
    return hit, 0


@body_of(contract.lacking, LargeTables)
@inner
def lacking(
    tables: LargeTables,
    table: IntArray,
    slot: int,
    hit: int,
    new: int,
    watermark: float,
    whole: bool,
    need: IntArray,
) -> bool:
    """See Tables."""
    enough = room.available(tables.pool) - count_gains(tables, slot, hit)
    enough -= int(watermark * tables.pool.counts[at.SIZE])
    if whole:
        need_of_prompt(tables, table, slot, hit, need)
        if least_beside(tables, need) > enough:
            return True
    need_of_chunk(tables, hit, hit + new, table[CROSS, slot], need)
    return least_beside(tables, need) > enough


@inner
def need_of_prompt(
    tables: LargeTables, table: IntArray, slot: int, hit: int, need: IntArray
) -> None:
    """Pages that a whole prompt must find free beyond its hit."""
    rules, tokens = tables.rules, table[PROMPT, slot] + table[OUTPUT, slot]
    for group in range(len(need)):
        behind = hit // rules.rows[BLOCK, group] * rules.rows[EACH, group]
        rest = rules_of.length(rules, group, tokens, table[CROSS, slot]) - behind
        least = rules_of.admission(rules, group, tokens, table[CROSS, slot])
        need[group] = min(least, rest)


@inner
def count_gains(tables: LargeTables, slot: int, hit: int) -> int:
    """Note what is gained if the pages of a hit are held; large pages that are lost then."""
    if hit and tables.scalars[HEAD_SLOT] != slot:
        raise InvariantError("a request takes a hit that was found for another")
    lost = 0
    for group in range(len(tables.groups)):
        mine = tables.groups[group]
        mine[GAINED] = 0
        if hit:
            found = tables.pages[len(tables.changed), group]
            hits = found[mine[FIRST_HIT] : mine[END_HIT]]
            mine[GAINED], closed = room.after_hits(tables.pool, group, hits, len(hits))
            lost += closed
    return lost


@inner
def least_beside(tables: LargeTables, need: IntArray) -> int:
    """Large pages without which ``need`` cannot be met beside the hit that was counted last."""
    total = 0
    for group in range(len(need)):
        pages_left = need[group] - tables.groups[group, GAINED]
        total += room.lacking_large(tables.pool, group, pages_left)
    return total


@inner
def need_of_chunk(tables: LargeTables, hit: int, tokens: int, cross: int, need: IntArray) -> None:
    """Pages of a waiting request's first ``tokens`` beyond its hit."""
    rules = tables.rules
    for group in range(len(need)):
        behind = hit // rules.rows[BLOCK, group] * rules.rows[EACH, group]
        behind = max(behind, rules_of.unheld(rules, group, tokens))
        need[group] = rules_of.length(rules, group, tokens, cross) - behind


@body_of(contract.tables_slack, LargeTables)
@inner
def tables_slack(tables: LargeTables, refused: IntArray, watermark: float, out: IntArray) -> None:
    """See Tables."""
    batch.slack(tables.pool, refused, watermark, out)


@body_of(contract.tables_tick, LargeTables)
@inner
def tables_tick(tables: LargeTables, now_ns: int, moved: IntArray) -> None:
    """See Tables. Large pages never move."""


@body_of(contract.tables_due, LargeTables)
@inner
def tables_due(tables: LargeTables) -> int:
    """See Tables."""
    return batch.NEVER_DUE
