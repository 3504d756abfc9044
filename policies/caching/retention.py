"""Which full blocks get a key, and so can be hit.

As in vLLM 0.33 (``cache_blocks``, ``reachable_block_mask`` of ``single_type_kv_cache_manager.py``).
Full attention keeps every block. Windows and states keep what a later request can resume from: the
end of the prompt, a junction (where an earlier lookup found that another kind had cached more), and
every RETENTION tokens, or everything.
"""

from ..compiled import compiled
from .layout import (
    ALIGNED,
    ALIGNMENT,
    BLOCK,
    BORN,
    CACHED,
    CACHING,
    DENSE,
    ENTRY,
    FULL,
    HASH_BLOCK,
    KIND,
    LENGTH,
    NONE,
    NULL,
    RETENTION,
    ROUNDING,
    SHARED_AT,
    SHARED_PAGE,
    SIBLING,
    SLIDING,
    STEP,
    TOKENS,
    WINDOW,
    Arrays,
    IntArray,
)
from .queue import forget, insert


@compiled
def ends_window(block_index: int, boundary: int, alignment: int, block: int, need: int) -> bool:
    """Whether a block is one of the ``need`` blocks before an aligned boundary."""
    end = boundary // alignment * alignment // block
    return end - need <= block_index < end


@compiled
def keeps_window(
    index: int, prompt: int, junction: int, block: int, window: int, settings: IntArray
) -> bool:
    """Whether sliding-window block ``index`` can serve a hit."""
    alignment, retention = settings[ALIGNMENT], settings[RETENTION]
    need = -(-(window - 1) // block)
    if retention != 0:
        segment = (alignment if retention == DENSE else retention) // block
        if need >= segment or index % segment >= segment - need:
            return True
    if retention == DENSE:
        return False
    if ends_window(index, prompt - 1, alignment, block, need):
        return True
    return junction > 0 and ends_window(index, junction, alignment, block, need)


@compiled
def keeps_state(index: int, prompt: int, junction: int, block: int, settings: IntArray) -> bool:
    """Whether the state at the end of block ``index`` can serve a hit."""
    alignment, retention = settings[ALIGNMENT], settings[RETENTION]
    if retention == DENSE:
        return True
    if retention > 0:
        segment = retention // block
        if segment <= 1 or (index + 1) % segment == 0:
            return True
    if (prompt - 1) // alignment * alignment // block - 1 == index:
        return True
    return junction > 0 and junction // alignment * alignment // block - 1 == index


@compiled
def keeps(
    rules: IntArray, settings: IntArray, group: int, index: int, prompt: int, junction: int
) -> bool:
    """Whether block ``index`` of ``group`` gets a key."""
    kind, block = rules[KIND, group], rules[BLOCK, group]
    if kind == SLIDING:
        return keeps_window(index, prompt, junction, block, rules[WINDOW, group], settings)
    if kind == ALIGNED:
        return keeps_state(index, prompt, junction, block, settings)
    return True


@compiled
def give_key(arrays: Arrays, keys: IntArray, group: int, page: int, tokens: int) -> None:
    """Give ``page`` the key of the first ``tokens`` tokens."""
    key = int(keys[tokens // arrays.settings[HASH_BLOCK] - 1])
    insert(arrays.pages, arrays.entries, arrays.buckets, arrays.counters, key, group, page, tokens)


@compiled
def forget_page(arrays: Arrays, page: int) -> None:
    """Remove all keys of ``page``."""
    forget(arrays.pages, arrays.entries, arrays.buckets, arrays.counters, page)


@compiled
def renew(arrays: Arrays, page: int) -> None:
    """Count the keys of ``page`` as given in this step: their content is not computed yet."""
    entry = arrays.pages[ENTRY, page]
    while entry != NONE:
        arrays.entries[BORN, entry] = arrays.counters[STEP]
        entry = arrays.entries[SIBLING, entry]


@compiled
def give_partial_key(arrays: Arrays, keys: IntArray, group: int, page: int, tokens: int) -> None:
    """Key a block that a prompt fills only in part; a key for fewer tokens is replaced."""
    if arrays.pages[ENTRY, page] != NONE and arrays.pages[TOKENS, page] < tokens:
        forget_page(arrays, page)
    give_key(arrays, keys, group, page, tokens)


@compiled
def key_prompt_tail(
    arrays: Arrays,
    keys: IntArray,
    group: int,
    table: IntArray,
    marks: IntArray,
    prompt: int,
    tokens: int,
) -> None:
    """Key the block in which the prompt ends, where keys are finer than blocks."""
    unit, block = arrays.settings[HASH_BLOCK], arrays.rules[BLOCK, group]
    boundary = min((prompt - 1) // unit, len(keys)) * unit
    if boundary == 0 or boundary > tokens or boundary % block == 0:
        return
    index = boundary // block
    if index >= marks[LENGTH, group] or table[group, index] == NULL:
        return
    give_partial_key(arrays, keys, group, table[group, index], boundary)


@compiled
def key_state_tail(
    arrays: Arrays,
    keys: IntArray,
    group: int,
    table: IntArray,
    marks: IntArray,
    prompt: int,
    tokens: int,
) -> None:
    """Key the state at the last boundary before the end of the prompt.

    Inside a block the state must be copied before the request goes on.
    """
    unit, block = arrays.settings[HASH_BLOCK], arrays.rules[BLOCK, group]
    if tokens <= 0 or tokens != (prompt - 1) // unit * unit:
        return
    index = (tokens - 1) // block
    if index >= marks[LENGTH, group] or table[group, index] == NULL:
        return
    page = table[group, index]
    if arrays.pages[TOKENS, page] == tokens:
        return
    give_partial_key(arrays, keys, group, page, tokens)
    renew(arrays, page)
    if tokens % block:
        marks[SHARED_AT, group] = index
        marks[SHARED_PAGE, group] = page
        marks[CACHED, group] = index


@compiled
def commit(
    arrays: Arrays,
    keys: IntArray,
    table: IntArray,
    marks: IntArray,
    prompt: int,
    junction: int,
    tokens: int,
) -> None:
    """Key the blocks that are full once ``tokens`` are computed, in all groups."""
    rules, settings = arrays.rules, arrays.settings
    if not settings[CACHING]:
        return
    cacheable = tokens // settings[ROUNDING] * settings[ROUNDING]
    for group in range(rules.shape[1]):
        kind, block = rules[KIND, group], rules[BLOCK, group]
        before = marks[CACHED, group]
        full = min(cacheable, len(keys) * settings[HASH_BLOCK]) // block
        # A sequence may be longer than its table: blocks end at the longest sequence.
        for index in range(before, min(full, marks[LENGTH, group])):
            page = table[group, index]
            if page != NULL and keeps(rules, settings, group, index, prompt, junction):
                if arrays.pages[ENTRY, page] != NONE:
                    forget_page(arrays, page)
                give_key(arrays, keys, group, page, (index + 1) * block)
        marks[CACHED, group] = max(before, full)
        if kind == FULL and block != settings[HASH_BLOCK]:
            key_prompt_tail(arrays, keys, group, table, marks, prompt, cacheable)
        elif kind == ALIGNED:
            key_state_tail(arrays, keys, group, table, marks, prompt, cacheable)
            for index in range(before, min(full, marks[LENGTH, group])):
                if table[group, index] != NULL:
                    renew(arrays, table[group, index])
