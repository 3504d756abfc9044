"""How long a prefix is cached: for each kind, and for all kinds together.

As in vLLM 0.33 (``kv_cache_coordinator.py``, ``single_type_kv_cache_manager.py``). Each kind
answers with the longest valid prefix that is no longer than a candidate; the answers are
chained until nobody shortens the candidate. ``found`` receives the pages, one row per group, and
``lengths`` their number.
"""

import numpy as np

from ..compiled import allocating, compiled
from .layout import (
    ALIGNED,
    ALIGNMENT,
    BLOCK,
    CHUNKED,
    CLASSES,
    FULL,
    HASH_BLOCK,
    KIND,
    LOOKUP,
    NULL,
    SLIDING,
    WINDOW,
    Arrays,
    IntArray,
)
from .queue import find


@compiled
def look_up(arrays: Arrays, keys: IntArray, block: int, index: int, found: IntArray) -> bool:
    """Whether all groups of lookup class ``index`` cache ``block``; their pages go to ``found``."""
    rules = arrays.rules
    complete = True
    for group in range(rules.shape[1]):
        if rules[LOOKUP, group] == index:
            tokens = (block + 1) * rules[BLOCK, group]
            key = int(keys[tokens // arrays.settings[HASH_BLOCK] - 1])
            page = find(arrays.entries, arrays.buckets, key, group)
            found[group, block] = page
            complete = complete and page != NULL
    return complete


@compiled
def look_up_within(
    arrays: Arrays, keys: IntArray, tokens: int, index: int, found: IntArray
) -> bool:
    """Like ``look_up``, for the block that ``tokens`` end in, as far as they go."""
    rules = arrays.rules
    complete = True
    for group in range(rules.shape[1]):
        if rules[LOOKUP, group] == index:
            key = int(keys[tokens // arrays.settings[HASH_BLOCK] - 1])
            page = find(arrays.entries, arrays.buckets, key, group)
            found[group, (tokens - 1) // rules[BLOCK, group]] = page
            complete = complete and page != NULL
    return complete


@compiled
def clear(rules: IntArray, index: int, found: IntArray, start: int, end: int) -> None:
    """Null the blocks from ``start`` to ``end`` in all groups of lookup class ``index``."""
    for group in range(rules.shape[1]):
        if rules[LOOKUP, group] == index:
            found[group, start:end] = NULL


@compiled
def full_hit(
    arrays: Arrays, keys: IntArray, limit: int, index: int, block: int, found: IntArray
) -> int:
    """Every block from the start must be there; the last one perhaps only in part."""
    alignment = arrays.settings[ALIGNMENT]
    blocks = 0
    while blocks < limit // block and look_up(arrays, keys, blocks, index, found):
        blocks += 1
    hit = blocks * block
    if alignment < block:
        most = min(hit + block - alignment, limit // alignment * alignment, len(keys) * alignment)
        for tokens in range(most, hit, -alignment):
            if look_up_within(arrays, keys, tokens, index, found):
                return tokens
    return hit - hit % alignment


@compiled
def window_hit(
    arrays: Arrays, keys: IntArray, limit: int, index: int, block: int, window: int, found: IntArray
) -> int:
    """The blocks of the window before the boundary must be there, or all from the start."""
    alignment = arrays.settings[ALIGNMENT]
    need = -(-(window - 1) // block)
    blocks = limit // block
    clear(arrays.rules, index, found, 0, blocks)
    run = 0
    for position in range(blocks - 1, -1, -1):
        if not look_up(arrays, keys, position, index, found):
            run = 0
            continue
        if run == 0 and (position + 1) * block % alignment:
            continue
        run += 1
        if run >= need:
            clear(arrays.rules, index, found, 0, position)
            return (position + run) * block
    while run * block % alignment:
        run -= 1
    return run * block


@compiled
def chunk_hit(
    arrays: Arrays, keys: IntArray, limit: int, index: int, block: int, chunk: int, found: IntArray
) -> int:
    """Blocks before the chunk of the boundary count as they are; those in it must be there."""
    start = limit // chunk * chunk // block
    clear(arrays.rules, index, found, 0, start)
    blocks = start
    while blocks < limit // block and look_up(arrays, keys, blocks, index, found):
        blocks += 1
    return blocks * block


@compiled
def state_hit(
    arrays: Arrays, keys: IntArray, limit: int, index: int, block: int, found: IntArray
) -> int:
    """The last boundary for which a state is kept."""
    alignment = arrays.settings[ALIGNMENT]
    unit = min(alignment, block)
    for tokens in range(limit // unit * unit, 0, -unit):
        if tokens % alignment == 0 and look_up_within(arrays, keys, tokens, index, found):
            clear(arrays.rules, index, found, 0, (tokens - 1) // block)
            return tokens
    return 0


@compiled
def class_hit(arrays: Arrays, keys: IntArray, limit: int, index: int, found: IntArray) -> int:
    """Longest hit of one lookup class, at most ``limit`` tokens."""
    rules = arrays.rules
    first = 0
    while rules[LOOKUP, first] != index:
        first += 1
    kind, block, window = rules[KIND, first], rules[BLOCK, first], rules[WINDOW, first]
    if kind == FULL:
        return full_hit(arrays, keys, limit, index, block, found)
    if kind == SLIDING:
        return window_hit(arrays, keys, limit, index, block, window, found)
    if kind == CHUNKED:
        return chunk_hit(arrays, keys, limit, index, block, window, found)
    if kind == ALIGNED:
        return state_hit(arrays, keys, limit, index, block, found)
    return 0


@compiled
def class_is_full(rules: IntArray, index: int) -> bool:
    """Whether lookup class ``index`` keeps every token."""
    for group in range(rules.shape[1]):
        if rules[LOOKUP, group] == index:
            return rules[KIND, group] == FULL
    return False


@allocating
def longest_hit(
    arrays: Arrays, keys: IntArray, limit: int, found: IntArray, lengths: IntArray
) -> tuple[int, int]:
    """Longest prefix that all kinds can resume at, and the longest that some kind had.

    Lookup classes stand in the order in which they are asked, those that keep every token first.
    A prefix of theirs is valid wherever it is cut, so they are asked once.
    """
    rules, classes = arrays.rules, arrays.settings[CLASSES]
    one_pass = classes == 1 or (classes == 2 and class_is_full(rules, 0))
    asked = [NULL for _ in range(classes)]
    hit = limit
    longest = 0
    first_pass = True
    while True:
        current = hit
        for index in range(classes):
            if not first_pass and class_is_full(rules, index):
                current = min(current, asked[index])
                continue
            current = class_hit(arrays, keys, current, index, found)
            asked[index] = current
            longest = max(longest, current)
        first_pass = False
        if current >= hit:
            break
        hit = current
        if one_pass:
            break
    for group in range(rules.shape[1]):
        lengths[group] = -(-hit // rules[BLOCK, group])
    return hit, longest


@allocating
def hits_alone(arrays: Arrays, keys: IntArray, limit: int, found: IntArray) -> IntArray:
    """Longest hit of each lookup class if there were no other."""
    alone = np.zeros(arrays.settings[CLASSES], dtype=np.int64)
    for index in range(len(alone)):
        alone[index] = class_hit(arrays, keys, limit, index, found)
    return alone
