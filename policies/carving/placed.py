"""Where the pages of the parts of a pool lie, so that copies of them can be counted exactly.

A page goes into a hole or to the edge of the run of its part, and a copy takes it from one place to
another. Pages of a holder are listed by group, the oldest first; those of one group are all in one
part.
"""

import numpy as np

from ...configs.errors import InvariantError
from ..compiled import inner
from .places import (
    AFTER,
    BASE,
    BEFORE,
    COUNT,
    END,
    FIRST,
    FLOATING,
    HEAD,
    LIVE,
    LOWEST,
    OLDEST,
    OLDEST_HOLE,
    OWNER,
    REUSE,
    TAIL,
    Placed,
    check_holes,
    close_hole,
    lowest_hole,
    open_hole,
)


@inner
def num_holes(placed: Placed, part: int) -> int:
    """Places in the run that no page has."""
    return placed.parts[END, part] - placed.parts[FIRST, part] - placed.parts[LIVE, part]


@inner
def fill(placed: Placed, part: int, holder: int, group: int, count: int) -> int:
    """Put up to ``count`` pages of ``holder`` into holes; how many found none."""
    found = min(count, num_holes(placed, part))
    for _ in range(found):
        place = placed.parts[OLDEST_HOLE, part]
        if placed.parts[REUSE, part] == LOWEST:
            place = lowest_hole(placed, part)
        close_hole(placed, part, place)
        _put(placed, part, holder, group, place)
    return count - found


@inner
def extend(placed: Placed, part: int, holder: int, group: int, count: int, downwards: bool) -> None:
    """Put ``count`` pages of ``holder`` at the edge of the run."""
    start = placed.parts[END, part]
    if downwards:
        start = placed.parts[FIRST, part] - count
        placed.parts[FIRST, part] = start
    else:
        placed.parts[END, part] = start + count
    for place in range(start, start + count):
        _put(placed, part, holder, group, place)


@inner
def give(placed: Placed, part: int, holder: int, group: int, count: int) -> None:
    """Give back the oldest ``count`` pages; InvariantError if there are fewer."""
    lists = placed.lists[holder]
    if count < 0 or lists[COUNT, group] < count:
        raise InvariantError("a request gives back more pages than it holds")
    for _ in range(count):
        place = lists[HEAD, group]
        lists[HEAD, group] = placed.places[AFTER, place]
        _leave(placed, part, place)
    lists[COUNT, group] -= count
    if lists[COUNT, group]:
        placed.places[BEFORE, lists[HEAD, group]] = 0
    _shorten(placed, part)


@inner
def free(placed: Placed, part: int, holder: int, group: int) -> int:
    """Give back all pages of one list, tail first; how many there were."""
    lists = placed.lists[holder]
    count, place = lists[COUNT, group], lists[TAIL, group]
    for _ in range(count):
        before = placed.places[BEFORE, place]
        _leave(placed, part, place)
        place = before
    lists[COUNT, group] = 0
    _shorten(placed, part)
    return count


@inner
def squeeze(placed: Placed, part: int, first: int, room: int) -> int:
    """Copy pages so that the run is ``room`` places from ``first``; how many were copied.

    A page that lies there already stays. Raises InvariantError if they are too many.
    """
    parts, end, copied = placed.parts, first + room, 0
    if parts[LIVE, part] > room:
        raise InvariantError("there are more pages than places for them")
    was_first, was_end = parts[FIRST, part], parts[END, part]
    for low, high in ((first, min(end, was_first)), (max(first, was_end), end)):
        for place in range(low, high):
            open_hole(placed, part, place)
    outside = (was_first, min(was_end, first)), (max(was_first, end), was_end)
    for low, high in outside:
        for place in range(low, high):
            if not placed.places[OWNER, place]:
                close_hole(placed, part, place)
    for low, high in outside:
        for place in range(low, high):
            if placed.places[OWNER, place]:
                target = lowest_hole(placed, part)
                close_hole(placed, part, target)
                _move(placed, place, target)
                copied += 1
    parts[FIRST, part], parts[END, part] = first, end
    _shorten(placed, part)
    return copied


@inner
def restart(placed: Placed, part: int) -> int:
    """Copy every page, in the order in which they lie: its base is somewhere else. No holes."""
    parts = placed.parts
    base, first, live = parts[BASE, part], parts[FIRST, part], parts[LIVE, part]
    target = first
    for place in range(first, parts[END, part]):
        if not placed.places[OWNER, place]:
            close_hole(placed, part, place)
        else:
            if place != target:
                _move(placed, place, target)
            target += 1
    for index in range(live):
        # From the side to which they go, so that none is in the way of another.
        step = live - 1 - index if base > first else index
        if base != first:
            _move(placed, first + step, base + step)
    parts[FIRST, part], parts[END, part] = base, base + live
    return live


@inner
def _put(placed: Placed, part: int, holder: int, group: int, place: int) -> None:
    """Let a new page of ``holder`` lie at ``place``."""
    places, lists = placed.places, placed.lists[holder]
    places[OWNER, place] = holder * placed.lists.shape[2] + group + 1
    places[BEFORE, place] = places[AFTER, place] = 0
    if lists[COUNT, group]:
        places[BEFORE, place] = lists[TAIL, group]
        places[AFTER, lists[TAIL, group]] = place
    else:
        lists[HEAD, group] = place
    lists[TAIL, group] = place
    lists[COUNT, group] += 1
    placed.parts[LIVE, part] += 1


@inner
def _leave(placed: Placed, part: int, place: int) -> None:
    placed.parts[LIVE, part] -= 1
    placed.places[OWNER, place] = 0
    open_hole(placed, part, place)


@inner
def _move(placed: Placed, source: int, target: int) -> None:
    """Copy a page to where there is none."""
    places, groups = placed.places, placed.lists.shape[2]
    number = places[OWNER, source] - 1
    lists, group = placed.lists[number // groups], number % groups
    before, after = places[BEFORE, source], places[AFTER, source]
    places[OWNER, target], places[OWNER, source] = number + 1, 0
    places[BEFORE, target], places[AFTER, target] = before, after
    if before:
        places[AFTER, before] = target
    else:
        lists[HEAD, group] = target
    if after:
        places[BEFORE, after] = target
    else:
        lists[TAIL, group] = target


@inner
def _shorten(placed: Placed, part: int) -> None:
    """Let the run end at its last page, and begin at its first one if it may."""
    parts, places = placed.parts, placed.places
    if parts[REUSE, part] == OLDEST:
        return
    while parts[END, part] > parts[FIRST, part] and not places[OWNER, parts[END, part] - 1]:
        parts[END, part] -= 1
        close_hole(placed, part, parts[END, part])
    if not parts[LIVE, part]:
        parts[FIRST, part] = parts[END, part] = parts[BASE, part]
    elif parts[FLOATING, part]:
        while not places[OWNER, parts[FIRST, part]]:
            close_hole(placed, part, parts[FIRST, part])
            parts[FIRST, part] += 1


def check_placed(placed: Placed) -> None:
    """Raise InvariantError unless every page has one holder and one place. Pure."""
    parts, places, found = placed.parts, placed.places, 0
    lists = placed.lists.transpose(0, 2, 1).reshape(-1, 3)
    for number, (head, tail, count) in enumerate(lists.tolist()):
        before, place = 0, head
        for _ in range(count):
            if places[OWNER, place] != number + 1 or places[BEFORE, place] != before:
                raise InvariantError(f"place {place} is not what list {number} says")
            before, place = place, int(places[AFTER, place])
        if count and (before != tail or place):
            raise InvariantError(f"list {number} ends at {before} and not at {tail}")
        found += count
    if np.count_nonzero(places[OWNER]) != found or parts[LIVE].sum() != found:
        raise InvariantError(f"{found} pages are held, others lie somewhere")
    for part in range(parts.shape[1]):
        check_holes(placed, part)
