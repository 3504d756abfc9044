"""Block tables whose full blocks stay in the pool as a prefix cache: vLLM's ``KVCacheManager``.

Pages have an identity here, unlike in ``tables.py``: they are shared, keyed, and evicted in the
order of one free queue. All of that is compiled, in ``compiled.cached`` and ``policies/caching``;
this class gives each request that runs a seat, and turns arguments and answers.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ..configs.errors import InvariantError
from ..policies.base import NO_MOVES, Moves, Pages, Slack
from ..policies.batch import slack_size
from ..policies.caching import integrity, layout, sharing
from ..policies.caching.layout import IntArray
from ..policies.caching.rules import CacheRules
from ..policies.compiled import compiled
from ..policies.demand import admission_pages
from .cached_pool import CachedPool
from .compiled import cached, cached_head, cached_windows, contract, entries
from .compiled.cached_state import NEXT_KEY, CachedTables, make_tables
from .compiled.keys import GivenKeys
from .prefix_keys import PrefixKeys, TraceKeys
from .requests import NEVER, SEAT, STATUS, Requests, Status
from .scheduler import SchedulerConfig
from .table_contract import NO_HIT, Hit, growth_classes

__all__ = ["CachedBlockTables", "cached", "cached_head", "cached_windows"]


class CachedBlockTables:
    """Block tables over one pool of equal pages; see ``Tables`` for the methods."""

    def __init__(
        self,
        requests: Requests,
        rules: CacheRules,
        keys: PrefixKeys,
        config: SchedulerConfig,
        *,
        pool_bytes: int,
        longest: int,
    ) -> None:
        """Start with an empty pool; raises ConfigError if it holds no page.

        No sequence has more than ``longest`` tokens.
        """
        self.groups = rules.groups
        self.rules = rules
        self.pool = CachedPool(rules, config, pool_bytes)
        self.classes, self.class_of = growth_classes(self.groups)
        count = len(requests)
        self.state = make_tables(
            self.pool.arrays,
            None,
            rules,
            config,
            page_bytes=self.pool.page_bytes,
            pool_bytes=pool_bytes,
            num_requests=count,
            longest=longest,
        )
        self.read_keys(keys)
        shape = (3, len(self.classes), count)
        self._columns = np.zeros(shape, dtype=np.int64)
        self.allocated, self.expired, self.keyed = (
            tuple(memoryview(column) for column in kind) for kind in self._columns
        )
        self._requests = requests
        self._table = requests.table
        self._first_of = [self.class_of.index(index) for index in range(len(self.classes))]
        self._limits = (config.max_in_flight_tokens, config.max_model_len)
        self._seats = list(range(len(self.state.changed)))[::-1]
        self._seat_of = memoryview(requests.table[SEAT])
        self._quiet_until = memoryview(cast(Any, self.state.quiet))
        self._next_key = memoryview(self.state.seats[NEXT_KEY])
        self._class_labels = _class_labels(rules)
        self._need = np.zeros(len(self.groups), dtype=np.int64)
        self._slack = np.zeros(slack_size(len(self.groups)), dtype=np.int64)

    def read_keys(self, keys: PrefixKeys) -> None:
        """Take the keys of prefixes from ``keys``; before anything runs."""
        counters = self.pool.arrays.counters
        self._given_for = NEVER
        if isinstance(keys, TraceKeys):
            self._given: PrefixKeys | None = None
            source: Any = keys.arrays
            counters[layout.PRIVATE] = keys.arrays.own[0]
        else:
            self._given = keys
            width = self.state.known.shape[1]
            source = GivenKeys(np.zeros(width, dtype=np.int64), np.zeros(1, dtype=np.int64))
            counters[layout.PRIVATE] = np.iinfo(np.int64).max
        self.state = self.state._replace(keys=source)

    def held_pages(self) -> tuple[int, ...]:
        """See Tables."""
        return self.pool.held_pages()

    def free_pages(self) -> tuple[int, ...]:
        """See Tables."""
        return (self.pool.free_count,) * len(self.groups)

    def could_fit(self, slot: int, tokens: int) -> bool:
        """See Tables."""
        return bool(entries.possible(self.state, self._table, slot, tokens))

    def slack(self, refused: Pages | None, watermark: float) -> Slack:
        """See Tables."""
        del refused
        _slack(self.state, self._need, watermark, self._slack)
        groups, numbers = len(self.groups), self._slack.tolist()
        return Slack(
            internal=tuple(numbers[:groups]),
            external=tuple(numbers[groups : 2 * groups]),
            reserved=numbers[-2],
            free=numbers[-1],
            cached=tuple(numbers[2 * groups : 3 * groups]),
        )

    def begin_step(self) -> None:
        """See Tables."""
        entries.begin_step(self.state)

    def end_step(self) -> None:
        """See Tables."""
        if self.pool.arrays.counters[layout.PENDING]:
            entries.end_step(self.state)

    def tick(self, now_ns: int) -> Moves:
        """See Tables. Pages stay where they are."""
        del now_ns
        return NO_MOVES

    def due_ns(self) -> int | None:
        """See Tables."""
        return None

    def shared_pages(self, slots: Sequence[int], views: IntArray) -> IntArray:
        """Windowed pages that several of ``slots`` hold; see ``caching.sharing``."""
        found = [
            sharing.find_shared(self.state.pool, *self.table_of(slot), views, row)
            for row, slot in enumerate(slots)
        ]
        shared = np.concatenate(found, axis=1)
        return shared[:, np.lexsort((shared[sharing.SHARED], shared[sharing.VIEW]))]

    def table_of(self, slot: int) -> tuple[IntArray, IntArray]:
        """Pages and marks of a running request: see ``caching.layout``."""
        seat = self._table[SEAT, slot]
        return self.state.tables[seat], self.state.marks[seat]

    def check(self) -> None:
        """See Tables."""
        seated = np.flatnonzero(self._table[SEAT] != NEVER).tolist()
        integrity.check(self.state.pool, {slot: self.table_of(slot) for slot in seated})
        running = np.flatnonzero(self._table[STATUS] == Status.RUNNING).tolist()
        if seated != running:
            raise InvariantError(f"requests {seated} have tables, {running} run")

    def look_up(self, slot: int) -> Hit:
        """Longest cached prefix of a waiting request, at least one token short of its whole."""
        self._give_keys(slot)
        return Hit(*map(int, entries.look_up(self.state, self._table, slot)))

    def _give_keys(self, slot: int) -> None:
        """Write down the keys of a request for compiled code that cannot make them."""
        if self._given is None or self._given_for == slot or not self.rules.enabled:
            return
        found = self._given.of(slot, self.rules.hash_block_size)
        row, total = self.state.keys
        row[: len(found)], total[0] = found, len(found)
        self._given_for = slot

    def lacking(self, slot: int, hit: Hit, new: int, watermark: float, whole: bool) -> Pages | None:
        """See Tables."""
        need = self._need
        if entries.lacking(self.state, self._table, slot, hit.tokens, new, watermark, whole, need):
            return tuple(need.tolist())
        return None

    def allocate(self, slot: int, new: int, hit: Hit = NO_HIT) -> bool:
        """See Tables."""
        seat = self._seat_of[slot]
        if seat == NEVER:
            self._give_keys(slot)
            seat = self._seat_of[slot] = self._seats.pop()
        elif self._requests.computed[slot] + new <= self._quiet_until[seat]:
            return True
        done = entries.allocate(self.state, self._table, slot, new, hit.tokens)
        self._copy_columns(slot, seat)
        return bool(done)

    def commit(self, slot: int, tokens: int) -> None:
        """See Tables."""
        seat = self._seat_of[slot]
        if tokens >= self._next_key[seat]:
            entries.commit(self.state, self._table, slot, tokens)
            self._copy_columns(slot, seat)

    def limit(self, slot: int) -> tuple[str, int]:
        """See Tables."""
        limiter, lost = self.state.short[:, slot].tolist()
        return (self._class_labels[limiter - 1], lost) if limiter else ("", 0)

    def trim(self, slot: int) -> None:
        """See Tables. ``allocate`` does it."""

    def is_impossible(self, slot: int) -> bool:
        """See Tables. What never fits was rejected on arrival."""
        del slot
        return False

    def late_hits(self) -> dict[int, int]:
        """See Tables. Hits are known before pages are taken."""
        return {}

    @property
    def rule_columns(self) -> IntArray:
        """See SharedTables."""
        return self.state.pool.rules

    def free(self, slot: int) -> None:
        """Give back everything; what is keyed stays cached until its page is taken."""
        seat = self._seat_of[slot]
        if seat == NEVER:
            return
        entries.release(self.state, self._table, slot)
        self._columns[:, :, slot] = 0
        self._seat_of[slot] = self._given_for = NEVER
        self._seats.append(seat)

    def _copy_columns(self, slot: int, seat: int) -> None:
        """Copy the lengths that others read."""
        self._columns[0, :, slot] = self.state.allocated[:, seat]
        self._columns[1, :, slot] = self.state.expired[:, seat]
        self._columns[2, :, slot] = self.state.marks[seat, layout.CACHED, self._first_of]

    def batch(self, seats: int) -> CachedTables:
        """The arrays, for a compiled run with ``seats`` running requests at most."""
        assert seats <= len(self.state.changed)
        return self.state

    def admission_need(self, slot: int, tokens: int) -> tuple[int, ...]:
        """See Tables."""
        cross = self._requests.cross[slot]
        return tuple(admission_pages(g, tokens, cross, *self._limits) for g in self.groups)


def _class_labels(rules: CacheRules) -> tuple[str, ...]:
    """The kind that each lookup class is named after."""
    if not rules.enabled:
        return ()
    classes = rules.lookup_classes
    return tuple(
        rules.groups[classes.index(index)].contents[0].label for index in range(max(classes) + 1)
    )


# Contracts as Python calls them.


@compiled
def _slack(state: CachedTables, refused: IntArray, watermark: float, out: IntArray) -> None:
    contract.tables_slack(state, refused, watermark, out)
