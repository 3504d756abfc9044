"""What the compiled block tables remember or count up, beside the same from scratch."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given

from jenga_sim.policies.caching import layout
from jenga_sim.policies.compiled import compiled
from jenga_sim.sim.cached_tables import CachedBlockTables
from jenga_sim.sim.cached_usage import CachedUsageMeter
from jenga_sim.sim.compiled import contract
from jenga_sim.sim.compiled.cached_state import ANSWER, IDLE, NEXT_KEY, CachedTables
from jenga_sim.sim.engine import Replica
from jenga_sim.sim.requests import COMPUTED, NEVER, SEAT, Requests
from jenga_sim.sim.run import make_replica
from jenga_sim.sim.table_contract import NO_HIT, Hit
from jenga_sim.sim.usage import IntArray, Rows
from tests.sim.cached_runs import COMPRESSED, MODELS, Case, cases
from tests.sim.strategies import examples

WINDOWED = ("gemma-3-27b", "llama-4-scout", "gpt-oss-20b", COMPRESSED)


@compiled
def window_excess(
    state: CachedTables, table: IntArray, running: IntArray, views: IntArray, out: IntArray
) -> None:
    """For Python."""
    contract.window_excess(state, table, running, len(running), views, out)


class Beside:
    """Asks the tables of a replica everything twice."""

    def __init__(self, replica: Replica, seen: Counter[str]) -> None:
        assert isinstance(replica.scheduler.tables, CachedBlockTables)
        assert isinstance(replica.meter, CachedUsageMeter)
        self.tables, self.meter, self.seen = replica.scheduler.tables, replica.meter, seen
        self.table, self.counters = replica.requests.table, self.tables.state.pool.counters
        self.plain_look_up, self.plain_rows = self.tables.look_up, replica.meter.rows
        self.plain_allocate, self.plain_commit = self.tables.allocate, self.tables.commit
        self.tables.look_up, replica.meter.rows = self.look_up, self.rows
        self.tables.allocate, self.tables.commit = self.allocate, self.commit

    def look_up(self, slot: int) -> Hit:
        before = int(self.counters[layout.LOOKUPS])
        hit, idle = self.plain_look_up(slot), int(self.tables.state.head[ANSWER, IDLE])
        self.seen["lookups"] += 1
        self.seen["remembered"] += before == int(self.counters[layout.LOOKUPS])
        self.counters[layout.STALE] = 1
        assert self.plain_look_up(slot) == hit
        assert int(self.tables.state.head[ANSWER, IDLE]) == idle
        return hit

    def allocate(self, slot: int, new: int, hit: Hit = NO_HIT) -> bool:
        state, table = self.tables.state, self.table
        seat, end = table[SEAT, slot], table[COMPUTED, slot] + new
        if seat == NEVER or end > state.quiet[seat]:
            return self.plain_allocate(slot, new, hit)
        self.seen["quiet"] += 1
        with self.nothing_changes(seat):
            state.quiet[seat] = 0
            assert self.plain_allocate(slot, new, hit)
        return True

    def commit(self, slot: int, tokens: int) -> None:
        state, seat = self.tables.state, self.table[SEAT, slot]
        if tokens >= state.seats[NEXT_KEY, seat]:
            self.plain_commit(slot, tokens)
            return
        self.seen["no key"] += 1
        with self.nothing_changes(seat):
            state.seats[NEXT_KEY, seat] = 0
            self.plain_commit(slot, tokens)

    @contextmanager
    def nothing_changes(self, seat: int) -> Generator[None]:
        """But that the functions were called."""
        state = self.tables.state
        arrays = (*state.pool, state.tables[seat], state.marks[seat], state.quiet, state.seats)
        arrays += (state.allocated, state.expired, state.changed)
        before = [array.copy() for array in arrays]
        yield
        for array, expected in zip(arrays, before, strict=True):
            assert (array == expected).all()

    def rows(self, requests: Requests, slots: list[int]) -> Rows:
        rows = self.plain_rows(requests, slots)
        views = self.meter.view_array
        out = np.full((2, views.shape[1]), -7, dtype=np.int64)
        running = np.array(slots, dtype=np.int64)
        window_excess(self.tables.state, requests.table, running, views, out)
        assert out.tolist() == rows.excess.tolist()
        scratch = self.tables.state.pool.pages[:, [layout.CUT, layout.MOST_READ]]
        assert not scratch.any()
        self.seen["excess"] += bool(out.any())
        self.seen["dead twice"] += bool(out[1].any())
        return rows


@pytest.mark.parametrize("model", MODELS)
def test_what_is_remembered_and_what_is_left_out_is_what_would_come_out(model: str) -> None:
    """Lookups, shared windows, and calls that change nothing; as often as a run asks."""
    seen: Counter[str] = Counter()

    @examples(12)
    @given(case=cases((model,)))
    def holds(case: Case) -> None:
        replica = make_replica(case.setup(), fast=False)
        Beside(replica, seen)
        replica.run()

    holds()
    print(dict(seen))
    assert seen["quiet"] >= 500
    assert seen["no key"] >= 100
    assert seen["remembered"] >= 20
    assert seen["remembered"] < seen["lookups"]
    assert seen["excess"] >= (20 if model in WINDOWED else 0)
