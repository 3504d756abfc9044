"""Pages from a buddy allocator: every kind's page is a power of two times the smallest.

Wastes what the grouping pads (``grouping/buddy.py``) and, beside it, free blocks that are smaller
than the page that is asked for: a block is whole only once both its halves are free. One null page
of the largest size lies at address 0, where it is page 0 of every group.
"""

from typing import NamedTuple

import numpy as np

from ...configs.errors import ConfigError, InvariantError
from .. import batch
from ..base import PageGroup
from ..batch import IntArray
from ..compiled import body_of, by_reference, inner
from ..compiled_carving import CompiledCarving, copies_nothing, widened
from .buddy_space import Space, check_space, give_block, make_space, take_block

ORDER, BY_SIZE = range(2)
"""Rows of ``kinds``: order of each group's page; groups, the one with the largest page first."""
REACH, EMPTY_REACH = range(2)
"""Rows of ``reach``: free units in blocks of an order or larger, now and in the empty pool."""
UNITS, UNIT_BYTES, RESERVED_BYTES = range(3)
"""Entries of ``pool``: units, bytes of one, bytes of the null page and those that make no unit."""
FIRST, LAST, COUNT = range(3)
"""Rows of a holder's ``lists``: its oldest and its latest page of each group, and how many."""


@copies_nothing
@by_reference
class BuddyBlocks(NamedTuple):
    """Free blocks, and the pages of each holder in the order in which it took them."""

    space: Space
    lists: IntArray
    """Shape (holders, 3, groups). A page is the offset of its block in units."""
    following: IntArray
    """Per page: the one that its holder took next."""
    kinds: IntArray
    reach: IntArray
    pool: IntArray


class Buddy(CompiledCarving):
    """One pool of blocks that split and merge; the smallest page is the unit."""

    grouping = "buddy_bytes"

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self.unit = min(group.page_bytes for group in groups)
        units = pool_bytes // self.unit
        orders = [self._order(group) for group in groups]
        by_size = sorted(range(len(groups)), key=lambda group: -orders[group])
        self._null_order = max(orders)
        null_units = 1 << self._null_order
        self.state = BuddyBlocks(
            space=make_space(units),
            lists=np.zeros((self.holders, 3, len(groups)), dtype=np.int64),
            following=np.zeros(units, dtype=np.int64),
            kinds=np.array([orders, by_size], dtype=np.int64),
            reach=np.zeros((2, max(units.bit_length(), self._null_order + 1)), dtype=np.int64),
            pool=np.array([units, self.unit, pool_bytes + (null_units - units) * self.unit]),
        )
        if self._reach()[self._null_order]:
            self._null = int(take_block(self.state.space, self._null_order))
        self.state.reach[EMPTY_REACH] = self._reach()
        if not all(self.free_pages()):
            raise ConfigError(
                f"the pool of {pool_bytes:,} bytes holds {units} pages of "
                f"{self.unit:,} bytes; the null page takes {null_units} of them and "
                "what is left has no room for a page of each kind: nothing can be served. "
                "Give it more memory, more GPUs (--tp), or another policy (jenga-sim policies)."
            )

    def _order(self, group: PageGroup) -> int:
        units, rest = divmod(group.page_bytes, self.unit)
        if rest or units & (units - 1):
            sizes = sorted({group.page_bytes for group in self.groups})
            raise ConfigError(
                "carving 'buddy' needs pages of the smallest size times a power of two, got "
                f"{sizes} bytes; the groupings buddy_layers and buddy_bytes make such pages"
            )
        return units.bit_length() - 1

    def _reach(self) -> list[int]:
        """Per order: free units in blocks of that order or larger."""
        reach = [0] * self.state.reach.shape[1]
        total = 0
        for order, count in reversed(list(enumerate(self.state.space.counts.tolist()))):
            total += count << order
            reach[order] = total
        return reach

    def grow(self, holders: int) -> None:
        """See CompiledCarving."""
        self.state = self.state._replace(lists=widened(self.state.lists, holders))

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        reach = self._reach()
        return tuple([reach[order] >> order for order in self.state.kinds[ORDER].tolist()])

    def check(self) -> None:
        """See Carving."""
        orders, taken = self.state.kinds[ORDER].tolist(), [(self._null, self._null_order)]
        for first, last, count in self.state.lists:
            for group, order in enumerate(orders):
                page = int(first[group])
                for place in range(count[group]):
                    taken.append((page, order))
                    if place == count[group] - 1 and page != last[group]:
                        raise InvariantError(f"page {page} ends a list, not {last[group]}")
                    page = int(self.state.following[page])
        check_space(self.state.space, int(self.state.pool[UNITS]), taken)


@inner
def _lacks(state: BuddyBlocks, need: IntArray, row: int) -> int:
    """The smallest order of which there are too few units; -1: ``need`` can be met.

    Taking the largest pages first never splits more than it must, because every size divides
    the larger ones; so counting units is exact.
    """
    lacks, total = -1, 0
    for place in range(len(need)):
        group = state.kinds[BY_SIZE, place]
        order = state.kinds[ORDER, group]
        total += need[group] << order
        if need[group] and total > state.reach[row, order]:
            lacks = order
    return lacks


@inner
def _count(state: BuddyBlocks) -> None:
    """Bring the row REACH up to date."""
    counts, total = state.space.counts, 0
    for below in range(len(counts)):
        order = len(counts) - 1 - below
        total += counts[order] << order
        state.reach[REACH, order] = total


@body_of(batch.could_fit, BuddyBlocks)
@inner
def _could_fit(state: BuddyBlocks, need: IntArray) -> bool:
    return _lacks(state, need, EMPTY_REACH) < 0


@body_of(batch.fits, BuddyBlocks)
@inner
def _fits(state: BuddyBlocks, need: IntArray, watermark: float) -> bool:
    # The watermark is a share of the pool's units, wherever they lie.
    _count(state)
    if _lacks(state, need, REACH) >= 0:
        return False
    units = int(watermark * state.pool[UNITS])
    for group in range(len(need)):
        units += need[group] << state.kinds[ORDER, group]
    return units <= state.reach[REACH, 0]


@body_of(batch.take, BuddyBlocks)
@inner
def _take(state: BuddyBlocks, holder: int, need: IntArray) -> bool:
    _count(state)
    if _lacks(state, need, REACH) >= 0:
        return False
    lists = state.lists[holder]
    for place in range(len(need)):
        group = state.kinds[BY_SIZE, place]
        for _ in range(need[group]):
            page = take_block(state.space, state.kinds[ORDER, group])
            if lists[COUNT, group]:
                state.following[lists[LAST, group]] = page
            else:
                lists[FIRST, group] = page
            lists[LAST, group] = page
            lists[COUNT, group] += 1
    return True


@body_of(batch.give, BuddyBlocks)
@inner
def _give(state: BuddyBlocks, holder: int, group: int, count: int) -> None:
    lists = state.lists[holder]
    if count < 0 or lists[COUNT, group] < count:
        raise InvariantError("a request gives back more pages than it holds")
    lists[COUNT, group] -= count
    for _ in range(count):
        page = lists[FIRST, group]
        lists[FIRST, group] = state.following[page]
        give_block(state.space, state.kinds[ORDER, group], page)


@body_of(batch.free, BuddyBlocks)
@inner
def _free(state: BuddyBlocks, holder: int) -> None:
    # In whatever order: blocks merge alike.
    for group in range(state.kinds.shape[1]):
        batch.give(state, holder, group, state.lists[holder, COUNT, group])


@body_of(batch.slack, BuddyBlocks)
@inner
def _slack(state: BuddyBlocks, refused: IntArray, watermark: float, out: IntArray) -> None:
    # External: free blocks smaller than every page that the refused need lacks. They are booked
    # under the largest page that they could hold.
    _count(state)
    for entry in range(len(out)):
        out[entry] = 0
    groups, unit, counts = state.kinds.shape[1], state.pool[UNIT_BYTES], state.space.counts
    free = state.reach[REACH, 0]
    kept = min(free, int(watermark * state.pool[UNITS]))
    usable = free - kept
    lacks = 0
    if refused[0] != batch.NOTHING_REFUSED:
        lacks = max(0, _lacks(state, refused, REACH))
    for order in range(lacks):
        stranded = min(usable, counts[order] << order)
        out[groups + _largest_within(state, order)] += stranded * unit
        usable -= stranded
    out[-2] = state.pool[RESERVED_BYTES] + kept * unit
    out[-1] = usable * unit


@inner
def _largest_within(state: BuddyBlocks, order: int) -> int:
    """The group with the largest page that a block of ``order`` can hold."""
    place = 0
    while state.kinds[ORDER, state.kinds[BY_SIZE, place]] > order:
        place += 1
    return state.kinds[BY_SIZE, place]
