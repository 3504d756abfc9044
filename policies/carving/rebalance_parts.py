"""The parts of a pool that is divided anew now and then; see ``rebalance.py``."""

from typing import NamedTuple

from ..batch import BYTES, LAUNCHES, IntArray
from ..compiled import by_reference, inner
from .division import FLOOR, PAGE_BYTES, SIZE, WEIGHT, deviates, divide_anew
from .placed import squeeze
from .places import BASE, END, LIVE, Placed
from .typical import FloatArray, typical_pages

NULL_PAGES = 1
PAGES_PER_LAUNCH = 4096
"""Pages that one copy kernel moves: not stated by TensorRT-LLM, taken from SGLang."""

PAGES, WIDEST, NEED, SPARE, FIRST_GROUP = range(4, 9)
"""Rows of ``sizes`` behind those of ``division``: pages of each part, null pages included; the most
that a division ever gave it; scratch: pages that a request needs, and what is left beside them;
the first group whose pages are there. WEIGHT: bytes of a typical request there."""

(
    POOL_BYTES,
    HOLDERS,
    SAMPLES,
    MIN_SAMPLES,
    INTERVAL,
    COOLDOWN_NS,
    MORE,
    LESS,
    IS_STARTED,
    CHANGED_NS,
    MOVED_BYTES,
    MOVED_LAUNCHES,
) = range(12)
"""Entries of ``pool``: requests that hold pages, and samples so far; the settings of ``Rebalance``;
whether a step has begun, and when the pool was divided last or the first step began; copies not yet
paid for."""


@by_reference
class RebalancedParts(NamedTuple):
    """The parts, where pages lie in them, and what a typical request holds."""

    placed: Placed
    sizes: IntArray
    part_of: IntArray
    """Per group."""
    pool: IntArray
    typical: FloatArray


@inner
def free_of(state: RebalancedParts, part: int) -> int:
    """Pages of a part that nobody holds."""
    return state.sizes[PAGES, part] - NULL_PAGES - state.placed.parts[LIVE, part]


@inner
def bytes_of(state: RebalancedParts, row: int) -> int:
    """Bytes of the pages in a row of ``sizes``."""
    total = 0
    for part in range(state.sizes.shape[1]):
        total += state.sizes[row, part] * state.sizes[PAGE_BYTES, part]
    return total


@inner
def ask(state: RebalancedParts, need: IntArray) -> None:
    """Fill the row NEED."""
    for part in range(state.sizes.shape[1]):
        state.sizes[NEED, part] = 0
    for group in range(len(need)):
        state.sizes[NEED, state.part_of[group]] += need[group]


@inner
def could_hold(state: RebalancedParts, beside: int) -> bool:
    """Whether the widest parts so far hold NEED, null pages, and ``beside`` times what is held."""
    wide, total = True, 0
    for part in range(state.sizes.shape[1]):
        held = beside * state.placed.parts[LIVE, part] + NULL_PAGES
        wide = wide and state.sizes[NEED, part] + held <= state.sizes[WIDEST, part]
        total += (state.sizes[NEED, part] + held) * state.sizes[PAGE_BYTES, part]
    return wide and total <= state.pool[POOL_BYTES]


@inner
def is_elastic(state: RebalancedParts) -> bool:
    """Whether parts may give way to each other: no request but one would notice."""
    return state.pool[HOLDERS] <= 1


@inner
def want(state: RebalancedParts) -> None:
    """Let WEIGHT be what a typical request holds, one page of each group at least."""
    for part in range(state.sizes.shape[1]):
        state.sizes[WEIGHT, part] = 0
    for group in range(len(state.part_of)):
        part = state.part_of[group]
        pages = max(typical_pages(state.typical, group), 1.0)
        state.sizes[WEIGHT, part] += round(pages * state.sizes[PAGE_BYTES, part])


@inner
def is_wanted(state: RebalancedParts) -> bool:
    """Whether there were enough samples, and the parts are too far from what they ask for."""
    pool, sizes = state.pool, state.sizes
    if pool[SAMPLES] < pool[MIN_SAMPLES]:
        return False
    for part in range(sizes.shape[1]):
        sizes[SPARE, part] = sizes[PAGES, part] * sizes[PAGE_BYTES, part]
    return deviates(sizes[SPARE], sizes[WEIGHT], pool[MORE], pool[LESS])


@inner
def rebalance(state: RebalancedParts) -> None:
    """Divide the pool anew. No part becomes smaller than what is held."""
    sizes = state.sizes
    for part in range(sizes.shape[1]):
        sizes[FLOOR, part] = state.placed.parts[LIVE, part] + NULL_PAGES
    divide_anew(sizes, state.pool[POOL_BYTES])
    _resize(state)
    for part in range(sizes.shape[1]):
        sizes[WIDEST, part] = max(sizes[WIDEST, part], sizes[PAGES, part])


@inner
def give_way(state: RebalancedParts) -> None:
    """Give parts that lack pages those that others can spare, the richest first; no more."""
    sizes, num_parts, lacking = state.sizes, state.sizes.shape[1], False
    for part in range(num_parts):
        sizes[SPARE, part] = free_of(state, part) - sizes[NEED, part]
        sizes[SIZE, part] = sizes[PAGES, part] + max(0, -sizes[SPARE, part])
        lacking = lacking or sizes[SPARE, part] < 0
    if not lacking:
        return
    over = bytes_of(state, SIZE) - state.pool[POOL_BYTES]
    for _ in range(num_parts):
        richest = 0
        for part in range(1, num_parts):
            spare = sizes[SPARE, part] * sizes[PAGE_BYTES, part]
            if spare > sizes[SPARE, richest] * sizes[PAGE_BYTES, richest]:
                richest = part
        page = sizes[PAGE_BYTES, richest]
        fewer = min(max(0, sizes[SPARE, richest]), (max(0, over) + page - 1) // page)
        sizes[SIZE, richest] -= fewer
        sizes[SPARE, richest] = 0
        over -= fewer * page
    _resize(state)


@inner
def _resize(state: RebalancedParts) -> None:
    """Change the parts; pages beyond the new end of one are copied to free places before it."""
    parts, sizes = state.placed.parts, state.sizes
    for part in range(sizes.shape[1]):
        base, room = parts[BASE, part], sizes[SIZE, part] - NULL_PAGES
        if parts[END, part] - base > room:
            copied = squeeze(state.placed, part, base, room)
            state.pool[MOVED_BYTES] += copied * sizes[PAGE_BYTES, part]
            state.pool[MOVED_LAUNCHES] += (copied + PAGES_PER_LAUNCH - 1) // PAGES_PER_LAUNCH
        sizes[PAGES, part] = sizes[SIZE, part]


@inner
def pay(state: RebalancedParts, moved: IntArray) -> None:
    """Hand over the copies that were not paid for."""
    moved[BYTES] += state.pool[MOVED_BYTES]
    moved[LAUNCHES] += state.pool[MOVED_LAUNCHES]
    state.pool[MOVED_BYTES] = state.pool[MOVED_LAUNCHES] = 0
