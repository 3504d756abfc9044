"""Block tables over Jenga's pool as arrays; what happens to them is in ``large``."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...policies.base import PageGroup
from ...policies.compiled import by_reference
from ...policies.large_pages.layout import IntArray, Pool
from ..requests import NEVER
from ..table_contract import growth_classes

# Columns of ``marks``.
LENGTH, GONE, KEYED = range(3)
"""Entries of a table; leading ones that were given back or never held; leading blocks that were
considered for the cache."""

# Columns of ``groups``.
UNIT, FIRST_HIT, END_HIT, GAINED, UNIT_SIZE, FIRST_OF = range(6)
"""Number of the block size; which entries of the found pages a request holds that takes the hit;
small pages that are to be had then beside the empty ones. In row ``i``, whatever the group: block
size number ``i``; the first group of growth class ``i``."""

# Rows of ``seats``.
NEXT_KEY, ACCESSED = range(2)
"""Length at which some block is full; the last step that served the request."""

# Entries of ``scalars``: the last lookup, and what a run does.
HEAD_SLOT, HEAD_TOKENS, HEAD_CHANGES, HEAD_HIT, HEAD_LIMITER, HEAD_LOST = range(6)
"""Request and tokens; state of the index; tokens found; limiter as in ``short`` and tokens lost."""
ALIGNMENT, CACHING, COUNTS_STEPS, CLOCK, LEFT_FREE = range(6, 11)
"""Hits are a multiple of ALIGNMENT; whether anything is cached; whether times are steps, as in the
artifact, or count what was given back; that clock; large pages that every admission leaves."""

# Rows of ``short``, one column per request.
LIMITER, LOST_TOKENS, HITS_NOTHING = range(3)
"""Group whose kind shortened the first hit, from 1; by how many tokens; whether the request
preempted itself: what it hit stood in the way of what it needs."""


@by_reference
class LargeTables(NamedTuple):
    """Block tables of all requests that run, by seat; see ``LargePageTables``."""

    pool: Pool
    keys: Any
    """Where keys come from: see ``keys.fill_keys``."""
    rules: Any
    """See ``large_pages.rule_kernels``."""
    pages: IntArray
    """Pages by seat, group and entry; behind the seats those that the last lookup found."""
    marks: IntArray
    """Shape (seats, groups, columns)."""
    known: IntArray
    """Keys by seat, unit and block; behind the seats those of the request looked up last."""
    groups: IntArray
    allocated: IntArray
    expired: IntArray
    """Of the growth classes, by seat: see Tables."""
    changed: IntArray
    quiet: IntArray
    """Per seat: length up to which nothing changes."""
    seats: IntArray
    scalars: IntArray
    short: IntArray
    need: IntArray
    """Room for a need."""


def make_tables(
    pool: Pool,
    keys: Any,
    rules: Any,
    groups: Sequence[PageGroup],
    *,
    seats: int,
    requests: int,
    width: int,
    longest: int,
    caching: bool,
    counts_steps: bool,
    left_free: int,
) -> LargeTables:
    """Tables of ``seats`` requests that hold nothing.

    ``width``: entries of the longest table. ``longest``: tokens of the longest sequence.
    ``left_free``: large pages that stay free in an empty pool.
    """
    classes, class_of = growth_classes(tuple(groups))
    units = sorted({group.block_size for group in groups})
    columns = _zeros(len(groups), 6)
    columns[:, UNIT] = [units.index(group.block_size) for group in groups]
    columns[: len(units), UNIT_SIZE] = units
    columns[: len(classes), FIRST_OF] = [class_of.index(i) for i in range(len(classes))]
    scalars = _zeros(11)
    scalars[HEAD_SLOT], scalars[ALIGNMENT] = NEVER, math.lcm(*units)
    scalars[CACHING], scalars[COUNTS_STEPS] = caching, counts_steps
    scalars[LEFT_FREE] = left_free
    return LargeTables(
        pool=pool,
        keys=keys,
        rules=rules,
        pages=_zeros(seats + 1, len(groups), width),
        marks=_zeros(seats, len(groups), 3),
        known=_zeros(seats + 1, len(units), longest // units[0] if caching else 0),
        groups=columns,
        allocated=_zeros(len(classes), seats),
        expired=_zeros(len(classes), seats),
        changed=_zeros(seats),
        quiet=_zeros(seats),
        seats=_zeros(2, seats),
        scalars=scalars,
        short=_zeros(3, requests),
        need=_zeros(len(groups)),
    )


def _zeros(*shape: int) -> IntArray:
    return np.zeros(shape, dtype=np.int64)
