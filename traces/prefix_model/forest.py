"""Who begins like whom: every prompt shares its first blocks with one earlier prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..columns import NONE, IntColumn, Ragged, offsets_of
from ..runs import joined_runs


@dataclass(frozen=True, eq=False)
class Forest:
    """Prompts in order of arrival, and what each has in common with those before it.

    In a cache that forgets nothing each prompt hits exactly the blocks that it shares with its
    parent: the block behind them is new.

    Attributes:
        parent: Position of the earlier prompt that each one begins like; ``NONE`` for none.
        shared: Blocks that it has in common with it, not more than either has.
        blocks: Blocks of each prompt.
    """

    parent: IntColumn
    shared: IntColumn
    blocks: IntColumn

    @property
    def hit_blocks(self) -> int:
        """Blocks that all prompts hit together in a cache that forgets nothing."""
        return int(self.shared.sum())

    def runs(self) -> Ragged:
        """Return hash ids from 0 on; a prompt that goes on where its parent ends has one run."""
        head = self._heads()
        at = np.arange(len(head))
        length = np.zeros(len(head), dtype=np.int64)
        np.maximum.at(length, head, self.blocks - self.shared[head])
        first = offsets_of(length)[:-1]
        owner, limit, chain = at, self.blocks.copy(), head
        pieces: list[IntColumn] = []
        while len(owner):
            start = self.shared[chain]
            pieces.append(np.stack([owner, start, first[chain], limit - start], axis=1))
            up = self.parent[chain] != NONE
            owner, limit = owner[up], np.minimum(limit, start)[up]
            chain = head[self.parent[chain[up]]]
        table = np.concatenate(pieces)
        table = table[table[:, 3] > 0]
        table = table[np.lexsort((table[:, 1], table[:, 0]))]
        counts = np.bincount(table[:, 0], minlength=len(head))
        return joined_runs(table[:, 2:], offsets_of(counts))

    def _heads(self) -> IntColumn:
        """The first prompt of the chain that each one goes on with, block behind block."""
        at = np.arange(len(self.parent))
        goes_on = (self.parent != NONE) & (self.shared == self.blocks[self.parent])
        # Two prompts cannot both follow the last block of a third with the same new ids.
        _, eldest = np.unique(self.parent[goes_on], return_index=True)
        children = at[goes_on][eldest]
        head = at.copy()
        head[children] = self.parent[children]
        while np.any(head != head[head]):
            head = head[head]
        return head
