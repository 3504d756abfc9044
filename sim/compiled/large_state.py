"""Block tables over Jenga's pool as arrays; what happens to them is in ``large``."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...policies.base import PageGroup
from ...policies.large_pages.layout import IntArray, Pool, untouched
from ..requests import NEVER
from ..table_contract import growth_classes

# Columns of ``marks``.
LENGTH, GONE, KEYED = range(3)
"""Entries of a table; leading ones that were given back or never held; leading blocks that were
considered for the cache."""

# Columns of ``groups``.
UNIT, FIRST_HIT, END_HIT, GAINED = range(4)
"""Number of the block size in ``units``; which entries of the found pages a request holds that
takes the hit; small pages that are to be had then beside the empty ones."""

# Entries of ``head``: the last lookup.
HEAD_SLOT, HEAD_TOKENS, HEAD_CHANGES, HEAD_HIT, HEAD_LIMITER, HEAD_LOST, ALIGNMENT = range(7)
"""Request and tokens; state of the index; tokens found; limiter as in ``short``, and tokens lost.
Hits are a multiple of ALIGNMENT."""

# Rows of ``short``, one column per request.
LIMITER, LOST_TOKENS, HITS_NOTHING = range(3)
"""Group whose kind shortened the first hit, from 1; by how many tokens; whether the request
preempted itself: what it hit stood in the way of what it needs."""

# Entries of ``limits``.
CACHING, COUNTS_STEPS, CLOCK, LEFT_FREE = range(4)
"""Whether anything is cached; whether times are steps, as in the artifact, or count what was given
back; that clock; large pages that every admission leaves."""


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
    units: IntArray
    """The block sizes."""
    groups: IntArray
    first_of: IntArray
    """The first group of each growth class."""
    allocated: IntArray
    expired: IntArray
    keyed: IntArray
    """Of the growth classes, by seat: see Tables."""
    changed: IntArray
    quiet: IntArray
    """Per seat: length up to which nothing changes."""
    next_key: IntArray
    """Per seat: length at which some block is full."""
    accessed: IntArray
    """Per seat: last step that served it."""
    head: IntArray
    short: IntArray
    need: IntArray
    """Room for a need."""
    partial: IntArray
    """Room for ``window_excess``: two entries per node, zero between calls."""
    limits: IntArray


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
    columns = np.zeros((len(groups), 4), dtype=np.int64)
    columns[:, UNIT] = [units.index(group.block_size) for group in groups]
    head = np.zeros(7, dtype=np.int64)
    head[HEAD_SLOT] = NEVER
    head[ALIGNMENT] = math.lcm(*units)
    return LargeTables(
        pool=pool,
        keys=keys,
        rules=rules,
        pages=_zeros(seats + 1, len(groups), width),
        marks=_zeros(seats, len(groups), 3),
        known=_zeros(seats + 1, len(units), longest // units[0] if caching else 0),
        units=np.array(units, dtype=np.int64),
        groups=columns,
        first_of=np.array([class_of.index(index) for index in range(len(classes))]),
        allocated=_zeros(len(classes), seats),
        expired=_zeros(len(classes), seats),
        keyed=_zeros(len(classes), seats),
        changed=_zeros(seats),
        quiet=_zeros(seats),
        next_key=_zeros(seats),
        accessed=_zeros(seats),
        head=head,
        short=_zeros(3, requests),
        need=_zeros(len(groups)),
        partial=untouched(len(pool.nodes) if caching else 0, 2),
        limits=np.array([caching, counts_steps, 0, left_free], dtype=np.int64),
    )


def _zeros(*shape: int) -> IntArray:
    return np.zeros(shape, dtype=np.int64)
