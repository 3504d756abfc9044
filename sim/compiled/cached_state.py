"""Block tables with vLLM's prefix cache as arrays; what happens to them is in ``cached``."""

from typing import Any, NamedTuple

import numpy as np

from ...configs.specs import cdiv
from ...policies.caching import layout
from ...policies.caching.layout import Arrays
from ...policies.caching.rules import CacheRules
from ...policies.compiled import by_reference
from ..requests import NEVER
from ..scheduler import SchedulerConfig
from ..table_contract import growth_classes
from .state import IntArray

# Rows of ``seats``.
NEXT_KEY, NUM_KEYS = range(2)
"""Length at which some block gets a key next; 0, or the number of keys plus 1 where there is a
table."""

# Rows of ``head``, and entries of the first of them.
ANSWER, LENGTHS, ASKED = range(3)
"""What was looked up last; blocks of the hit, per group; what each lookup class answered."""
SLOT, TOKENS, KEYS, HIT, JUNCTION, IDLE = range(6)
"""Request and its length; its keys; tokens of the hit; junction; pages of the hit that are free."""

# Rows of ``short``.
LIMITER, LOST_TOKENS = range(2)
"""Number of the lookup class that shortened a request's first hit, from 1; by how many tokens."""

# Entries of ``limits``.
MAX_IN_FLIGHT, MAX_MODEL_LEN, BATCHES, HAS_STATES, PAGE_BYTES, POOL_BYTES, FIRST_GROUPS = range(7)
"""As in SchedulerConfig; whether states are kept at block boundaries; bytes; from FIRST_GROUPS on
the first group of each growth class."""


@by_reference
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
    allocated: IntArray
    expired: IntArray
    changed: IntArray
    quiet: IntArray
    """Per seat: length up to which nothing changes."""
    seats: IntArray
    head: IntArray
    """What the last lookup found."""
    short: IntArray
    """Per request: why its first hit is no longer."""
    limits: IntArray
    """Constants."""


def make_tables(
    pool: Arrays,
    keys: Any,
    rules: CacheRules,
    config: SchedulerConfig,
    *,
    page_bytes: int,
    pool_bytes: int,
    num_requests: int,
    longest: int,
) -> CachedTables:
    """Empty tables for sequences of up to ``longest`` tokens."""
    groups = rules.groups
    num_groups, seats = len(groups), max(1, min(config.max_num_seqs, num_requests))
    classes, class_of = growth_classes(groups)
    sizes = {group.block_size for group in groups}
    spare = 1 + max(group.speculative_pages for group in groups)
    num_keys = longest // rules.hash_block_size if rules.enabled else 0
    marks = _zeros(seats + 1, 8, num_groups)
    marks[:] = layout.make_marks(num_groups)
    head = _zeros(3, max(num_groups, 6))
    head[ANSWER, SLOT] = NEVER
    limits = [
        config.max_in_flight_tokens,
        config.max_model_len,
        config.concurrent_batches,
        rules.has_aligned_states,
        page_bytes,
        pool_bytes,
        *(class_of.index(index) for index in range(len(classes))),
    ]
    return CachedTables(
        pool=pool,
        keys=keys,
        tables=_zeros(seats + 2, num_groups, cdiv(longest, min(sizes)) + spare),
        marks=marks,
        known=_zeros(seats + 1, num_keys),
        allocated=_zeros(len(classes), seats),
        expired=_zeros(len(classes), seats),
        changed=_zeros(seats),
        quiet=_zeros(seats),
        seats=_zeros(2, seats),
        head=head,
        short=_zeros(2, num_requests),
        limits=np.array(limits, dtype=np.int64),
    )


def _zeros(*shape: int) -> IntArray:
    return np.zeros(shape, dtype=np.int64)
