"""Law 9: runs in leaps record, to the last figure, what runs step by step do."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given

from jenga_sim.configs.specs import Kind
from jenga_sim.sim import leap, recorder
from jenga_sim.sim.run import make_replica, prepare
from jenga_sim.traces import Trace
from tests.sim.strategies import (
    POLICIES,
    Run,
    Scenario,
    examples,
    figures,
    replays,
    run_of,
    scenarios,
)

WHOLE_PROMPTS = ("jenga",)
"""Policies whose scheduler takes every step by itself."""
every_policy = pytest.mark.parametrize("policy", [p for p in POLICIES if p not in WHOLE_PROMPTS])
WINDOWED: tuple[Kind, ...] = ("sliding_window", "chunked_local", "full")


def leapt_steps(run: Run) -> int:
    """Steps that were recorded but never scheduled by themselves."""
    return max(0, run.recorder.num_steps - len(run.decisions))


def assert_same(scenario: Scenario, policy: str, seen: Counter[str]) -> None:
    slow, fast = (run_of(scenario, policy, fast=fast) for fast in (False, True))
    if slow is None or fast is None:
        assert slow is fast
        return
    expected, found = figures(slow), figures(fast)
    for name, value in expected.items():
        assert found[name] == value, name
    assert leapt_steps(slow) == 0
    seen["runs"] += 1
    seen["leapt"] += leapt_steps(fast) > 0
    seen["steps"] += fast.recorder.num_steps
    seen["steps in leaps"] += leapt_steps(fast)
    seen["leapt and preempted"] += leapt_steps(fast) > 0 and fast.preemptions > 0
    waited = any(record.waiting for record in fast.recorder.records)
    seen["leapt while somebody waited"] += leapt_steps(fast) > 0 and waited


def enough(seen: Counter[str]) -> None:
    print(dict(seen))
    assert seen["leapt"] >= 0.6 * seen["runs"]
    assert seen["steps in leaps"] >= 0.2 * seen["steps"]
    assert seen["leapt and preempted"] >= 0.15 * seen["runs"]
    assert seen["leapt while somebody waited"] >= 0.3 * seen["runs"]


@every_policy
def test_leaps_change_no_figure(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(100)
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
def test_leaps_change_no_figure_with_two_batches_in_flight(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(15)
    @given(scenario=scenarios(asynchronous=True))
    def holds(scenario: Scenario) -> None:
        assert_same(scenario, policy, seen)

    holds()
    assert seen["runs"]
    assert seen["steps in leaps"]


@every_policy
@pytest.mark.parametrize("asynchronous", [False, True])
def test_leaps_change_no_figure_where_a_request_arrives_when_another_has_ended(
    policy: str, asynchronous: bool
) -> None:
    seen: Counter[str] = Counter()

    @examples(20)
    @given(scenario=replays(scenarios(asynchronous=asynchronous)))
    def holds(scenario: Scenario) -> None:
        assert_same(scenario, policy, seen)
        seen["turns"] += any(turn.after for turn in scenario.turns)

    holds()
    print(dict(seen))
    assert seen["turns"] >= 0.4 * seen["runs"] > 0
    assert seen["leapt"] >= 0.6 * seen["runs"]


@pytest.mark.parametrize("policy", WHOLE_PROMPTS)
def test_scheduler_v0_takes_every_step_by_itself(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(15)
    @given(scenario=scenarios())
    def holds(scenario: Scenario) -> None:
        assert_same(scenario, policy, seen)

    holds()
    assert seen["steps"] >= 50 * seen["runs"] > 0
    assert seen["steps in leaps"] == 0


@pytest.mark.parametrize("policy", ["paged", "lcm"])
def test_a_bounded_sample_keeps_the_same_steps(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_SAMPLES", 8)
    seen: Counter[str] = Counter()

    @examples(20)
    @given(scenario=scenarios(asynchronous=False))
    def holds(scenario: Scenario) -> None:
        assert_same(scenario, policy, seen)

    holds()
    assert seen["steps"] > 8 * seen["runs"]


@pytest.mark.parametrize(("first", "most", "cells"), [(2, 3, 1 << 17), (16, 4096, 7)])
def test_the_length_of_a_leap_is_a_matter_of_speed_only(
    first: int, most: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leap, "MOST_STEPS", most)
    monkeypatch.setattr(leap, "LEAST_STEPS", first)
    monkeypatch.setattr(leap, "MAX_CELLS", cells)
    seen: Counter[str] = Counter()

    @examples(30)
    @given(scenario=scenarios(asynchronous=False))
    def holds(scenario: Scenario) -> None:
        assert_same(scenario, "lcm", seen)

    holds()
    assert seen["leapt"]


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
        outcome.append((vars(replica.recorder), vars(replica.requests), replica.now_ns))
    assert outcome[0] == outcome[1]
