"""Pages: the free queue and the index of cached content (vLLM 0.33, ``v1/core/block_pool.py``).

A free page keeps its content until it is taken. Pages without a key go to the front of the queue
and are taken first, pages with a key to the back. Equal content is not merged: the oldest copy
answers.
"""

from ..compiled import compiled
from .layout import (
    AFTER,
    BORN,
    ENTRY,
    FREE,
    GROUP,
    GROUPS,
    HELD,
    KEY,
    KEYS,
    NEXT,
    NONE,
    NULL,
    OWNER,
    PAGE,
    PENDING,
    PREV,
    REFS,
    SIBLING,
    SPARE_ENTRY,
    STEP,
    TOKENS,
    IntArray,
)


@compiled
def bucket_of(buckets: IntArray, key: int, group: int) -> int:
    """The bucket of a key of one group; the number of buckets is a power of two.

    All products stay below 2^63, so that plain Python counts alike.
    """
    mixed = ((key >> 32) ^ key ^ (group * 0x9E3779B1)) & 0x7FFFFFFF
    mixed = ((mixed >> 15) ^ mixed) * 0x45D9F3B & 0x7FFFFFFF
    mixed = ((mixed >> 15) ^ mixed) * 0x45D9F3B & 0x7FFFFFFF
    return ((mixed >> 15) ^ mixed) & (len(buckets) - 1)


@compiled
def find(entries: IntArray, buckets: IntArray, key: int, group: int) -> int:
    """The oldest page with this content, or NULL."""
    entry = buckets[bucket_of(buckets, key, group)]
    while entry != NONE:
        if entries[KEY, entry] == key and entries[GROUP, entry] == group:
            return entries[PAGE, entry]
        entry = entries[AFTER, entry]
    return NULL


@compiled
def is_fresh(
    entries: IntArray, buckets: IntArray, key: int, group: int, counters: IntArray
) -> bool:
    """Whether some page got this key in the current step."""
    entry = buckets[bucket_of(buckets, key, group)]
    while entry != NONE:
        same = entries[KEY, entry] == key and entries[GROUP, entry] == group
        if same and entries[BORN, entry] == counters[STEP]:
            return True
        entry = entries[AFTER, entry]
    return False


@compiled
def insert(
    pages: IntArray,
    entries: IntArray,
    buckets: IntArray,
    counters: IntArray,
    key: int,
    group: int,
    page: int,
    tokens: int,
) -> None:
    """Give ``page`` a key for its first ``tokens`` tokens of the sequence; no-op if it has it."""
    last = NONE
    known = False
    bucket = bucket_of(buckets, key, group)
    entry = buckets[bucket]
    while entry != NONE:
        if entries[KEY, entry] == key and entries[GROUP, entry] == group:
            if entries[PAGE, entry] == page:
                return
            known = True
        last = entry
        entry = entries[AFTER, entry]
    new = counters[SPARE_ENTRY]
    counters[SPARE_ENTRY] = entries[AFTER, new]
    entries[KEY, new] = key
    entries[GROUP, new] = group
    entries[PAGE, new] = page
    entries[AFTER, new] = NONE
    entries[SIBLING, new] = NONE
    entries[BORN, new] = counters[STEP]
    if last == NONE:
        buckets[bucket] = new
    else:
        entries[AFTER, last] = new
    if not known:
        counters[KEYS] += 1
    first = pages[ENTRY, page]
    if first == NONE:
        pages[ENTRY, page] = new
        pages[TOKENS, page] = tokens
    else:
        # Later keys stand behind the first one, which names the page.
        entries[SIBLING, new] = entries[SIBLING, first]
        entries[SIBLING, first] = new


@compiled
def forget(
    pages: IntArray, entries: IntArray, buckets: IntArray, counters: IntArray, page: int
) -> None:
    """Remove all keys of ``page``."""
    entry = pages[ENTRY, page]
    while entry != NONE:
        key, group = entries[KEY, entry], entries[GROUP, entry]
        bucket = bucket_of(buckets, key, group)
        others = False
        before = NONE
        other = buckets[bucket]
        while other != entry:
            others |= entries[KEY, other] == key and entries[GROUP, other] == group
            before = other
            other = entries[AFTER, other]
        after = entries[AFTER, entry]
        if before == NONE:
            buckets[bucket] = after
        else:
            entries[AFTER, before] = after
        while after != NONE and not others:
            others = entries[KEY, after] == key and entries[GROUP, after] == group
            after = entries[AFTER, after]
        if not others:
            counters[KEYS] -= 1
        following = entries[SIBLING, entry]
        entries[PAGE, entry] = NULL
        entries[AFTER, entry] = counters[SPARE_ENTRY]
        counters[SPARE_ENTRY] = entry
        entry = following
    pages[ENTRY, page] = NONE
    pages[TOKENS, page] = 0


@compiled
def pop(
    pages: IntArray, entries: IntArray, buckets: IntArray, counters: IntArray, group: int
) -> int:
    """Take the first free page for ``group``; what it held is forgotten."""
    end = pages.shape[1] - 1
    page = pages[NEXT, end]
    following = pages[NEXT, page]
    pages[NEXT, end] = following
    pages[PREV, following] = end
    counters[FREE] -= 1
    counters[HELD + group] += 1
    if pages[ENTRY, page] != NONE:
        counters[HELD + counters[GROUPS] + pages[OWNER, page]] -= 1
        forget(pages, entries, buckets, counters, page)
    pages[REFS, page] = 1
    pages[OWNER, page] = group
    return page


@compiled
def touch(pages: IntArray, counters: IntArray, page: int) -> None:
    """Let one more request hold a cached page."""
    if pages[REFS, page] == 0:
        before, after = pages[PREV, page], pages[NEXT, page]
        pages[NEXT, before] = after
        pages[PREV, after] = before
        counters[FREE] -= 1
        counters[HELD + pages[OWNER, page]] += 1
        counters[HELD + counters[GROUPS] + pages[OWNER, page]] -= 1
    pages[REFS, page] += 1


@compiled
def release(pages: IntArray, counters: IntArray, page: int, front: int) -> int:
    """Let one request give up ``page``. ``front`` is the last page that this batch put in front.

    A batch starts with the end of the ring as ``front`` and passes on what this returns, so that
    pages without a key stand at the head in the order in which they were released.
    """
    pages[REFS, page] -= 1
    if pages[REFS, page] > 0:
        return front
    end = pages.shape[1] - 1
    keyless = pages[ENTRY, page] == NONE
    before = front if keyless else pages[PREV, end]
    after = pages[NEXT, before]
    pages[NEXT, before] = page
    pages[PREV, page] = before
    pages[NEXT, page] = after
    pages[PREV, after] = page
    counters[FREE] += 1
    counters[HELD + pages[OWNER, page]] -= 1
    if keyless:
        return page
    counters[HELD + counters[GROUPS] + pages[OWNER, page]] += 1
    return front


@compiled
def keep_for_copy(counters: IntArray, pending: IntArray, source: int, target: int) -> None:
    """Note the pages of a copy: each gives up one reference when the step ends."""
    pending[counters[PENDING]] = source
    pending[counters[PENDING] + 1] = target
    counters[PENDING] += 2


@compiled
def end_step(pages: IntArray, counters: IntArray, pending: IntArray) -> None:
    """Release the pages of this step's copies, group by group."""
    front = pages.shape[1] - 1
    for group in range(counters[GROUPS]):
        for index in range(0, counters[PENDING], 2):
            if pages[OWNER, pending[index + 1]] == group:
                front = release(pages, counters, pending[index], front)
                front = release(pages, counters, pending[index + 1], front)
    counters[PENDING] = 0
