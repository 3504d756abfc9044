"""Counts of pages per holder and group, for carvings that do not care where a page lies.

``held`` has the shape (holders, groups).
"""

from ...configs.errors import InvariantError
from ..batch import IntArray
from ..compiled import inner


@inner
def add(held: IntArray, holder: int, need: IntArray) -> None:
    """Record that ``holder`` took ``need``."""
    for group in range(len(need)):
        held[holder, group] += need[group]


@inner
def remove(held: IntArray, holder: int, group: int, count: int) -> None:
    """Record that ``holder`` gave back ``count`` pages of ``group``."""
    if count < 0 or held[holder, group] < count:
        raise InvariantError("a request gives back more pages than it holds")
    held[holder, group] -= count


@inner
def pop(held: IntArray, holder: int, group: int) -> int:
    """Forget what ``holder`` has in ``group``; how much that was."""
    count = held[holder, group]
    held[holder, group] = 0
    return count
