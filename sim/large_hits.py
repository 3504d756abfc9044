"""How much of a prompt Jenga's pool has cached: the longest length that every kind can resume at.

Every kind allows the lengths at which it finds cached all that the next token reads; the hit is the
longest length that all of them allow (interval intersection, Jenga, SOSP 2025, section 5.2).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..policies.base import PageGroup

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FirstRead = Callable[[PageGroup, int], int]


class LongestHit(NamedTuple):
    """What a lookup found."""

    tokens: int
    limiter: str
    """The kind without which it would have been longer; never one that reads every token."""
    lost: int
    """Tokens by which it would have been longer."""


def longest_hit(
    groups: Sequence[PageGroup],
    cached: Sequence[BoolArray],
    alignment: int,
    first_read: FirstRead,
) -> LongestHit:
    """Longest hit, given for each group which blocks are cached, in whole ``alignment`` tokens.

    Kinds that read every token come first: nobody can resume behind what they lack.
    """
    bound = min(len(blocks) * g.block_size for g, blocks in zip(groups, cached, strict=True))
    for group, blocks in zip(groups, cached, strict=True):
        if reads_all(group):
            bound = min(bound, _leading(blocks) * group.block_size)
    lengths = np.arange(bound // alignment, 0, -1, dtype=np.int64) * alignment
    sparse = [pair for pair in zip(groups, cached, strict=True) if not reads_all(pair[0])]
    allowed = [_allowed(group, blocks, lengths, first_read) for group, blocks in sparse]
    tokens = _first(lengths, allowed)
    best, limiter = tokens, ""
    for index, (group, _) in enumerate(sparse):
        others = _first(lengths, allowed[:index] + allowed[index + 1 :])
        if others > best:
            best, limiter = others, group.contents[0].label
    return LongestHit(tokens, limiter, best - tokens)


def reads_all(group: PageGroup) -> bool:
    """Whether a group reads every token before the next one."""
    return group.kind in ("full", "cross")


def _leading(blocks: BoolArray) -> int:
    missing = np.flatnonzero(~blocks)
    return int(missing[0]) if len(missing) else len(blocks)


def _allowed(
    group: PageGroup, blocks: BoolArray, lengths: IntArray, first_read: FirstRead
) -> BoolArray:
    """At which of ``lengths`` a group finds all blocks that it reads."""
    missing = np.concatenate([[0], np.cumsum(~blocks)])
    ends = lengths // group.block_size
    starts = np.array([first_read(group, int(length)) for length in lengths], dtype=np.int64)
    return missing[ends] == missing[np.minimum(starts, ends)]


def _first(lengths: IntArray, allowed: Sequence[BoolArray]) -> int:
    """The longest length that all allow; 0 if there is none."""
    if not allowed:
        return int(lengths[0]) if len(lengths) else 0
    both = np.flatnonzero(np.logical_and.reduce(allowed))
    return int(lengths[both[0]]) if len(both) else 0
