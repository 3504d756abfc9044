"""Where the runs of a two-ended pool lie in its buffer, and how they make way for each other.

See ``two_ended.py``. Bytes count from the low end of the buffer.
"""

from typing import NamedTuple

from ..batch import IntArray
from ..compiled import by_reference, inner
from .placed import extend, num_holes, restart, squeeze
from .places import BASE, END, FIRST, LIVE, Placed

PAGES_PER_LAUNCH = 4096
"""Pages that one copy kernel moves (``SGLANG_COMPACTION_MAX_PAGES_PER_MOVE``)."""

PAGE_BYTES, ANCHOR, CHAIN, PLACE, REST = range(5)
"""Rows of ``groups``: bytes of a page; byte at which the place BASE is, if the run floats; groups
from the low end to the high one, and the place of each in that order; pages still to be found."""
USABLE, POOL_BYTES, MOVED_BYTES, MOVED_LAUNCHES = range(4)
"""Entries of ``pool``: bytes without the null pages, and with them; copies not yet paid for."""
START, LENGTH, GRID, MEMBER = range(4)
"""Rows of ``spans``, one column per floating run: first byte, bytes, bytes of a page, group."""


@by_reference
class TwoEndedRuns(NamedTuple):
    """The runs of all groups, and where they lie."""

    placed: Placed
    groups: IntArray
    spans: IntArray
    pool: IntArray


@inner
def span(state: TwoEndedRuns, group: int) -> tuple[int, int]:
    """Low and high byte of a group's run."""
    parts, size = state.placed.parts, state.groups[PAGE_BYTES, group]
    first, end = parts[FIRST, group] - parts[BASE, group], parts[END, group] - parts[BASE, group]
    place, last = state.groups[PLACE, group], state.groups.shape[1] - 1
    if place == last and last > 0:
        return state.pool[USABLE] - end * size, state.pool[USABLE]
    start = state.groups[ANCHOR, group]
    return start + first * size, start + end * size


@inner
def _bounds(state: TwoEndedRuns, group: int) -> tuple[int, int]:
    """Low and high byte up to which a run could extend: the neighbours that have pages."""
    low, high = 0, state.pool[USABLE]
    for place in range(state.groups.shape[1]):
        other = state.groups[CHAIN, place]
        if not state.placed.parts[LIVE, other] or other == group:
            continue
        start, end = span(state, other)
        if place < state.groups[PLACE, group]:
            low = end
        else:
            return low, start
    return low, high


@inner
def _floats(state: TwoEndedRuns, group: int) -> bool:
    return 0 < state.groups[PLACE, group] < state.groups.shape[1] - 1


@inner
def extend_run(state: TwoEndedRuns, group: int, holder: int, count: int) -> bool:
    """Extend a run by ``count`` pages of ``holder`` if there is room at its edge."""
    placed, more = state.placed, count * state.groups[PAGE_BYTES, group]
    low, high = _bounds(state, group)
    start, end = span(state, group)
    downwards = False
    if not _floats(state, group):
        if end - start + more > high - low:
            return False
    elif not placed.parts[LIVE, group]:
        if more > high - low:
            return False
        state.groups[ANCHOR, group] = low + (high - low - more) // 2
    else:
        if more > max(start - low, high - end):
            return False
        downwards = start - low > high - end
    extend(placed, group, holder, group, count, downwards)
    return True


@inner
def pack_ends(state: TwoEndedRuns) -> None:
    """Close the holes of the runs at the ends; those that are short have none any more."""
    last = state.groups.shape[1] - 1
    for place in range(0, last + 1, max(1, last)):
        group = state.groups[CHAIN, place]
        if num_holes(state.placed, group):
            base, live = state.placed.parts[BASE, group], state.placed.parts[LIVE, group]
            _note_copies(state, group, squeeze(state.placed, group, base, live))


@inner
def make_way(state: TwoEndedRuns, group: int, count: int) -> None:
    """Place the floating runs anew, so that ``group`` has room for ``count`` more pages."""
    groups, spans, last = state.groups, state.spans, state.groups.shape[1] - 1
    _, low = span(state, groups[CHAIN, 0])
    high, _ = span(state, groups[CHAIN, last])
    more = count * groups[PAGE_BYTES, group]
    if groups[PLACE, group] == 0:
        low += more
    elif groups[PLACE, group] == last:
        high -= more
    num_spans = 0
    for place in range(1, last):
        member = groups[CHAIN, place]
        live = state.placed.parts[LIVE, member]
        if live or member == group:
            start, _ = span(state, member)
            spans[START, num_spans] = start if live else low
            spans[LENGTH, num_spans] = live * groups[PAGE_BYTES, member]
            spans[GRID, num_spans], spans[MEMBER, num_spans] = groups[PAGE_BYTES, member], member
            if member == group:
                spans[LENGTH, num_spans] += more
            num_spans += 1
    place_spans(spans, num_spans, low, high)
    for index in range(num_spans):
        _move_run(state, spans[MEMBER, index], spans[START, index])


@inner
def _move_run(state: TwoEndedRuns, group: int, start: int) -> None:
    """Let a floating run begin at byte ``start``, without holes."""
    placed, size = state.placed, state.groups[PAGE_BYTES, group]
    live, by = placed.parts[LIVE, group], start - state.groups[ANCHOR, group]
    if live and by % size == 0:
        first = placed.parts[BASE, group] + by // size
        _note_copies(state, group, squeeze(placed, group, first, live))
    else:
        state.groups[ANCHOR, group] = start
        _note_copies(state, group, restart(placed, group))


@inner
def _note_copies(state: TwoEndedRuns, group: int, pages: int) -> None:
    state.pool[MOVED_BYTES] += pages * state.groups[PAGE_BYTES, group]
    state.pool[MOVED_LAUNCHES] += (pages + PAGES_PER_LAUNCH - 1) // PAGES_PER_LAUNCH


@inner
def place_spans(spans: IntArray, count: int, low: int, high: int) -> None:
    """Let ``count`` spans start so that all lie between ``low`` and ``high``, in order.

    Each stays where it is or gives way by whole pages, so that most of its own can stay; if there
    is no such place for all, they are put side by side from ``low``, which always fits.
    """
    bound = low
    for index in range(count):
        short = max(0, bound - spans[START, index])
        spans[START, index] += _whole(short, spans[GRID, index])
        bound = spans[START, index] + spans[LENGTH, index]
    bound = high
    for index in range(count - 1, -1, -1):
        over = max(0, spans[START, index] + spans[LENGTH, index] - bound)
        spans[START, index] -= _whole(over, spans[GRID, index])
        bound = spans[START, index]
    if count and spans[START, 0] < low:
        bound = low
        for index in range(count):
            spans[START, index] = bound
            bound += spans[LENGTH, index]


@inner
def _whole(length: int, page: int) -> int:
    """``length`` rounded up to whole pages."""
    return (length + page - 1) // page * page
