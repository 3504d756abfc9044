"""Whole runs on Jenga's pool with a prefix cache: hits by definition, bytes page by page."""

import math
from collections import Counter
from fractions import Fraction
from functools import cache
from itertools import takewhile
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.specs import STATE_KINDS, LayerSpec, cdiv
from jenga_sim.policies.base import Content, PageGroup
from jenga_sim.policies.compiled import compiled
from jenga_sim.policies.large_pages.rules import WholePromptRules
from jenga_sim.sim.cached_usage import CachedUsageMeter
from jenga_sim.sim.compiled import contract
from jenga_sim.sim.compiled.large_state import HITS_NOTHING, LargeTables
from jenga_sim.sim.large_tables import LargePageTables
from jenga_sim.sim.prefix_keys import IntArray, TraceKeys
from jenga_sim.sim.recorder import StepRecord
from jenga_sim.sim.requests import Status
from jenga_sim.sim.run import Setup, make_replica, prepare
from jenga_sim.sim.table_contract import Hit
from jenga_sim.traces import Trace
from tests.sim.cached_runs import (
    BLOCK,
    LARGE,
    MOST_STEPS,
    LargeCase,
    large_cases,
    trace_of,
)
from tests.sim.strategies import GPU, examples, layer_mixes, tiny_model, whole_entries


def blocks_read(group: PageGroup, length: int, *, whole: bool) -> range:
    """Blocks that the token behind the first ``length`` reads, whole blocks of all groups."""
    first = 0
    if group.kind == "sliding_window":
        first = max(0, length - group.window + 1)
    elif group.kind == "chunked_local":
        first = length // group.window * group.window
    elif group.kind in STATE_KINDS:
        first = length - 1
    start, end = first // group.block_size, length // group.block_size
    if whole and group.kind == "sliding_window":
        # The artifact asks for a block more than a window may stretch over.
        start = max(0, end - cdiv(group.window, group.block_size) - 1)
    return range(start, end)


def hit_by_definition(tables: LargePageTables, known: TraceKeys, slot: int) -> int:
    """The longest length at which every kind finds cached what the next token reads."""
    whole = isinstance(tables.rules, WholePromptRules)
    alignment = math.lcm(*(group.block_size for group in tables.groups))
    keys = {g.block_size: known.of(slot, g.block_size).tolist() for g in tables.groups}

    @cache
    def is_cached(index: int, block: int) -> bool:
        group = tables.groups[index]
        key = keys[group.block_size][block]
        parts = [(key, part) for part in range(group.pages_per_block)]
        return None not in tables.pool.find(index, parts, to_gap=False)

    longest = (tables._requests.num_tokens(slot) - 1) // alignment * alignment
    for length in range(longest, 0, -alignment):
        if all(
            is_cached(index, block)
            for index, group in enumerate(tables.groups)
            for block in blocks_read(group, length, whole=whole)
        ):
            return length
    return 0


def common(left: list[int], right: list[int]) -> int:
    """Leading ids that are the same."""
    pairs = zip(left, right, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def shared_tokens(trace: Trace, slot: int) -> int:
    """Tokens of the longest prefix that a prompt shares with any other one, in whole hash ids."""
    ids = [trace.hash_ids(index).tolist() for index in range(len(trace))]
    others = ids[:slot] + ids[slot + 1 :]
    return BLOCK * max(common(ids[slot], other) for other in others)


@compiled
def _window_excess(
    state: LargeTables, table: IntArray, running: IntArray, views: IntArray, out: IntArray
) -> None:
    contract.window_excess(state, table, running, len(running), views, out)


class Watch:
    """Asks of every lookup and every step of a replica what they should have found."""

    def __init__(self, setup: Setup, seen: Counter[str]) -> None:
        self.trace, self.seen = setup.trace, seen
        self.replica = replica = make_replica(setup, fast=False, check=True)
        replica.hooks.should_stop = lambda: replica.recorder.num_steps > MOST_STEPS
        self.keys = TraceKeys(setup.trace)
        self.tables = cast(LargePageTables, replica.scheduler.tables)
        assert isinstance(self.tables, LargePageTables)
        self._look_up, self._step = self.tables.look_up, replica.recorder.step
        self.tables.look_up = self.look_up
        replica.recorder.step = self.step

    def look_up(self, slot: int) -> Hit:
        hit, expected = self._look_up(slot), hit_by_definition(self.tables, self.keys, slot)
        preempted_itself = self.tables.state.short[HITS_NOTHING, slot]
        stands_in_its_own_way = not self.running() or preempted_itself
        if hit.tokens or not stands_in_its_own_way:
            assert hit.tokens == expected
        self.seen["lookups"] += 1
        self.seen["lookups that hit"] += hit.tokens > 0
        self.seen["hits given up"] += hit.tokens < expected
        return hit

    def running(self) -> list[int]:
        status = self.replica.requests.status
        return [slot for slot in range(len(status)) if status[slot] == Status.RUNNING]

    def step(self, record: StepRecord) -> None:
        """Law 1; and page by page, what requests hold and what running ones read."""
        slack, pool, groups = record.slack, self.tables.pool, self.tables.groups
        bytes_in_use = slack.reserved + slack.free
        assert sum(map(sum, record.parts)) + bytes_in_use == self.replica.recorder.pool_bytes
        held = sum(pool.num_held(index) * g.page_bytes for index, g in enumerate(groups))
        apart = sum(slack.internal) + sum(slack.external) + sum(slack.cached)
        assert held + apart + bytes_in_use == self.replica.recorder.pool_bytes
        assert slack.cached == tuple(
            len(idle) * group.page_bytes for idle, group in zip(pool.idle, groups, strict=True)
        )
        if self.seen["steps"] % 7 == 0:
            self.count_tokens(record)
            self.check_windows()
        self.seen["steps"] += 1
        self.seen["cached"] += any(slack.cached)

    def check_windows(self) -> None:
        """What compiled code says that sums over requests count too often."""
        running, meter = self.replica.scheduler.running, self.replica.meter
        if not isinstance(meter, CachedUsageMeter) or not running:
            return
        views = meter._view_array
        found = np.full((2, views.shape[1]), 99, dtype=np.int64)
        slots = np.array(running, dtype=np.int64)
        _window_excess(self.tables.state, self.replica.requests.table, slots, views, found)
        expected = meter.rows(self.replica.requests, running).excess
        assert found.tolist() == expected.tolist()
        self.seen["shared windows"] += bool(found.any())

    def count_tokens(self, record: StepRecord) -> None:
        expected = self.needed()
        for label, found in zip(self.replica.meter.labels, record.parts[0], strict=True):
            assert found == expected[label]

    def needed(self) -> dict[str, Fraction]:
        """Bytes by label that some running request reads, every page once."""
        found: dict[str, Fraction] = {label: Fraction(0) for label in self.replica.meter.labels}
        for index, group in enumerate(self.tables.groups):
            for content in group.contents:
                if content.state_bytes:
                    each = Fraction(content.state_bytes, group.pages_per_block)
                    found[content.label] += self.tables.pool.num_held(index) * each
                else:
                    each = Fraction(content.entry_bytes, group.pages_per_block)
                    live = self.live(index, group, content)
                    entry = content.tokens_per_entry
                    entries = sum(len({at // entry for at in places}) for places in live.values())
                    found[content.label] += entries * each
        return found

    def live(self, index: int, group: PageGroup, content: Content) -> dict[int, set[int]]:
        """Page -> places in its block that some request reads."""
        live: dict[int, set[int]] = {}
        for slot in self.running():
            start, text = self.first_live(slot, content)
            gone, pages = self.tables.held_by(slot, index)
            for place, page in enumerate(pages.tolist(), gone):
                first = place // group.pages_per_block * group.block_size
                end = min(first + group.block_size, text)
                live.setdefault(page, set()).update(
                    at - first for at in range(max(first, start), end)
                )
        return live

    def first_live(self, slot: int, content: Content) -> tuple[int, int]:
        """First token that a request reads in this step, and its length."""
        requests = self.replica.requests
        text = requests.computed[slot]
        processed = text - max(requests.chunk[slot], requests.in_flight[slot])
        if content.kind in ("sliding_window", "compressor"):
            return max(0, processed - content.window + 1), text
        if content.kind == "chunked_local":
            return processed // content.window * content.window, text
        return 0, text

    def reads_something(self, hit: int) -> bool:
        """False where a chunk begins, and for a window of one token, if there is no other kind."""
        whole = isinstance(self.tables.rules, WholePromptRules)
        return any(blocks_read(group, hit, whole=whole) for group in self.tables.groups)

    def run(self) -> None:
        """To the end: nothing waits for ever, and no hit without a shared prefix."""
        replica, trace = self.replica, self.trace
        replica.run()
        assert not replica.truncated, "the run makes no progress"
        assert set(replica.requests.status) <= {Status.FINISHED, Status.REJECTED}
        for slot, hit in enumerate(replica.requests.hit):
            if hit > 0 and self.reads_something(hit):
                assert hit <= shared_tokens(trace, slot)
            else:
                self.seen["hits of nothing"] += hit > 0
        self.seen["runs"] += 1
        self.seen["hits"] += any(hit > 0 for hit in replica.requests.hit)
        self.seen["preemptions"] += any(replica.requests.preemptions)


@pytest.mark.parametrize("policy", LARGE)
def test_runs_end_and_hit_what_is_cached_and_every_page_is_accounted_for(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(5)
    @given(case=large_cases(policy))
    def holds(case: LargeCase) -> None:
        watch = Watch(case.setup(), seen)
        watch.run()
        assert not watch.replica.rejected, "the pool holds the largest of them"

    holds()
    print(dict(seen))
    assert seen["hits"] >= 0.3 * seen["runs"]
    assert seen["preemptions"] >= 0.1 * seen["runs"]
    assert seen["cached"] >= 0.5 * seen["steps"]
    assert seen["shared windows"] >= 5


MIXES = layer_mixes(("full", "sliding_window", "chunked_local", "mla", "compressor"), most=3)


@pytest.mark.parametrize("policy", ["lcm", "gcd pages", "jenga"])
def test_in_small_models_a_hit_is_what_every_kind_finds(policy: str) -> None:
    """Odd windows and blocks; pools of any size."""
    seen: Counter[str] = Counter()

    @examples(15)
    @given(layers=MIXES, seed=st.integers(0, 1 << 30), room=st.integers(1, 8), data=st.data())
    def holds(layers: tuple[LayerSpec, ...], seed: int, room: int, data: st.DataObject) -> None:
        trace = trace_of(seed, count=10, longest=200, gap_ns=2_000_000, share=True)
        model = tiny_model(layers, 600)
        try:
            setup = prepare(
                trace,
                model=model,
                gpu=GPU,
                policy=LARGE[policy],
                kv_cache_memory_bytes=room * 10_000,
                block_size=whole_entries(model, data.draw(st.sampled_from([4, 8, 16]))),
                max_num_batched_tokens=data.draw(st.sampled_from([32, 128, 512])),
                max_num_seqs=8,
                async_scheduling=data.draw(st.booleans()),
            )
        except ConfigError as error:
            if "nothing can be served" not in str(error):
                raise
            seen["too large a page"] += 1
            return
        Watch(setup, seen).run()

    holds()
    print(dict(seen))
    assert seen["runs"] >= 6
    assert seen["lookups that hit"] >= 50
