"""Pages that a request needs and pages that expired: pure, from the layer kinds alone.

The arithmetic is vLLM 0.33's (``v1/core/single_type_kv_cache_manager.py``). Every function takes
Python integers or numpy arrays of token counts alike, so that one step and a whole leap share one
definition. ``computed`` counts the tokens whose cache is valid before the step, ``new`` the tokens
that the step computes, ``in_flight`` those of earlier steps that still run.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..configs.specs import STATE_KINDS, Kind, cdiv
from .base import PageGroup

IntArray = npt.NDArray[np.int64]
Count = TypeVar("Count", int, IntArray)

WINDOW_KINDS: frozenset[Kind] = frozenset({"sliding_window", "compressor"})
"""Kinds that the next token reads only the last ``window`` tokens of."""


def stored_tokens(group: PageGroup, text: Count, cross: Count) -> Count:
    """Tokens that ``group`` keeps for a sequence of ``text`` own and ``cross`` encoder tokens."""
    if group.source == "text":
        return text
    return cross if group.source == "cross" else text + cross


def demand(group: PageGroup, text: Count, cross: Count) -> Count:
    """Pages of ``group`` up to the last of ``text`` tokens, those given back long ago included."""
    return -(-stored_tokens(group, text, cross) // group.block_size) * group.pages_per_block


def skipped_tokens(kind: Kind, window: int, computed: Count) -> Count:
    """Leading tokens that the next token's attention will not read.

    Sliding window: the next token sees itself and ``window - 1`` before it. Chunked local: nothing
    before the current chunk. State: only the last token's.
    """
    if kind in WINDOW_KINDS:
        skipped = computed - window + 1
    elif kind == "chunked_local":
        skipped = computed // window * window
    elif kind in STATE_KINDS:
        skipped = computed - 1
    else:
        skipped = computed * 0
    return np.maximum(skipped, 0) if isinstance(skipped, np.ndarray) else max(skipped, 0)


def expired(group: PageGroup, computed: Count, in_flight: Count) -> Count:
    """Leading pages of ``group`` that no step will read, those given back long ago included."""
    processed = computed - in_flight
    skipped = skipped_tokens(group.kind, group.window, processed)
    return skipped // group.block_size * group.pages_per_block


def admission_pages(group: PageGroup, text: int, cross: int, max_in_flight: int, limit: int) -> int:
    """Pages that a whole prompt must find free before its first chunk is computed.

    Kinds that recycle pages are capped by what they hold at most at once
    (``max_admission_blocks_per_request``); ``limit`` is the model's longest sequence.
    """
    pages, each = demand(group, text, cross), group.pages_per_block
    if group.is_aligned:
        # The state that is written and the one before it.
        return min(pages, 2 * each) + group.speculative_pages * each
    if group.kind == "sliding_window":
        held = min(group.window - 1 + max_in_flight, limit)
        return min(pages, (cdiv(held, group.block_size) + 1) * each)
    if group.kind == "chunked_local":
        held = min(group.window + max_in_flight, limit)
        return min(pages, cdiv(held, group.block_size) * each)
    if group.kind in STATE_KINDS:
        # The state before the tokens in flight, and one at every boundary among them.
        return min(pages, (cdiv(min(max_in_flight, limit) + 1, group.block_size) + 1) * each)
    return pages


def most_pages(
    group: PageGroup, text: int, cross: int, max_in_flight: int, limit: int, batches: int
) -> int:
    """Pages that a request may hold at once: with fewer it would preempt itself for ever.

    vLLM's cap for admission forgets that an attention chunk may start within a block, and that with
    several ``batches`` in flight each of them may write a state of its own.
    """
    pages = admission_pages(group, text, cross, max_in_flight, limit)
    if group.kind == "chunked_local" and group.window % group.block_size:
        return min(demand(group, text, cross), pages + group.pages_per_block)
    if group.is_aligned:
        states = min(demand(group, text, cross), (1 + batches) * group.pages_per_block)
        return states + group.speculative_pages * group.pages_per_block
    return pages


def live_tokens(
    kind: Kind, window: int, text: Count, cross: Count, new: Count, in_flight: Count
) -> Count:
    """Tokens of one kind that the running steps read: ``text`` includes the ``new`` ones.

    A decode step at length L reads L tokens in full attention, ``min(L, window)`` in a sliding
    window, the tokens of the current chunk in chunked-local attention, the encoder's in cross.
    """
    if kind == "cross":
        return cross
    if kind in WINDOW_KINDS or kind == "chunked_local":
        return text - skipped_tokens(kind, window, text - new - in_flight)
    return text
