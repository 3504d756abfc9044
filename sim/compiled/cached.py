"""Block tables whose full blocks stay in the pool as a prefix cache, compiled.

vLLM's ``KVCacheManager``. What happens to pages is in ``policies.caching``; the functions here give
each running request its table and keys, and remember what need not be asked again. See ``contract``
for what they promise.
"""

from ...configs.errors import InvariantError
from ...policies.caching import blocks, hits, queue, retention
from ...policies.caching.layout import (
    BLOCK,
    CACHED,
    CACHING,
    CHUNKED,
    CLASSES,
    FREE,
    FULL,
    HASH_BLOCK,
    HELD,
    KIND,
    LAST_STATE,
    LENGTH,
    LOOKUPS,
    NONE,
    NULLS,
    PENDING,
    SHARED_AT,
    SLIDING,
    STALE,
    STEP,
    WINDOW,
)
from ...policies.carving.single import NULL_PAGES
from ...policies.batch import NEVER_DUE
from ...policies.compiled import body_of, inner
from ...policies.demand_kernels import admission_pages, demand, most_pages
from ..requests import (
    COMPUTED,
    CROSS,
    HIT,
    IN_FLIGHT,
    JUNCTION,
    NEVER,
    OUTPUT,
    PROMPT,
    SEAT,
)
from . import contract
from .cached_state import (
    ANSWER,
    ASKED,
    BATCHES,
    HEAD_HIT,
    HEAD_IDLE,
    HEAD_JUNCTION,
    HEAD_KEYS,
    HEAD_SLOT,
    HEAD_TOKENS,
    LENGTHS,
    LIMITER,
    LOST_TOKENS,
    MAX_IN_FLIGHT,
    MAX_MODEL_LEN,
    MAY_REST,
    PAGE_BYTES,
    POOL_BYTES,
    CachedTables,
    IntArray,
)
from .keys import fill_keys


@body_of(contract.begin_step, CachedTables)
@inner
def begin_step(tables: CachedTables) -> None:
    """A new step: what was written in the last one can be hit."""
    tables.pool.counters[STEP] += 1


@body_of(contract.end_step, CachedTables)
@inner
def end_step(tables: CachedTables) -> None:
    """All decisions of a step are made: pages of its copies are given up."""
    pool = tables.pool
    if pool.counters[PENDING]:
        queue.end_step(pool.pages, pool.counters, pool.pending)


@body_of(contract.possible, CachedTables)
@inner
def possible(tables: CachedTables, table: IntArray, slot: int, tokens: int) -> bool:
    """Whether the pages that ``tokens`` may need at once are in the pool."""
    limits, need = tables.limits, 0
    for group in range(tables.rules.shape[1]):
        need += most_pages(
            tables.rules,
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
    """Longest cached prefix, at least one token short of the whole sequence."""
    pool, answer = tables.pool, tables.head[ANSWER]
    if not pool.settings[CACHING]:
        return 0, 0
    tokens = table[PROMPT, slot] + table[OUTPUT, slot]
    same = answer[HEAD_SLOT] == slot
    if same and answer[HEAD_TOKENS] == tokens and not pool.counters[STALE]:
        return answer[HEAD_HIT], answer[HEAD_JUNCTION]
    seats, unit = len(tables.changed), pool.settings[HASH_BLOCK]
    keys = tables.known[seats]
    if not same:
        answer[HEAD_KEYS] = fill_keys(tables.keys, slot, unit, len(keys), keys)
    pool.counters[LOOKUPS] += 1
    pool.counters[STALE] = 0
    found, lengths = tables.tables[seats], tables.head[LENGTHS]
    known = keys[: min(answer[HEAD_KEYS], tokens // unit)]
    hit, longest = hits.longest_hit(pool, known, tokens - 1, found, lengths, tables.head[ASKED])
    answer[HEAD_SLOT] = slot
    answer[HEAD_TOKENS] = tokens
    answer[HEAD_HIT] = hit
    answer[HEAD_JUNCTION] = longest if longest > hit else 0
    answer[HEAD_IDLE] = blocks.idle_pages(pool, found, lengths, hit)
    return answer[HEAD_HIT], answer[HEAD_JUNCTION]


@inner
def missing(tables: CachedTables, hit: int, tokens: int, cap: bool) -> int:
    """Free pages that a waiting request with the last ``hit`` needs for ``tokens``."""
    seats = len(tables.changed)
    need = blocks.pages_needed(
        tables.pool,
        tables.marks[seats],
        tables.tables[seats],
        tables.head[LENGTHS],
        hit,
        tokens,
        cap,
    )
    return need + tables.head[ANSWER, HEAD_IDLE] if hit else need


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
    """Whether a waiting request finds too few free pages."""
    limits, cross = tables.limits, table[CROSS, slot]
    num_pages = len(tables.pool.pages) - 1
    free = tables.pool.counters[FREE] - int(watermark * num_pages)
    most = limits[MAX_MODEL_LEN]
    if whole:
        tokens = min(table[PROMPT, slot] + table[OUTPUT, slot], most)
        if missing(tables, hit, tokens, True) > free:
            for group in range(len(need)):
                need[group] = admission_pages(
                    tables.rules, group, tokens, cross, limits[MAX_IN_FLIGHT], most
                )
            return True
    tokens = min(hit + new, most)
    if missing(tables, hit, tokens, False) <= free:
        return False
    for group in range(len(need)):
        need[group] = demand(tables.rules, group, tokens, cross)
    return True


@body_of(contract.allocate, CachedTables)
@inner
def allocate(tables: CachedTables, table: IntArray, slot: int, new: int, hit: int) -> bool:
    """Give back what expired, hold the hit, and take what lacks, or nothing."""
    seat, computed = table[SEAT, slot], table[COMPUTED, slot] + hit
    end = computed + new
    if end <= tables.quiet[seat]:
        return True
    if not tables.opened[seat]:
        open_table(tables, table, slot, hit)
    num_tokens = table[PROMPT, slot] + table[OUTPUT, slot]
    done = blocks.allocate(
        tables.pool,
        tables.known[seat][: num_known(tables, seat, num_tokens)],
        tables.tables[seat],
        tables.marks[seat],
        tables.tables[len(tables.changed)],
        tables.head[LENGTHS],
        hit,
        min(end, tables.limits[MAX_MODEL_LEN]),
        max(0, computed - table[IN_FLIGHT, slot]),
        table[PROMPT, slot],
        table[JUNCTION, slot],
        min(end, num_tokens),
    )
    note(tables, seat)
    return done


@inner
def open_table(tables: CachedTables, table: IntArray, slot: int, hit: int) -> None:
    """Start the table of a request that was just looked up."""
    answer = tables.head[ANSWER]
    if hit and answer[HEAD_SLOT] != slot:
        raise InvariantError("a request takes a hit that was found for another")
    seat, count = table[SEAT, slot], 0
    if tables.pool.settings[CACHING]:
        keys = tables.known[seat]
        count = fill_keys(tables.keys, slot, tables.pool.settings[HASH_BLOCK], len(keys), keys)
    tables.opened[seat] = count + 1
    first = table[HIT, slot] == NEVER and answer[HEAD_SLOT] == slot
    if first and count and tables.pool.settings[CLASSES] > 1:
        count = num_known(tables, seat, answer[HEAD_TOKENS])
        explain(tables, slot, tables.known[seat][:count], hit)


@inner
def num_known(tables: CachedTables, seat: int, num_tokens: int) -> int:
    """How many keys of a request with a table are known."""
    return min(tables.opened[seat] - 1, num_tokens // tables.pool.settings[HASH_BLOCK])


@inner
def explain(tables: CachedTables, slot: int, keys: IntArray, hit: int) -> None:
    """Note which kind shortened the hit of a first admission, and by how much.

    Full attention never does: what it lacks was not computed or is gone.
    """
    pool, asked = tables.pool, tables.head[ASKED]
    if hits.class_is_full(pool.rules, 0) and asked[0] <= hit:
        return
    room = tables.tables[len(tables.changed) + 1]
    hits.hits_alone(pool, keys, tables.head[ANSWER, HEAD_TOKENS] - 1, room, asked)
    shortest = 0
    for index in range(1, pool.settings[CLASSES]):
        if asked[index] < asked[shortest]:
            shortest = index
    others = NONE
    for index in range(pool.settings[CLASSES]):
        if index != shortest and (others == NONE or asked[index] < others):
            others = asked[index]
    if others > hit and not hits.class_is_full(pool.rules, shortest):
        tables.short[LIMITER, slot] = shortest + 1
        tables.short[LOST_TOKENS, slot] = others - hit


@inner
def note(tables: CachedTables, seat: int) -> None:
    """Copy the lengths that others read, and say how long nothing will change."""
    rules, marks = tables.pool.rules, tables.marks[seat]
    quiet = next_key = 1 << 62
    for index in range(len(tables.first_of)):
        group = tables.first_of[index]
        length, nulls, cached = marks[LENGTH, group], marks[NULLS, group], marks[CACHED, group]
        if tables.allocated[index, seat] != length or tables.expired[index, seat] != nulls:
            tables.changed[seat] += 1
        tables.allocated[index, seat] = length
        tables.expired[index, seat] = nulls
        tables.keyed[index, seat] = cached
        kind, block, window = rules[KIND, group], rules[BLOCK, group], rules[WINDOW, group]
        past = (nulls + 1) * block
        if kind == SLIDING:
            past += window - 1
        elif kind == CHUNKED:
            past = (past + window - 1) // window * window
        quiet = min(quiet, length * block)
        if kind != FULL:
            quiet = min(quiet, past)
        next_key = min(next_key, (cached + 1) * block)
    if tables.limits[MAY_REST]:
        tables.next_key[seat] = next_key
        tables.quiet[seat] = min(quiet, next_key - 1)


@body_of(contract.commit, CachedTables)
@inner
def commit(tables: CachedTables, table: IntArray, slot: int, tokens: int) -> None:
    """Key what is full once ``tokens`` are computed and known."""
    seat = table[SEAT, slot]
    if tokens < tables.next_key[seat]:
        return
    num_tokens = table[PROMPT, slot] + table[OUTPUT, slot]
    retention.commit(
        tables.pool,
        tables.known[seat][: num_known(tables, seat, num_tokens)],
        tables.tables[seat],
        tables.marks[seat],
        table[PROMPT, slot],
        table[JUNCTION, slot],
        tokens,
    )
    note(tables, seat)


@body_of(contract.trim, CachedTables)
@inner
def trim(tables: CachedTables, table: IntArray, slot: int) -> None:
    """``allocate`` does it."""


@body_of(contract.release, CachedTables)
@inner
def release(tables: CachedTables, table: IntArray, slot: int) -> None:
    """Give back everything; what is keyed stays cached until its page is taken."""
    seat = table[SEAT, slot]
    if not tables.opened[seat]:
        return
    marks = tables.marks[seat]
    blocks.free(tables.pool, tables.tables[seat], marks)
    for group in range(marks.shape[1]):
        for row in range(len(marks)):
            marks[row, group] = NONE if row in (LAST_STATE, SHARED_AT) else 0
    for index in range(len(tables.first_of)):
        tables.allocated[index, seat] = 0
        tables.expired[index, seat] = 0
        tables.keyed[index, seat] = 0
    tables.quiet[seat] = tables.next_key[seat] = tables.opened[seat] = 0
    tables.changed[seat] += 1
    if tables.head[ANSWER, HEAD_SLOT] == slot:
        tables.head[ANSWER, HEAD_SLOT] = NEVER


@body_of(contract.tables_slack, CachedTables)
@inner
def tables_slack(tables: CachedTables, refused: IntArray, watermark: float, out: IntArray) -> None:
    """The watermark is kept from pages that hold nothing, as far as they go."""
    counters, limits = tables.pool.counters, tables.limits
    groups, num_pages = tables.rules.shape[1], len(tables.pool.pages) - 1
    page_bytes, empty = limits[PAGE_BYTES], counters[FREE]
    for group in range(groups):
        idle = counters[HELD + groups + group]
        empty -= idle
        out[group] = out[groups + group] = 0
        out[2 * groups + group] = idle * page_bytes
    kept = min(empty, int(watermark * num_pages))
    remainder = limits[POOL_BYTES] - num_pages * page_bytes
    out[3 * groups] = remainder + (NULL_PAGES + kept) * page_bytes
    out[3 * groups + 1] = (empty - kept) * page_bytes


@body_of(contract.tables_tick, CachedTables)
@inner
def tables_tick(tables: CachedTables, now_ns: int, moved: IntArray) -> None:
    """Pages stay where they are."""


@body_of(contract.tables_due, CachedTables)
@inner
def tables_due(tables: CachedTables) -> int:
    """See Tables.due_ns. Pages stay where they are."""
    return NEVER_DUE
