"""A buddy allocator (Knowlton 1965): power-of-two blocks of units that split and merge.

Blocks are nodes of a binary tree in heap order: node 1 is the whole of ``2 ** len(counts)`` units,
which is more than there are, and the halves of node n are the nodes 2n and 2n + 1. A block of
``2 ** order`` units begins at a multiple of its size. A block is taken from the smallest free one
that holds it, of these from the lowest.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...configs.errors import InvariantError
from ..batch import IntArray
from ..compiled import by_reference, inner


@by_reference
class Space(NamedTuple):
    """Which blocks are free."""

    tree: IntArray
    """Per node: bit k is set if within the node there is a free block of order k."""
    counts: IntArray
    """Free blocks by order."""


def make_space(units: int) -> Space:
    """All free: the blocks of the binary digits of ``units``, the largest first."""
    orders = units.bit_length()
    space = Space(np.zeros(2 << orders, dtype=np.int64), np.zeros(orders, dtype=np.int64))
    offset = 0
    for order in reversed(range(orders)):
        if units >> order & 1:
            give_block(space, order, offset)
            offset += 1 << order
    return space


@inner
def take_block(space: Space, order: int) -> int:
    """Take a block; returns its offset. Raises InvariantError if none is free."""
    tree, counts, top = space.tree, space.counts, len(space.counts)
    found = order
    while found < top and counts[found] == 0:
        found += 1
    if found >= top:
        raise InvariantError("there is no free block of an order of which one was counted")
    node = 1
    for _ in range(top - found):
        node *= 2
        if not tree[node] >> found & 1:
            node += 1
    offset = (node - (1 << (top - found))) << found
    tree[node] = 0
    counts[found] -= 1
    while found > order:
        found -= 1
        node *= 2
        tree[node + 1] = 1 << found
        counts[found] += 1
    _tell_parents(tree, node)
    return offset


@inner
def give_block(space: Space, order: int, offset: int) -> None:
    """Give back a block, and merge it with its buddy as long as that is free as a whole."""
    tree, counts = space.tree, space.counts
    node = (1 << (len(counts) - order)) + (offset >> order)
    while tree[node ^ 1] >> order & 1:
        tree[node ^ 1] = 0
        counts[order] -= 1
        node //= 2
        tree[node] = 0
        order += 1
    tree[node] = 1 << order
    counts[order] += 1
    _tell_parents(tree, node)


@inner
def _tell_parents(tree: IntArray, node: int) -> None:
    while node > 1:
        node //= 2
        both = tree[2 * node] | tree[2 * node + 1]
        if tree[node] == both:
            return
        tree[node] = both


def check_space(space: Space, units: int, taken: list[tuple[int, int]]) -> None:
    """Raise InvariantError unless ``taken`` (offset, order) and free blocks tile the space."""
    free = list(_free_blocks(space, 1, 0, len(space.counts)))
    end = 0
    for offset, order in sorted([*free, *taken]):
        if offset != end or offset % (1 << order):
            raise InvariantError(f"block of order {order} at {offset}, expected one at {end}")
        end += 1 << order
    if end != units:
        raise InvariantError(f"blocks cover {end} of {units} units")
    for offset, order in free:
        if (offset ^ (1 << order), order) in free:
            raise InvariantError(f"two free buddies of order {order} at {offset} did not merge")
    by_order = np.bincount([order for _, order in free], minlength=len(space.counts))
    if by_order.tolist() != space.counts.tolist():
        raise InvariantError(f"free blocks by order are {by_order}, the counts say {space.counts}")


def _free_blocks(space: Space, node: int, offset: int, order: int) -> Iterator[tuple[int, int]]:
    """Offset and order of the free blocks of a node, ascending."""
    within = int(space.tree[node])
    halves = int(space.tree[2 * node] | space.tree[2 * node + 1]) if order else 0
    if within == 1 << order and not halves:
        yield offset, order
    elif within:
        if within != halves:
            raise InvariantError(f"the block of order {order} at {offset} does not know its halves")
        yield from _free_blocks(space, 2 * node, offset, order - 1)
        yield from _free_blocks(space, 2 * node + 1, offset + (1 << (order - 1)), order - 1)
