"""What every kind needs, keeps and hits in Jenga's artifact (``block_v3/custom_block.py``).

Prompts are computed whole. With prefix caching a window first gets the pages of the whole prompt
and gives back what it left behind; without it gets those of the window alone. A state gets a page
every block of tokens, where it can be resumed, and one that is written.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from ...configs.specs import STATE_KINDS, cdiv
from ..base import PageGroup

Range = tuple[int, int]
"""Lengths of a possible hit in tokens, both ends included."""

WINDOW_SLACK = 12
"""Blocks that stay in front of a window (``EVAL_EVAL`` in the source)."""
STATES_KEPT = 3
HIT_SLACK = 2
"""Blocks in front of what a hit reads that a request takes over."""


def large_page_bytes(groups: Sequence[PageGroup]) -> int:
    """Bytes of a large page: the least common multiple of the groups' pages."""
    return math.lcm(*(group.page_bytes for group in groups))


def static_shares(groups: Sequence[PageGroup], num_large: int) -> list[int]:
    """Large pages that each group may have under the artifact's static partition.

    In proportion to its page, which counts half for kinds that recycle theirs.
    """
    weights = [
        group.page_bytes * (Fraction(1) if group.kind in ("full", "cross") else Fraction(1, 2))
        for group in groups
    ]
    return [int(num_large * weight / sum(weights)) for weight in weights]


def window_blocks(group: PageGroup) -> int:
    """Blocks over which a window may stretch, and one more."""
    return cdiv(group.window, group.block_size) + 1


def table_length(group: PageGroup, text: int, cross: int) -> int:
    """Entries of a table after ``text`` tokens, those given back included."""
    if group.kind in STATE_KINDS:
        return text // group.block_size + 1
    return cdiv(cross if group.source == "cross" else text, group.block_size)


def required_pages(group: PageGroup, text: int, cross: int, *, caching: bool) -> int:
    """Pages that a prompt must find, however much of it is cached."""
    pages = table_length(group, text, cross)
    if group.kind == "sliding_window" and not caching:
        return min(pages, window_blocks(group) + 1)
    return pages


def first_block(group: PageGroup, text: int, *, caching: bool) -> int:
    """First block of a prompt that gets a page.

    A prompt shorter than the window gets all. (The artifact counts from a negative block there and
    stops with "null block should not be modified".)
    """
    if group.kind == "sliding_window" and not caching:
        return max(0, text - group.window) // group.block_size
    return 0


def appended_pages(group: PageGroup) -> int:
    """Pages that a decode step asks for, needed or not."""
    return 0 if group.kind in STATE_KINDS or group.source == "cross" else 1


def skipped_blocks(group: PageGroup, computed: int, length: int) -> int:
    """Leading blocks that are given back after ``computed`` tokens."""
    if group.kind == "sliding_window":
        return max(0, computed // group.block_size - window_blocks(group) - WINDOW_SLACK)
    if group.kind == "chunked_local":
        # Not in the artifact's branch: nothing before the chunk of the next token is read.
        return computed // group.window * group.window // group.block_size
    if group.kind in STATE_KINDS:
        return max(0, length - STATES_KEPT)
    return 0


def unread_blocks(group: PageGroup, hit: int) -> int:
    """Leading blocks of a hit of ``hit`` tokens that the request need not hold."""
    blocks = hit // group.block_size
    if group.kind == "sliding_window":
        return max(0, blocks - window_blocks(group) - HIT_SLACK)
    if group.kind in STATE_KINDS:
        return max(0, blocks - HIT_SLACK)
    return 0


def possible_hits(group: PageGroup, computed: Sequence[bool]) -> list[Range]:
    """Lengths at which a group could resume; ``computed`` says so of each block.

    The last block never counts. A state can be resumed at the end of a cached block; like the
    artifact we also let it resume at the end of a block that is not cached, if the next one is.
    """
    block = group.block_size
    gaps = [index for index, done in enumerate([*computed[:-1], False]) if not done]
    if group.kind not in STATE_KINDS and group.kind != "sliding_window":
        return [(0, gaps[0] * block)]
    least = window_blocks(group) if group.kind == "sliding_window" else 0
    ranges: list[Range] = []
    start = 0
    for gap in gaps:
        if start == 0:
            ranges.append((0, gap * block))
        elif gap - start >= least:
            ranges.append(((start + least) * block, gap * block))
        start = gap + 1
    return ranges


def longest_hit(groups: Sequence[PageGroup], ranges: Sequence[Sequence[Range]]) -> int:
    """Longest length in a range of every group that is a multiple of every block size."""
    common = list(ranges[0])
    for each in ranges[1:]:
        common = _intersection(common, each)
    for low, high in reversed(common):
        for length in range(high, low - 1, -1):
            if all(length % group.block_size == 0 for group in groups):
                return length
    return 0


def _intersection(left: Sequence[Range], right: Sequence[Range]) -> list[Range]:
    result: list[Range] = []
    i = j = 0
    while i < len(left) and j < len(right):
        low, high = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if low <= high:
            result.append((low, high))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return result
