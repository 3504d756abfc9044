"""One page size for every group: PagedAttention's pool, and vLLM's (``v1/core/block_pool.py``)."""

from typing import NamedTuple

import numpy as np

from ...configs.errors import ConfigError, InvariantError
from .. import batch
from ..base import PageGroup
from ..batch import IntArray
from ..compiled import body_of, by_reference, inner
from ..compiled_carving import CompiledCarving, copies_nothing, widened
from .counted import add, pop, remove

NULL_PAGES = 1
"""vLLM never hands out block 0: table entries of expired blocks point at it."""
PAGES, FREE, PAGE_BYTES, REST_BYTES = range(4)
"""Entries of ``pool``: all pages, free ones, bytes of one, bytes that make no page."""


@copies_nothing
@by_reference
class SinglePages(NamedTuple):
    """How many pages each holder has, shape (holders, groups), and the pool."""

    held: IntArray
    pool: IntArray


class SinglePool(CompiledCarving):
    """All groups draw equal pages from one free list. With one size, identity does not matter."""

    grouping = "vllm"

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        sizes = {group.page_bytes for group in groups}
        if len(sizes) != 1:
            raise ConfigError(
                f"carving 'single' needs pages of one size, got {sorted(sizes)} bytes"
            )
        self.page_bytes = sizes.pop()
        self.num_pages = pool_bytes // self.page_bytes
        block = max(group.pages_per_block for group in groups)
        if self.num_pages < NULL_PAGES + block:
            raise ConfigError(
                f"the pool of {pool_bytes:,} bytes holds {self.num_pages:,} pages of "
                f"{self.page_bytes:,} bytes; one is the null page and a block takes {block:,}: "
                "nothing can be served. "
                "Give it more memory, more GPUs (--tp) or a smaller --block-size."
            )
        rest = pool_bytes - self.num_pages * self.page_bytes
        self.state = SinglePages(
            held=np.zeros((self.holders, len(groups)), dtype=np.int64),
            pool=np.array([self.num_pages, self.num_pages - NULL_PAGES, self.page_bytes, rest]),
        )

    def grow(self, holders: int) -> None:
        """See CompiledCarving."""
        self.state = self.state._replace(held=widened(self.state.held, holders))

    @property
    def free_count(self) -> int:
        """Pages that nobody holds."""
        return int(self.state.pool[FREE])

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        return (self.free_count,) * len(self.groups)

    def check(self) -> None:
        """See Carving."""
        held, used = self.state.held, int(self.state.held.sum())
        balanced = used + self.free_count + NULL_PAGES == self.num_pages
        if self.free_count < 0 or (held < 0).any() or not balanced:
            raise InvariantError(
                f"{used} pages used + {self.free_count} free + {NULL_PAGES} null "
                f"are not the pool's {self.num_pages}"
            )


@body_of(batch.could_fit, SinglePages)
@inner
def _could_fit(state: SinglePages, need: IntArray) -> bool:
    return _total(need) <= state.pool[PAGES] - NULL_PAGES


@body_of(batch.fits, SinglePages)
@inner
def _fits(state: SinglePages, need: IntArray, watermark: float) -> bool:
    # The watermark is rounded down to pages, as vLLM does.
    return _total(need) + int(watermark * state.pool[PAGES]) <= state.pool[FREE]


@body_of(batch.take, SinglePages)
@inner
def _take(state: SinglePages, holder: int, need: IntArray) -> bool:
    total = _total(need)
    if total > state.pool[FREE]:
        return False
    state.pool[FREE] -= total
    add(state.held, holder, need)
    return True


@body_of(batch.give, SinglePages)
@inner
def _give(state: SinglePages, holder: int, group: int, count: int) -> None:
    remove(state.held, holder, group, count)
    state.pool[FREE] += count


@body_of(batch.free, SinglePages)
@inner
def _free(state: SinglePages, holder: int) -> None:
    for group in range(state.held.shape[1]):
        state.pool[FREE] += pop(state.held, holder, group)


@body_of(batch.slack, SinglePages)
@inner
def _slack(state: SinglePages, refused: IntArray, watermark: float, out: IntArray) -> None:
    # One size has no external fragmentation.
    pool = state.pool
    kept = min(pool[FREE], int(watermark * pool[PAGES]))
    for entry in range(len(out)):
        out[entry] = 0
    out[-2] = pool[REST_BYTES] + (NULL_PAGES + kept) * pool[PAGE_BYTES]
    out[-1] = (pool[FREE] - kept) * pool[PAGE_BYTES]


@inner
def _total(need: IntArray) -> int:
    total = 0
    for pages in need:
        total += pages
    return total
