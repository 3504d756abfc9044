"""Keys of prefixes that Python writes down, for tables whose blocks have several sizes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...policies.compiled import body_of, by_reference, inner
from ..prefix_keys import IntArray, PrefixKeys
from .keys import fill_keys


@by_reference
class UnitKeys(NamedTuple):
    """The keys of one request at a time, for every block size."""

    units: IntArray
    """The block sizes."""
    rows: IntArray
    """Keys by unit, from the shortest prefix."""
    totals: IntArray
    """How many there are of each unit."""


def unit_keys(units: Sequence[int], longest: int) -> UnitKeys:
    """Room for the keys of sequences of up to ``longest`` tokens."""
    return UnitKeys(
        units=np.array(units, dtype=np.int64),
        rows=np.zeros((len(units), longest // min(units)), dtype=np.int64),
        totals=np.zeros(len(units), dtype=np.int64),
    )


def write_down(into: UnitKeys, keys: PrefixKeys, slot: int) -> None:
    """Make the keys of a request."""
    for index, unit in enumerate(into.units.tolist()):
        found = keys.of(slot, unit)
        into.rows[index, : len(found)], into.totals[index] = found, len(found)


@body_of(fill_keys, UnitKeys)
@inner
def _fill(keys: UnitKeys, slot: int, unit: int, most: int, out: IntArray) -> int:
    index = 0
    while keys.units[index] != unit:
        index += 1
    count = min(most, keys.totals[index])
    for place in range(count):
        out[place] = keys.rows[index, place]
    return count
