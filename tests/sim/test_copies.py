"""Copies within the pool: the step that needed the room waits for them, to the nanosecond."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given

from jenga_sim.configs.load import load_gpu, load_model
from jenga_sim.configs.specs import Kind, LayerSpec
from jenga_sim.policies.base import NO_MOVES, Moves, PageGroup, Pages
from jenga_sim.policies.carving import typical
from jenga_sim.policies.carving.rebalance import Rebalance
from jenga_sim.policies.carving.single import SinglePool
from jenga_sim.policies.presets import PRESETS, get_policy
from jenga_sim.sim.latency import COPY_START_US, MEMORY_FACTOR, AnalyticalLatency, StepShape
from jenga_sim.sim.run import make_replica, prepare
from jenga_sim.traces import Trace
from tests.sim.strategies import (
    Arrival,
    Run,
    Scenario,
    SpyRecorder,
    examples,
    figures,
    make_run,
    run_of,
    scenarios,
)

MS = 10**6


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide the pool anew every few requests; the preset needs thousands and two minutes."""
    monkeypatch.setattr(Rebalance, "min_samples", 2)
    monkeypatch.setattr(Rebalance, "update_interval", 1)
    monkeypatch.setattr(Rebalance, "cooldown_ns", MS)
    monkeypatch.setattr(Rebalance, "decay", 0.5)
    monkeypatch.setattr(typical, "FIRST_TOKENS", 40)


def layer(kind: Kind, *, heads: int = 1, window: int = 0) -> LayerSpec:
    """8 bytes a token and head."""
    return LayerSpec(
        kind=kind, variant=kind, heads=heads, kv_heads=heads, k_dim=2, v_dim=2, window=window
    )


def mixed(scenario: Scenario) -> Scenario:
    """The scenario with layers of two more kinds: where all are alike nothing is ever copied."""
    more = (layer("full"), layer("sliding_window", heads=3, window=16))
    return replace(scenario, layers=(*scenario.layers, *more))


def watched(each: Run) -> list[int]:
    """Let the run note what its latency model says a step takes without copies."""
    latency, times = each.replica.latency, list[int]()
    step_ns = latency.step_ns

    def noted(shape: StepShape) -> int:
        times.append(step_ns(shape))
        return times[-1]

    latency.step_ns = noted  # type: ignore[method-assign]
    return times


# --- every run -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("policy", ["two-ended", "rebalance"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_leaps_stop_where_pages_are_copied(policy: str, asynchronous: bool) -> None:
    seen: Counter[str] = Counter()

    @examples(60)
    @given(scenario=scenarios(asynchronous=asynchronous, requests=16).map(mixed))
    def holds(scenario: Scenario) -> None:
        slow, fast = (run_of(scenario, policy, fast=fast) for fast in (False, True))
        assert slow is not None
        assert fast is not None
        expected, found = figures(slow), figures(fast)
        for name, value in expected.items():
            assert found[name] == value, name
        assert slow.setup.carving.tick(0) == fast.setup.carving.tick(0) == NO_MOVES
        leapt = fast.recorder.num_steps > len(fast.decisions)
        seen["runs"] += 1
        seen["copied"] += slow.recorder.copy_ns > 0
        seen["copied and leapt"] += slow.recorder.copy_ns > 0 and leapt

    holds()
    print(dict(seen))
    assert seen["copied and leapt"] >= 0.1 * seen["runs"]


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("policy", ["two-ended", "rebalance"])
def test_every_copy_is_paid_by_the_step_that_is_launched_next(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(30)
    @given(scenario=scenarios().map(mixed))
    def holds(scenario: Scenario) -> None:
        each = make_run(scenario, policy)
        assert each is not None
        times, made = watched(each), list[Moves]()
        tick = each.setup.carving.tick

        def counted(now_ns: int) -> Moves:
            made.append(tick(now_ns))
            return made[-1]

        each.setup.carving.tick = counted  # type: ignore[method-assign]
        each.replica.run()
        records, latency = each.recorder.records, each.replica.latency
        for record, alone in zip(records, times, strict=True):
            assert record.copy_ns == (latency.copy_ns(*record.moves) if record.moves else 0)
            assert record.duration_ns == alone + record.copy_ns
        total = sum((Counter(moves._asdict()) for moves in made), Counter[str]())
        owed = each.replica.owed.plus(each.recorder.moves)
        assert (total["bytes"], total["launches"]) == owed
        assert sum(record.copy_ns for record in records) == each.recorder.copy_ns
        seen["runs"] += 1
        seen["copied"] += each.recorder.moves != NO_MOVES

    holds()
    print(dict(seen))
    assert seen["copied"] >= 0.1 * seen["runs"]


# --- by hand -------------------------------------------------------------------------------------


def test_a_copy_reads_and_writes_at_the_rate_of_other_kernels() -> None:
    gpu, model = load_gpu("h100-sxm"), load_model("gemma-3-27b")
    setup = prepare(Trace.from_columns([0], [1], [1]), model=model, gpu=gpu, policy="two-ended")
    latency = AnalyticalLatency(model, gpu, setup.engine)
    copied = 10**9
    seconds = 2 * copied / (gpu.memory_bandwidth / MEMORY_FACTOR) + 3 * COPY_START_US / 1e6
    assert latency.copy_ns(copied, 3) == round(seconds * 1e9)
    assert latency.copy_ns(0, 0) == 0
    assert latency.copy_ns(0, 1) == 6700


class Mover(SinglePool):
    """Copies a byte for every page that is taken, and another at 5 ms."""

    grouping = "uniform"

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self._taken = 0
        self._due = True

    def take(self, slot: int, need: Pages) -> bool:
        taken = super().take(slot, need)
        self._taken += sum(need) if taken else 0
        return taken

    def tick(self, now_ns: int) -> Moves:
        moves, self._taken = Moves(self._taken, self._taken), 0
        if self._due and now_ns >= 5 * MS:
            self._due = False
            moves = moves.plus(Moves(1000, 1))
        return moves

    def due_ns(self) -> int | None:
        return 0 if self._taken else (5 * MS if self._due else None)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_pages_are_paid_for_in_the_step_that_takes_them(fast: bool, asynchronous: bool) -> None:
    """9 tokens in pages of 4, then one token a step: a page every fourth step."""
    setup = prepare(
        Trace.from_columns([0], [9], [40]),
        model="llama-3.1-8b",
        gpu="h100-sxm",
        policy=replace(get_policy("paged"), carving="tests.sim.test_copies:Mover"),
        block_size=4,
        async_scheduling=asynchronous,
    )
    replica = make_replica(setup, fast=fast, check=True)
    replica.recorder = SpyRecorder(replica.meter.labels, setup.pool.bytes)
    replica.run()
    records = replica.recorder.records
    paid = [record.moves.bytes % 1000 for record in records]
    # Step i computes token 9 + i; tokens 13, 17, ... need a page.
    assert paid == [3] + [int(i % 4 == 0) for i in range(1, 40)]
    (late,) = (record for record in records if record.moves.bytes >= 1000)
    # The first step that was scheduled at 5 ms or later: while the one before ran, or after it.
    scheduled = [0, *(record.start_ns for record in records)] if asynchronous else None
    starts = scheduled or [record.start_ns for record in records]
    assert next(i for i, at in enumerate(starts) if at >= 5 * MS) == records.index(late)


# --- two-ended -----------------------------------------------------------------------------------


def no_time(self: AnalyticalLatency, moved_bytes: int, launches: int) -> int:
    del self, moved_bytes, launches
    return 0


def test_two_ended_decides_as_ideal_does_where_copies_take_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any free bytes serve anybody: it is ``ideal`` with whole pages, less the null pages."""
    monkeypatch.setattr(AnalyticalLatency, "copy_ns", no_time)
    monkeypatch.setitem(PRESETS, "ideal", replace(PRESETS["ideal"], grouping="by_kind"))
    seen: Counter[str] = Counter()

    @examples(30)
    @given(scenario=scenarios().map(mixed))
    def holds(scenario: Scenario) -> None:
        # Its watermark is a share of the pool, and the pools differ.
        scenario = replace(scenario, engine={**scenario.engine, "watermark": 0.0})
        two = run_of(scenario, "two-ended")
        assert two is not None
        usable = two.setup.pool.bytes - two.setup.carving.slack(None).reserved
        ideal = run_of(scenario, "ideal", pool=usable)
        assert ideal is not None
        assert ideal.decisions == two.decisions
        seen["runs"] += 1
        seen["copied"] += two.recorder.moves != NO_MOVES

    holds()
    assert seen["copied"] >= 0.1 * seen["runs"]


# --- rebalance -----------------------------------------------------------------------------------


CHANGING_MIX = Scenario(
    layers=(layer("full"), layer("sliding_window", heads=3, window=16)),
    requests=tuple(
        Arrival(i * 700_000, 8 if i < 60 else 150, 8 if i < 60 else 20) for i in range(120)
    ),
    engine={"block_size": 4, "max_num_seqs": 8, "max_num_batched_tokens": 64},
)
"""60 requests that fit the window, then 60 that are mostly full attention."""


def parts_over_time(each: Run) -> list[tuple[int, ...]]:
    """Run; the parts in every step."""
    carving = each.setup.carving
    assert isinstance(carving, Rebalance)
    parts: list[tuple[int, ...]] = []
    each.recorder.listener = lambda _: parts.append(carving.num_pages)
    each.replica.run()
    return parts


def test_parts_follow_the_mix_of_requests_and_the_change_is_paid_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Rebalance, "min_samples", 20)
    monkeypatch.setattr(Rebalance, "update_interval", 5)
    monkeypatch.setattr(Rebalance, "cooldown_ns", 5 * MS)
    monkeypatch.setattr(Rebalance, "decay", 0.8)
    monkeypatch.setattr(typical, "FIRST_TOKENS", 100)
    each = make_run(CHANGING_MIX, "rebalance", pool=9000)
    assert each is not None
    parts = parts_over_time(each)
    first, last = parts[0], parts[-1]
    middle = parts[next(i for i, d in enumerate(each.decisions) if 60 in d.admitted)]
    share = [32 * full / (32 * full + 96 * window) for full, window in (first, middle, last)]
    print(share, each.recorder.moves, each.preemptions)
    # At first for 100 tokens, 25 pages to 4 of three times the bytes; then 4 to 4; then 43 to 5.
    assert share[0] > 0.6
    assert 0.2 < share[1] < 0.3
    assert share[2] > 0.6
    assert each.recorder.moves.bytes > 0
    assert each.recorder.copy_ns == sum(
        each.replica.latency.copy_ns(*record.moves) for record in each.recorder.records
    )


def test_parts_stay_as_they_are_before_2000_requests_and_two_minutes() -> None:
    each = make_run(CHANGING_MIX, "rebalance", pool=400_000)
    assert each is not None
    parts = parts_over_time(each)
    assert len(set(parts)) == 1
    assert each.recorder.moves == NO_MOVES
