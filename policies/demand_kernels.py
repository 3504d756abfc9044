"""The arithmetic of ``demand`` for compiled code: a group is a column of integers.

The meaning of every function is that of its namesake in ``policies.demand``. Counts are at most
2^60, so that no sum leaves 64 bits.
"""

from collections.abc import Sequence

import numpy as np

from ..configs.specs import Kind
from .base import PageGroup, TokenSource
from .caching.layout import ALIGNED as ALIGNED_STATE
from .caching.layout import CHUNKED, FULL, SLIDING, STATE, IntArray
from .compiled import inner

RULES = ("kind", "block", "window", "source", "each", "aligned", "speculative")
"""Rows of ``rules``; one column per group or growth class."""
KIND, BLOCK, WINDOW, SOURCE, EACH, ALIGNED, SPECULATIVE = range(len(RULES))
"""How it grows; tokens per block; window or chunk; which tokens fill its pages; pages per block;
whether states are kept at block boundaries; extra pages for draft tokens."""
TEXT, ENCODER, BOTH = range(3)
"""Values of SOURCE."""
CROSS, COMPRESSOR = 5, 6
"""Kinds beside those of ``caching.layout``."""

_SOURCES: dict[TokenSource, int] = {"text": TEXT, "cross": ENCODER, "all": BOTH}
_KINDS: dict[Kind, int] = {
    "full": FULL,
    "mla": FULL,
    "indexer": FULL,
    "sliding_window": SLIDING,
    "chunked_local": CHUNKED,
    "mamba": STATE,
    "linear": STATE,
    "cross": CROSS,
    "compressor": COMPRESSOR,
}


def kind_code(kind: Kind) -> int:
    """The number of a kind; kinds that all functions here treat alike have the same."""
    return _KINDS[kind]


def rule_rows(groups: Sequence[PageGroup]) -> IntArray:
    """The array ``rules`` of ``groups``: shape (RULES, groups)."""
    columns = [
        (
            kind_code(group.kind),
            group.block_size,
            group.window,
            _SOURCES[group.source],
            group.pages_per_block,
            int(group.is_aligned),
            group.speculative_pages,
        )
        for group in groups
    ]
    return np.array(columns, dtype=np.int64).reshape(-1, len(RULES)).T.copy()


@inner
def ceil_div(a: int, b: int) -> int:
    """``a / b`` rounded up, for ``a`` >= 0 and ``b`` > 0."""
    return (a + b - 1) // b


@inner
def demand(rules: IntArray, index: int, text: int, cross: int) -> int:
    """Pages up to the last of ``text`` tokens."""
    source = rules[SOURCE, index]
    stored = text if source == TEXT else cross
    if source == BOTH:
        stored += text
    return ceil_div(stored, rules[BLOCK, index]) * rules[EACH, index]


@inner
def skipped_tokens(kind: int, window: int, computed: int) -> int:
    """Leading tokens that the next token's attention will not read."""
    if kind in (SLIDING, COMPRESSOR):
        return max(computed - window + 1, 0)
    if kind == CHUNKED:
        return computed // window * window
    if kind in (STATE, ALIGNED_STATE):
        return max(computed - 1, 0)
    return 0


@inner
def expired(rules: IntArray, index: int, computed: int, in_flight: int) -> int:
    """Leading pages that no step will read."""
    skipped = skipped_tokens(rules[KIND, index], rules[WINDOW, index], computed - in_flight)
    return skipped // rules[BLOCK, index] * rules[EACH, index]


@inner
def admission_pages(
    rules: IntArray, index: int, text: int, cross: int, max_in_flight: int, limit: int
) -> int:
    """Pages that a whole prompt must find free before its first chunk is computed."""
    pages = demand(rules, index, text, cross)
    kind, each = rules[KIND, index], rules[EACH, index]
    block, window = rules[BLOCK, index], rules[WINDOW, index]
    if rules[ALIGNED, index]:
        return min(pages, 2 * each) + rules[SPECULATIVE, index] * each
    if kind == SLIDING:
        held = min(window - 1 + max_in_flight, limit)
        return min(pages, (ceil_div(held, block) + 1) * each)
    if kind == CHUNKED:
        held = min(window + max_in_flight, limit)
        return min(pages, ceil_div(held, block) * each)
    if kind == STATE:
        return min(pages, (ceil_div(min(max_in_flight, limit) + 1, block) + 1) * each)
    return pages


@inner
def most_pages(
    rules: IntArray, index: int, text: int, cross: int, max_in_flight: int, limit: int, batches: int
) -> int:
    """Pages that a request may hold at once."""
    pages = admission_pages(rules, index, text, cross, max_in_flight, limit)
    each = rules[EACH, index]
    if rules[KIND, index] == CHUNKED and rules[WINDOW, index] % rules[BLOCK, index]:
        return min(demand(rules, index, text, cross), pages + each)
    if rules[ALIGNED, index]:
        states = min(demand(rules, index, text, cross), (1 + batches) * each)
        return states + rules[SPECULATIVE, index] * each
    return pages


@inner
def live_tokens(kind: int, window: int, text: int, cross: int, new: int, in_flight: int) -> int:
    """Tokens of one kind that the running steps read."""
    if kind == CROSS:
        return cross
    if kind in (SLIDING, COMPRESSOR, CHUNKED):
        return text - skipped_tokens(kind, window, text - new - in_flight)
    return text
