"""The prompts of a trace as references to numbered blocks, written out a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..columns import IntColumn as IntArray
from ..runs import dense_starts, expand, id_offsets

CHUNK_BLOCKS = 1 << 17


@dataclass(frozen=True, eq=False)
class Prompts:
    """What requests ask for, in order of arrival. No column is changed.

    Attributes:
        arrival_ns: Arrivals in nanoseconds, ascending; n entries.
        input_tokens: Lengths of the prompts; n entries.
        offsets: Start of each request in ``runs``, with the total at the end; n + 1 entries.
        runs: Block ids as pairs (first id, length), of shape (k, 2).
        block_size: Tokens per block. The last block of a prompt may hold fewer, or be left out.
        chunk_blocks: References to write out at a time, about; nothing else depends on it.
    """

    arrival_ns: IntArray
    input_tokens: IntArray
    offsets: IntArray
    runs: IntArray
    block_size: int
    chunk_blocks: int = CHUNK_BLOCKS

    def __len__(self) -> int:
        return len(self.input_tokens)

    @cached_property
    def starts(self) -> IntArray:
        """Start of each request among all block references; n + 1 entries."""
        return id_offsets(self.offsets, self.runs)

    @cached_property
    def references(self) -> int:
        """References to blocks in all prompts together."""
        return int(self.starts[-1])

    @property
    def unique(self) -> int:
        """Different blocks that occur."""
        return self._numbered[1]

    def chunks(self) -> Iterator[Chunk]:
        """Write out all requests, in order, each of them whole."""
        starts, first = self.starts, 0
        while first < len(self):
            limit = starts[first] + self.chunk_blocks
            end = max(int(np.searchsorted(starts, limit, side="right")) - 1, first + 1)
            runs, offsets = self._numbered[0], self.offsets[first : end + 1]
            own, numbers = id_offsets(offsets, runs), expand(runs[offsets[0] : offsets[-1]])
            yield Chunk(first, own, numbers)
            first = end

    def scoped(self, scopes: IntArray) -> Prompts:
        """The same prompts where requests of different ``scopes`` share no block.

        Args:
            scopes: A number from 0 on per request; times ``unique`` it must fit int64.
        """
        runs = self._numbered[0].copy()
        runs[:, 0] += np.repeat(scopes, np.diff(self.offsets)) * self.unique
        return replace(self, runs=runs)

    @cached_property
    def _numbered(self) -> tuple[IntArray, int]:
        firsts, unique = dense_starts(self.runs)
        return np.stack([firsts, self.runs[:, 1]], axis=1), unique


def by_block(blocks: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Sort references by block, those to the same block in order of use.

    Args:
        blocks: Numbers of blocks from 0 on; fewer than 2**63 over their count.

    Returns:
        The place of each reference in ``blocks``, its block, and where in both a block begins.
    """
    bits = len(blocks).bit_length()
    # One sort of plain numbers is several times as fast as a stable argsort.
    keys = blocks << bits | np.arange(len(blocks), dtype=np.int64)
    keys.sort()
    ordered = keys >> bits
    heads = np.flatnonzero(np.diff(ordered, prepend=-1))
    return keys & ((1 << bits) - 1), ordered, heads


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some successive requests and the numbers of their blocks.

    Attributes:
        first: The first request.
        starts: Start of each request in ``blocks``, with the total at the end.
        blocks: Numbers of the blocks, from 0 to the number of different ones in the trace.
    """

    first: int
    starts: IntArray
    blocks: IntArray

    @property
    def requests(self) -> slice:
        """The chunk's requests in a column of the trace."""
        return slice(self.first, self.first + len(self.starts) - 1)

    def owners(self) -> IntArray:
        """The request of each block reference."""
        numbers = np.arange(self.first, self.first + len(self.starts) - 1, dtype=np.int64)
        return np.repeat(numbers, np.diff(self.starts))

    def before_first(self, marked: IntArray) -> IntArray:
        """References of each request that come before its first marked one, or all it has.

        Args:
            marked: Places in ``blocks``, ascending.
        """
        ends = self.starts[1:]
        places = np.append(marked, len(self.blocks))
        first = places[np.searchsorted(places[:-1], self.starts[:-1])]
        return np.minimum(first, ends) - self.starts[:-1]

    def through_last(self, marked: IntArray) -> IntArray:
        """References of each request up to and with its last marked one, or 0.

        Args:
            marked: Places in ``blocks``, ascending.
        """
        places = np.concatenate([[-1], marked])
        last = places[np.searchsorted(places, self.starts[1:]) - 1]
        return np.maximum(last + 1 - self.starts[:-1], 0)
