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

from ...configs.errors import ConfigError, InvariantError
from ...configs.specs import STATE_KINDS, cdiv
from ..base import NO_MOVES, Carving, Moves, PageGroup, Pages, Slack
from .placed import Placed

PAGES_PER_LAUNCH = 4096
"""Pages that one copy kernel moves (``SGLANG_COMPACTION_MAX_PAGES_PER_MOVE``)."""


class TwoEnded(Carving):
    """Groups that grow from both ends of one buffer; pages are copied where bytes are short."""

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self._sizes = tuple(group.page_bytes for group in groups)
        self.usable = pool_bytes - sum(self._sizes)
        """Bytes without the null pages."""
        if self.usable < max(self._sizes):
            raise ConfigError(
                f"the pool of {pool_bytes:,} bytes does not hold a page of every group beside the "
                f"null pages of {sum(self._sizes):,} bytes: nothing can be served. Give it more "
                "memory, more GPUs (--tp) or a smaller --block-size."
            )
        self._chain = _chain(groups)
        self._floats = self._chain[1:-1]
        self._runs = tuple(Placed(floating=i in self._floats) for i in range(len(groups)))
        self._anchor = [0] * len(groups)
        """Byte of position 0; of the floating runs only."""
        self._moves = NO_MOVES

    @property
    def free_bytes(self) -> int:
        """Bytes outside pages, null pages included in neither."""
        runs = zip(self._runs, self._sizes, strict=True)
        return self.usable - sum(run.live * size for run, size in runs)

    def _bytes(self, pages: Pages) -> int:
        return sum(count * size for count, size in zip(pages, self._sizes, strict=True))

    def could_fit(self, need: Pages) -> bool:
        """See Carving."""
        return self._bytes(need) <= self.usable

    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        """See Carving. The watermark is in bytes."""
        return self._bytes(need) + int(watermark * self.pool_bytes) <= self.free_bytes

    def take(self, slot: int, need: Pages) -> bool:
        """See Carving. Copies pages if the bytes are there, but not in one place."""
        if not any(need):
            return True
        if self._bytes(need) > self.free_bytes:
            return False
        runs = zip(self._runs, need, strict=True)
        rest = [run.fill(slot, count) if count else 0 for run, count in runs]
        for group in self._chain:
            if rest[group] and not self._extend(group, slot, rest[group]):
                self._pack_ends()
                if not self._extend(group, slot, rest[group]):
                    self._make_way(group, rest[group])
                    if not self._extend(group, slot, rest[group]):
                        raise InvariantError("pages were promised that are not there")
        return True

    def give(self, slot: int, group: int, count: int) -> None:
        """See Carving. Leaves holes."""
        self._runs[group].give(slot, count)

    def free(self, slot: int) -> None:
        """See Carving."""
        for run in self._runs:
            run.free(slot)

    def tick(self, now_ns: int) -> Moves:
        """See Carving. Pages are copied in ``take`` alone."""
        del now_ns
        moves, self._moves = self._moves, NO_MOVES
        return moves

    def due_ns(self) -> int | None:
        """See Carving."""
        return 0 if self._moves.launches else None

    # --- where runs lie: bytes from the low end of the buffer ---

    def _span(self, group: int) -> tuple[int, int]:
        """Low and high byte of a group's run."""
        run, size = self._runs[group], self._sizes[group]
        if len(self._chain) > 1 and group == self._chain[-1]:
            return self.usable - run.end * size, self.usable
        start = self._anchor[group]
        return start + run.first * size, start + run.end * size

    def _bounds(self, group: int) -> tuple[int, int]:
        """Low and high byte up to which a run could extend: the neighbours that have pages."""
        place = self._chain.index(group)
        below = [self._span(g)[1] for g in self._chain[:place] if self._runs[g].live]
        above = [self._span(g)[0] for g in self._chain[place + 1 :] if self._runs[g].live]
        return (below[-1] if below else 0), (above[0] if above else self.usable)

    def _extend(self, group: int, slot: int, count: int) -> bool:
        """Extend a run by ``count`` pages of ``slot`` if there is room at its edge."""
        run, size = self._runs[group], self._sizes[group]
        low, high = self._bounds(group)
        if group not in self._floats:
            if (run.end + count) * size > high - low:
                return False
            run.extend(slot, count)
            return True
        if not run.live:
            if count * size > high - low:
                return False
            self._anchor[group] = low + (high - low - count * size) // 2
            run.extend(slot, count)
            return True
        start, end = self._span(group)
        downwards = start - low > high - end
        if count * size > max(start - low, high - end):
            return False
        run.extend(slot, count, downwards=downwards)
        return True

    # --- copies ---

    def _pack_ends(self) -> None:
        """Close the holes of the runs at the ends; those that are short have none any more."""
        for group in {self._chain[0]: None, self._chain[-1]: None}:
            run = self._runs[group]
            if run.holes:
                self._copied(group, run.squeeze(0, run.live))

    def _make_way(self, group: int, count: int) -> None:
        """Place the floating runs anew, so that ``group`` has room for ``count`` more pages."""
        more = {group: count * self._sizes[group]}
        first, last = self._chain[0], self._chain[-1]
        low = self._span(first)[1] + more.get(first, 0)
        high = self._span(last)[0] - more.get(last, 0)
        floats = [g for g in self._floats if self._runs[g].live or g in more]
        spans: list[_Span] = []
        for member in floats:
            run, size = self._runs[member], self._sizes[member]
            start = self._span(member)[0] if run.live else low
            spans.append((start, run.live * size + more.get(member, 0), size))
        for member, start in zip(floats, float_starts(spans, low, high), strict=True):
            self._move_run(member, start)

    def _move_run(self, group: int, start: int) -> None:
        """Let a floating run begin at byte ``start``, without holes."""
        run, size = self._runs[group], self._sizes[group]
        if not run.live:
            self._anchor[group] = start
            return
        positions, off_grid = divmod(start - self._anchor[group], size)
        if off_grid:
            self._anchor[group] = start
            self._copied(group, run.restart())
        else:
            self._copied(group, run.squeeze(positions, run.live))

    def _copied(self, group: int, pages: int) -> None:
        launches = cdiv(pages, PAGES_PER_LAUNCH)
        self._moves = self._moves.plus(Moves(pages * self._sizes[group], launches))

    # --- books ---

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        return tuple(self.free_bytes // size for size in self._sizes)

    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        """See Carving. Holes are free: copies make them available to anybody."""
        del refused
        none = (0,) * len(self.groups)
        kept = min(self.free_bytes, int(watermark * self.pool_bytes))
        reserved = self.pool_bytes - self.usable + kept
        return Slack(none, none, reserved=reserved, free=self.free_bytes - kept)

    def check(self) -> None:
        """See Carving."""
        bottom = 0
        for group in self._chain:
            self._runs[group].check()
            if not self._runs[group].live:
                continue
            low, high = self._span(group)
            if low < bottom or high > self.usable:
                raise InvariantError(
                    f"group {self.groups[group].name} lies at bytes {low} to {high} of "
                    f"{self.usable}, its neighbour ends at {bottom}"
                )
            bottom = high


_Span = tuple[int, int, int]
"""First byte, bytes, and bytes of a page of a run."""


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


def float_starts(spans: Sequence[_Span], low: int, high: int) -> list[int]:
    """Where floating runs begin so that all lie between ``low`` and ``high``, in order. Pure.

    Each stays where it is or gives way by whole pages, so that most of its own can stay; if there
    is no such place for all, they are put side by side from ``low``, which always fits.
    """
    starts: list[int] = []
    bound = low
    for start, length, page in spans:
        start += max(0, cdiv(bound - start, page)) * page
        starts.append(start)
        bound = start + length
    bound = high
    for index in reversed(range(len(spans))):
        _, length, page = spans[index]
        starts[index] -= max(0, cdiv(starts[index] + length - bound, page)) * page
        bound = starts[index]
    if starts and starts[0] < low:
        bound = low
        for index, (_, length, _) in enumerate(spans):
            starts[index], bound = bound, bound + length
    return starts
