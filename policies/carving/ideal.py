"""The byte-exact bound: no pages, no partition, no null page. No policy can hold fewer bytes."""

from typing import NamedTuple

import numpy as np

from ...configs.errors import InvariantError
from .. import batch
from ..base import PageGroup
from ..batch import IntArray
from ..compiled import body_of, by_reference, inner
from ..compiled_carving import CompiledCarving, copies_nothing, widened
from .counted import add, pop, remove

POOL_BYTES, FREE_BYTES = range(2)
"""Entries of ``pool``."""


@copies_nothing
@by_reference
class PlainBytes(NamedTuple):
    """How many pages each holder has, shape (holders, groups), their bytes, and the pool."""

    held: IntArray
    page_bytes: IntArray
    pool: IntArray


class Ideal(CompiledCarving):
    """One pool counted in bytes; pages of any group fit anywhere (there is no such allocator)."""

    grouping = "by_kind_exact"

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self.state = PlainBytes(
            held=np.zeros((self.holders, len(groups)), dtype=np.int64),
            page_bytes=np.array([group.page_bytes for group in groups], dtype=np.int64),
            pool=np.array([pool_bytes, pool_bytes], dtype=np.int64),
        )

    def grow(self, holders: int) -> None:
        """See CompiledCarving."""
        self.state = self.state._replace(held=widened(self.state.held, holders))

    @property
    def free_bytes(self) -> int:
        """Bytes that nobody holds."""
        return int(self.state.pool[FREE_BYTES])

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        return tuple((self.free_bytes // self.state.page_bytes).tolist())

    def check(self) -> None:
        """See Carving."""
        held, free = self.state.held, self.free_bytes
        used = int((held.sum(axis=0) * self.state.page_bytes).sum())
        if free < 0 or (held < 0).any() or used + free != self.pool_bytes:
            raise InvariantError(
                f"{used} bytes used + {free} free are not the pool's {self.pool_bytes}"
            )


@inner
def _bytes(state: PlainBytes, need: IntArray) -> int:
    total = 0
    for group in range(len(need)):
        total += need[group] * state.page_bytes[group]
    return total


@body_of(batch.could_fit, PlainBytes)
@inner
def _could_fit(state: PlainBytes, need: IntArray) -> bool:
    return _bytes(state, need) <= state.pool[POOL_BYTES]


@body_of(batch.fits, PlainBytes)
@inner
def _fits(state: PlainBytes, need: IntArray, watermark: float) -> bool:
    kept = int(watermark * state.pool[POOL_BYTES])
    return _bytes(state, need) + kept <= state.pool[FREE_BYTES]


@body_of(batch.take, PlainBytes)
@inner
def _take(state: PlainBytes, holder: int, need: IntArray) -> bool:
    total = _bytes(state, need)
    if total > state.pool[FREE_BYTES]:
        return False
    state.pool[FREE_BYTES] -= total
    add(state.held, holder, need)
    return True


@body_of(batch.give, PlainBytes)
@inner
def _give(state: PlainBytes, holder: int, group: int, count: int) -> None:
    remove(state.held, holder, group, count)
    state.pool[FREE_BYTES] += count * state.page_bytes[group]


@body_of(batch.free, PlainBytes)
@inner
def _free(state: PlainBytes, holder: int) -> None:
    for group in range(len(state.page_bytes)):
        state.pool[FREE_BYTES] += pop(state.held, holder, group) * state.page_bytes[group]


@body_of(batch.slack, PlainBytes)
@inner
def _slack(state: PlainBytes, refused: IntArray, watermark: float, out: IntArray) -> None:
    # Nothing is ever stranded; only the watermark is set aside.
    pool = state.pool
    kept = min(pool[FREE_BYTES], int(watermark * pool[POOL_BYTES]))
    for entry in range(len(out)):
        out[entry] = 0
    out[-2], out[-1] = kept, pool[FREE_BYTES] - kept
