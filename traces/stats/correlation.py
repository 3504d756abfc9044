"""How two columns go together, counted over chunks."""

from __future__ import annotations

import math

from ..columns import IntColumn as IntArray
from .exact import exact_dot, exact_sum


class Correlation:
    """Pearson's correlation of two columns of integers from 0 to 2**63 - 1."""

    def __init__(self) -> None:
        self._count = self._left = self._right = 0
        self._left_squares = self._right_squares = self._products = 0

    def add(self, left: IntArray, right: IntArray) -> None:
        """Add a chunk of both columns, of equal length."""
        if not len(left):
            return
        self._count += len(left)
        self._left += exact_sum(left)
        self._right += exact_sum(right)
        self._left_squares += exact_dot(left, left)
        self._right_squares += exact_dot(right, right)
        self._products += exact_dot(left, right)

    def result(self) -> float | None:
        """The coefficient, from -1 to 1; None if a column does not vary."""
        left = self._count * self._left_squares - self._left**2
        right = self._count * self._right_squares - self._right**2
        if not left or not right:
            return None
        both = self._count * self._products - self._left * self._right
        return both / (math.sqrt(left) * math.sqrt(right))
