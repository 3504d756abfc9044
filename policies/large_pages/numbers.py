"""The pages of one group of Jenga's pool in numbers."""

from typing import TYPE_CHECKING

from . import layout as at
from .layout import NOBODY, NULL_OWNER

if TYPE_CHECKING:
    from .pool import LargePages


class SmallPages:
    """The empty small pages of one group, in numbers."""

    def __init__(self, pages: "LargePages", group: int) -> None:
        self._pages, self._group = pages, group
        self.ratio = self._count(at.RATIO)
        """Small pages of a large one."""

    def _count(self, column: int) -> int:
        return int(self._pages.state.groups[self._group, column])

    def _kept_for(self, owner: int) -> int:
        return int(self._pages.state.owners[owner, self._group, at.KEPT])

    @property
    def num_large(self) -> int:
        """Large pages of the group."""
        return self._count(at.LARGES)

    @property
    def num_empty(self) -> int:
        """Empty pages that can be taken: parked ones cannot."""
        return self._count(at.EMPTIES)

    @property
    def num_parked(self) -> int:
        """Empty pages of large pages that can be evicted."""
        return self._count(at.PARKED)

    @property
    def num_owned(self) -> int:
        """Empty pages that are kept for a request that runs."""
        return self.num_empty - self._kept_for(NOBODY) - self._kept_for(NULL_OWNER)


class IdlePages:
    """The cached pages of one group that nobody holds."""

    def __init__(self, pages: "LargePages", group: int) -> None:
        self._pages, self._group = pages, group

    def __len__(self) -> int:
        return int(self._pages.state.groups[self._group, at.IDLES])

    def __contains__(self, page: int) -> bool:
        state = self._pages.state
        node = state.groups[self._group, at.BASE] + page
        return bool(state.nodes[node, at.BORN] and not state.nodes[node, at.REFS])

    @property
    def num_large(self) -> int:
        """Large pages that could be evicted as a whole."""
        return int(self._pages.state.groups[self._group, at.EVICTABLE])
