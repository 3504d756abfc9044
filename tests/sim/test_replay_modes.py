"""Replay by sessions and in closed loop: runs by hand, what they equal, and what they report."""

import csv
import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given

from jenga_sim import ReplayConfig, Result, Trace
from jenga_sim.cli.report import print_result
from jenga_sim.configs.specs import LayerSpec
from jenga_sim.sim.engine import Hooks
from jenga_sim.sim.requests import NEVER
from jenga_sim.sim.run import prepare, simulate
from jenga_sim.sim.sessions import SESSION_FORMULAS, session_figures
from tests.sim.clockwork import MS, Ask, run
from tests.sim.strategies import (
    Arrival,
    Scenario,
    Turn,
    examples,
    figures,
    make_run,
    replays,
    run_of,
    scenarios,
    with_turns,
)

SESSION = ReplayConfig("session")


def closed(concurrency: int) -> ReplayConfig:
    return ReplayConfig("closed", concurrency)


def moments(*asks: Ask, **settings: Any) -> list[tuple[float, float, float]]:
    """Arrival, first and last token of each request in ms, the same in leaps and step by step."""
    found: list[list[tuple[float, float, float]]] = []
    for fast in (True, False):
        requests = run(*asks, fast=fast, **settings).requests
        columns = (requests.arrival_ns, requests.first_token_ns, requests.last_token_ns)
        found.append([(a / MS, b / MS, c / MS) for a, b, c in zip(*columns, strict=True)])
    assert found[0] == found[1]
    return found[0]


# --- by hand: every step takes 10 ms -------------------------------------------------------------


def test_the_next_turn_arrives_its_think_time_after_the_end() -> None:
    asks = (Ask(0, 4, 3), Ask(1, 4, 2, Turn((0,), 5 * MS)))

    assert moments(*asks, replay=SESSION) == [(0, 10, 30), (35, 45, 55)]
    assert moments(*asks) == [(0, 10, 30), (1, 20, 30)]


def test_a_turn_without_think_time_joins_the_step_after_the_end() -> None:
    """The first request ends where a leap does; the other one goes on."""
    asks = (Ask(0, 4, 8), Ask(0, 4, 20), Ask(1, 4, 2, Turn((0,), 0)))

    assert moments(*asks, replay=SESSION) == [(0, 10, 80), (0, 10, 200), (80, 90, 100)]


def test_a_turn_that_arrives_within_a_step_waits_for_its_end() -> None:
    asks = (Ask(0, 4, 8), Ask(0, 4, 20), Ask(1, 4, 2, Turn((0,), 5 * MS)))

    assert moments(*asks, replay=SESSION) == [(0, 10, 80), (0, 10, 200), (85, 100, 110)]


def test_a_request_that_is_rejected_has_ended_when_it_arrives() -> None:
    """At 12 ms, within a step: the client need not wait for the end of that."""
    asks = (Ask(0, 4, 3), Ask(12, 300, 5), Ask(13, 4, 1, Turn((1,), 2 * MS)))

    found = moments(*asks, replay=SESSION)

    assert found == [(0, 10, 30), (12, NEVER / MS, NEVER / MS), (14, 30, 30)]


def test_turns_that_are_all_rejected_end_one_after_another() -> None:
    asks = (Ask(5, 300, 5), *(Ask(5, 300, 5, Turn((i,), 10 * MS)) for i in range(3)))

    replica = run(*asks, replay=SESSION)

    assert [at / MS for at in replica.requests.arrival_ns] == [5, 15, 25, 35]
    assert replica.rejected == dict.fromkeys(range(4), "max_model_len")
    assert replica.now_ns == 35 * MS


def test_a_closed_loop_lets_the_next_request_in_at_the_end_of_another() -> None:
    asks = (Ask(3, 4, 2), Ask(4, 4, 4), Ask(5, 4, 3), Ask(500, 4, 1))

    replica = run(*asks, replay=closed(2))

    assert moments(*asks, replay=closed(2)) == [
        (3, 13, 23),
        (3, 13, 43),
        (23, 33, 53),
        (43, 53, 53),
    ]
    assert max(replica.recorder.batch_sizes) == 2


def test_a_closed_loop_of_one_serves_every_request_as_if_it_were_alone() -> None:
    asks = (Ask(0, 4, 2), Ask(0, 6, 5), Ask(0, 9, 1))

    assert moments(*asks, replay=closed(1)) == [(0, 10, 20), (20, 30, 70), (70, 80, 80)]


def test_of_equal_priority_the_first_to_arrive_is_served_first() -> None:
    """Not the first of the trace: its predecessor was still running."""
    asks = (Ask(0, 4, 3), Ask(1, 4, 1, Turn((0,), 0)), Ask(25, 4, 1))

    found = moments(*asks, replay=SESSION, by_priority=True, max_num_seqs=1)

    assert found == [(0, 10, 30), (30, 50, 50), (25, 40, 40)]


def test_of_equal_priority_the_last_to_arrive_is_preempted() -> None:
    asks = (Ask(0, 4, 1), Ask(1, 4, 4, Turn((0,), 0)), Ask(5, 4, 4))

    # Three pages for two requests that each grow into a second one.
    replica = run(*asks, replay=SESSION, by_priority=True, pages=4)

    assert list(replica.requests.arrival_ns) == [0, 10 * MS, 5 * MS]
    assert list(replica.requests.preemptions) == [0, 1, 0]


# --- scheduler v0 may drop a request that it let wait --------------------------------------------


def test_a_request_that_scheduler_v0_drops_has_ended() -> None:
    """Tables that find out in the queue what never fits reject what they would on arrival."""
    full = LayerSpec(kind="full", variant="full", heads=1, kv_heads=1, k_dim=2, v_dim=2)
    scenario = Scenario(
        layers=(full,),
        requests=(Arrival(0, 9, 4), Arrival(1, 150, 4), Arrival(2, 9, 4), Arrival(3, 9, 4)),
        engine={"block_size": 4, "max_num_batched_tokens": 300},
        rejects=1,
        turns=(Turn(), Turn((0,), 0), Turn((1,), 0), Turn((2,), 2 * MS)),
        replay=SESSION,
    )
    early, late = (make_run(scenario, "jenga") for _ in range(2))
    assert early is not None
    assert late is not None
    could_fit, columns = late.replica.scheduler.tables.could_fit, late.replica.requests

    class Late(type(late.replica.scheduler.tables)):  # type: ignore[misc]
        def could_fit(self, slot: int, tokens: int) -> bool:
            return True

        def is_impossible(self, slot: int) -> bool:
            return not could_fit(slot, columns.prompt[slot])

    late.replica.scheduler.tables.__class__ = Late

    early.replica.run()
    late.replica.run()

    assert early.replica.rejected == late.replica.rejected == {1: "pool"}
    assert figures(early) == figures(late)


# --- what they equal -----------------------------------------------------------------------------


def same_figures(scenario: Scenario, policy: str, *replays: ReplayConfig) -> bool:
    """Whether replays of a scenario are one run; False if ``policy`` cannot serve the model."""
    runs = [run_of(replace(scenario, replay=one), policy, fast=True) for one in replays]
    if runs[0] is None:
        return False
    first, *others = (figures(one) for one in runs if one is not None)
    assert len(others) == len(replays) - 1
    assert all(other == first for other in others)
    return True


@pytest.mark.parametrize("policy", ["paged", "vllm", "lcm", "jenga"])
def test_where_nobody_waits_sessions_are_open_loop(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(15)
    @given(scenario=scenarios())
    def holds(scenario: Scenario) -> None:
        named = tuple(Turn(session=slot % 3) for slot in range(len(scenario.requests)))
        seen["runs"] += same_figures(scenario, policy, ReplayConfig(), SESSION)
        same_figures(replace(scenario, turns=named), policy, ReplayConfig(), SESSION)

    holds()
    assert seen["runs"]


@pytest.mark.parametrize("policy", ["paged", "vllm", "lcm", "jenga"])
def test_with_room_for_every_session_a_closed_loop_starts_all_of_them_at_once(policy: str) -> None:
    """As session replay does with a trace whose requests are all recorded at one moment."""
    seen: Counter[str] = Counter()

    @examples(15)
    @given(scenario=replays(scenarios()))
    def holds(scenario: Scenario) -> None:
        count, first = len(scenario.requests), scenario.requests[0].at_ns
        at_once = tuple(request._replace(at_ns=first) for request in scenario.requests)
        scenario = replace(scenario, requests=at_once)
        seen["runs"] += same_figures(scenario, policy, SESSION, closed(count), closed(10**9))

    holds()
    assert seen["runs"]


@pytest.mark.parametrize("policy", ["vllm", "lcm"])
def test_requests_that_never_fit_change_nothing_for_the_others_of_a_closed_loop(
    policy: str,
) -> None:
    """The client goes on: where they stood in line the next session begins."""
    rows = [(4, 20 + i, 6 + i % 5) for i in range(12)]
    never = (4, 10**6, 1)
    mixed = [row for i, row in enumerate(rows) for row in ([never, row] if i % 3 else [row])]
    served, with_them = (result_of(each, policy=policy, replay=closed(2)) for each in (rows, mixed))

    done = with_them.requests["status"] == "finished"
    assert (~done).sum() == len(mixed) - len(rows) > 0
    same = ["arrival_ms", "queue_ms", "ttft_ms", "e2el_ms"]
    found = with_them.requests[done][same].reset_index(drop=True)
    assert found.equals(served.requests[same])


# --- what they report ----------------------------------------------------------------------------

Row = tuple[int, int, int]
"""Arrival in ms, prompt, output."""


def result_of(
    rows: list[Row],
    *,
    turns: tuple[Turn, ...] = (),
    replay: ReplayConfig | None = None,
    policy: str = "lcm",
    hooks: Hooks | None = None,
    fast: bool = True,
) -> Result:
    at, prompt, output = (np.array(column) for column in zip(*rows, strict=True))
    setup = prepare(
        with_turns(Trace.from_columns(at * MS, prompt, output, name="rows"), turns),
        model="llama-3.1-8b",
        gpu="h100-sxm",
        policy=policy,
        kv_cache_memory_bytes=1 << 30,
        replay=replay,
    )
    return simulate(setup, hooks=hooks, fast=fast)


TALK = (Turn(session=1), Turn(session=2), Turn((0,), 50 * MS, 1), Turn((1,), -1, 2))
ROWS: list[Row] = [(100, 40, 20), (110, 50, 20), (300, 60, 20), (400, 70, 20)]


def test_sessions_by_hand() -> None:
    """Sessions of 50 ms (0 to 50), of 70 ms (10 to 80), and one with a rejected request."""
    asks = (
        *(Ask(0, 4, 2), Ask(10, 4, 3), Ask(11, 4, 1)),
        *(Ask(12, 4, 2, Turn((0,), 5 * MS)), Ask(13, 4, 4, Turn((1,), 0)), Ask(14, 300, 1)),
    )
    replica = run(*asks, replay=SESSION)
    requests = replica.requests
    assert [at / MS for at in requests.arrival_ns] == [0, 10, 11, 25, 40, 14]
    assert [at / MS for at in requests.last_token_ns[:5]] == [20, 40, 30, 50, 80]

    found = session_figures(requests, np.array([0, 1, 2, 0, 1, 2]), 0.08)

    assert (found["num"], found["completed"], found["rejected"]) == (3, 2, 1)
    assert found["throughput"] == 2 / 0.08
    assert found["mean_duration_ms"] == found["p50_duration_ms"] == (50 + 70) / 2
    assert found["p99_duration_ms"] == pytest.approx(np.percentile([50, 70], 99))


@pytest.mark.parametrize("replay", [SESSION, closed(1)])
def test_the_summary_names_the_mode_and_counts_sessions(
    replay: ReplayConfig, tmp_path: Path
) -> None:
    result = result_of(ROWS, turns=TALK, replay=replay)

    summary, table = result.summary, result.requests
    assert summary["replay"] == asdict(replay)
    folder = result.save(tmp_path)
    config = yaml.safe_load((folder / "config.resolved.yaml").read_text())
    assert ReplayConfig(**config["replay"]) == replay
    end = table["arrival_ms"] + table["e2el_ms"]
    spans = [end[2] - table["arrival_ms"][0], end[3] - table["arrival_ms"][1]]
    assert summary["sessions"]["completed"] == summary["sessions"]["num"] == 2
    assert summary["sessions"]["mean_duration_ms"] == pytest.approx(np.mean(spans))
    assert summary["sessions"]["throughput"] == pytest.approx(2 / summary["duration"])
    assert summary["duration"] == pytest.approx((end.max() - 100) / 1e3)
    assert set(SESSION_FORMULAS) <= set(summary["formulas"])
    assert not any("session" in warning for warning in summary["warnings"])


def test_open_loop_says_nothing_of_sessions() -> None:
    summary = result_of(ROWS, turns=TALK).summary

    assert summary["replay"] == asdict(ReplayConfig())
    assert "sessions" not in summary
    assert not set(SESSION_FORMULAS) & set(summary["formulas"])


FLAT = "no request of the trace comes after another: replay by sessions is open loop here"
ALONE = "the trace names no sessions: every request is a session of its own"


@pytest.mark.parametrize(
    ("replay", "turns", "expected"),
    [
        (SESSION, (), [FLAT]),
        (SESSION, tuple(Turn(session=1) for _ in ROWS), [FLAT]),
        (closed(3), (), [ALONE]),
        (closed(3), tuple(Turn() for _ in ROWS), [ALONE]),
        (closed(3), tuple(Turn(session=1) for _ in ROWS), []),
        (closed(3), TALK, []),
        (SESSION, TALK, []),
        (None, (), []),
    ],
)
def test_a_trace_without_sessions_brings_a_warning(
    replay: ReplayConfig | None, turns: tuple[Turn, ...], expected: list[str]
) -> None:
    warnings = result_of(ROWS, turns=turns, replay=replay).summary["warnings"]

    assert [text for text in warnings if "session" in text] == expected


def test_the_table_shows_a_replay_that_is_not_open(capsys: pytest.CaptureFixture[str]) -> None:
    def printed(replay: ReplayConfig | None, rows: list[Row] = ROWS) -> str:
        print_result(result_of(rows, turns=TALK, replay=replay).summary)
        return " ".join(capsys.readouterr().out.split())

    assert "session" not in printed(None)
    assert "each session at its time; 2 of 2 sessions done, " in printed(SESSION)
    text = printed(closed(1), [*ROWS[:2], (300, 10**6, 1), ROWS[3]])
    assert "closed loop, 1 sessions in flight; 1 of 2 sessions done, 1 with a rejected" in text


@pytest.mark.parametrize("replay", [None, SESSION, closed(1)])
@pytest.mark.parametrize("steps", [0, 4])
def test_requests_that_an_interrupted_run_did_not_let_arrive_have_no_arrival(
    replay: ReplayConfig | None, steps: int, tmp_path: Path
) -> None:
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls > steps

    # A compiled run looks up every few thousand steps only.
    hooks = Hooks(should_stop=stop)
    result = result_of(ROWS, turns=TALK, replay=replay, hooks=hooks, fast=False)

    folder = result.save(tmp_path)
    with (folder / "requests.csv").open() as file:
        table = list(csv.DictReader(file))
    pending = [row for row in table if row["status"] == "pending"]
    assert pending
    times = ("arrival_ms", "queue_ms", "ttft_ms", "tpot_ms", "e2el_ms")
    assert all(row[name] == "" for row in pending for name in times)
    arrived = [float(row["arrival_ms"]) for row in table if row["status"] != "pending"]
    assert len(arrived) == (0 if not steps else len(table) - len(pending))
    assert all(at >= 100 for at in arrived)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["unfinished"] + summary["completed"] == 4
    assert summary["unfinished"] >= len(pending)
    if replay is not None:
        assert summary["sessions"]["num"] == 2
        assert summary["sessions"]["completed"] < 2
