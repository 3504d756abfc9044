"""Block tables whose full blocks stay in the pool as a prefix cache, compiled.

vLLM's ``KVCacheManager``. What happens to pages is in ``policies.caching``; the functions here give
each running request its table and keys. See ``contract`` for what they promise, and ``cached_head``
for requests that wait.
"""

from ...configs.errors import InvariantError
from ...policies.batch import NEVER_DUE
from ...policies.caching import blocks, queue, retention
from ...policies.caching.layout import (
    ALIGNED,
    BLOCK,
    CACHED,
    CACHING,
    CHUNKED,
    FREE,
    FULL,
    HASH_BLOCK,
    HELD,
    KIND,
    LAST_STATE,
    LENGTH,
    NONE,
    NULLS,
    NUM_PAGES,
    PENDING,
    RETIRED,
    ROUNDING,
    SHARED_AT,
    SLIDING,
    SPECULATIVE,
    STEP,
    WINDOW,
)
from ...policies.carving.single import NULL_PAGES
from ...policies.compiled import body_of, inner
from ..requests import COMPUTED, IN_FLIGHT, JUNCTION, NEVER, OUTPUT, PROMPT, SEAT
from . import contract
from .cached_head import explain
from .cached_state import (
    ANSWER,
    FIRST_GROUPS,
    HAS_STATES,
    LENGTHS,
    MAX_MODEL_LEN,
    NEXT_KEY,
    NUM_KEYS,
    PAGE_BYTES,
    POOL_BYTES,
    SLOT,
    CachedTables,
)
from .keys import fill_keys
from .state import IntArray


@body_of(contract.begin_step, CachedTables)
@inner
def begin_step(tables: CachedTables) -> None:
    """See Tables. What was written in the last step can be hit from now on."""
    tables.pool.counters[STEP] += 1


@body_of(contract.end_step, CachedTables)
@inner
def end_step(tables: CachedTables) -> None:
    """See Tables. Pages of the step's copies are given up."""
    pool = tables.pool
    if pool.counters[PENDING]:
        queue.end_step(pool.pages, pool.counters, pool.pending)


@body_of(contract.allocate, CachedTables)
@inner
def allocate(tables: CachedTables, table: IntArray, slot: int, new: int, hit: int) -> bool:
    """See Tables."""
    seat, computed = table[SEAT, slot], table[COMPUTED, slot] + hit
    end = computed + new
    if end <= tables.quiet[seat]:
        return True
    if not tables.seats[NUM_KEYS, seat]:
        _open_table(tables, table, slot, hit)
    prompt, num_tokens = table[PROMPT, slot], table[PROMPT, slot] + table[OUTPUT, slot]
    done = blocks.allocate(
        tables.pool,
        tables.known[seat][: _num_known(tables, seat, num_tokens)],
        tables.tables[seat],
        tables.marks[seat],
        tables.tables[len(tables.changed)],
        tables.head[LENGTHS],
        hit,
        min(end, tables.limits[MAX_MODEL_LEN]),
        max(0, computed - table[IN_FLIGHT, slot]),
        prompt,
        table[JUNCTION, slot],
        min(end, num_tokens),
    )
    _note(tables, seat, prompt <= end)
    return done


@inner
def _num_known(tables: CachedTables, seat: int, num_tokens: int) -> int:
    """How many keys of a request with a table are known."""
    return min(tables.seats[NUM_KEYS, seat] - 1, num_tokens // tables.pool.settings[HASH_BLOCK])


@inner
def _open_table(tables: CachedTables, table: IntArray, slot: int, hit: int) -> None:
    """Start the table of a request that was looked up just now."""
    if hit and tables.head[ANSWER, SLOT] != slot:
        raise InvariantError("a request takes a hit that was found for another")
    seat, settings, count = table[SEAT, slot], tables.pool.settings, 0
    if settings[CACHING]:
        keys = tables.known[seat]
        count = fill_keys(tables.keys, slot, settings[HASH_BLOCK], len(keys), keys)
        explain(tables, table, slot, hit)
    tables.seats[NUM_KEYS, seat] = count + 1


@inner
def _note(tables: CachedTables, seat: int, decodes: bool) -> None:
    """Copy the lengths that others read, and say how long nothing will change."""
    rules, marks, limits = tables.pool.rules, tables.marks[seat], tables.limits
    caches, rounding = tables.pool.settings[CACHING], tables.pool.settings[ROUNDING]
    quiet = next_key = NEVER_DUE
    for index in range(len(tables.allocated)):
        group = limits[FIRST_GROUPS + index]
        length, nulls = marks[LENGTH, group], marks[NULLS, group]
        if tables.allocated[index, seat] != length or tables.expired[index, seat] != nulls:
            tables.allocated[index, seat] = length
            tables.expired[index, seat] = nulls
            tables.changed[seat] += 1
        quiet = min(quiet, _next_change(tables, seat, group))
        if caches:
            full = (marks[CACHED, group] + 1) * rules[BLOCK, group]
            next_key = min(next_key, (full + rounding - 1) // rounding * rounding)
    # A state that others may hit is copied in the next step: that only happens within a prompt.
    if decodes or not limits[HAS_STATES]:
        tables.seats[NEXT_KEY, seat] = next_key
        tables.quiet[seat] = min(quiet, next_key - 1)


@inner
def _next_change(tables: CachedTables, seat: int, group: int) -> int:
    """Sequence length up to which ``group`` needs no page and gives none back."""
    rules, marks = tables.pool.rules, tables.marks[seat]
    kind, block, window = rules[KIND, group], rules[BLOCK, group], rules[WINDOW, group]
    taken = (marks[LENGTH, group] - rules[SPECULATIVE, group]) * block
    past = (marks[NULLS, group] + 1) * block
    if kind == FULL:
        return taken
    if kind == SLIDING:
        past += window - 1
    elif kind == CHUNKED:
        past = (past + window - 1) // window * window
    elif kind == ALIGNED:
        # The state before the current one goes with the blocks up to it, or earlier.
        past = (marks[RETIRED, group] + 1) * block
    return min(taken, past)


@body_of(contract.commit, CachedTables)
@inner
def commit(tables: CachedTables, table: IntArray, slot: int, tokens: int) -> None:
    """See Tables."""
    seat = table[SEAT, slot]
    if tokens >= tables.seats[NEXT_KEY, seat]:
        num_tokens = table[PROMPT, slot] + table[OUTPUT, slot]
        retention.commit(
            tables.pool,
            tables.known[seat][: _num_known(tables, seat, num_tokens)],
            tables.tables[seat],
            tables.marks[seat],
            table[PROMPT, slot],
            table[JUNCTION, slot],
            tokens,
        )
        _note(tables, seat, table[PROMPT, slot] <= tokens)


@body_of(contract.trim, CachedTables)
@inner
def trim(tables: CachedTables, table: IntArray, slot: int) -> None:
    """See Tables. ``allocate`` does it."""


@body_of(contract.release, CachedTables)
@inner
def release(tables: CachedTables, table: IntArray, slot: int) -> None:
    """See Tables.free. What is keyed stays cached until its page is taken."""
    seat = table[SEAT, slot]
    if not tables.seats[NUM_KEYS, seat]:
        return
    marks = tables.marks[seat]
    blocks.free(tables.pool, tables.tables[seat], marks)
    marks[:] = 0
    marks[LAST_STATE] = marks[SHARED_AT] = NONE
    for index in range(len(tables.allocated)):
        tables.allocated[index, seat] = tables.expired[index, seat] = 0
    tables.seats[NEXT_KEY, seat] = tables.seats[NUM_KEYS, seat] = tables.quiet[seat] = 0
    tables.changed[seat] += 1
    if tables.head[ANSWER, SLOT] == slot:
        tables.head[ANSWER, SLOT] = NEVER


@body_of(contract.tables_slack, CachedTables)
@inner
def tables_slack(tables: CachedTables, refused: IntArray, watermark: float, out: IntArray) -> None:
    """See Tables. The watermark is kept from pages that hold nothing, as far as they go."""
    counters, limits = tables.pool.counters, tables.limits
    groups, num_pages = tables.tables.shape[1], counters[NUM_PAGES]
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
    """See Tables. Pages stay where they are."""


@body_of(contract.tables_due, CachedTables)
@inner
def tables_due(tables: CachedTables) -> int:
    """See Tables."""
    return NEVER_DUE


@body_of(contract.held_pages, CachedTables)
@inner
def held_pages(tables: CachedTables, out: IntArray) -> None:
    """See Tables."""
    for group in range(len(out)):
        out[group] = tables.pool.counters[HELD + group]
