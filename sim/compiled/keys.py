"""Keys of prefixes for compiled code; see ``prefix_keys`` for what they mean."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...policies.compiled import body_of, by_reference, compiled, contract

IntArray = npt.NDArray[np.int64]


@contract
def fill_keys(keys: Any, slot: int, unit: int, most: int, out: IntArray) -> int:
    """Write the first ``most`` keys of ``PrefixKeys.of`` into ``out``; return how many there are.

    Fewer than ``most`` are there where a request's longest sequence ends before.
    """
    ...


@by_reference
class TraceKeyArrays(NamedTuple):
    """Where the keys of ``TraceKeys`` come from, as arrays."""

    runs: IntArray
    """Runs of hash ids, shape (runs, 2): key of the first token, tokens of the prompt."""
    offsets: IntArray
    """Where each request's runs start, with the total at the end."""
    own: IntArray
    """Where each request's own keys start, with their end: one key a token of its longest."""


@body_of(fill_keys, TraceKeyArrays)
@compiled
def fill_trace_keys(keys: TraceKeyArrays, slot: int, unit: int, most: int, out: IntArray) -> int:
    """Body of ``fill_keys``: ids where they are known, then keys that no other request has."""
    own = keys.own[slot]
    count = min(most, (keys.own[slot + 1] - own) // unit)
    filled = 0
    start = 0
    for run in range(keys.offsets[slot], keys.offsets[slot + 1]):
        # Within a run, as within a block, a key is as far behind another as its last token is.
        base = keys.runs[run, 0] - start
        start += keys.runs[run, 1]
        known = min(count, start // unit)
        for index in range(filled, known):
            out[index] = base + (index + 1) * unit - 1
        filled = max(filled, known)
    for index in range(filled, count):
        out[index] = own + (index + 1) * unit - 1
    return count


@by_reference
class GivenKeys(NamedTuple):
    """Keys of one request at a time, that Python wrote down before it calls."""

    row: IntArray
    """The keys, from the shortest prefix."""
    total: IntArray
    """One entry: how many of them there are."""


@body_of(fill_keys, GivenKeys)
@compiled
def fill_given_keys(keys: GivenKeys, slot: int, unit: int, most: int, out: IntArray) -> int:
    """Body of ``fill_keys``: what was written down."""
    count = min(most, keys.total[0])
    for index in range(count):
        out[index] = keys.row[index]
    return count
