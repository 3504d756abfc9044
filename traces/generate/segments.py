"""Arithmetic on lists that lie one after the other: the turns of sessions."""

from __future__ import annotations

import numpy as np

from ..columns import IntColumn


def within(offsets: IntColumn) -> IntColumn:
    """Return each entry's place in its own list, from 0."""
    counts = np.diff(offsets)
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)


def owners(offsets: IntColumn) -> IntColumn:
    """Return the list that each entry belongs to."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def running(values: IntColumn, offsets: IntColumn) -> IntColumn:
    """Return the sum of each entry and those before it in its list."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums[1:] - np.repeat(sums[offsets[:-1]], np.diff(offsets))


def previous(values: IntColumn, offsets: IntColumn) -> IntColumn:
    """Return the entry before each one in its list; 0 where there is none."""
    moved = np.zeros(len(values), dtype=np.int64)
    moved[1:] = values[:-1]
    moved[offsets[:-1][np.diff(offsets) > 0]] = 0
    return moved
