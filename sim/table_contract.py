"""What the scheduler and the engine ask of block tables, with a prefix cache or without."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..policies.base import Moves, PageGroup, Pages, Slack

IntArray = npt.NDArray[np.int64]


class Hit(NamedTuple):
    """What a lookup in the prefix cache found for a request."""

    tokens: int
    """Tokens that need not be computed."""
    junction: int
    """Longest prefix that some kind caches, if that is longer; 0 if not."""


NO_HIT = Hit(0, 0)


class Tables(Protocol):
    """Block tables of all requests, with a prefix cache or without."""

    groups: tuple[PageGroup, ...]
    classes: tuple[PageGroup, ...]
    """One group per way to grow; groups that grow alike have tables of equal length."""
    class_of: tuple[int, ...]

    @property
    def allocated(self) -> tuple[Sequence[int], ...]:
        """Per class and request: blocks up to the end of the table, those given back included."""
        ...

    @property
    def expired(self) -> tuple[Sequence[int], ...]:
        """Per class and request: leading blocks that were given back."""
        ...

    @property
    def keyed(self) -> tuple[Sequence[int], ...]:
        """Per class and request: blocks considered for the cache; empty without one."""
        ...

    def begin_step(self) -> None:
        """Called before the first decision of a step."""
        ...

    def end_step(self) -> None:
        """Called after the last decision of a step."""
        ...

    def tick(self, now_ns: int) -> Moves:
        """See Carving.tick."""
        ...

    def due_ns(self) -> int | None:
        """See Carving.due_ns. Pure."""
        ...

    def look_up(self, slot: int) -> Hit:
        """Longest cached prefix of a waiting request. Pure."""
        ...

    def lacking(self, slot: int, hit: Hit, new: int, watermark: float, whole: bool) -> Pages | None:
        """Pages of a waiting request if ``hit`` and ``new`` tokens do not fit, else None. Pure.

        ``hit`` is what ``look_up`` just said. ``whole``: all its tokens must fit, capped by what
        recycling kinds hold at once. ``watermark``: share of the pool to be left.
        """
        ...

    def allocate(self, slot: int, new: int, hit: Hit = NO_HIT) -> bool:
        """Give back what expired, then hold ``hit`` and the pages of ``new`` tokens, or nothing."""
        ...

    def commit(self, slot: int, tokens: int) -> None:
        """The first ``tokens`` of a running request are computed and known: cache full blocks."""
        ...

    def trim(self, slot: int) -> None:
        """Give back the pages of a running request that no step will read."""
        ...

    def free(self, slot: int) -> None:
        """Give back everything."""
        ...

    def is_impossible(self, slot: int) -> bool:
        """Whether a waiting request that does not fit never will. Pure."""
        ...

    def late_hits(self) -> dict[int, int]:
        """Hits of this step's requests that were looked up only after it was decided."""
        ...

    def limit(self, slot: int) -> tuple[str, int]:
        """The kind that shortened a request's first hit and the tokens lost; ("", 0) if none."""
        ...

    def held_pages(self) -> tuple[int, ...]:
        """Pages per group that requests hold, each counted once; () where none are shared. Pure."""
        ...

    def could_fit(self, slot: int, tokens: int) -> bool:
        """Whether ``tokens`` of a request fit an empty pool. Pure."""
        ...

    def slack(self, refused: Pages | None, watermark: float) -> Slack:
        """See Carving.slack. Pure."""
        ...

    def free_pages(self) -> tuple[int, ...]:
        """Pages per group that could still be taken if only that group asked. Pure."""
        ...

    def admission_need(self, slot: int, tokens: int) -> Pages:
        """Pages, per group, that a sequence of ``tokens`` must find free before it starts. Pure."""
        ...

    def check(self) -> None:
        """Raise InvariantError when the books do not balance. Pure."""
        ...


class SharedTables(Tables, Protocol):
    """Block tables whose pages several requests may hold."""

    @property
    def rule_columns(self) -> IntArray:
        """The rows of ``caching.layout`` rules up to BLOCK, one column per group."""
        ...

    def shared_pages(self, slots: Sequence[int], views: IntArray) -> IntArray:
        """Windowed pages that several of ``slots`` hold; see ``caching.sharing``."""
        ...


def growth_classes(
    groups: tuple[PageGroup, ...],
) -> tuple[tuple[PageGroup, ...], tuple[int, ...]]:
    """One representative per way to grow, and for each group the number of its class."""
    keys = [(g.kind, g.block_size, g.window, g.source, g.pages_per_block) for g in groups]
    distinct = list(dict.fromkeys(keys))
    first = tuple(groups[keys.index(key)] for key in distinct)
    return first, tuple(distinct.index(key) for key in keys)
