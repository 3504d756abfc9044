"""Hash ids for prompts that grow: conversations, and requests with a common beginning.

Ids are minted in order, so that a prompt is a few runs: what it shares with all, what it shares
with the turns before, and, if the trace has them, an id for its partly filled last block. That
block has another content once it is full, so no two prompts share such an id.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..columns import IntColumn, Ragged, offsets_of
from ..runs import joined_runs
from .segments import owners


class Mint:
    """Hands out ids that nobody has."""

    def __init__(self, first: int = 0) -> None:
        """``first``: the lowest id that is free."""
        self.next = first

    def take(self, counts: IntColumn) -> IntColumn:
        """Return the first of so many consecutive ids each, one range behind the other."""
        ends = offsets_of(counts)
        firsts = self.next + ends[:-1]
        self.next += int(ends[-1])
        return firsts


@dataclass(frozen=True)
class Blocks:
    """How prompts are cut into blocks.

    Attributes:
        size: Tokens per block.
        tails: Whether a partly filled last block has an id.
    """

    size: int
    tails: bool = False

    @property
    def hash_tail(self) -> str:
        """The same in the words of ``Meta``."""
        return "ceil" if self.tails else "floor"

    def of_chains(
        self, prompt_tokens: IntColumn, offsets: IntColumn, shared: IntColumn, mint: Mint
    ) -> Ragged:
        """Return the ids of chains: lists of prompts each of which begins with the one before.

        Args:
            prompt_tokens: Lengths of all prompts, chain by chain, ascending in a chain.
            offsets: Where each chain starts, with the total at the end; no chain is empty.
            shared: Shape (chains, 2): the run of ids that a chain has in common with others.
            mint: Where new ids come from; a chain takes them in one piece.
        """
        full = prompt_tokens // self.size
        own = full - np.minimum(full, np.repeat(shared[:, 1], np.diff(offsets)))
        most = own[offsets[1:] - 1]
        has_tail = (prompt_tokens % self.size > 0) & self.tails
        chain = owners(offsets)
        tails = np.bincount(chain[has_tail], minlength=len(most))
        first = mint.take(most + tails)
        # The last prompt's tail comes first, so that it continues the run of full blocks.
        tail_ids = (first + most)[chain] + _later_in_list(has_tail.astype(np.int64), offsets)
        return as_runs(
            np.stack([shared[chain, 0], np.minimum(full, shared[chain, 1])], axis=1),
            np.stack([first[chain], own], axis=1),
            np.stack([tail_ids, has_tail.astype(np.int64)], axis=1),
        )

    def of_prompts(
        self, prompt_tokens: IntColumn, mint: Mint, shared: IntColumn | None = None
    ) -> Ragged:
        """Return the ids of prompts that have nothing but ``shared`` in common; see ``of_chains``.

        Args:
            prompt_tokens: Lengths of the prompts.
            mint: Where new ids come from.
            shared: Shape (requests, 2): the run of ids that a prompt begins with.
        """
        count = len(prompt_tokens)
        if shared is None:
            shared = np.zeros((count, 2), dtype=np.int64)
        return self.of_chains(prompt_tokens, np.arange(count + 1), shared, mint)


def _later_in_list(values: IntColumn, offsets: IntColumn) -> IntColumn:
    """Sum of the entries behind each one in its list."""
    sums = offsets_of(values)
    return np.repeat(sums[offsets[1:]], np.diff(offsets)) - sums[1:]


def as_runs(*columns: IntColumn) -> Ragged:
    """Put one run of each column behind the other for every request.

    Args:
        columns: Shape (requests, 2) each: first id and length. Runs without length are left out,
            and a run that goes on where the one before ends is joined to it.
    """
    table = np.stack(columns, axis=1)
    width = table.shape[1]
    flat = table.reshape(-1, 2)
    return joined_runs(flat, np.arange(len(table) + 1, dtype=np.int64) * width)
