"""Parts per page size, divided anew by what requests held: TensorRT-LLM's KV cache manager V2.

Source: TensorRT-LLM 1.4, ``tensorrt_llm/runtime/kv_cache_manager_v2``:
``_core/_kv_cache_manager.py`` (need_adjustment, adjust), ``_core/_kv_cache.py`` (close),
``_storage_manager.py`` (ratio_from_length, shrink_pool_group), ``_storage/_core.py``
(SlotAllocator), ``_config.py`` (the numbers below). The executor calls it with
``enable_kv_pool_rebalance`` only, which is off by default.

* Groups whose pages have one size share a part. At first the parts are sized for a request of 2,049
  tokens of which 2,048 are computed, weighted by bytes.
* Every request that closes is a sample. After each 100 samples the wanted ratio is that of the
  bytes which a typical request holds: moving averages of squares with decay 0.9999, so that long
  requests, which live longer, weigh more; at least one page per group.
* The pool is divided anew once there were 2,000 samples, 120 s after the last time or the start, if
  the wanted share of some part is 1.25 times its share, or less than 1/1.25 of it. Parts that
  shrink come first: pages beyond the new end are copied into free slots before it. Free slots are
  used in the order in which they were given back, before fresh ones, so that pages lie all over a
  part.

Wasted is what a part has left while another is full, as with a static partition, until the next
time.

Where we deviate: (1) TensorRT-LLM averages the lengths of a request over its life and computes
pages from the averages; a carving knows no lengths, so pages held when a request leaves stand for
them, and a request that is preempted counts as one that left (there it would be suspended). (2) It
keeps room in every part for the steps listed in ``constraints``; nothing says here which those are.
Instead a request is accepted if the widest parts so far hold it, and while at most one request
holds pages, a part that is narrower now is widened for it: else a request that was accepted before
a division could wait for ever. (3) It fails where a part would shrink below what is held; here the
part keeps that much. (4) It suspends all requests for the change; only the copies take time here.
(5) Parts are multiples of 2 MiB there; here of a page, one of which is null.
"""

from typing import ClassVar

import numpy as np

from ...configs.errors import ConfigError, InvariantError
from .. import batch
from ..base import PageGroup
from ..batch import IntArray
from ..compiled import body_of, inner
from ..compiled_carving import CompiledCarving, widened
from .division import FLOOR, PAGE_BYTES, SIZE, divide_anew
from .placed import check_placed, extend, fill, free, give
from .places import BASE, COUNT, END, LIVE, OLDEST, make_placed
from .rebalance_parts import (
    CHANGED_NS,
    COOLDOWN_NS,
    FIRST_GROUP,
    HOLDERS,
    INTERVAL,
    IS_STARTED,
    LESS,
    MIN_SAMPLES,
    MORE,
    MOVED_LAUNCHES,
    NEED,
    NULL_PAGES,
    PAGES,
    POOL_BYTES,
    SAMPLES,
    WIDEST,
    RebalancedParts,
    ask,
    bytes_of,
    could_hold,
    free_of,
    give_way,
    is_elastic,
    is_wanted,
    pay,
    rebalance,
    want,
)
from .typical import SQUARES, add_to_sample, begin_sample, first_pages, make_typical


class Rebalance(CompiledCarving):
    """A part per page size; the parts follow what requests of the past held."""

    min_samples: ClassVar[int] = 2000
    cooldown_ns: ClassVar[int] = 120 * 10**9
    update_interval: ClassVar[int] = 100
    decay: ClassVar[float] = 0.9999
    threshold: ClassVar[tuple[int, int]] = (5, 4)
    """1.25 as a fraction."""

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self.page_bytes = tuple(dict.fromkeys(group.page_bytes for group in groups))
        self.part_of = tuple(self.page_bytes.index(group.page_bytes) for group in groups)
        if (NULL_PAGES + 1) * sum(self.page_bytes) > pool_bytes:
            raise ConfigError(
                f"the pool of {pool_bytes:,} bytes does not hold a page and a null page of each of "
                f"{', '.join(f'{size:,}' for size in self.page_bytes)} bytes: nothing can be "
                "served. Give it more memory, more GPUs (--tp) or a smaller --block-size."
            )
        sizes = np.zeros((9, len(self.page_bytes)), dtype=np.int64)
        sizes[PAGE_BYTES] = self.page_bytes
        sizes[FIRST_GROUP] = [self.part_of.index(part) for part in range(len(self.page_bytes))]
        pool = np.zeros(12, dtype=np.int64)
        pool[POOL_BYTES], pool[MIN_SAMPLES] = pool_bytes, self.min_samples
        pool[INTERVAL], pool[COOLDOWN_NS] = self.update_interval, self.cooldown_ns
        pool[MORE], pool[LESS] = self.threshold
        placed = make_placed(
            [pool_bytes // size for size in self.page_bytes],
            np.zeros((self.holders, 3, len(groups)), dtype=np.int64),
            reuse=OLDEST,
            floating=[False] * len(self.page_bytes),
        )
        typical = make_typical(len(groups), self.decay)
        self.state = RebalancedParts(placed, sizes, np.array(self.part_of), pool, typical)
        # The request that the first division is made for is no sample of the later ones.
        typical[SQUARES:] = [float(first_pages(group)) ** 2 for group in groups]
        want(self.state)
        typical[SQUARES:] = 0
        sizes[FLOOR] = NULL_PAGES + 1
        divide_anew(sizes, pool_bytes)
        sizes[PAGES] = sizes[WIDEST] = sizes[SIZE]

    def grow(self, holders: int) -> None:
        """See CompiledCarving."""
        placed = self.state.placed
        placed = placed._replace(lists=widened(placed.lists, holders))
        self.state = self.state._replace(placed=placed)

    @property
    def num_pages(self) -> tuple[int, ...]:
        """Pages of each part, null pages included."""
        return tuple(self.state.sizes[PAGES].tolist())

    @property
    def held_pages(self) -> list[int]:
        """Pages that requests hold, per part."""
        return self.state.placed.parts[LIVE].tolist()

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        sizes, live = self.state.sizes, self.state.placed.parts[LIVE]
        free_pages = sizes[PAGES] - NULL_PAGES - live
        if self.state.pool[HOLDERS] <= 1:
            free_bytes = self.pool_bytes - ((live + NULL_PAGES) * sizes[PAGE_BYTES]).sum()
            wider = sizes[WIDEST] - NULL_PAGES - live
            free_pages = np.minimum(free_bytes // sizes[PAGE_BYTES], wider)
        return tuple(free_pages[self.state.part_of].tolist())

    def check(self) -> None:
        """See Carving."""
        placed, sizes = self.state.placed, self.state.sizes
        check_placed(placed)
        if (sizes[PAGES] * sizes[PAGE_BYTES]).sum() > self.pool_bytes:
            raise InvariantError(f"parts of {self.num_pages} pages exceed {self.pool_bytes} bytes")
        counts = placed.lists[:, COUNT]
        held = np.bincount(self.state.part_of, counts.sum(axis=0), sizes.shape[1])
        ends = placed.parts[END] - placed.parts[BASE]
        if (held != placed.parts[LIVE]).any() or (ends > sizes[PAGES] - NULL_PAGES).any():
            raise InvariantError(
                f"parts of {self.num_pages} pages have {self.held_pages} of them in {ends} places, "
                f"{held} are held"
            )
        if np.count_nonzero(counts.any(axis=1)) != self.state.pool[HOLDERS]:
            raise InvariantError(f"{self.state.pool[HOLDERS]} requests are said to hold pages")


@body_of(batch.could_fit, RebalancedParts)
@inner
def _could_fit(state: RebalancedParts, need: IntArray) -> bool:
    ask(state, need)
    return could_hold(state, 0)


@body_of(batch.fits, RebalancedParts)
@inner
def _fits(state: RebalancedParts, need: IntArray, watermark: float) -> bool:
    # Every part keeps its own watermark.
    ask(state, need)
    sizes, fits = state.sizes, True
    for part in range(sizes.shape[1]):
        kept = int(watermark * sizes[PAGES, part])
        fits = fits and sizes[NEED, part] + kept <= free_of(state, part)
    if fits or watermark > 0.0 or not is_elastic(state):
        return fits
    return could_hold(state, 1)


@body_of(batch.take, RebalancedParts)
@inner
def _take(state: RebalancedParts, holder: int, need: IntArray) -> bool:
    if not batch.fits(state, need, 0.0):
        return False
    give_way(state)
    before = _held(state, holder)
    for group in range(len(need)):
        part = state.part_of[group]
        rest = fill(state.placed, part, holder, group, need[group])
        extend(state.placed, part, holder, group, rest, False)
    if not before and _held(state, holder):
        state.pool[HOLDERS] += 1
    return True


@body_of(batch.give, RebalancedParts)
@inner
def _give(state: RebalancedParts, holder: int, group: int, count: int) -> None:
    give(state.placed, state.part_of[group], holder, group, count)
    if count and not _held(state, holder):
        state.pool[HOLDERS] -= 1


@body_of(batch.free, RebalancedParts)
@inner
def _free(state: RebalancedParts, holder: int) -> None:
    if not _held(state, holder):
        return
    # What the request held is a sample.
    pool, typical = state.pool, state.typical
    begin_sample(typical)
    for group in range(len(state.part_of)):
        pages = free(state.placed, state.part_of[group], holder, group)
        add_to_sample(typical, group, pages)
    pool[HOLDERS] -= 1
    pool[SAMPLES] += 1
    if pool[SAMPLES] % pool[INTERVAL] == 0:
        want(state)


@inner
def _held(state: RebalancedParts, holder: int) -> int:
    total = 0
    for group in range(len(state.part_of)):
        total += state.placed.lists[holder, COUNT, group]
    return total


@body_of(batch.due_ns, RebalancedParts)
@inner
def _due_ns(state: RebalancedParts) -> int:
    if state.pool[MOVED_LAUNCHES]:
        return 0
    if not is_wanted(state):
        return batch.NEVER_DUE
    return state.pool[CHANGED_NS] + state.pool[COOLDOWN_NS]


@body_of(batch.tick, RebalancedParts)
@inner
def _tick(state: RebalancedParts, now_ns: int, moved: IntArray) -> None:
    pool = state.pool
    if not pool[IS_STARTED]:
        pool[IS_STARTED], pool[CHANGED_NS] = 1, now_ns
    pay(state, moved)
    if batch.due_ns(state) <= now_ns:
        pool[CHANGED_NS] = now_ns
        rebalance(state)
        pay(state, moved)


@body_of(batch.slack, RebalancedParts)
@inner
def _slack(state: RebalancedParts, refused: IntArray, watermark: float, out: IntArray) -> None:
    # Parts that do not lack pages are external, unless parts give way.
    sizes, groups = state.sizes, len(state.part_of)
    for entry in range(len(out)):
        out[entry] = 0
    elastic, asked = is_elastic(state), refused[0] != batch.NOTHING_REFUSED
    if asked:
        ask(state, refused)
    reserved, left = state.pool[POOL_BYTES] - bytes_of(state, PAGES), 0
    if elastic:
        reserved, left = 0, reserved
    for part in range(sizes.shape[1]):
        size = sizes[PAGE_BYTES, part]
        kept = min(free_of(state, part), int(watermark * sizes[PAGES, part]))
        usable = free_of(state, part) - kept
        reserved += (NULL_PAGES + kept) * size
        if elastic or not asked or sizes[NEED, part] > usable:
            left += usable * size
        else:
            out[groups + sizes[FIRST_GROUP, part]] = usable * size
    out[-2], out[-1] = reserved, left
