"""How a pool is divided between groups once and for all: pages per group, null pages included.

``by_page_bytes`` is the static partition of Jenga's artifact (``--static-partition``, SOSP 2025),
and ``by_tokens`` that of SGLang 0.5.23. Both are pure. What is left of a part that makes no page,
and of the pool, stays unused.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction

from ...configs.specs import STATE_KINDS, Kind
from ..base import PageGroup

Split = Callable[[Sequence[PageGroup], int], tuple[int, ...]]
"""From groups and the bytes of the pool to pages per group."""

_UNBOUNDED: tuple[Kind, ...] = ("full", "cross")
_WINDOWED: tuple[Kind, ...] = ("sliding_window", "chunked_local")
SWA_FULL_TOKENS_RATIO = Fraction(8, 10)
"""Tokens of a window's part per token of the full part (``--swa-full-tokens-ratio``)."""
MAMBA_FULL_MEMORY_RATIO = Fraction(9, 10)
"""Bytes of states per byte of attention (``--mamba-full-memory-ratio``)."""


def share_weight(group: PageGroup) -> Fraction:
    """Weight of a group: 1 for kinds that grow with the sequence, 1/2 for bounded ones."""
    return Fraction(1) if group.kind in _UNBOUNDED else Fraction(1, 2)


def by_page_bytes(groups: Sequence[PageGroup], pool_bytes: int) -> tuple[int, ...]:
    """Shares in proportion to the page's bytes, halved for kinds whose cache is bounded."""
    weights = [share_weight(group) * group.page_bytes for group in groups]
    total = sum(weights)
    return tuple(
        int(pool_bytes * weight / total) // group.page_bytes
        for group, weight in zip(groups, weights, strict=True)
    )


def by_tokens(groups: Sequence[PageGroup], pool_bytes: int) -> tuple[int, ...]:
    """States get 9/19 of the pool; of the rest windows hold 0.8 tokens per token of the others.

    SGLang (``model_executor/pool_configurator.py``, ``mem_cache/kv_cache_configurator.py``): full
    tokens = memory // (full cell + ratio x window cell). It gives the states the whole number of
    slots that their budget holds, one of them null, and attention what they leave.

    SGLang knows one window and one size of states. Here all states of a request count as one slot,
    every window holds 0.8 of the full tokens, chunked-local attention is a window (as SGLang treats
    Llama 4), and cross attention, MLA and indexers hold as many tokens as full attention does. With
    windows alone they hold all the tokens; without attention the states have all the memory.
    """
    states = [group for group in groups if group.kind in STATE_KINDS]
    slots = 0
    if states:
        share = MAMBA_FULL_MEMORY_RATIO / (1 + MAMBA_FULL_MEMORY_RATIO)
        budget = pool_bytes * share if len(states) < len(groups) else Fraction(pool_bytes)
        slot_bytes = sum(group.page_bytes * group.pages_per_block for group in states)
        slots = int(budget // slot_bytes)
        pool_bytes -= slots * slot_bytes
    ratios = _token_ratios(groups)
    cell = sum(
        ratio * group.page_bytes / group.block_size
        for group, ratio in zip(groups, ratios, strict=True)
    )
    tokens = int(pool_bytes // cell) if cell else 0
    return tuple(
        slots * group.pages_per_block
        if group.kind in STATE_KINDS
        else int(tokens * ratio) // group.block_size
        for group, ratio in zip(groups, ratios, strict=True)
    )


def _token_ratios(groups: Sequence[PageGroup]) -> list[Fraction]:
    """Tokens of each group per token of those that keep all; 0 for states."""
    bounded = SWA_FULL_TOKENS_RATIO
    if all(group.kind in _WINDOWED or group.kind in STATE_KINDS for group in groups):
        bounded = Fraction(1)
    return [
        Fraction(0)
        if group.kind in STATE_KINDS
        else (bounded if group.kind in _WINDOWED else Fraction(1))
        for group in groups
    ]
