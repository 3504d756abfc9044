"""How many pages of each group a typical request holds; TensorRT-LLM's idea of it.

See ``rebalance.py`` for the source, and for what is different there.
"""

from collections.abc import Sequence
from math import sqrt

from ...configs.specs import STATE_KINDS
from ..base import PageGroup
from ..demand import demand, expired

FIRST_TOKENS = 2049
"""Length of the request that the first division is made for; all but the last are computed."""


class TypicalRequest:
    """Root mean squares of pages per group, in which late samples weigh more."""

    def __init__(self, num_groups: int, decay: float) -> None:
        """``decay``: weight of a sample next to the one after it."""
        self.samples = 0
        self._decay = decay
        self._squares = [0.0] * num_groups
        self._weight = 0.0

    def sample(self, pages: Sequence[int]) -> None:
        """Note what a request held when it left."""
        self.samples += 1
        self._weight = 1.0 + self._decay * self._weight
        for group, count in enumerate(pages):
            self._squares[group] += (count * count - self._squares[group]) / self._weight

    def pages(self) -> list[float]:
        """Pages per group. Additions, divisions and roots alone: the same on every machine."""
        return [sqrt(square) for square in self._squares]


def first_pages(group: PageGroup) -> int:
    """Pages of ``group`` in a decode step of the request that the first division is made for."""
    if group.kind in STATE_KINDS:
        return group.pages_per_block
    pages = demand(group, FIRST_TOKENS, FIRST_TOKENS)
    return pages - expired(group, FIRST_TOKENS - 1, 0)
