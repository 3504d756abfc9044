"""Where the bytes are: ``sim.usage`` for the compiled engine."""

from typing import Any, NamedTuple

import numpy as np

from ...policies.compiled import body_of, by_reference, inner
from ...policies.demand_kernels import EACH
from ..usage import PARTS, UsageMeter
from . import contract
from .lines import CLASS, GONE, LIVE, Lines, follow, follow_decode, make_lines
from .state import IntArray

NEEDED, CACHED, DEAD, PADDING, INTERNAL, EXTERNAL = range(len(PARTS))

LABEL, ENTRY_BYTES, STATE_BYTES, CAPACITY, PADDED = range(5)
"""Rows of ``sizes``, one column per content of a growth class: fields of ``ClassContent``; PADDED
is the padding of a block."""


@by_reference
class CountedMeter(NamedTuple):
    """Pages of one owner each."""

    lines: Lines
    sizes: IntArray
    group_label: IntArray
    """The label to which padding and slack of each group belong."""


def make_counted_meter(meter: UsageMeter, seats: int) -> CountedMeter:
    """Nobody holds anything."""
    sizes = [
        (c.label, c.entry_bytes, c.state_bytes, c.capacity, c.padding)
        for of_class in meter.contents
        for c in of_class
    ]
    return CountedMeter(
        lines=make_lines(meter, seats),
        sizes=np.array(sizes, dtype=np.int64).T.copy(),
        group_label=np.array(meter.group_label, dtype=np.int64),
    )


def meter_state(meter: UsageMeter, seats: int) -> Any:
    """``meter`` as the compiled engine asks it."""
    from ..cached_usage import CachedUsageMeter
    from .shared_meter import make_shared_meter

    if isinstance(meter, CachedUsageMeter):
        return make_shared_meter(meter, seats)
    return make_counted_meter(meter, seats)


@body_of(contract.measure, CountedMeter)
@inner
def measure(
    meter: CountedMeter,
    tables: Any,
    table: IntArray,
    running: IntArray,
    count: int,
    alike: bool,
    slack: IntArray,
    parts: IntArray,
) -> None:
    """See the contract."""
    if not (alike and follow_decode(meter.lines)):
        follow(meter.lines, tables, table, running, count)
    _fill(meter, slack, parts)


@inner
def _fill(meter: CountedMeter, slack: IntArray, parts: IntArray) -> None:
    """Write the sums down as bytes, with what the carving says of the rest."""
    lines, sizes = meter.lines, meter.sizes
    clear(parts)
    for content in range(sizes.shape[1]):
        label, index = sizes[LABEL, content], lines.contents[CLASS, content]
        blocks = lines.held[index]
        if lines.rules[EACH, index] > 1:
            blocks //= lines.rules[EACH, index]
        size = sizes[ENTRY_BYTES, content] + sizes[STATE_BYTES, content]
        needed = lines.totals[LIVE, content] * size
        dead = lines.totals[GONE, content] * size
        parts[NEEDED, label] += needed
        parts[DEAD, label] += dead
        parts[PADDING, label] += blocks * sizes[PADDED, content]
        parts[INTERNAL, label] += blocks * sizes[CAPACITY, content] - needed - dead
    add_slack(meter.group_label, slack, parts)


@inner
def clear(parts: IntArray) -> None:
    """Set all parts to 0."""
    for part in range(parts.shape[0]):
        for label in range(parts.shape[1]):
            parts[part, label] = 0


@inner
def add_slack(group_label: IntArray, slack: IntArray, parts: IntArray) -> None:
    """See ``UsageMeter.add_slack``."""
    groups = len(group_label)
    for group in range(groups):
        parts[INTERNAL, group_label[group]] += slack[group]
        parts[EXTERNAL, group_label[group]] += slack[groups + group]
