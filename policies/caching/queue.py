"""Pages: the free queue and the index of cached content (vLLM 0.33, ``v1/core/block_pool.py``).

A free page keeps its content until it is taken. Pages without a key go to the front of the queue
and are taken first, pages with a key to the back. Equal content is not merged: the oldest copy
answers.
"""

from ..compiled import inner
from .layout import (
    AFTER,
    BORN,
    FREE,
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
    SHIFT,
    SIBLING,
    SPARE_ROW,
    STALE,
    STEP,
    TOKENS,
    IntArray,
)

NEAR = 5
"""Keys of 2^NEAR blocks of a sequence in all groups lie side by side in the index."""


@inner
def bucket_of(buckets: IntArray, counters: IntArray, key: int, group: int) -> int:
    """The bucket of a key of one group; the number of buckets is a power of two.

    All products stay below 2^63, so that plain Python counts alike.
    """
    block = key >> counters[SHIFT]
    near = (block & ((1 << NEAR) - 1)) * counters[GROUPS] + group
    mixed = ((block >> (32 + NEAR)) ^ (block >> NEAR)) & 0x7FFFFFFF
    mixed = ((mixed >> 15) ^ mixed) * 0x45D9F3B & 0x7FFFFFFF
    mixed = ((mixed >> 15) ^ mixed) * 0x45D9F3B & 0x7FFFFFFF
    return (((mixed >> 15) ^ mixed) + near) & (len(buckets) - 1)


@inner
def find(pages: IntArray, buckets: IntArray, counters: IntArray, key: int, group: int) -> int:
    """The oldest page with this content, or NULL."""
    row = buckets[bucket_of(buckets, counters, key, group)]
    while row and (pages[row, KEY] != key or pages[row, OWNER] != group):
        row = pages[row, AFTER]
    return pages[row, PAGE]


@inner
def is_fresh(pages: IntArray, buckets: IntArray, counters: IntArray, key: int, group: int) -> bool:
    """Whether some page got this key in the current step."""
    row = buckets[bucket_of(buckets, counters, key, group)]
    while row:
        same = pages[row, KEY] == key and pages[row, OWNER] == group
        if same and pages[row, BORN] == counters[STEP]:
            return True
        row = pages[row, AFTER]
    return False


@inner
def insert(
    pages: IntArray, buckets: IntArray, counters: IntArray, key: int, page: int, tokens: int
) -> None:
    """Give ``page`` a key for its first ``tokens`` tokens of the sequence; no-op if it has it."""
    group, last, known = pages[page, OWNER], 0, False
    bucket = bucket_of(buckets, counters, key, group)
    row = buckets[bucket]
    while row:
        if pages[row, KEY] == key and pages[row, OWNER] == group:
            if pages[row, PAGE] == page:
                return
            known = True
        last = row
        row = pages[row, AFTER]
    if not known:
        counters[KEYS] += 1
        if key < counters[PRIVATE]:
            counters[STALE] = 1
    new = page
    if pages[page, TOKENS]:
        # Later keys stand behind the first one, which names the page.
        new = counters[SPARE_ROW]
        following = pages[new, AFTER]
        counters[SPARE_ROW] = following if following else new + 1
        pages[new, SIBLING] = pages[page, SIBLING]
        pages[page, SIBLING] = new
        pages[new, OWNER] = group
    else:
        pages[page, TOKENS] = tokens
        pages[page, SIBLING] = 0
    pages[new, KEY] = key
    pages[new, PAGE] = page
    pages[new, AFTER] = 0
    pages[new, BORN] = counters[STEP]
    if last:
        pages[last, AFTER] = new
    else:
        buckets[bucket] = new


@inner
def forget(pages: IntArray, buckets: IntArray, counters: IntArray, page: int) -> None:
    """Remove all keys of ``page``, if it has any."""
    row, group = page if pages[page, TOKENS] else 0, pages[page, OWNER]
    while row:
        key = pages[row, KEY]
        bucket = bucket_of(buckets, counters, key, group)
        others = False
        before = 0
        other = buckets[bucket]
        while other != row:
            others |= pages[other, KEY] == key and pages[other, OWNER] == group
            before = other
            other = pages[other, AFTER]
        after = pages[row, AFTER]
        if before:
            pages[before, AFTER] = after
        else:
            buckets[bucket] = after
        while after and not others:
            others = pages[after, KEY] == key and pages[after, OWNER] == group
            after = pages[after, AFTER]
        if not others:
            counters[KEYS] -= 1
        pages[row, PAGE] = NULL
        if row != page:
            pages[row, AFTER] = counters[SPARE_ROW]
            counters[SPARE_ROW] = row
        row = pages[row, SIBLING]
    pages[page, TOKENS] = 0
    note_change(pages, counters, page)


@inner
def note_change(pages: IntArray, counters: IntArray, page: int) -> None:
    """The last lookup may say something else by now if it saw ``page``."""
    if pages[page, SEEN] == counters[LOOKUPS]:
        counters[STALE] = 1


@inner
def next_page(pages: IntArray, page: int) -> int:
    """The page behind ``page`` in the free queue; the first one behind NULL."""
    return page + 1 + pages[page, NEXT]


@inner
def last_page(pages: IntArray, page: int) -> int:
    """The page before ``page`` in the free queue; the last one before NULL."""
    return page - 1 + pages[page, PREV]


@inner
def link(pages: IntArray, page: int, following: int) -> None:
    """Let ``following`` stand behind ``page`` in the free queue."""
    pages[page, NEXT] = following - page - 1
    pages[following, PREV] = page - following + 1


@inner
def pop(pages: IntArray, buckets: IntArray, counters: IntArray, group: int) -> int:
    """Take the first free page for ``group``; what it held is forgotten."""
    page = next_page(pages, NULL)
    link(pages, NULL, next_page(pages, page))
    counters[FREE] -= 1
    counters[HELD + group] += 1
    if pages[page, TOKENS]:
        counters[HELD + counters[GROUPS] + pages[page, OWNER]] -= 1
        forget(pages, buckets, counters, page)
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
        link(pages, last_page(pages, page), next_page(pages, page))
        counters[FREE] -= 1
        counters[owner] += 1
        counters[owner + counters[GROUPS]] -= 1
        note_change(pages, counters, page)
    pages[page, REFS] += 1


@inner
def release(pages: IntArray, counters: IntArray, page: int, front: int) -> int:
    """Let one request give up ``page``. ``front`` is the last page that this batch put in front.

    A batch starts with NULL as ``front`` and passes on what this returns, so that pages without a
    key stand at the head in the order in which they were released.
    """
    owner = HELD + pages[page, OWNER]
    pages[page, REFS] -= 1
    if pages[page, REFS]:
        counters[owner + 2 * counters[GROUPS]] -= 1
        return front
    counters[FREE] += 1
    counters[owner] -= 1
    if pages[page, TOKENS]:
        link(pages, last_page(pages, NULL), page)
        link(pages, page, NULL)
        counters[owner + counters[GROUPS]] += 1
        note_change(pages, counters, page)
        return front
    link(pages, page, next_page(pages, front))
    link(pages, front, page)
    return page


@inner
def keep_for_copy(counters: IntArray, pending: IntArray, source: int, target: int) -> None:
    """Note the pages of a copy: each gives up one reference when the step ends."""
    pending[counters[PENDING]] = source
    pending[counters[PENDING] + 1] = target
    counters[PENDING] += 2


@inner
def end_step(pages: IntArray, counters: IntArray, pending: IntArray) -> None:
    """Release the pages of this step's copies, group by group."""
    front = NULL
    for group in range(counters[GROUPS]):
        for index in range(0, counters[PENDING], 2):
            if pages[pending[index + 1], OWNER] == group:
                front = release(pages, counters, pending[index], front)
                front = release(pages, counters, pending[index + 1], front)
    counters[PENDING] = 0
