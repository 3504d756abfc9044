"""How long a prefix is cached: for each kind, and for all kinds together.

As in vLLM 0.33 (``kv_cache_coordinator.py``, ``single_type_kv_cache_manager.py``). Each kind
answers with the longest valid prefix that is no longer than a candidate; the answers are
chained until nobody shortens the candidate. ``found`` receives the pages, one row per group, and
``lengths`` their number; only those that a request which goes on from there will read are set.
"""

from ..compiled import inner
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
    LOOKUPS,
    NULL,
    SEEN,
    SLIDING,
    WINDOW,
    Arrays,
    IntArray,
)
from .queue import find


@inner
def look_up(arrays: Arrays, key: int, index: int, block: int, found: IntArray) -> bool:
    """Whether all groups of lookup class ``index`` cache ``block``; their pages go to ``found``."""
    rules = arrays.rules
    for group in range(rules.shape[1]):
        if rules[LOOKUP, group] == index:
            page = find(arrays.pages, arrays.buckets, arrays.counters, key, group)
            if page == NULL:
                return False
            found[group, block] = page
            arrays.pages[page, SEEN] = arrays.counters[LOOKUPS]
    return True


@inner
def full_hit(
    arrays: Arrays, keys: IntArray, limit: int, index: int, block: int, found: IntArray
) -> int:
    """Every block from the start must be there; the last one perhaps only in part."""
    unit, alignment = arrays.settings[HASH_BLOCK], arrays.settings[ALIGNMENT]
    each = block // unit
    blocks = 0
    while blocks < limit // block and look_up(
        arrays, int(keys[(blocks + 1) * each - 1]), index, blocks, found
    ):
        blocks += 1
    hit = blocks * block
    if alignment < block:
        most = min(hit + block - alignment, limit // alignment * alignment, len(keys) * alignment)
        for tokens in range(most, hit, -alignment):
            if look_up(arrays, int(keys[tokens // unit - 1]), index, blocks, found):
                return tokens
    return hit - hit % alignment


@inner
def window_hit(
    arrays: Arrays, keys: IntArray, limit: int, index: int, block: int, window: int, found: IntArray
) -> int:
    """The blocks of the window before the boundary must be there, or all from the start."""
    alignment = arrays.settings[ALIGNMENT]
    each = block // arrays.settings[HASH_BLOCK]
    need = -(-(window - 1) // block)
    run = 0
    for position in range(limit // block - 1, -1, -1):
        if not look_up(arrays, int(keys[(position + 1) * each - 1]), index, position, found):
            run = 0
        elif run or (position + 1) * block % alignment == 0:
            run += 1
            if run >= need:
                return (position + run) * block
    while run * block % alignment:
        run -= 1
    return run * block


@inner
def chunk_hit(
    arrays: Arrays, keys: IntArray, limit: int, index: int, block: int, chunk: int, found: IntArray
) -> int:
    """Blocks before the chunk of the boundary count as they are; those in it must be there."""
    each = block // arrays.settings[HASH_BLOCK]
    blocks = limit // chunk * chunk // block
    for group in range(arrays.rules.shape[1]):
        if arrays.rules[LOOKUP, group] == index:
            for position in range(blocks):
                found[group, position] = NULL
    while blocks < limit // block and look_up(
        arrays, int(keys[(blocks + 1) * each - 1]), index, blocks, found
    ):
        blocks += 1
    return blocks * block


@inner
def state_hit(
    arrays: Arrays, keys: IntArray, limit: int, index: int, block: int, found: IntArray
) -> int:
    """The last boundary for which a state is kept."""
    unit, alignment = arrays.settings[HASH_BLOCK], arrays.settings[ALIGNMENT]
    step = min(alignment, block)
    for tokens in range(limit // step * step, 0, -step):
        if tokens % alignment == 0:
            key = int(keys[tokens // unit - 1])
            if look_up(arrays, key, index, (tokens - 1) // block, found):
                return tokens
    return 0


@inner
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


@inner
def class_is_full(rules: IntArray, index: int) -> bool:
    """Whether lookup class ``index`` keeps every token."""
    for group in range(rules.shape[1]):
        if rules[LOOKUP, group] == index:
            return rules[KIND, group] == FULL
    return False


@inner
def longest_hit(
    arrays: Arrays,
    keys: IntArray,
    limit: int,
    found: IntArray,
    lengths: IntArray,
    asked: IntArray,
) -> tuple[int, int]:
    """Longest prefix that all kinds can resume at, and the longest that some kind had.

    Lookup classes stand in the order in which they are asked, those that keep every token first.
    A prefix of theirs is valid wherever it is cut, so they are asked once. ``asked`` receives the
    last answer of each.
    """
    rules, classes = arrays.rules, arrays.settings[CLASSES]
    one_pass = classes == 1 or (classes == 2 and class_is_full(rules, 0))
    hit = limit
    current = limit
    longest = 0
    first_pass = True
    while first_pass or current < hit:
        hit = current
        for index in range(classes):
            if first_pass or not class_is_full(rules, index):
                asked[index] = class_hit(arrays, keys, current, index, found)
                longest = max(longest, asked[index])
            current = min(current, asked[index])
        first_pass = False
        if one_pass:
            hit = current
    for group in range(rules.shape[1]):
        lengths[group] = -(-hit // rules[BLOCK, group])
    return hit, longest


@inner
def hits_alone(
    arrays: Arrays, keys: IntArray, limit: int, found: IntArray, alone: IntArray
) -> None:
    """Fill ``alone`` with the longest hit of each lookup class if there were no other."""
    for index in range(arrays.settings[CLASSES]):
        alone[index] = class_hit(arrays, keys, limit, index, found)
