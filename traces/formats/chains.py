"""Ids of blocks that say what is in a block, as ids that say what is in it and all before it."""

from __future__ import annotations

import numpy as np

from ..columns import IntColumn

_ROOT = -1
"""What the first block of a prompt comes after."""


def chained(offsets: IntColumn, ids: IntColumn) -> IntColumn:
    """Return other ids, equal if and only if the lists are equal up to there.

    Ids are numbered anew in the order in which they first come, which makes long runs. An id that
    has always followed the same one gets one number; where it follows another one, and for the rest
    of that list, numbers are minted.

    Args:
        offsets: Where each list starts, with the total at the end.
        ids: The ids of all lists, one after the other.
    """
    import pandas as pd

    codes, known = pd.factorize(ids)
    codes = codes.astype(np.int64)
    before = np.empty_like(codes)
    before[1:] = codes[:-1]
    before[offsets[:-1][offsets[:-1] < offsets[1:]]] = _ROOT
    # Of positions assigned in reverse order the first one stays.
    first = np.empty(len(known), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    usual = before[first]
    strange = np.flatnonzero(before != usual[codes])
    owners = np.searchsorted(offsets, strange, side="right") - 1
    minted: dict[tuple[int, int], int] = {}
    lists, starts = np.unique(owners, return_index=True)
    for owner, start in zip(lists.tolist(), strange[starts].tolist(), strict=True):
        end = int(offsets[owner + 1])
        parent = int(before[start])
        for place, code in enumerate(codes[start:end].tolist(), start):
            if usual[code] != parent:
                code = minted.setdefault((parent, code), len(known) + len(minted))
            codes[place] = parent = code
    return codes


class Trie:
    """Ids for blocks of tokens: equal if and only if the block and all before it are."""

    def __init__(self) -> None:
        self._ids: dict[tuple[int, bytes], int] = {}

    def ids(self, tokens: list[int], block_size: int) -> list[int]:
        """Return the ids of the full blocks of a prompt.

        Args:
            tokens: Its token ids, each below 2**32.
            block_size: Tokens per block.
        """
        letters = np.array(tokens, dtype=np.uint32).tobytes()
        width = 4 * block_size
        ids: list[int] = []
        parent = _ROOT
        for start in range(0, len(letters) - width + 1, width):
            key = (parent, letters[start : start + width])
            parent = self._ids.setdefault(key, len(self._ids))
            ids.append(parent)
        return ids
