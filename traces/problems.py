"""What is wrong with a file: the first places by name, the others counted."""

from __future__ import annotations

from typing import Literal

from ..configs.errors import TraceError

OnBadLine = Literal["error", "skip"]

_LISTED = 3


class Problems:
    """Collects the bad lines of one trace, and what else its user should know."""

    def __init__(self, on_bad_line: OnBadLine = "error") -> None:
        """``on_bad_line``: whether bad lines make reading fail, or are left out and counted.

        Raises:
            ValueError: ``on_bad_line`` is neither.
        """
        if on_bad_line not in ("error", "skip"):
            raise ValueError(f"on_bad_line must be 'error' or 'skip', not {on_bad_line!r}")
        self._fatal = on_bad_line == "error"
        self._listed: list[str] = []
        self.count = 0
        self.notes: list[str] = []

    def add(self, place: str, text: str) -> None:
        """Note that a line is bad.

        Args:
            place: File and line, or file and key.
            text: The field, what it must be and what it is.
        """
        self.count += 1
        if self.count <= _LISTED:
            self._listed.append(f"{place}: {text}")

    def settle(self, good: int) -> None:
        """Fail if there are bad lines that must not be there, or no good ones.

        Args:
            good: Lines that were read and are good.

        Raises:
            TraceError: Bad lines are errors and there is one, or every line is bad.
        """
        if not self.count or (not self._fatal and good):
            return
        listed = list(self._listed)
        if self.count > len(listed):
            more = self.count - len(listed)
            listed.append(f"... and {more} more bad lines of {self.count + good}")
        raise TraceError("\n".join(listed))
