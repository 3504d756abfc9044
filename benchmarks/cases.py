"""What a case is: a function that is given an ``Effort`` and returns the figures of one line."""

from collections.abc import Callable
from dataclasses import dataclass

Line = dict[str, str | float]
"""Figures under their names."""
LEAST = 64
"""Requests that every case has."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    quick: bool = False
    """A thousandth of the work, to see that a case works; its figures say nothing."""
    repeat: int = 3
    """Runs, of which the best counts."""

    def share(self, requests: int) -> int:
        """Of ``requests``, those that are simulated."""
        return max(LEAST, requests // 1000) if self.quick else requests


Case = Callable[[Effort], Line]
