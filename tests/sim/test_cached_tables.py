"""Block tables with a prefix cache: what they change, and where the bytes of shared pages are."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim import Trace
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.specs import LayerSpec
from jenga_sim.policies.caching import layout
from jenga_sim.policies.caching.layout import IntArray
from jenga_sim.sim.cached_tables import CachedBlockTables
from jenga_sim.sim.engine import Replica
from jenga_sim.sim.requests import Requests
from jenga_sim.sim.result import Result
from jenga_sim.sim.run import make_replica, make_result, prepare
from jenga_sim.sim.usage import Rows
from tests.sim.cached_runs import ATTENTION, Case, cases, trace_of
from tests.sim.strategies import GPU, examples, layer_mixes, tiny_model, whole_entries

# --- keys that never come again change nothing


class NewKeys:
    """Keys that nobody ever had: a request that was preempted does not even find its own."""

    def __init__(self, trace: Trace) -> None:
        self._totals = (trace.input_tokens + trace.output_tokens).tolist()
        self._next = 0

    def of(self, slot: int, unit: int) -> IntArray:
        first = self._next
        self._next += self._totals[slot]
        return np.arange(first, first + self._totals[slot] // unit, dtype=np.int64)


def result_of(case: Case, *, fast: bool) -> Result:
    setup = case.setup()
    replica = make_replica(setup, fast=fast, check=True)
    if isinstance(replica.scheduler.tables, CachedBlockTables):
        replica.scheduler.tables.read_keys(NewKeys(setup.trace))
    replica.run()
    return make_result(setup, replica)


@pytest.mark.parametrize("model", ATTENTION)
def test_a_cache_that_hits_nothing_changes_no_decision_and_no_byte_that_is_held(
    model: str,
) -> None:
    """Only what is free is told apart: pages that a lookup could find, and empty ones."""
    seen: Counter[str] = Counter()

    @examples(15)
    @given(case=cases((model,)), fast=st.booleans())
    def holds(case: Case, fast: bool) -> None:
        on, off = result_of(case, fast=fast), result_of(case.without_cache(), fast=fast)
        assert on.summary["prefix_caching"]
        assert not off.summary["prefix_caching"]
        assert on.requests.equals(off.requests)
        same = ["start_ms", "duration_ms", "running", "waiting", "served", "tokens"]
        same += ["prefill_tokens", "needed", "dead", "internal"]
        assert on.steps[same].equals(off.steps[same])
        # An empty page is free as a whole; one that is cached has its padding.
        loose = ["free", "cached", "padding", "reserved"]
        assert (on.steps[loose].sum(axis=1) == off.steps[loose].sum(axis=1)).all()
        if case.engine["watermark"] == 0:
            assert (on.steps["reserved"] == off.steps["reserved"]).all()
        assert not off.steps["cached"].any()
        seen["runs"] += 1
        seen["async"] += bool(case.engine["async_scheduling"])
        seen["cached"] += bool(on.steps["cached"].any())
        seen["preempted"] += bool(on.summary["num_preemptions"])

    holds()
    print(dict(seen))
    assert seen["cached"] >= 10
    assert seen["async"] >= 3
    assert seen["preempted"] >= 3


# --- memory of shared pages


def shared_run(second_at: int, outputs: tuple[int, int]) -> Replica:
    """Two requests with one prompt of 1,000 tokens; the second arrives while the first decodes."""
    setup = prepare(
        Trace.from_columns(
            [0, second_at], [1000, 1000], outputs, hash_ids=[list(range(16))] * 2, block_size=64
        ),
        model="llama-3.1-8b",
        gpu="h100-sxm",
        policy="vllm",
        async_scheduling=False,
    )
    return make_replica(setup, fast=False, check=True)


def test_a_prompt_sent_again_while_the_first_runs_is_held_once() -> None:
    """62 of its 63 blocks are shared: 992 tokens of 131,072 bytes in 32 layers."""
    replica = shared_run(200_000_000, (100, 40))
    per_token = 32 * 2 * 8 * 128 * 2
    both = 0
    rows_of = replica.meter.rows

    def rows(requests: Requests, slots: list[int]) -> Rows:
        nonlocal both
        found = rows_of(requests, slots)
        needed = int(replica.meter.kind_bytes(found).needed.sum())
        tokens = [requests.computed[slot] for slot in slots]
        assert needed == (sum(tokens) - 992 * (len(slots) - 1)) * per_token
        blocks = [-(-length // 16) for length in tokens]
        assert sum(replica.scheduler.tables.held_pages()) == sum(blocks) - 62 * (len(slots) - 1)
        both += len(slots) == 2
        return found

    replica.meter.rows = rows
    replica.run()
    assert both == 40
    assert list(replica.requests.hit) == [0, 992]


def test_what_is_left_is_cached_until_it_is_taken() -> None:
    """At the end nobody holds a page; 67 full blocks of the first request answer lookups."""
    replica = shared_run(0, (81, 1))
    replica.run()
    tables = replica.scheduler.tables
    assert isinstance(tables, CachedBlockTables)
    assert tables.held_pages() == (0,)
    assert tables.pool.free_count == tables.pool.num_pages - 1
    assert tables.pool.idle_pages() == (tables.pool.num_keys,) == (1080 // 16,)


Kinds = dict[str, tuple[int, int]]
"""Needed and dead bytes by label."""


def counted(replica: Replica, requests: Requests, slots: list[int]) -> Kinds:
    """Token by token: what some running request reads of each page, every page once."""
    tables = replica.scheduler.tables
    assert isinstance(tables, CachedBlockTables)
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for number, group in enumerate(tables.groups):
        for content in group.contents:
            live: dict[int, set[int]] = defaultdict(set)
            for slot in slots:
                pages, marks = tables.table_of(slot)
                text = requests.computed[slot]
                processed = text - max(requests.chunk[slot], requests.in_flight[slot])
                start = 0
                if content.kind in ("sliding_window", "compressor"):
                    start = max(0, processed - content.window + 1)
                elif content.kind == "chunked_local":
                    start = processed // content.window * content.window
                for index in range(int(marks[layout.LENGTH, number])):
                    page = int(pages[number, index])
                    if page != layout.NULL:
                        first = index * group.block_size
                        end = min(first + group.block_size, text)
                        live[page] |= {place - first for place in range(max(first, start), end)}
            entry = content.tokens_per_entry
            entries = sum(len({place // entry for place in places}) for places in live.values())
            found[content.label][0] += entries * content.entry_bytes
            dead = sum(not places for places in live.values()) * group.block_size // entry
            found[content.label][1] += dead * content.entry_bytes
    return {label: (needed, dead) for label, (needed, dead) in found.items()}


class Shared:
    """Counts every step of a replica and compares."""

    def __init__(self, replica: Replica, seen: Counter[str]) -> None:
        self.replica, self.seen = replica, seen
        self.rows_of = replica.meter.rows
        replica.meter.rows = self.rows

    def rows(self, requests: Requests, slots: list[int]) -> Rows:
        found = self.rows_of(requests, slots)
        meter = self.replica.meter
        kinds = meter.kind_bytes(found)
        pairs = zip(kinds.needed[0].tolist(), kinds.dead[0].tolist(), strict=True)
        assert dict(zip(meter.labels, pairs, strict=True)) == counted(self.replica, requests, slots)
        self.seen["steps"] += 1
        self.seen["shared windows"] += bool(found.excess.any())
        return found


REFUSED = ("cannot group this model", "vLLM 0.33 itself stops here")
MIXES = layer_mixes(("full", "sliding_window", "chunked_local", "mla", "compressor"), most=3)


def test_a_hit_of_a_block_that_nobody_holds_needs_no_bytes_for_it() -> None:
    layer = LayerSpec(
        kind="chunked_local", variant="c", heads=2, kv_heads=1, k_dim=1, v_dim=1, window=24
    )
    setup = prepare(
        Trace.from_columns([0], [30], [2], hash_ids=[[1, 2]], block_size=16),
        model=tiny_model([layer], 600),
        gpu=GPU,
        policy="vllm",
        kv_cache_memory_bytes=60_000,
        block_size=16,
        async_scheduling=False,
    )
    seen: Counter[str] = Counter()
    replica = make_replica(setup, fast=False)
    Shared(replica, seen)
    replica.run()
    assert seen["steps"] == 2


@pytest.mark.parametrize("policy", ["vllm", "vllm-nohybrid"])
def test_a_token_that_several_requests_read_is_needed_once(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(25)
    @given(layers=MIXES, seed=st.integers(0, 1 << 30), room=st.integers(1, 8), data=st.data())
    def holds(layers: tuple[LayerSpec, ...], seed: int, room: int, data: st.DataObject) -> None:
        model = tiny_model(layers, 600)
        trace = trace_of(seed, count=10, longest=200, gap_ns=2_000_000, share=True)
        settings: dict[str, Any] = {
            "kv_cache_memory_bytes": room * 60_000,
            "max_num_batched_tokens": data.draw(st.sampled_from([32, 128, 512])),
            "block_size": whole_entries(model, data.draw(st.sampled_from([4, 8, 16]))),
            "max_num_seqs": 8,
            "async_scheduling": data.draw(st.booleans()),
        }
        try:
            setup = prepare(trace, model=model, gpu=GPU, policy=policy, **settings)
        except ConfigError as error:
            if not any(words in str(error) for words in REFUSED):
                raise
            return
        replica = make_replica(setup, fast=False)
        Shared(replica, seen)
        replica.run()
        seen["hits"] += any(hit > 0 for hit in replica.requests.hit)

    holds()
    print(dict(seen))
    assert seen["steps"] >= 2000
    assert seen["hits"] >= 10
    assert seen["shared windows"] >= 100
