"""Block tables over Jenga's two levels of pages, with a prefix cache or without.

What happens to the pages is compiled, in ``compiled.large`` and ``policies.large_pages``; this
class gives each request that runs a seat, and turns arguments and answers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..configs.errors import InvariantError
from ..policies.base import NO_MOVES, Moves, PageGroup, Pages, Slack
from ..policies.carving.lcm import LCMCarving
from ..policies.compiled import compiled
from ..policies.large_pages import rule_kernels
from ..policies.large_pages.layout import PRIVATE, SHIFT
from ..policies.large_pages.rule_kernels import chunked_arrays
from ..policies.large_pages.rules import ChunkedRules, TableRules, WholePromptRules
from ..policies.large_pages.whole_prompts import whole_prompt_arrays
from .compiled import contract, entries, large, large_running, large_windows
from .compiled.large_keys import unit_keys, write_down
from .compiled.large_state import (
    GONE,
    KEYED,
    LENGTH,
    LIMITER,
    LOST_TOKENS,
    NEXT_KEY,
    LargeTables,
    make_tables,
)
from .prefix_keys import IntArray, PrefixKeys, TraceKeys
from .requests import MAX_TOKENS, NEVER, PROMPT, SEAT, STATUS, Requests, Status
from .table_contract import NO_HIT, Hit, growth_classes

__all__ = ["LargePageTables", "large", "large_running", "large_windows"]


class LargePageTables:
    """Block tables over the pool of an ``LCMCarving``; see ``Tables`` for the methods."""

    def __init__(
        self,
        requests: Requests,
        carving: LCMCarving,
        keys: PrefixKeys | None,
        rules: TableRules,
        *,
        watermark: float = 0.0,
        counts_steps: bool = False,
        seats: int | None = None,
        longest: int | None = None,
    ) -> None:
        """``keys`` None: nothing is cached. ``watermark``: share that every admission leaves.

        ``counts_steps``: times are steps, as in the artifact. Otherwise they count what was given
        back. At most ``seats`` requests run at once, and no sequence that is served has more than
        ``longest`` tokens; None: all requests, and all of them.
        """
        self.groups = carving.groups
        self.carving = carving
        self.pool = carving.pages
        self.rules = rules
        self.caches = keys is not None
        self.classes, self.class_of = growth_classes(self.groups)
        self._table = requests.table
        count = len(requests)
        seats = max(1, count if seats is None else min(seats, count))
        if longest is None:
            longest = int((self._table[PROMPT] + self._table[MAX_TOKENS]).max(initial=0))
        cross = max(requests.cross, default=0)
        carving.grow(seats)
        self._given, source = _key_source(keys, self.groups, longest)
        self._given_for = NEVER
        self.state = make_tables(
            carving.state,
            source,
            _rule_arrays(rules, self.groups),
            self.groups,
            seats=seats,
            requests=count,
            width=max(rules.length(g, longest, cross) + g.pages_per_block for g in self.groups),
            longest=longest,
            caching=self.caches,
            counts_steps=counts_steps,
            left_free=int(watermark * self.pool.num_large),
        )
        counts = self.state.pool.counts
        counts[SHIFT] = min(group.block_size for group in self.groups).bit_length() - 1
        if isinstance(keys, TraceKeys):
            counts[PRIVATE] = keys.arrays.own[0]
        self._columns = np.zeros((3, len(self.classes), count), dtype=np.int64)
        allocated, expired, keyed = (
            tuple(memoryview(column) for column in kind) for kind in self._columns
        )
        self.allocated, self.expired = allocated, expired
        self.keyed = keyed if self.caches else ()
        self._requests = requests
        self._first_of = [self.class_of.index(index) for index in range(len(self.classes))]
        self._seats = list(range(seats))[::-1]
        self._seat_of = memoryview(self._table[SEAT])
        self._quiet_until = self.state.quiet.data
        self._next_key = self.state.seats[NEXT_KEY].data
        self._need = np.zeros(len(self.groups), dtype=np.int64)

    def batch(self, seats: int) -> LargeTables:
        """The arrays, for a compiled run with ``seats`` running requests at most."""
        assert seats <= len(self.state.changed)
        return self.state

    @property
    def rule_columns(self) -> IntArray:
        """Block size of each group as the meter of shared pages reads it."""
        # The row BLOCK of ``caching.layout``.
        return np.array([[0] * len(self.groups), [g.block_size for g in self.groups]], np.int64)

    def begin_step(self) -> None:
        """See Tables."""
        entries.begin_step(self.state)

    def end_step(self) -> None:
        """See Tables."""
        entries.end_step(self.state)

    def tick(self, now_ns: int) -> Moves:
        """See Tables. Large pages never move."""
        del now_ns
        return NO_MOVES

    def due_ns(self) -> int | None:
        """See Tables."""
        return None

    def look_up(self, slot: int) -> Hit:
        """See Tables. While nobody holds a page, a hit that stands in its own way is no hit."""
        if not self.caches:
            return NO_HIT
        self._give_keys(slot)
        return Hit(*map(int, entries.look_up(self.state, self._table, slot)))

    def _give_keys(self, slot: int) -> None:
        """Write down the keys of a request for compiled code that cannot make them."""
        if self._given is not None and self._given_for != slot:
            write_down(self.state.keys, self._given, slot)
            self._given_for = slot

    def lacking(self, slot: int, hit: Hit, new: int, watermark: float, whole: bool) -> Pages | None:
        """See Tables."""
        need = self._need
        if entries.lacking(self.state, self._table, slot, hit.tokens, new, watermark, whole, need):
            return tuple(need.tolist())
        return None

    def is_impossible(self, slot: int) -> bool:
        """See Tables. What never fits was rejected on arrival."""
        del slot
        return False

    def late_hits(self) -> dict[int, int]:
        """See Tables. Hits are known before pages are taken."""
        return {}

    def allocate(self, slot: int, new: int, hit: Hit = NO_HIT) -> bool:
        """See Tables."""
        seat = self._seat_of[slot]
        admitted = seat == NEVER
        if admitted:
            self._give_keys(slot)
            seat = self._seat_of[slot] = self._seats.pop()
        done = bool(entries.allocate(self.state, self._table, slot, new, hit.tokens))
        if admitted and not done:
            self._seats.append(seat)
            self._seat_of[slot] = NEVER
        else:
            self._copy_columns(slot, seat)
        return done

    def commit(self, slot: int, tokens: int) -> None:
        """See Tables."""
        seat = self._seat_of[slot]
        if self.caches and tokens >= self._next_key[seat]:
            entries.commit(self.state, self._table, slot, tokens)
            self._copy_columns(slot, seat)

    def trim(self, slot: int) -> None:
        """Give back the pages that no step will read."""
        seat = self._seat_of[slot]
        if self._requests.computed[slot] >= self._quiet_until[seat]:
            _trim(self.state, self._table, slot)
            self._copy_columns(slot, seat)

    def free(self, slot: int) -> None:
        """See Tables. What is cached stays so until its page is taken."""
        seat = self._seat_of[slot]
        if seat != NEVER:
            entries.release(self.state, self._table, slot)
            self._columns[:, :, slot] = 0
            self._seat_of[slot] = NEVER
            self._seats.append(seat)

    def _copy_columns(self, slot: int, seat: int) -> None:
        """Copy the lengths that others read."""
        state = self.state
        self._columns[0, :, slot] = state.allocated[:, seat]
        self._columns[1, :, slot] = state.expired[:, seat]
        self._columns[2, :, slot] = state.marks[seat, self._first_of, KEYED]

    def limit(self, slot: int) -> tuple[str, int]:
        """See Tables."""
        limiter = int(self.state.short[LIMITER, slot])
        lost = int(self.state.short[LOST_TOKENS, slot])
        return (self.groups[limiter - 1].contents[0].label, lost) if limiter else ("", 0)

    def held_pages(self) -> tuple[int, ...]:
        """See Tables."""
        if not self.caches:
            return ()
        return tuple(self.pool.num_held(index) for index in range(len(self.groups)))

    def could_fit(self, slot: int, tokens: int) -> bool:
        """See Tables."""
        return bool(entries.possible(self.state, self._table, slot, tokens))

    def admission_need(self, slot: int, tokens: int) -> Pages:
        """See Tables."""
        need = self._need
        _admission_need(self.state, tokens, self._requests.cross[slot], need)
        return tuple(need.tolist())

    def slack(self, refused: Pages | None, watermark: float) -> Slack:
        """See Tables."""
        return self.carving.slack(refused, watermark)

    def free_pages(self) -> tuple[int, ...]:
        """See Tables."""
        return self.carving.free_pages()

    def held_by(self, slot: int, group: int) -> tuple[int, IntArray]:
        """Entries of a running request's table that have no page any more, and the pages behind."""
        seat = self._seat_of[slot]
        gone, length = self.state.marks[seat, group, [GONE, LENGTH]].tolist()
        return gone, self.state.pages[seat, group, gone:length]

    def shared_pages(self, slots: Sequence[int], views: IntArray) -> IntArray:
        """Windowed pages that several of ``slots`` hold; see ``caching.sharing``."""
        found: list[tuple[int, int, int, int]] = []
        for view, group in enumerate(views[0].tolist()):
            if not self.pool.num_extra(group):
                continue
            each = self.groups[group].pages_per_block
            for row, slot in enumerate(slots):
                gone, pages = self.held_by(slot, group)
                several = np.flatnonzero(self.pool.holders_of(group, pages) > 1)
                places, shared = ((gone + several) // each).tolist(), pages[several].tolist()
                found += [(row, view, at, p) for at, p in zip(places, shared, strict=True)]
        found.sort(key=lambda each: (each[1], each[3]))
        return np.array(found, dtype=np.int64).reshape(-1, 4).T.copy()

    def check(self) -> None:
        """See Tables."""
        self.pool.check()
        seated = np.flatnonzero(self._table[SEAT] != NEVER).tolist()
        for group in range(len(self.groups)):
            held = [self.held_by(slot, group)[1] for slot in seated]
            pages, counts = np.unique(np.concatenate([[], *held]).astype(int), return_counts=True)
            wrong = (self.pool.holders_of(group, pages) != counts).any()
            if wrong or len(pages) != self.pool.num_held(group):
                raise InvariantError(f"group {group}: pages have other holders than their tables")
        running = np.flatnonzero(self._table[STATUS] == Status.RUNNING).tolist()
        if seated != running:
            raise InvariantError(f"requests {seated} have tables, {running} run")


def _rule_arrays(rules: TableRules, groups: Sequence[PageGroup]) -> Any:
    if isinstance(rules, ChunkedRules):
        return chunked_arrays(rules, groups)
    assert isinstance(rules, WholePromptRules)
    return whole_prompt_arrays(rules, groups)


def _key_source(
    keys: PrefixKeys | None, groups: Sequence[PageGroup], longest: int
) -> tuple[PrefixKeys | None, Any]:
    """Keys that Python must write down, and where compiled code finds them."""
    if isinstance(keys, TraceKeys):
        return None, keys.arrays
    units = sorted({group.block_size for group in groups})
    return keys, unit_keys(units, longest if keys else 0)


# Contracts as Python calls them.


@compiled
def _admission_need(state: LargeTables, tokens: int, cross: int, need: IntArray) -> None:
    for group in range(len(need)):
        need[group] = rule_kernels.admission(state.rules, group, tokens, cross)


@compiled
def _trim(state: LargeTables, table: IntArray, slot: int) -> None:
    contract.trim(state, table, slot)
