"""Which full blocks get a key, and so can be hit.

As in vLLM 0.33 (``cache_blocks``, ``reachable_block_mask`` of ``single_type_kv_cache_manager.py``).
Full attention keeps every block. Windows and states keep what a later request can resume from: the
end of the prompt, a junction (where an earlier lookup found that another kind had cached more), and
every RETENTION tokens, or everything.
"""

from ..compiled import inner
from .layout import (
    ALIGNED,
    ALIGNMENT,
    BLOCK,
    BORN,
    CACHED,
    CACHING,
    DENSE,
    FULL,
    HASH_BLOCK,
    KIND,
    LENGTH,
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


@inner
def keeps(
    rules: IntArray, settings: IntArray, group: int, index: int, prompt: int, junction: int
) -> bool:
    """Whether block ``index`` of ``group`` gets a key: whether it can serve a hit."""
    kind, block = rules[KIND, group], rules[BLOCK, group]
    alignment, retention = settings[ALIGNMENT], settings[RETENTION]
    if kind not in (SLIDING, ALIGNED):
        return True
    if kind == ALIGNED and retention == DENSE:
        return True
    # Blocks before a boundary that a request reads which resumes there.
    need = -(-(rules[WINDOW, group] - 1) // block) if kind == SLIDING else 1
    if retention:
        segment = (alignment if retention == DENSE else retention) // block
        if need >= segment or index % segment >= segment - need:
            return True
    if retention == DENSE:
        return False
    end = (prompt - 1) // alignment * alignment // block
    if end - need <= index < end:
        return True
    end = junction // alignment * alignment // block
    return end - need <= index < end


@inner
def give_key(arrays: Arrays, keys: IntArray, page: int, tokens: int, replace: bool) -> None:
    """Give ``page`` the key of the first ``tokens`` tokens.

    Keys for fewer tokens are forgotten; all of them if ``replace``.
    """
    pages, buckets, counters = arrays.pages, arrays.buckets, arrays.counters
    before = pages[page, TOKENS]
    if before and (replace or before < tokens):
        forget(pages, buckets, counters, page)
    key = int(keys[tokens // arrays.settings[HASH_BLOCK] - 1])
    insert(pages, buckets, counters, key, page, tokens)


@inner
def renew(arrays: Arrays, page: int) -> None:
    """Count the keys of ``page`` as given in this step: their content is not computed yet."""
    row = page if arrays.pages[page, TOKENS] else 0
    while row:
        arrays.pages[row, BORN] = arrays.counters[STEP]
        row = arrays.pages[row, SIBLING]


@inner
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
    index = boundary // block
    if boundary <= tokens and boundary % block and index < marks[LENGTH, group]:
        page = table[group, index]
        if page != NULL:
            give_key(arrays, keys, page, boundary, False)


@inner
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
    if tokens == 0 or tokens != (prompt - 1) // unit * unit:
        return
    index = (tokens - 1) // block
    page = table[group, index] if index < marks[LENGTH, group] else NULL
    if page == NULL or arrays.pages[page, TOKENS] == tokens:
        return
    give_key(arrays, keys, page, tokens, False)
    renew(arrays, page)
    if tokens % block:
        marks[SHARED_AT, group] = index
        marks[SHARED_PAGE, group] = page
        marks[CACHED, group] = index


@inner
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
        end = min(full, marks[LENGTH, group])
        for index in range(before, end):
            page = table[group, index]
            if page != NULL and keeps(rules, settings, group, index, prompt, junction):
                give_key(arrays, keys, page, (index + 1) * block, True)
        marks[CACHED, group] = max(before, full)
        if kind == FULL and block != settings[HASH_BLOCK]:
            key_prompt_tail(arrays, keys, group, table, marks, prompt, cacheable)
        elif kind == ALIGNED:
            key_state_tail(arrays, keys, group, table, marks, prompt, cacheable)
            for index in range(before, end):
                if table[group, index] != NULL:
                    renew(arrays, table[group, index])
