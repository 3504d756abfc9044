"""Requests that wait, before tables with vLLM's prefix cache: what is cached of them, what lacks.

Only the head of the queue is asked about, over and over: what a lookup found is kept until some
page that it saw is taken, given back or held, or a key comes that it missed.
"""

from ...policies.caching import blocks, hits
from ...policies.caching.layout import CACHING, CLASSES, FREE, HASH_BLOCK, LOOKUPS, NONE, STALE
from ...policies.carving.single import NULL_PAGES
from ...policies.compiled import body_of, inner
from ...policies.demand_kernels import admission_pages, demand, most_pages
from ..requests import CROSS, NEVER, OUTPUT, PROMPT
from ..requests import HIT as FIRST_HIT
from . import contract
from .cached_state import (
    ANSWER,
    ASKED,
    BATCHES,
    HIT,
    IDLE,
    JUNCTION,
    KEYS,
    LENGTHS,
    LIMITER,
    LOST_TOKENS,
    MAX_IN_FLIGHT,
    MAX_MODEL_LEN,
    SLOT,
    TOKENS,
    CachedTables,
)
from .keys import fill_keys
from .state import IntArray


@body_of(contract.possible, CachedTables)
@inner
def possible(tables: CachedTables, table: IntArray, slot: int, tokens: int) -> bool:
    """See Tables.could_fit."""
    limits, need = tables.limits, 0
    for group in range(tables.tables.shape[1]):
        need += most_pages(
            tables.pool.rules,
            group,
            tokens,
            table[CROSS, slot],
            limits[MAX_IN_FLIGHT],
            limits[MAX_MODEL_LEN],
            limits[BATCHES],
        )
    return need <= len(tables.pool.pages) - 1 - NULL_PAGES


@body_of(contract.look_up, CachedTables)
@inner
def look_up(tables: CachedTables, table: IntArray, slot: int) -> tuple[int, int]:
    """Longest cached prefix, at least one token short of the whole sequence, and the junction."""
    pool, head = tables.pool, tables.head[ANSWER]
    if not pool.settings[CACHING]:
        return 0, 0
    tokens = table[PROMPT, slot] + table[OUTPUT, slot]
    if head[SLOT] != slot or head[TOKENS] != tokens or pool.counters[STALE]:
        seats, unit = len(tables.changed), pool.settings[HASH_BLOCK]
        keys, found, lengths = tables.known[seats], tables.tables[seats], tables.head[LENGTHS]
        if head[SLOT] != slot:
            head[KEYS] = fill_keys(tables.keys, slot, unit, len(keys), keys)
        pool.counters[LOOKUPS] += 1
        pool.counters[STALE] = 0
        known = keys[: min(head[KEYS], tokens // unit)]
        hit, longest = hits.longest_hit(pool, known, tokens - 1, found, lengths, tables.head[ASKED])
        head[SLOT], head[TOKENS], head[HIT] = slot, tokens, hit
        head[JUNCTION] = longest if longest > hit else 0
        head[IDLE] = blocks.idle_pages(pool, found, lengths, hit)
    return head[HIT], head[JUNCTION]


@body_of(contract.lacking, CachedTables)
@inner
def lacking(
    tables: CachedTables,
    table: IntArray,
    slot: int,
    hit: int,
    new: int,
    watermark: float,
    whole: bool,
    need: IntArray,
) -> bool:
    """See Tables."""
    limits, cross, rules = tables.limits, table[CROSS, slot], tables.pool.rules
    num_pages, most = len(tables.pool.pages) - 1, limits[MAX_MODEL_LEN]
    free = tables.pool.counters[FREE] - int(watermark * num_pages)
    if whole:
        tokens = min(table[PROMPT, slot] + table[OUTPUT, slot], most)
        if _missing(tables, hit, tokens, True) > free:
            in_flight = limits[MAX_IN_FLIGHT]
            for group in range(len(need)):
                need[group] = admission_pages(rules, group, tokens, cross, in_flight, most)
            return True
    tokens = min(hit + new, most)
    if _missing(tables, hit, tokens, False) <= free:
        return False
    for group in range(len(need)):
        need[group] = demand(rules, group, tokens, cross)
    return True


@inner
def _missing(tables: CachedTables, hit: int, tokens: int, cap: bool) -> int:
    """Free pages that the head needs for ``tokens``, ``hit`` of which its lookup found."""
    seats, lengths = len(tables.changed), tables.head[LENGTHS]
    marks, found = tables.marks[seats], tables.tables[seats]
    need = blocks.pages_needed(tables.pool, marks, found, lengths, hit, tokens, cap)
    return need + tables.head[ANSWER, IDLE] if hit else need


@inner
def explain(tables: CachedTables, table: IntArray, slot: int, hit: int) -> None:
    """Note which kind shortened the hit of a first admission, and by how much.

    Full attention never does: what it lacks was not computed or is gone.
    """
    pool, asked, head = tables.pool, tables.head[ASKED], tables.head[ANSWER]
    classes = pool.settings[CLASSES]
    if table[FIRST_HIT, slot] != NEVER or head[SLOT] != slot or classes == 1:
        return
    # Full attention is asked first, and without regard to others.
    if hits.class_is_full(pool.rules, 0) and asked[0] <= hit:
        return
    seats, tokens = len(tables.changed), head[TOKENS]
    keys = tables.known[seats][: min(head[KEYS], tokens // pool.settings[HASH_BLOCK])]
    hits.hits_alone(pool, keys, tokens - 1, tables.tables[seats + 1], asked)
    shortest, others = 0, NONE
    for index in range(1, classes):
        if asked[index] < asked[shortest]:
            shortest = index
    for index in range(classes):
        if index != shortest and (others == NONE or asked[index] < others):
            others = asked[index]
    if others > hit and not hits.class_is_full(pool.rules, shortest):
        tables.short[LIMITER, slot] = shortest + 1
        tables.short[LOST_TOKENS, slot] = others - hit
