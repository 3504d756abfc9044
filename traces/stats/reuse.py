"""One walk over all prompts, with a cache that forgets nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..columns import IntColumn as IntArray
from .blocks import Chunk, Prompts, by_block
from .counts import ValueCounts

NONE = -1
"""No earlier request; no block before the first of a prompt."""

_UNSEEN = -2


@dataclass(frozen=True, eq=False)
class Reuse:
    """What each request finds, and what becomes of the blocks.

    Attributes:
        hit_blocks: Leading blocks of each prompt that earlier requests had; n entries.
        hit_tokens: The same in tokens: the last block may hold fewer than a whole one.
        source: The last earlier request that had the deepest of these blocks, or ``NONE``.
        before: The block that precedes each block in its first prompt, or ``NONE``; one entry per
            different block.
        used_once: Blocks that a single reference needs.
        conflicts: Blocks that follow different blocks in different prompts. There are none where
            ids stand for a block and all before it, as chained hashes do.
        times_ns: Times between successive requests for a block.
    """

    hit_blocks: IntArray
    hit_tokens: IntArray
    source: IntArray
    before: IntArray
    used_once: int
    conflicts: int
    times_ns: ValueCounts


def walk(prompts: Prompts) -> Reuse:
    """Follow every block through all requests: a few sorts of a chunk, no request at a time.

    Memory is three numbers per different block and two per request.
    """
    state = _State(prompts)
    for chunk in prompts.chunks():
        state.take(chunk)
    return state.reuse()


class _State:
    """What is known of the blocks after some requests."""

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts
        self._hit_blocks = np.zeros(len(prompts), dtype=np.int64)
        self._source = np.full(len(prompts), NONE, dtype=np.int64)
        self._last_user = np.full(prompts.unique, NONE, dtype=np.int64)
        self._before = np.full(prompts.unique, _UNSEEN, dtype=np.int64)
        self._again = np.zeros(prompts.unique, dtype=np.bool_)
        self._conflict = np.zeros(prompts.unique, dtype=np.bool_)
        self._times_ns = ValueCounts()

    def take(self, chunk: Chunk) -> None:
        """Look the chunk's prompts up, then add their blocks."""
        if not len(chunk.blocks):
            return
        order, blocks, heads = by_block(chunk.blocks)
        tails = np.append(heads[1:], len(blocks)) - 1
        owners = chunk.owners()[order]
        users = np.roll(owners, 1)
        users[heads] = self._last_user[blocks[heads]]
        self._last_user[blocks[tails]] = owners[tails]
        self._note_times(owners, users)
        self._again[blocks[users != NONE]] = True
        self._note_order(chunk, order, blocks, heads)
        previous = np.empty_like(users)
        previous[order] = users
        self._note_hits(chunk, previous)

    def reuse(self) -> Reuse:
        """What came out."""
        tokens = self._hit_blocks * self._prompts.block_size
        return Reuse(
            hit_blocks=self._hit_blocks,
            hit_tokens=np.minimum(tokens, self._prompts.input_tokens),
            source=self._source,
            before=self._before,
            used_once=int((~self._again).sum()),
            conflicts=int(self._conflict.sum()),
            times_ns=self._times_ns,
        )

    def _note_times(self, owners: IntArray, users: IntArray) -> None:
        other = (users != NONE) & (users != owners)
        arrival = self._prompts.arrival_ns
        self._times_ns.add(arrival[owners[other]] - arrival[users[other]])

    def _note_order(self, chunk: Chunk, order: IntArray, blocks: IntArray, heads: IntArray) -> None:
        before = np.roll(chunk.blocks, 1)
        before[chunk.starts[:-1][chunk.starts[:-1] < chunk.starts[1:]]] = NONE
        before = before[order]
        fresh = heads[self._before[blocks[heads]] == _UNSEEN]
        self._before[blocks[fresh]] = before[fresh]
        self._conflict[blocks[before != self._before[blocks]]] = True

    def _note_hits(self, chunk: Chunk, previous: IntArray) -> None:
        hits = chunk.before_first(np.flatnonzero(previous == NONE))
        hit = np.flatnonzero(hits)
        self._hit_blocks[chunk.requests] = hits
        self._source[chunk.requests.start + hit] = previous[chunk.starts[hit] + hits[hit] - 1]
