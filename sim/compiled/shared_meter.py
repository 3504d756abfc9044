"""Where the bytes are when pages are shared: ``sim.cached_usage`` for the compiled engine."""

from typing import Any, NamedTuple

import numpy as np

from ...policies.caching.sharing import DEAD_PAGES, LIVE, VIEW_GROUP
from ...policies.compiled import body_of, by_reference, inner
from ...policies.demand_kernels import BLOCK, EACH, ceil_div, rule_rows
from ..cached_usage import CachedUsageMeter
from . import contract
from .lines import GONE, PER_ENTRY, Lines, follow, follow_decode, make_lines
from .lines import LIVE as LIVE_ENTRIES
from .meter import CACHED, DEAD, INTERNAL, NEEDED, PADDING, add_slack, clear
from .state import IntArray

GROUP, LABEL, ENTRY_BYTES, IS_STATE, CAPACITY, LINE, VIEW = range(7)
"""Rows of ``sizes``, one column per content of a group: CAPACITY in bytes of a block, LINE the
content of its growth class, VIEW its place among the windowed contents or -1."""
GROUP_CLASS, PAGE_BYTES, PADDING_BYTES, FIRST_LABEL = range(4)
"""Rows of ``groups``: growth class; padding of a block; the label to which it belongs."""


@by_reference
class SharedMeter(NamedTuple):
    """Pages that several requests may hold: each is counted once."""

    lines: Lines
    rules: IntArray
    """Of the groups; see ``policies.demand_kernels``."""
    sizes: IntArray
    groups: IntArray
    views: IntArray
    """See ``policies.caching.sharing``."""
    held: IntArray
    """Pages of each group that somebody holds."""
    excess: IntArray
    """What sums count too often, shape (2, views)."""


def make_shared_meter(meter: CachedUsageMeter, seats: int) -> SharedMeter:
    """Nobody holds anything."""
    groups, class_of = meter.tables.groups, meter.tables.class_of
    views = [(view.group, view.label) for view in meter.views]
    lines = [(index, c.label) for index, of_class in enumerate(meter.contents) for c in of_class]
    sizes = [
        (
            index,
            label,
            content.entry_bytes,
            int(content.state_bytes > 0),
            group.capacity_bytes(content),
            lines.index((class_of[index], label)),
            views.index((index, content.label)) if content.window else -1,
        )
        for index, group in enumerate(groups)
        for content in group.contents
        for label in [meter.labels.index(content.label)]
    ]
    of_groups = [
        (class_of[index], group.page_bytes, group.padding_bytes, meter.group_label[index])
        for index, group in enumerate(groups)
    ]
    return SharedMeter(
        lines=make_lines(meter, seats),
        rules=rule_rows(groups),
        sizes=np.array(sizes, dtype=np.int64).T.copy(),
        groups=np.array(of_groups, dtype=np.int64).T.copy(),
        views=meter.view_array,
        held=np.zeros(len(groups), dtype=np.int64),
        excess=np.zeros((2, len(views)), dtype=np.int64),
    )


@body_of(contract.measure, SharedMeter)
@inner
def measure(
    meter: SharedMeter,
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
    _fill(meter, tables, table, running, count, slack, parts)


@inner
def _fill(
    meter: SharedMeter,
    tables: Any,
    table: IntArray,
    running: IntArray,
    count: int,
    slack: IntArray,
    parts: IntArray,
) -> None:
    """Write the sums down as bytes."""
    contract.held_pages(tables, meter.held)
    if _shares_windows(meter):
        contract.window_excess(tables, table, running, count, meter.views, meter.excess)
    else:
        for view in range(meter.views.shape[1]):
            meter.excess[LIVE, view] = meter.excess[DEAD_PAGES, view] = 0
    clear(parts)
    groups = meter.groups
    for group in range(groups.shape[1]):
        parts[PADDING, groups[FIRST_LABEL, group]] += meter.held[group] * groups[PAGE_BYTES, group]
    for content in range(meter.sizes.shape[1]):
        _fill_content(meter, content, parts)
    add_slack(groups[FIRST_LABEL], slack, parts)
    _add_cached(meter, slack, parts)


@inner
def _shares_windows(meter: SharedMeter) -> bool:
    """Whether some page with windowed content is held by several requests."""
    for view in range(meter.views.shape[1]):
        group = meter.views[VIEW_GROUP, view]
        if meter.lines.held[meter.groups[GROUP_CLASS, group]] != meter.held[group]:
            return True
    return False


@inner
def _fill_content(meter: SharedMeter, content: int, parts: IntArray) -> None:
    sizes = meter.sizes
    group, label = sizes[GROUP, content], sizes[LABEL, content]
    # Of a block in several pages some may be held, or shared, and others not.
    each = meter.rules[EACH, group]
    held = meter.held[group] * sizes[CAPACITY, content] // each
    parts[PADDING, meter.groups[FIRST_LABEL, group]] -= held
    if sizes[IS_STATE, content]:
        parts[NEEDED, label] += held
        return
    lines, line, view = meter.lines, sizes[LINE, content], sizes[VIEW, content]
    live, dead = lines.totals[LIVE_ENTRIES, line] * each, 0
    block = meter.rules[BLOCK, group]
    if view >= 0:
        live -= meter.excess[LIVE, view]
        dead = lines.totals[GONE, line] * each - meter.excess[DEAD_PAGES, view] * block
    else:
        # Every entry is read, and only full pages are shared.
        shared = lines.held[meter.groups[GROUP_CLASS, group]] - meter.held[group]
        live -= shared * ceil_div(block, lines.contents[PER_ENTRY, line])
    needed = live * sizes[ENTRY_BYTES, content] // each
    dead = dead * sizes[ENTRY_BYTES, content] // each
    parts[NEEDED, label] += needed
    parts[DEAD, label] += dead
    parts[INTERNAL, label] += held - needed - dead


@inner
def _add_cached(meter: SharedMeter, slack: IntArray, parts: IntArray) -> None:
    """See ``CachedUsageMeter.add_slack``."""
    groups, count = meter.groups, meter.groups.shape[1]
    for group in range(count):
        first, each = groups[FIRST_LABEL, group], meter.rules[EACH, group]
        size = slack[2 * count + group]
        pages = size // groups[PAGE_BYTES, group]
        padding = pages * groups[PADDING_BYTES, group] // each
        parts[PADDING, first] += padding
        if each > 1:
            # Some pages of a block may be gone: they are counted one by one.
            parts[CACHED, first] += size - padding
    for content in range(meter.sizes.shape[1]):
        group = meter.sizes[GROUP, content]
        if meter.rules[EACH, group] == 1:
            pages = slack[2 * count + group] // groups[PAGE_BYTES, group]
            capacity = meter.sizes[CAPACITY, content]
            parts[CACHED, meter.sizes[LABEL, content]] += pages * capacity
