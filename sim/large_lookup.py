"""What Jenga's pool has cached of a request's prefix: keys, the longest hit and its pages."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..policies.base import PageGroup
from ..policies.large_pages.pool import LargePages
from ..policies.large_pages.quota import Key
from ..policies.large_pages.rules import TableRules
from .large_hits import BoolArray, LongestHit, longest_hit, reads_all
from .prefix_keys import PrefixKeys

Found = list[int | None]


class CachedPrefix(NamedTuple):
    """A hit, and the pages of every group that who takes it would hold."""

    slot: int
    longest: LongestHit
    pages: list[list[int]]


class PrefixLookup:
    """Looks requests up in a pool. Pure but for the keys that it remembers."""

    def __init__(
        self, groups: Sequence[PageGroup], pool: LargePages, keys: PrefixKeys, rules: TableRules
    ) -> None:
        self._groups = groups
        self._pool = pool
        self._keys = keys
        self._rules = rules
        self._alignment = math.lcm(*(group.block_size for group in groups))
        self._known: dict[int, list[list[Key]]] = {}
        # Kinds that read everything first: nobody can resume behind what they lack.
        self._order = sorted(range(len(groups)), key=lambda index: not reads_all(groups[index]))

    def keys_of(self, slot: int) -> list[list[Key]]:
        """A key for every page of the whole blocks of each group."""
        known = self._known.get(slot)
        if known is None:
            sizes = {group.block_size for group in self._groups}
            by_size: dict[int, list[int]] = {
                size: self._keys.of(slot, size).tolist() for size in sizes
            }
            known = [_page_keys(group, by_size[group.block_size]) for group in self._groups]
            self._known[slot] = known
        return known

    def forget(self, slot: int) -> None:
        """A request left: its keys may be made anew if it comes back."""
        self._known.pop(slot, None)

    def find(self, slot: int, tokens: int) -> CachedPrefix:
        """The longest hit within the first ``tokens`` of a request."""
        keys, bound = self.keys_of(slot), tokens
        found: list[Found] = [[] for _ in self._groups]
        for index in self._order:
            group = self._groups[index]
            each, blocks = group.pages_per_block, bound // group.block_size
            mine = keys[index][: blocks * each]
            found[index] = self._pool.find(index, mine, to_gap=reads_all(group))
            if reads_all(group):
                bound = len(found[index]) // each * group.block_size
        cached = [_whole(group, pages) for group, pages in zip(self._groups, found, strict=True)]
        longest = longest_hit(self._groups, cached, self._alignment, self._rules.first_read)
        return CachedPrefix(slot, longest, self._held(found, longest.tokens))

    def _held(self, found: Sequence[Found], tokens: int) -> list[list[int]]:
        """Of the pages found those that a request reads which resumes after ``tokens``."""
        held: list[list[int]] = []
        for group, pages in zip(self._groups, found, strict=True):
            end = tokens // group.block_size
            first = min(self._rules.first_read(group, tokens), end)
            mine = pages[first * group.pages_per_block : end * group.pages_per_block]
            held.append([page for page in mine if page is not None])
        return held


def _page_keys(group: PageGroup, keys: list[int]) -> list[Key]:
    """Keys of all pages, given those of the blocks."""
    each = group.pages_per_block
    return [*keys] if each == 1 else [(key, part) for key in keys for part in range(each)]


def _whole(group: PageGroup, pages: Found) -> BoolArray:
    """Which blocks have all their pages."""
    each = group.pages_per_block
    whole = np.array([page is not None for page in pages[: len(pages) // each * each]], dtype=bool)
    return np.logical_and.reduce(whole.reshape(-1, each), axis=1)
