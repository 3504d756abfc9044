"""Who has which name: requests are called by their own, or else by the number of their row."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from .columns import NONE, IntColumn

_DIGITS = 19
"""A number with fewer digits fits an int64."""


class Names:
    """The names that are taken, and by which row.

    Rows without a name of their own cost nothing each: their numbers are kept as ranges.
    """

    def __init__(self) -> None:
        self.row_of_name: dict[str, int] = {}
        self._starts: list[int] = []
        self._ends: list[int] = []

    @property
    def any_given(self) -> bool:
        """Whether a row has a name of its own."""
        return bool(self.row_of_name)

    def number(self, numbers: IntColumn) -> None:
        """Call rows by their numbers, which ascend and are above all numbers before them."""
        if not len(numbers):
            return
        cuts = np.flatnonzero(np.diff(numbers) > 1)
        self._starts += [int(numbers[0]), *numbers[cuts + 1].tolist()]
        self._ends += [*numbers[cuts].tolist(), int(numbers[-1])]

    def give(self, name: str, number: int) -> int:
        """Call a row by a name, unless that is taken; return the row that has it."""
        if name not in self.row_of_name:
            owner = self._numbered(name)
            if owner != NONE:
                return owner
        return self.row_of_name.setdefault(name, number)

    def owner(self, name: str) -> int:
        """Return the row of a name; ``NONE`` if nobody is called so."""
        row = self.row_of_name.get(name, NONE)
        return self._numbered(name) if row == NONE else row

    def _numbered(self, name: str) -> int:
        """The row that is called so by its number."""
        if not self._starts or len(name) >= _DIGITS or not (name.isascii() and name.isdecimal()):
            return NONE
        number = int(name)
        at = bisect_right(self._starts, number) - 1
        known = at >= 0 and number <= self._ends[at] and str(number) == name
        return number if known else NONE
