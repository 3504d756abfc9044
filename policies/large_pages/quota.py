"""Large pages, and how many of them one call may take: Jenga's pool and its artifact's alike."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from ...configs.errors import InvariantError
from ...configs.specs import cdiv
from ..base import Pages
from .free_queue import FreeQueue

NO_LIMIT = 1 << 62


Key = int | tuple[int, int]
"""Of a prefix; with the place of a page in its block where a block has several."""


class Content(NamedTuple):
    """What a full page stores."""

    key: Key
    tokens: int
    """Of the prefix that ends with this page."""


class Room(NamedTuple):
    """What a need would take of the large pages."""

    least: tuple[int, ...]
    """Large pages, per group, without which the need cannot be met."""
    available: int
    """Large pages that are empty or can be evicted."""

    @property
    def total(self) -> int:
        """Of all groups."""
        return sum(self.least)


class EmptyPages(Protocol):
    """The empty small pages of one group, by owner: see ``SmallPages``."""

    ratio: int
    num_empty: int

    @property
    def num_large(self) -> int:
        """Large pages of the group."""
        ...

    def join(self, owner: int) -> None:
        """A request begins to run."""
        ...

    def leave(self, owner: int) -> None:
        """A request ends."""
        ...


EmptyT = TypeVar("EmptyT", bound=EmptyPages)


class PagePool(ABC, Generic[EmptyT]):
    """Large pages of one size that groups carve into small ones."""

    small: tuple[EmptyT, ...]

    def __init__(self, num_large: int, most_large: Sequence[int]) -> None:
        """``most_large``: large pages that each group may have."""
        self.num_large = num_large
        self.most_large = tuple(most_large)
        self._free = FreeQueue(num_large)
        # For the null pages.
        self._quota = [1] * len(most_large)

    @property
    def free_large(self) -> int:
        """Empty large pages."""
        return len(self._free)

    @property
    @abstractmethod
    def evictable_large(self) -> int:
        """Large pages that can be emptied by evicting what they cache."""

    @abstractmethod
    def num_apart(self, group: int) -> int:
        """Cached small pages of a group that nobody holds, outside of evictable large pages."""

    def join(self, owner: int) -> None:
        """A request begins to take pages."""
        for small in self.small:
            small.join(owner)

    def leave(self, owner: int) -> None:
        """A request ends; it gives its pages back next."""
        for small in self.small:
            small.leave(owner)

    def room(self, need: Pages) -> Room:
        """What ``need`` would take if it were asked for now. Pure."""
        least = [
            cdiv(max(0, pages - small.num_empty - self.num_apart(group)), small.ratio)
            for group, (pages, small) in enumerate(zip(need, self.small, strict=True))
        ]
        return Room(tuple(least), self.free_large + self.evictable_large)

    def within_limits(self, least: Sequence[int]) -> bool:
        """Whether no group would exceed the large pages that it may have. Pure."""
        limits = zip(least, self.small, self.most_large, strict=True)
        return all(pages <= most - small.num_large for pages, small, most in limits)

    def set_quotas(self, need: Pages) -> None:
        """Allow the next pages as many large ones as ``need`` can use, or at least must have.

        Generous if there are enough for the generous quota of all groups, as in the artifact.
        """
        room = self.room(need)
        if room.total > room.available:
            raise InvariantError("a need is served that there is no room for")
        most = [cdiv(pages, small.ratio) for pages, small in zip(need, self.small, strict=True)]
        self._quota = most if sum(most) <= room.available else list(room.least)
