"""Block tables: what a request needs, takes and gives back.

As in vLLM 0.33 (``allocate_slots``, and the managers of ``single_type_kv_cache_manager.py``).
``table`` holds the page of each block, one row per group, NULL where a block was given back or was
never needed; ``marks`` says how far it is filled.
"""

from ..compiled import compiled
from .layout import (
    ALIGNED,
    BLOCK,
    CACHED,
    CAP,
    CHUNKED,
    FREE,
    KIND,
    LENGTH,
    NONE,
    NULL,
    NULLS,
    REFS,
    SHARED_AT,
    SHARED_PAGE,
    SLIDING,
    SPECULATIVE,
    STATE,
    WINDOW,
    Arrays,
    IntArray,
)
from .queue import keep_for_copy, pop, release, touch
from .retention import commit
from .states import grow_states, states_needed, trim_states


@compiled
def skipped_blocks(rules: IntArray, group: int, computed: int) -> int:
    """Leading blocks that no later token reads, ``computed`` tokens into the sequence."""
    kind, window = rules[KIND, group], rules[WINDOW, group]
    tokens = 0
    if kind == SLIDING:
        tokens = computed - window + 1
    elif kind == CHUNKED:
        tokens = computed // window * window
    elif kind in (STATE, ALIGNED):
        tokens = computed - 1
    return max(tokens, 0) // rules[BLOCK, group]


@compiled
def trim(arrays: Arrays, table: IntArray, marks: IntArray, processed: int) -> None:
    """Give back what no step reads once ``processed`` tokens are done, latest block first."""
    for group in range(len(table)):
        past = min(skipped_blocks(arrays.rules, group, processed), marks[LENGTH, group])
        if arrays.rules[KIND, group] == ALIGNED:
            trim_states(arrays, group, table, marks, past, processed)
        elif past > marks[NULLS, group]:
            front = arrays.pages.shape[1] - 1
            for index in range(past - 1, marks[NULLS, group] - 1, -1):
                front = release(arrays.pages, arrays.counters, table[group, index], front)
                table[group, index] = NULL
            marks[NULLS, group] = past


@compiled
def blocks_needed(
    arrays: Arrays, group: int, marks: IntArray, hit: int, found: int, tokens: int, cap: bool
) -> int:
    """Pages that a table of ``group`` lacks for ``tokens``, ``found`` cached blocks at hand."""
    rules = arrays.rules
    block = rules[BLOCK, group]
    if rules[KIND, group] == STATE:
        tokens += block * rules[SPECULATIVE, group]
    blocks = -(-tokens // block)
    if cap:
        blocks = min(blocks, rules[CAP, group])
    have = max(marks[LENGTH, group], found, skipped_blocks(rules, group, hit))
    copy = 1 if hit % block else 0
    return max(blocks - have, 0) + copy


@compiled
def pages_needed(
    arrays: Arrays,
    marks: IntArray,
    found: IntArray,
    lengths: IntArray,
    hit: int,
    tokens: int,
    cap: bool,
) -> int:
    """Free pages that must be there for ``tokens``: new ones, and cached ones that nobody holds.

    ``hit`` tokens are taken from the cache: the first ``lengths`` blocks of ``found``.
    """
    rules = arrays.rules
    need = 0
    for group in range(rules.shape[1]):
        start = 0
        if rules[KIND, group] == ALIGNED:
            need += states_needed(arrays, group, marks, found, lengths[group], hit, tokens)
        else:
            need += blocks_needed(arrays, group, marks, hit, lengths[group], tokens, cap)
            start = skipped_blocks(rules, group, hit)
        for index in range(start, lengths[group]):
            page = found[group, index]
            if page != NULL and arrays.pages[REFS, page] == 0:
                need += 1
    return need


@compiled
def adopt(
    arrays: Arrays, table: IntArray, marks: IntArray, found: IntArray, lengths: IntArray, hit: int
) -> None:
    """Hold the cached pages of a hit; those before a window stay where they are."""
    for group in range(len(table)):
        skipped = skipped_blocks(arrays.rules, group, hit)
        nulls = skipped
        for index in range(skipped, lengths[group]):
            page = found[group, index]
            table[group, index] = page
            if page == NULL:
                nulls = index + 1
            else:
                touch(arrays.pages, arrays.counters, page)
        marks[LENGTH, group] = marks[CACHED, group] = max(skipped, lengths[group])
        marks[NULLS, group] = nulls
        block = arrays.rules[BLOCK, group]
        if lengths[group] and hit % block:
            marks[SHARED_AT, group] = marks[CACHED, group] = hit // block
            marks[SHARED_PAGE, group] = found[group, lengths[group] - 1]


@compiled
def take(arrays: Arrays, group: int) -> int:
    """Take one page."""
    return pop(arrays.pages, arrays.entries, arrays.buckets, arrays.counters, group)


@compiled
def grow(arrays: Arrays, table: IntArray, marks: IntArray, tokens: int) -> None:
    """Take the pages that every table lacks for ``tokens``; they must be free."""
    rules = arrays.rules
    for group in range(len(table)):
        kind, block = rules[KIND, group], rules[BLOCK, group]
        if kind == ALIGNED:
            grow_states(arrays, group, table, marks, tokens)
            continue
        if marks[SHARED_AT, group] != NONE:
            page = take(arrays, group)
            arrays.pages[REFS, page] += 1
            keep_for_copy(arrays.counters, arrays.pending, marks[SHARED_PAGE, group], page)
            table[group, marks[SHARED_AT, group]] = page
            marks[SHARED_AT, group] = NONE
        extra = block * rules[SPECULATIVE, group] if kind == STATE else 0
        for index in range(marks[LENGTH, group], -(-(tokens + extra) // block)):
            table[group, index] = take(arrays, group)
            marks[LENGTH, group] = index + 1


@compiled
def allocate(
    arrays: Arrays,
    keys: IntArray,
    table: IntArray,
    marks: IntArray,
    found: IntArray,
    lengths: IntArray,
    hit: int,
    tokens: int,
    processed: int,
    prompt: int,
    junction: int,
    known: int,
) -> bool:
    """Give back, take, and key the full blocks, for a sequence that grows to ``tokens``.

    The content of the first ``known`` of them is known, so that they can be keyed.

    False if fewer pages than needed are free; what was given back stays so.
    """
    trim(arrays, table, marks, processed)
    need = pages_needed(arrays, marks, found, lengths, hit, tokens, False)
    if need > arrays.counters[FREE]:
        return False
    if hit:
        adopt(arrays, table, marks, found, lengths, hit)
    grow(arrays, table, marks, tokens)
    commit(arrays, keys, table, marks, prompt, junction, known)
    return True


@compiled
def free(arrays: Arrays, table: IntArray, marks: IntArray) -> None:
    """Give everything back, group by group, the last block of each first."""
    for group in range(len(table)):
        front = arrays.pages.shape[1] - 1
        for index in range(marks[LENGTH, group] - 1, -1, -1):
            if table[group, index] != NULL:
                front = release(arrays.pages, arrays.counters, table[group, index], front)
