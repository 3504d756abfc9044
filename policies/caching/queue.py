"""Pages: the free queue and the index of cached content (vLLM 0.33, ``v1/core/block_pool.py``).

A free page keeps its content until it is taken. Pages without a key go to the front of the queue
and are taken first, pages with a key to the back. Equal content is not merged: the oldest copy
answers.
"""

from ..compiled import inner
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
    LOOKUPS,
    NEXT,
    NULL,
    OWNER,
    PAGE,
    PENDING,
    PREV,
    PRIVATE,
    REFS,
    SEEN,
    SIBLING,
    SPARE_ENTRY,
    STALE,
    STEP,
    TOKENS,
    IntArray,
)


@inner
def bucket_of(buckets: IntArray, key: int, group: int) -> int:
    """The bucket of a key of one group; the number of buckets is a power of two.

    All products stay below 2^63, so that plain Python counts alike.
    """
    mixed = ((key >> 32) ^ key ^ (group * 0x9E3779B1)) & 0x7FFFFFFF
    mixed = ((mixed >> 15) ^ mixed) * 0x45D9F3B & 0x7FFFFFFF
    mixed = ((mixed >> 15) ^ mixed) * 0x45D9F3B & 0x7FFFFFFF
    return ((mixed >> 15) ^ mixed) & (len(buckets) - 1)


@inner
def find(entries: IntArray, buckets: IntArray, key: int, group: int) -> int:
    """The oldest page with this content, or NULL."""
    entry = buckets[bucket_of(buckets, key, group)]
    while entry:
        if entries[entry, KEY] == key and entries[entry, GROUP] == group:
            return entries[entry, PAGE]
        entry = entries[entry, AFTER]
    return NULL


@inner
def is_fresh(
    entries: IntArray, buckets: IntArray, key: int, group: int, counters: IntArray
) -> bool:
    """Whether some page got this key in the current step."""
    entry = buckets[bucket_of(buckets, key, group)]
    while entry:
        same = entries[entry, KEY] == key and entries[entry, GROUP] == group
        if same and entries[entry, BORN] == counters[STEP]:
            return True
        entry = entries[entry, AFTER]
    return False


@inner
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
    last = 0
    known = False
    bucket = bucket_of(buckets, key, group)
    entry = buckets[bucket]
    while entry:
        if entries[entry, KEY] == key and entries[entry, GROUP] == group:
            if entries[entry, PAGE] == page:
                return
            known = True
        last = entry
        entry = entries[entry, AFTER]
    new = counters[SPARE_ENTRY]
    following = entries[new, AFTER]
    counters[SPARE_ENTRY] = following if following else new + 1
    entries[new, KEY] = key
    entries[new, GROUP] = group
    entries[new, PAGE] = page
    entries[new, AFTER] = 0
    entries[new, BORN] = counters[STEP]
    if last:
        entries[last, AFTER] = new
    else:
        buckets[bucket] = new
    if not known:
        counters[KEYS] += 1
        if key < counters[PRIVATE]:
            counters[STALE] = 1
    # Later keys stand behind the first one, which names the page.
    first = pages[page, ENTRY]
    if first:
        entries[new, SIBLING] = entries[first, SIBLING]
        entries[first, SIBLING] = new
    else:
        entries[new, SIBLING] = 0
        pages[page, ENTRY] = new
        pages[page, TOKENS] = tokens


@inner
def forget(
    pages: IntArray, entries: IntArray, buckets: IntArray, counters: IntArray, page: int
) -> None:
    """Remove all keys of ``page``."""
    entry = pages[page, ENTRY]
    while entry:
        key, group = entries[entry, KEY], entries[entry, GROUP]
        bucket = bucket_of(buckets, key, group)
        others = False
        before = 0
        other = buckets[bucket]
        while other != entry:
            others |= entries[other, KEY] == key and entries[other, GROUP] == group
            before = other
            other = entries[other, AFTER]
        after = entries[entry, AFTER]
        if before:
            entries[before, AFTER] = after
        else:
            buckets[bucket] = after
        while after and not others:
            others = entries[after, KEY] == key and entries[after, GROUP] == group
            after = entries[after, AFTER]
        if not others:
            counters[KEYS] -= 1
        entries[entry, PAGE] = NULL
        entries[entry, AFTER] = counters[SPARE_ENTRY]
        counters[SPARE_ENTRY] = entry
        entry = entries[entry, SIBLING]
    pages[page, ENTRY] = 0
    pages[page, TOKENS] = 0
    note_change(pages, counters, page)


@inner
def note_change(pages: IntArray, counters: IntArray, page: int) -> None:
    """The last lookup may say something else by now if it saw ``page``."""
    if pages[page, SEEN] == counters[LOOKUPS]:
        counters[STALE] = 1


@inner
def next_page(pages: IntArray, page: int) -> int:
    """The page behind ``page`` in the free queue."""
    following = pages[page, NEXT]
    return following if following else page + 1


@inner
def last_page(pages: IntArray, page: int) -> int:
    """The page before ``page`` in the free queue."""
    before = pages[page, PREV]
    return before if before else page - 1


@inner
def pop(
    pages: IntArray, entries: IntArray, buckets: IntArray, counters: IntArray, group: int
) -> int:
    """Take the first free page for ``group``; what it held is forgotten."""
    end = len(pages) - 1
    page = pages[end, NEXT]
    following = next_page(pages, page)
    pages[end, NEXT] = following
    pages[following, PREV] = end
    counters[FREE] -= 1
    counters[HELD + group] += 1
    if pages[page, ENTRY]:
        counters[HELD + counters[GROUPS] + pages[page, OWNER]] -= 1
        forget(pages, entries, buckets, counters, page)
    pages[page, REFS] = 1
    pages[page, OWNER] = group
    return page


@inner
def touch(pages: IntArray, counters: IntArray, page: int) -> None:
    """Let one more request hold a page that is cached or held."""
    owner = HELD + pages[page, OWNER]
    if pages[page, REFS]:
        counters[owner + 2 * counters[GROUPS]] += 1
    else:
        before, after = last_page(pages, page), next_page(pages, page)
        pages[before, NEXT] = after
        pages[after, PREV] = before
        counters[FREE] -= 1
        counters[owner] += 1
        counters[owner + counters[GROUPS]] -= 1
        note_change(pages, counters, page)
    pages[page, REFS] += 1


@inner
def release(pages: IntArray, counters: IntArray, page: int, front: int) -> int:
    """Let one request give up ``page``. ``front`` is the last page that this batch put in front.

    A batch starts with the end of the ring as ``front`` and passes on what this returns, so that
    pages without a key stand at the head in the order in which they were released.
    """
    owner = HELD + pages[page, OWNER]
    pages[page, REFS] -= 1
    if pages[page, REFS]:
        counters[owner + 2 * counters[GROUPS]] -= 1
        return front
    keyed = pages[page, ENTRY] != 0
    before = last_page(pages, len(pages) - 1) if keyed else front
    after = next_page(pages, before)
    pages[before, NEXT] = page
    pages[page, PREV] = before
    pages[page, NEXT] = after
    pages[after, PREV] = page
    counters[FREE] += 1
    counters[owner] -= 1
    if not keyed:
        return page
    counters[owner + counters[GROUPS]] += 1
    note_change(pages, counters, page)
    return front


@inner
def keep_for_copy(counters: IntArray, pending: IntArray, source: int, target: int) -> None:
    """Note the pages of a copy: each gives up one reference when the step ends."""
    pending[counters[PENDING]] = source
    pending[counters[PENDING] + 1] = target
    counters[PENDING] += 2


@inner
def end_step(pages: IntArray, counters: IntArray, pending: IntArray) -> None:
    """Release the pages of this step's copies, group by group."""
    front = len(pages) - 1
    for group in range(counters[GROUPS]):
        for index in range(0, counters[PENDING], 2):
            if pages[pending[index + 1], OWNER] == group:
                front = release(pages, counters, pending[index], front)
                front = release(pages, counters, pending[index + 1], front)
    counters[PENDING] = 0
