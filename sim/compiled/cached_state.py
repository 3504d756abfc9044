"""Block tables with vLLM's prefix cache as arrays; what happens to them is in ``cached``."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...configs.specs import cdiv
from ...policies.caching import layout
from ...policies.caching.layout import Arrays
from ...policies.caching.rules import CacheRules
from ...policies.demand_kernels import rule_rows
from ..requests import NEVER
from ..scheduler import SchedulerConfig
from ..table_contract import growth_classes

IntArray = npt.NDArray[np.int64]

# Rows of ``head``, and entries of the first of them.
ANSWER, LENGTHS, ASKED = range(3)
"""What was looked up last; blocks of the hit, per group; what each lookup class answered."""
HEAD_SLOT, HEAD_TOKENS, HEAD_KEYS, HEAD_HIT, HEAD_JUNCTION, HEAD_IDLE = range(6)
"""Request and its length; its keys; tokens of the hit; junction; pages of the hit that are free."""

# Entries of ``limits``.
MAX_IN_FLIGHT, MAX_MODEL_LEN, BATCHES, MAY_REST, PAGE_BYTES, POOL_BYTES = range(6)
"""As in SchedulerConfig; whether ``quiet`` and ``next_key`` are known; bytes."""

# Rows of ``short``.
LIMITER, LOST_TOKENS = range(2)
"""Number of the lookup class that shortened a request's first hit, from 1; by how many tokens."""


class CachedTables(NamedTuple):
    """Block tables of all requests that run, by seat, over one pool of equal pages."""

    pool: Arrays
    keys: Any
    """Where keys come from: see ``keys.fill_keys``."""
    tables: IntArray
    """Pages by seat, group and block. Behind the seats: pages found by the last lookup, and room
    for those that one kind would find alone."""
    marks: IntArray
    """How far tables are filled, by seat (``caching.layout``); last, those of an empty table."""
    known: IntArray
    """Keys of each seat's sequence; last, of the sequence looked up last."""
    rules: IntArray
    """Rows of ``demand_kernels``, one column per group."""
    first_of: IntArray
    """The first group of each growth class."""
    allocated: IntArray
    expired: IntArray
    keyed: IntArray
    """Per growth class and seat: see Tables."""
    changed: IntArray
    """Per seat: a count that grows with every change of the three above."""
    quiet: IntArray
    """Per seat: length up to which nothing changes."""
    next_key: IntArray
    """Per seat: length at which some block gets a key."""
    opened: IntArray
    """Per seat: 0, or the number of its keys plus 1 where a table is held."""
    head: IntArray
    """What the last lookup found."""
    short: IntArray
    """Per request: why its first hit is no longer."""
    partial: IntArray
    """Room for ``window_excess``: two entries per page, zero between calls."""
    limits: IntArray
    """Constants."""


def make_tables(
    pool: Arrays,
    keys: Any,
    rules: CacheRules,
    config: SchedulerConfig,
    *,
    pool_bytes: int,
    num_requests: int,
    longest: int,
) -> CachedTables:
    """Empty tables for sequences of up to ``longest`` tokens."""
    groups = rules.groups
    seats, num_groups = config.max_num_seqs, len(groups)
    classes, class_of = growth_classes(groups)
    sizes = {group.block_size for group in groups}
    spare = 1 + max(group.speculative_pages for group in groups)
    width = cdiv(longest, min(sizes)) + spare
    num_keys = longest // rules.hash_block_size if rules.enabled else 0
    marks = np.empty((seats + 1, 8, num_groups), dtype=np.int64)
    marks[:] = layout.make_marks(num_groups)
    head = np.zeros((3, max(num_groups, 6)), dtype=np.int64)
    head[ANSWER, HEAD_SLOT] = NEVER
    limits = {
        MAX_IN_FLIGHT: config.max_in_flight_tokens,
        MAX_MODEL_LEN: config.max_model_len,
        BATCHES: config.concurrent_batches,
        MAY_REST: int(len(sizes) == 1 and not rules.has_aligned_states),
        PAGE_BYTES: groups[0].page_bytes,
        POOL_BYTES: pool_bytes,
    }
    return CachedTables(
        pool=pool,
        keys=keys,
        tables=_zeros(seats + 2, num_groups, width),
        marks=marks,
        known=_zeros(seats + 1, num_keys),
        rules=rule_rows(groups),
        first_of=np.array([class_of.index(index) for index in range(len(classes))]),
        allocated=_zeros(len(classes), seats),
        expired=_zeros(len(classes), seats),
        keyed=_zeros(len(classes), seats),
        changed=_zeros(seats),
        quiet=_zeros(seats),
        next_key=_zeros(seats),
        opened=_zeros(seats),
        head=head,
        short=_zeros(2, num_requests),
        partial=_zeros(len(pool.pages), 2),
        limits=np.array([limits[index] for index in range(len(limits))]),
    )


def _zeros(*shape: int) -> IntArray:
    return np.zeros(shape, dtype=np.int64)
