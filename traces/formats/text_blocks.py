"""Block ids from texts: equal ids mean equal blocks behind equal beginnings.

A block is known by a digest of all text up to its end. Digests are numbered in the order in which
they come, so that a new text has consecutive ids and its ids are one run.
"""

from __future__ import annotations

import hashlib

_DIGEST_BYTES = 16


class TextBlocks:
    """Numbers the blocks of all texts of a trace."""

    def __init__(self, block_bytes: int) -> None:
        """``block_bytes``: bytes of encoded text per block, at least 1."""
        self.block_bytes = block_bytes
        self._numbers: dict[bytes, int] = {}
        self._next = 0

    def number(self, digest: bytes, count: int = 1) -> int:
        """Return the first of ``count`` consecutive numbers that stand for a digest."""
        first = self._numbers.setdefault(digest, self._next)
        if first == self._next:
            self._next += count
        return first

    def runs(self, encoded: bytes, count: int) -> list[tuple[int, int]]:
        """Return the ids of the first ``count`` blocks as runs (first id, length).

        Where the text has fewer full blocks, the rest is text that is not known; it gets ids that
        only the same text with the same number of blocks has.
        """
        chain = Chain(self)
        chain.extend(encoded[: count * self.block_bytes])
        missing = count - chain.blocks
        if missing > 0:
            digest = _digest(chain.digest, b"%d:%b" % (missing, chain.rest), b"unknown")
            chain.add(self.number(digest, missing), missing)
        return list(chain.runs)


class Chain:
    """A text that grows, and the ids of its full blocks."""

    def __init__(self, blocks: TextBlocks) -> None:
        self._blocks = blocks
        self.runs: list[tuple[int, int]] = []
        self.digest = b""
        self.rest = b""
        self.blocks = 0
        self.bytes = 0

    def extend(self, encoded: bytes) -> None:
        """Append encoded text."""
        self.bytes += len(encoded)
        text, size = self.rest + encoded, self._blocks.block_bytes
        full = len(text) - len(text) % size
        for start in range(0, full, size):
            self.digest = _digest(self.digest, text[start : start + size])
            self.add(self._blocks.number(self.digest), 1)
        self.rest = text[full:]

    def add(self, first: int, count: int) -> None:
        """Append blocks with consecutive ids."""
        self.blocks += count
        if self.runs and sum(self.runs[-1]) == first:
            first, count = self.runs[-1][0], self.runs.pop()[1] + count
        self.runs.append((first, count))


def _digest(before: bytes, block: bytes, kind: bytes = b"") -> bytes:
    return hashlib.blake2b(before + block, digest_size=_DIGEST_BYTES, person=kind).digest()
