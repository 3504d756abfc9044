"""The places in which pages of the parts of a pool lie, and the holes between them.

A part has places in a row. Those in use are a run, with holes where pages were given back. Arrays
are zero where nothing ever was; place 0 is nobody's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...configs.errors import InvariantError
from ..batch import IntArray
from ..compiled import by_reference, inner

# Rows of ``parts``, one column per part.
BASE, FIRST, END, LIVE, OLDEST_HOLE, NEWEST_HOLE, LOW, TREE, LEAVES, FLOATING, REUSE = range(11)
"""Where an empty run begins; the run, and pages in it; ends of the list of its holes; its lowest
place; its tree of holes and leaves of that; whether the run begins at its first page, wherever that
is; which hole is filled first."""
LOWEST, OLDEST = range(2)
"""``REUSE``: the lowest hole, or the one that was left first. With LOWEST a run ends at its last
page (a hole at the edge is no longer part of it), with OLDEST it keeps its extent."""

# Rows of ``places``.
OWNER, BEFORE, AFTER = range(3)
"""0, or 1 + the number of the list of the page that lies there; the places before and after it in
that list, or in that of holes."""

# Rows of a holder's ``lists``.
HEAD, TAIL, COUNT = range(3)
"""Places of its oldest and of its latest page of each group, and how many it has."""


@by_reference
class Placed(NamedTuple):
    """Parts with their places, and what holders have there."""

    parts: IntArray
    places: IntArray
    trees: IntArray
    """Per part a binary tree in heap order over its places: 1 where there is a hole."""
    lists: IntArray
    """Shape (holders, 3, groups)."""


def make_placed(
    capacities: Sequence[int], lists: IntArray, *, reuse: int, floating: Sequence[bool]
) -> Placed:
    """Empty parts of so many places; twice as many where a run floats, to both sides."""
    parts = np.zeros((11, len(capacities)), dtype=np.int64)
    low, tree = 1, 0
    for part, floats in enumerate(floating):
        size = 2 * capacities[part] + 2 if floats else capacities[part]
        leaves = 1 << max(0, size - 1).bit_length()
        parts[LOW, part], parts[TREE, part], parts[LEAVES, part] = low, tree, leaves
        parts[BASE, part] = low + (capacities[part] + 1 if floats else 0)
        low, tree = low + size, tree + 2 * leaves
    parts[FIRST] = parts[END] = parts[BASE]
    parts[FLOATING], parts[REUSE] = floating, reuse
    places, trees = np.zeros((3, low), dtype=np.int64), np.zeros(tree, dtype=np.int64)
    return Placed(parts, places, trees, lists)


@inner
def open_hole(placed: Placed, part: int, place: int) -> None:
    """Note that ``place`` is a hole, the newest."""
    parts, places, trees = placed.parts, placed.places, placed.trees
    newest = parts[NEWEST_HOLE, part]
    places[BEFORE, place], places[AFTER, place] = newest, 0
    if newest:
        places[AFTER, newest] = place
    else:
        parts[OLDEST_HOLE, part] = place
    parts[NEWEST_HOLE, part] = place
    tree, node = parts[TREE, part], parts[LEAVES, part] + place - parts[LOW, part]
    while node and not trees[tree + node]:
        trees[tree + node] = 1
        node //= 2


@inner
def close_hole(placed: Placed, part: int, place: int) -> None:
    """Note that ``place`` is no hole any more."""
    parts, places, trees = placed.parts, placed.places, placed.trees
    before, after = places[BEFORE, place], places[AFTER, place]
    if before:
        places[AFTER, before] = after
    else:
        parts[OLDEST_HOLE, part] = after
    if after:
        places[BEFORE, after] = before
    else:
        parts[NEWEST_HOLE, part] = before
    tree, node = parts[TREE, part], parts[LEAVES, part] + place - parts[LOW, part]
    trees[tree + node] = 0
    while node > 1 and not trees[tree + (node ^ 1)]:
        node //= 2
        trees[tree + node] = 0


@inner
def lowest_hole(placed: Placed, part: int) -> int:
    """Where the lowest one is; there must be one."""
    parts, node = placed.parts, 1
    while node < parts[LEAVES, part]:
        node *= 2
        if not placed.trees[parts[TREE, part] + node]:
            node += 1
    return node - parts[LEAVES, part] + parts[LOW, part]


def check_holes(placed: Placed, part: int) -> None:
    """Raise InvariantError unless the holes of a part are those that are listed. Pure."""
    parts, places = placed.parts, placed.places
    first, end, low = parts[FIRST, part], parts[END, part], parts[LOW, part]
    holes = (first + np.flatnonzero(places[OWNER, first:end] == 0)).tolist()
    leaves = parts[TREE, part] + parts[LEAVES, part]
    listed, place = list[int](), int(parts[OLDEST_HOLE, part])
    while place and len(listed) <= len(holes):
        listed.append(place)
        place = int(places[AFTER, place])
    marked = np.flatnonzero(placed.trees[leaves : leaves + parts[LEAVES, part]]) + low
    if sorted(listed) != holes or marked.tolist() != holes:
        raise InvariantError(f"holes are {holes}, listed {listed}, in the tree {marked}")
