"""Block tables: what a request needs, takes and gives back.

As in vLLM 0.33 (``allocate_slots``, and the managers of ``single_type_kv_cache_manager.py``).
``table`` holds the page of each block, one row per group, NULL where a block was given back or was
never needed; ``marks`` says how far it is filled.
"""

from ..compiled import inner
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


@inner
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


@inner
def trim(arrays: Arrays, table: IntArray, marks: IntArray, processed: int) -> None:
    """Give back what no step reads once ``processed`` tokens are done, latest block first."""
    for group in range(len(table)):
        past = min(skipped_blocks(arrays.rules, group, processed), marks[LENGTH, group])
        if arrays.rules[KIND, group] == ALIGNED:
            trim_states(arrays, group, table, marks, past, processed)
        elif past > marks[NULLS, group]:
            give_back(arrays, group, table, marks[NULLS, group], past)
            marks[NULLS, group] = past


@inner
def give_back(arrays: Arrays, group: int, table: IntArray, start: int, end: int) -> None:
    """Give back the blocks from ``start`` to ``end``, the latest first."""
    front = NULL
    for index in range(end - 1, start - 1, -1):
        if table[group, index] != NULL:
            front = release(arrays.pages, arrays.counters, table[group, index], front)
            table[group, index] = NULL


@inner
def idle_pages(arrays: Arrays, found: IntArray, lengths: IntArray, hit: int) -> int:
    """Pages of a hit that are free: the first ``lengths`` blocks of ``found``, as far as read."""
    count = 0
    for group in range(len(found)):
        for index in range(skipped_blocks(arrays.rules, group, hit), lengths[group]):
            page = found[group, index]
            if page != NULL and arrays.pages[page, REFS] == 0:
                count += 1
    return count


@inner
def pages_needed(
    arrays: Arrays,
    marks: IntArray,
    found: IntArray,
    lengths: IntArray,
    hit: int,
    tokens: int,
    cap: bool,
) -> int:
    """New pages that must be free for ``tokens``, where ``hit`` of them are taken from the cache.

    These are the first ``lengths`` blocks of ``found``. ``cap``: count recycling kinds at most as
    admission does.
    """
    rules = arrays.rules
    need = 0
    for group in range(rules.shape[1]):
        block = rules[BLOCK, group]
        length = lengths[group] if hit else 0
        if rules[KIND, group] == ALIGNED:
            need += states_needed(arrays, group, marks, found, length, hit, tokens)
            continue
        extra = block * rules[SPECULATIVE, group] if rules[KIND, group] == STATE else 0
        blocks = (tokens + extra + block - 1) // block
        if cap:
            blocks = min(blocks, rules[CAP, group])
        have = max(marks[LENGTH, group], length, skipped_blocks(rules, group, hit))
        need += max(blocks - have, 0)
        if hit % block:
            need += 1
    return need


@inner
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


@inner
def grow(arrays: Arrays, table: IntArray, marks: IntArray, tokens: int) -> None:
    """Take the pages that every table lacks for ``tokens``; they must be free."""
    rules = arrays.rules
    for group in range(len(table)):
        kind, block = rules[KIND, group], rules[BLOCK, group]
        if kind == ALIGNED:
            grow_states(arrays, group, table, marks, tokens)
            continue
        if marks[SHARED_AT, group] != NONE:
            page = pop(arrays.pages, arrays.buckets, arrays.counters, group)
            touch(arrays.pages, arrays.counters, page)
            keep_for_copy(arrays.counters, arrays.pending, marks[SHARED_PAGE, group], page)
            table[group, marks[SHARED_AT, group]] = page
            marks[SHARED_AT, group] = NONE
        extra = block * rules[SPECULATIVE, group] if kind == STATE else 0
        end = (tokens + extra + block - 1) // block
        for index in range(marks[LENGTH, group], end):
            table[group, index] = pop(arrays.pages, arrays.buckets, arrays.counters, group)
        marks[LENGTH, group] = max(marks[LENGTH, group], end)


@inner
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
    if hit:
        need += idle_pages(arrays, found, lengths, hit)
    if need > arrays.counters[FREE]:
        return False
    if hit:
        adopt(arrays, table, marks, found, lengths, hit)
    grow(arrays, table, marks, tokens)
    commit(arrays, keys, table, marks, prompt, junction, known)
    return True


@inner
def free(arrays: Arrays, table: IntArray, marks: IntArray) -> None:
    """Give everything back, group by group, the last block of each first."""
    for group in range(len(table)):
        give_back(arrays, group, table, 0, marks[LENGTH, group])
