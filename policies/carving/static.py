"""Static partition: every group has its own part of the pool, fixed at start.

``StaticPartition`` is the baseline of Jenga's artifact (``--static-partition``),
``SGLangPartition`` what SGLang 0.5.23 does unless ``--enable-unified-memory`` is set: they differ
in the sizes of the parts alone (``splits.py``). Wasted is what a part has left while another is
full, and the remainders.

SGLang keeps its padding slot beside each pool; here it is a null page of the part, as elsewhere.
"""

from typing import ClassVar, NamedTuple

import numpy as np

from ...configs.errors import ConfigError, InvariantError
from .. import batch
from ..base import PageGroup
from ..batch import IntArray
from ..compiled import body_of, by_reference, inner
from ..compiled_carving import CompiledCarving, copies_nothing, widened
from .counted import add, pop, remove
from .splits import Split, by_page_bytes, by_tokens

NULL_PAGES = 1
PAGES, FREE, PAGE_BYTES = range(3)
"""Rows of ``parts``: all pages of a group's part, free ones, bytes of one."""


@copies_nothing
@by_reference
class StaticParts(NamedTuple):
    """How many pages each holder has, shape (holders, groups), and the part of each group."""

    held: IntArray
    parts: IntArray
    rest_bytes: IntArray
    """One entry: bytes in no part, and those of parts that make no page."""


class StaticPartition(CompiledCarving):
    """One pool per group; memory that one group lacks cannot come from another."""

    split: ClassVar[Split] = staticmethod(by_page_bytes)
    """How large the parts are."""

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self.num_pages = type(self).split(groups, pool_bytes)
        for group, count in zip(groups, self.num_pages, strict=True):
            if count <= NULL_PAGES:
                raise ConfigError(
                    f"the static part of group {group.name} holds {count} pages of "
                    f"{group.page_bytes:,} bytes and one is the null page: nothing can be served. "
                    "Give it more memory, more GPUs (--tp), or another policy (jenga-sim policies)."
                )
        pages = np.array(self.num_pages, dtype=np.int64)
        sizes = np.array([group.page_bytes for group in groups], dtype=np.int64)
        self.state = StaticParts(
            held=np.zeros((self.holders, len(groups)), dtype=np.int64),
            parts=np.array([pages, pages - NULL_PAGES, sizes]),
            rest_bytes=np.array([pool_bytes - (pages * sizes).sum()]),
        )

    def grow(self, holders: int) -> None:
        """See CompiledCarving."""
        self.state = self.state._replace(held=widened(self.state.held, holders))

    @property
    def held_pages(self) -> list[int]:
        """Pages that requests hold, per group."""
        return self.state.held.sum(axis=0).tolist()

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        return tuple(self.state.parts[FREE].tolist())

    def check(self) -> None:
        """See Carving."""
        books = zip(self.groups, self.held_pages, self.free_pages(), self.num_pages, strict=True)
        for group, used, free, pages in books:
            if free < 0 or used + free + NULL_PAGES != pages:
                raise InvariantError(
                    f"group {group.name}: {used} used + {free} free + {NULL_PAGES} "
                    f"null are not {pages} pages"
                )
        if (self.state.held < 0).any():
            raise InvariantError("a request holds fewer pages than none")


class SGLangPartition(StaticPartition):
    """The parts of SGLang: fixed ratios of tokens, and of bytes for states."""

    split: ClassVar[Split] = staticmethod(by_tokens)


@body_of(batch.could_fit, StaticParts)
@inner
def _could_fit(state: StaticParts, need: IntArray) -> bool:
    fits = True
    for group in range(len(need)):
        fits = fits and need[group] <= state.parts[PAGES, group] - NULL_PAGES
    return fits


@body_of(batch.fits, StaticParts)
@inner
def _fits(state: StaticParts, need: IntArray, watermark: float) -> bool:
    # Every part keeps its own watermark.
    parts, fits = state.parts, True
    for group in range(len(need)):
        kept = int(watermark * parts[PAGES, group])
        fits = fits and need[group] + kept <= parts[FREE, group]
    return fits


@body_of(batch.take, StaticParts)
@inner
def _take(state: StaticParts, holder: int, need: IntArray) -> bool:
    if not batch.fits(state, need, 0.0):
        return False
    add(state.held, holder, need)
    for group in range(len(need)):
        state.parts[FREE, group] -= need[group]
    return True


@body_of(batch.give, StaticParts)
@inner
def _give(state: StaticParts, holder: int, group: int, count: int) -> None:
    remove(state.held, holder, group, count)
    state.parts[FREE, group] += count


@body_of(batch.free, StaticParts)
@inner
def _free(state: StaticParts, holder: int) -> None:
    for group in range(state.parts.shape[1]):
        state.parts[FREE, group] += pop(state.held, holder, group)


@body_of(batch.slack, StaticParts)
@inner
def _slack(state: StaticParts, refused: IntArray, watermark: float, out: IntArray) -> None:
    # While a request is refused, parts that do not lack pages are external.
    parts, groups = state.parts, state.parts.shape[1]
    reserved, free = state.rest_bytes[0], 0
    for group in range(groups):
        size = parts[PAGE_BYTES, group]
        kept = min(parts[FREE, group], int(watermark * parts[PAGES, group]))
        reserved += (NULL_PAGES + kept) * size
        usable = (parts[FREE, group] - kept) * size
        lacking = refused[0] == batch.NOTHING_REFUSED or refused[group] * size > usable
        free += usable if lacking else 0
        out[group] = out[2 * groups + group] = 0
        out[groups + group] = 0 if lacking else usable
    out[-2], out[-1] = reserved, free
