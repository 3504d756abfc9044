"""One buffer for all groups, which grow into it from its ends: SGLang's unified memory pool.

Source: SGLang 0.5.23, ``--enable-unified-memory`` (off by default):
``mem_cache/unified_memory_pool.py`` and ``mem_cache/allocator/unified_sub_pool.py``,
``unified_hybrid_swa.py``, ``unified_mamba.py``. One sub-pool starts at the low end of the buffer,
one at the high end, a third floats in between. A page is one stretch of bytes for all layers of its
group. Requests know virtual pages; tables from virtual to physical ones let the pool move pages
while requests run.

* A page that is given back leaves a hole; holes are filled first, those nearest the own end before
  others. A hole at the frontier just moves the frontier.
* Where bytes are short, the sub-pools with holes are packed: their outermost pages are copied into
  their innermost holes until none is left (SGLang's urgent flush of lazy compaction).
* If that is not enough, the floating ones make way: pages from the one side go to holes or to the
  other side. A new floating run starts in the middle of what is free.

So any free bytes serve any group, as under ``ideal``: what is wasted is one null page per group,
less than a page at the end, and the time of the copies.

Where we deviate: (1) SGLang keeps one sink of the largest page for all, and loses what lies between
the pages' grids, which start at byte 0; here each group has a null page, as in ``static``, and a
run may begin at any byte, so that nothing is refused that ``static`` with the same pool would
serve. (2) A sub-pool that is itself short is not packed (SGLang packs it in the pair of full
attention and windows): every copy would win a byte and cost one. (3) Idle moments are not used for
compaction: there is nothing to copy then without a prefix cache. (4) More than three groups, which
SGLang does not have, float as well. (5) SGLang's token budget for requests to come is its
scheduler's, not this allocator's.
"""

from collections.abc import Sequence

import numpy as np

from ...configs.errors import ConfigError, InvariantError
from ...configs.specs import STATE_KINDS
from .. import batch
from ..base import PageGroup
from ..batch import BYTES, LAUNCHES, IntArray
from ..compiled import body_of, inner
from ..compiled_carving import CompiledCarving, widened
from .placed import check_placed, fill, free, give
from .places import LIVE, LOWEST, make_placed
from .two_ended_runs import (
    CHAIN,
    MOVED_BYTES,
    MOVED_LAUNCHES,
    PAGE_BYTES,
    PLACE,
    POOL_BYTES,
    REST,
    USABLE,
    TwoEndedRuns,
    extend_run,
    make_way,
    pack_ends,
    span,
)


class TwoEnded(CompiledCarving):
    """Groups that grow from both ends of one buffer; pages are copied where bytes are short."""

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        sizes = [group.page_bytes for group in groups]
        usable = pool_bytes - sum(sizes)
        if usable < max(sizes):
            raise ConfigError(
                f"the pool of {pool_bytes:,} bytes does not hold a page of every group beside the "
                f"null pages of {sum(sizes):,} bytes: nothing can be served. Give it more "
                "memory, more GPUs (--tp) or a smaller --block-size."
            )
        chain = _chain(groups)
        rows = np.zeros((5, len(groups)), dtype=np.int64)
        rows[PAGE_BYTES], rows[CHAIN] = sizes, chain
        rows[PLACE, chain] = np.arange(len(groups))
        placed = make_placed(
            [usable // size for size in sizes],
            np.zeros((self.holders, 3, len(groups)), dtype=np.int64),
            reuse=LOWEST,
            floating=[group in chain[1:-1] for group in range(len(groups))],
        )
        pool = np.array([usable, pool_bytes, 0, 0], dtype=np.int64)
        self.state = TwoEndedRuns(placed, rows, np.zeros((4, len(groups)), dtype=np.int64), pool)

    def grow(self, holders: int) -> None:
        """See CompiledCarving."""
        placed = self.state.placed
        placed = placed._replace(lists=widened(placed.lists, holders))
        self.state = self.state._replace(placed=placed)

    @property
    def runs(self) -> list[tuple[int, int, int, int]]:
        """From the low end to the high one: group, low and high byte of its run, pages held."""
        live = self.state.placed.parts[LIVE].tolist()
        chain = self.state.groups[CHAIN].tolist()
        spans = [tuple(map(int, span(self.state, group))) for group in range(len(chain))]
        return [(group, spans[group][0], spans[group][1], live[group]) for group in chain]

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        sizes = self.state.groups[PAGE_BYTES]
        left = self.state.pool[USABLE] - (self.state.placed.parts[LIVE] * sizes).sum()
        return tuple((left // sizes).tolist())

    def check(self) -> None:
        """See Carving."""
        check_placed(self.state.placed)
        bottom = 0
        for group, low, high, live in self.runs:
            if not live:
                continue
            if low < bottom or high > self.state.pool[USABLE]:
                raise InvariantError(
                    f"group {self.groups[group].name} lies at bytes {low} to {high} of "
                    f"{self.state.pool[USABLE]}, its neighbour ends at {bottom}"
                )
            bottom = high


def _chain(groups: Sequence[PageGroup]) -> list[int]:
    """Groups from the low end to the high one, as in SGLang: states, windows, what grows.

    The runs at the ends never make way: of states few pages come and go, and full attention takes
    most of them. With two groups no run floats.
    """

    def rank(index: int) -> int:
        if groups[index].kind in STATE_KINDS:
            return 0
        return 1 if groups[index].kind in ("sliding_window", "chunked_local") else 2

    return sorted(range(len(groups)), key=rank)


@inner
def _bytes(state: TwoEndedRuns, need: IntArray) -> int:
    total = 0
    for group in range(len(need)):
        total += need[group] * state.groups[PAGE_BYTES, group]
    return total


@inner
def _free_bytes(state: TwoEndedRuns) -> int:
    return state.pool[USABLE] - _bytes(state, state.placed.parts[LIVE])


@body_of(batch.could_fit, TwoEndedRuns)
@inner
def _could_fit(state: TwoEndedRuns, need: IntArray) -> bool:
    return _bytes(state, need) <= state.pool[USABLE]


@body_of(batch.fits, TwoEndedRuns)
@inner
def _fits(state: TwoEndedRuns, need: IntArray, watermark: float) -> bool:
    # The watermark is in bytes.
    return _bytes(state, need) + int(watermark * state.pool[POOL_BYTES]) <= _free_bytes(state)


@body_of(batch.take, TwoEndedRuns)
@inner
def _take(state: TwoEndedRuns, holder: int, need: IntArray) -> bool:
    if _bytes(state, need) > _free_bytes(state):
        return False
    # Copies pages if the bytes are there, but not in one place.
    rest = state.groups[REST]
    for group in range(len(need)):
        rest[group] = fill(state.placed, group, holder, group, need[group])
    for place in range(len(need)):
        group = state.groups[CHAIN, place]
        if rest[group] and not extend_run(state, group, holder, rest[group]):
            pack_ends(state)
            if not extend_run(state, group, holder, rest[group]):
                make_way(state, group, rest[group])
                if not extend_run(state, group, holder, rest[group]):
                    raise InvariantError("pages were promised that are not there")
    return True


@body_of(batch.give, TwoEndedRuns)
@inner
def _give(state: TwoEndedRuns, holder: int, group: int, count: int) -> None:
    give(state.placed, group, holder, group, count)


@body_of(batch.free, TwoEndedRuns)
@inner
def _free(state: TwoEndedRuns, holder: int) -> None:
    for group in range(state.groups.shape[1]):
        free(state.placed, group, holder, group)


@body_of(batch.tick, TwoEndedRuns)
@inner
def _tick(state: TwoEndedRuns, now_ns: int, moved: IntArray) -> None:
    # Pages are copied in ``take`` alone.
    moved[BYTES] += state.pool[MOVED_BYTES]
    moved[LAUNCHES] += state.pool[MOVED_LAUNCHES]
    state.pool[MOVED_BYTES] = state.pool[MOVED_LAUNCHES] = 0


@body_of(batch.due_ns, TwoEndedRuns)
@inner
def _due_ns(state: TwoEndedRuns) -> int:
    return 0 if state.pool[MOVED_LAUNCHES] else batch.NEVER_DUE


@body_of(batch.slack, TwoEndedRuns)
@inner
def _slack(state: TwoEndedRuns, refused: IntArray, watermark: float, out: IntArray) -> None:
    # Holes are free: copies make them available to anybody.
    pool, left = state.pool, _free_bytes(state)
    kept = min(left, int(watermark * pool[POOL_BYTES]))
    for entry in range(len(out)):
        out[entry] = 0
    out[-2], out[-1] = pool[POOL_BYTES] - pool[USABLE] + kept, left - kept
