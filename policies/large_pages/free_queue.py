"""Free large pages, first in, first out; those that were never taken are not written down."""

from collections import deque
from collections.abc import Iterator


class FreeQueue:
    """Numbers from 0 up to ``count``, then those that came back, in that order.

    A pool may have millions of pages of which a run touches few.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._next = 0
        """First number that was never taken."""
        self._returned: deque[int] = deque()

    def __len__(self) -> int:
        return self._count - self._next + len(self._returned)

    def __iter__(self) -> Iterator[int]:
        yield from range(self._next, self._count)
        yield from self._returned

    def popleft(self) -> int:
        """Take the first; raises IndexError if there is none."""
        if self._next == self._count:
            return self._returned.popleft()
        self._next += 1
        return self._next - 1

    def append(self, page: int) -> None:
        """Give one back."""
        self._returned.append(page)
