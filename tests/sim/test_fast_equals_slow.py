"""Law 9: compiled runs record, to the last figure, what runs step by step do."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given

from jenga_sim.configs.specs import Kind
from jenga_sim.sim.compiled import replica as compiled_replica
from jenga_sim.sim.requests import SEAT
from jenga_sim.sim.run import make_replica, prepare
from jenga_sim.traces import Trace
from tests.sim.strategies import (
    POLICIES,
    Scenario,
    examples,
    figures,
    make_run,
    replays,
    run_of,
    scenarios,
)

every_policy = pytest.mark.parametrize("policy", POLICIES)
WINDOWED: tuple[Kind, ...] = ("sliding_window", "chunked_local", "full")


def assert_same(scenario: Scenario, policy: str, seen: Counter[str]) -> None:
    slow, fast = (run_of(scenario, policy, fast=fast) for fast in (False, True))
    if slow is None or fast is None:
        assert slow is fast
        return
    expected, found = figures(slow), figures(fast)
    for name, value in expected.items():
        assert found[name] == value, name
    assert not fast.decisions, "the plain scheduler was asked"
    seen["runs"] += 1
    seen["steps"] += fast.recorder.num_steps
    seen["preempted"] += fast.preemptions > 0
    seen["waited"] += any(record.waiting for record in slow.recorder.records)


def enough(seen: Counter[str]) -> None:
    print(dict(seen))
    assert seen["steps"] >= 20 * seen["runs"] > 0
    assert seen["preempted"] >= 0.15 * seen["runs"]
    assert seen["waited"] >= 0.3 * seen["runs"]


@every_policy
def test_compiled_runs_change_no_figure(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(60)
    @given(scenario=scenarios(asynchronous=False))
    def holds(scenario: Scenario) -> None:
        assert_same(scenario, policy, seen)

    holds()
    enough(seen)


@pytest.mark.parametrize("policy", ["vllm", "static", "lcm"])
def test_leaps_stop_where_a_window_frees_a_page_that_somebody_awaits(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(100)
    @given(scenario=scenarios(WINDOWED, asynchronous=False))
    def holds(scenario: Scenario) -> None:
        assert_same(scenario, policy, seen)

    holds()
    enough(seen)


@every_policy
def test_compiled_runs_change_no_figure_with_two_batches_in_flight(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(15)
    @given(scenario=scenarios(asynchronous=True))
    def holds(scenario: Scenario) -> None:
        assert_same(scenario, policy, seen)

    holds()
    assert seen["runs"]


@every_policy
@pytest.mark.parametrize("asynchronous", [False, True])
def test_compiled_runs_change_no_figure_where_a_request_arrives_when_another_has_ended(
    policy: str, asynchronous: bool
) -> None:
    seen: Counter[str] = Counter()

    @examples(15)
    @given(scenario=replays(scenarios(asynchronous=asynchronous)))
    def holds(scenario: Scenario) -> None:
        assert_same(scenario, policy, seen)
        seen["turns"] += any(turn.after for turn in scenario.turns)

    holds()
    print(dict(seen))
    assert seen["turns"] >= 0.4 * seen["runs"] > 0


@pytest.mark.parametrize("policy", ["paged", "lcm"])
def test_a_bounded_sample_keeps_the_same_steps(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(20)
    @given(scenario=scenarios(asynchronous=False))
    def holds(scenario: Scenario) -> None:
        pair = [make_run(scenario, policy, fast=fast) for fast in (False, True)]
        for run in pair:
            assert run is not None
            run.recorder.max_samples = 8
            run.replica.run()
        slow, fast = pair
        assert slow is not None
        assert fast is not None
        assert figures(slow) == figures(fast)
        seen["runs"] += 1
        seen["steps"] += fast.recorder.num_steps

    holds()
    assert seen["steps"] > 8 * seen["runs"]


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_how_many_steps_are_taken_at_once_changes_nothing(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_replica, "STEPS_AT_ONCE", steps)
    seen: Counter[str] = Counter()

    @examples(20)
    @given(scenario=scenarios())
    def holds(scenario: Scenario) -> None:
        assert_same(scenario, "lcm", seen)

    holds()
    assert seen["runs"]


@pytest.mark.parametrize("policy", ["paged", "vllm", "static", "lcm"])
def test_a_real_model_under_pressure(policy: str) -> None:
    """gemma-3-27b with 2 GB for caches: queues, windows on the move, preemption."""
    random = np.random.default_rng(7)
    count = 40
    trace = Trace.from_columns(
        np.cumsum(random.integers(0, 200_000_000, count)),
        random.integers(200, 3000, count),
        random.integers(20, 400, count),
    )
    outcome: list[object] = []
    for fast in (False, True):
        setup = prepare(
            trace,
            model="gemma-3-27b",
            gpu="h100-sxm",
            policy=policy,
            kv_cache_memory_bytes=2 * 10**9,
            max_num_batched_tokens=2048,
            scheduler_reserve_full_isl=False,
        )
        replica = make_replica(setup, fast=fast, check=not fast)
        replica.run()
        assert sum(replica.requests.preemptions)
        facts = replica.requests.table[:SEAT].tolist()
        outcome.append((vars(replica.recorder), facts, replica.now_ns))
    assert outcome[0] == outcome[1]
