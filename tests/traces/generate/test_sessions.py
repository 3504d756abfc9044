"""Chat and agents: sessions, what their prompts share, and how they are spread."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from jenga_sim.traces import Trace
from jenga_sim.traces.assemble import joined
from jenga_sim.traces.columns import NONE, IntColumn
from jenga_sim.traces.generate.arrivals import Poisson
from jenga_sim.traces.generate.draw import Draw
from jenga_sim.traces.generate.generate import generate_trace
from jenga_sim.traces.generate.sessions import answer_ns
from jenga_sim.traces.generate.workloads.agent import Agent
from jenga_sim.traces.generate.workloads.chat import Chat
from jenga_sim.traces.prefix_model.model import ideal_token_hit
from tests.traces.generate.claims import assert_mean, assert_quantile, assert_share


@cache
def sessions(workload: Chat | Agent, batches: int) -> Trace:
    """Whole sessions, one after the other; a trace ends in the middle of some."""
    make = workload.maker(Draw(11))
    start = np.arange(workload.batch) * 10**9
    return joined([replace(make(start), after=None) for _ in range(batches)])


def before(trace: Trace) -> tuple[IntColumn, IntColumn]:
    """Rows of later turns, and of the turns before them; sessions must lie one after the other."""
    assert trace.turn is not None
    later = np.flatnonzero(trace.turn > 1)
    return later, later - 1


def blocks_of(trace: Trace, index: int) -> list[int]:
    return trace.hash_ids(index).tolist()


def test_chat_sessions_have_the_turns_and_gaps_of_the_mooncake_conversations() -> None:
    trace = sessions(Chat(), 120)
    later, earlier = before(trace)
    gaps = (trace.arrival_ns[later] - trace.arrival_ns[earlier]) / 1e9

    # Sessions that reach the longest prompt end early: a few in a thousand.
    starts = np.sum(trace.turn == 1)
    assert len(trace) / starts == pytest.approx(1.62, abs=0.03)
    assert_quantile(gaps, 0.5, 123)
    assert_quantile(gaps, 0.9, 483)


def test_chat_lengths_have_the_stated_quantiles() -> None:
    trace = sessions(Chat(), 120)
    first = trace.input_tokens[trace.turn == 1]
    later, earlier = before(trace)
    context = trace.input_tokens[earlier] + trace.output_tokens[earlier]
    messages = trace.input_tokens[later] - context

    assert_quantile(first, 0.5, 5_264)
    assert_quantile(first, 0.9, 25_559)
    assert_quantile(trace.output_tokens, 0.5, 350)
    assert_quantile(trace.output_tokens, 0.99, 1_119)
    # Of the messages that fit: three quarters are short, with p90 73; the others long.
    assert np.mean(messages <= 73) == pytest.approx(0.75 * 0.9, abs=0.01)
    assert np.mean(messages > 3_340) == pytest.approx(0.25 * 0.5, abs=0.01)


def test_chat_prompts_are_like_those_of_the_mooncake_conversations_as_a_whole() -> None:
    """What nothing was fitted to: prompts of all turns, and what an endless cache would hit."""
    trace = generate_trace(Chat(), Poisson(3.4), requests=12_031, seed=5)

    assert np.median(trace.input_tokens) == pytest.approx(6_909, rel=0.15)
    assert np.quantile(trace.input_tokens, 0.99) == pytest.approx(85_400, rel=0.15)
    assert np.mean(trace.input_tokens) == pytest.approx(12_035, rel=0.1)
    assert ideal_token_hit(trace) == pytest.approx(0.374, abs=0.04)


def test_later_chat_turns_share_the_full_blocks_of_the_turn_before_and_no_more() -> None:
    trace = sessions(Chat(block_tokens=16), 1)
    later, earlier = before(trace)

    assert len(later) > 100
    for at, previous in zip(later.tolist(), earlier.tolist(), strict=True):
        full = int(trace.input_tokens[previous]) // 16
        assert blocks_of(trace, at)[:full] == blocks_of(trace, previous)[:full]
        assert not set(blocks_of(trace, at)[full:]) & set(blocks_of(trace, previous))


def test_chat_sessions_share_the_system_prompt_and_nothing_else() -> None:
    trace = sessions(Chat(shared_tokens=100, block_tokens=16), 1)
    assert trace.session is not None
    owner: dict[int, int] = {}

    for at in range(len(trace)):
        assert blocks_of(trace, at)[:6] == [0, 1, 2, 3, 4, 5]
        for hash_id in blocks_of(trace, at)[6:]:
            session = int(trace.session.codes[at])
            assert owner.setdefault(hash_id, session) == session
    assert sorted(owner) == list(range(6, 6 + len(owner)))


def test_a_chat_prompt_is_three_runs_at_most() -> None:
    assert sessions(Chat(), 5).hash_runs.counts.max() <= 3


def test_some_chat_sessions_open_with_a_document() -> None:
    chat = Chat(documents=0.2, document_tokens=40_000, document_p90_tokens=40_000, pastes=0.0)
    trace = sessions(chat, 40)

    assert_share(trace.input_tokens[trace.turn == 1] == 40_000, 0.2)


def test_agent_sessions_have_the_turns_and_pauses_of_claude_code() -> None:
    trace = sessions(Agent(spawns=0.0), 12)
    later, earlier = before(trace)
    turns = np.diff(np.append(np.flatnonzero(trace.turn == 1), len(trace)))
    assert trace.delay_ns is not None
    pauses = trace.delay_ns[later]

    assert_quantile(turns, 0.5, 44)
    assert_quantile(turns, 0.9, 149)
    assert_quantile(pauses, 0.5, 10e9)
    assert_quantile(pauses, 0.9, 117e9)
    assert_quantile(trace.output_tokens, 0.5, 217)
    assert_quantile(trace.output_tokens, 0.9, 878)
    expected = answer_ns(trace.output_tokens[earlier]) + pauses
    assert (trace.arrival_ns[later] - trace.arrival_ns[earlier]).tolist() == expected.tolist()


def test_agent_contexts_grow_by_messages_and_are_compacted_now_and_then() -> None:
    trace = sessions(Agent(spawns=0.0, longest_tokens=10**9), 12)
    later, earlier = before(trace)
    context = trace.input_tokens[earlier] + trace.output_tokens[earlier]
    messages = trace.input_tokens[later] - context
    compacted = messages < 1

    assert_share(compacted, 0.003)
    assert_quantile(messages[~compacted], 0.5, 400)
    assert_quantile(messages[~compacted], 0.9, 3_346)
    summary = np.maximum(np.floor(0.43 * trace.input_tokens[earlier]), 15_001)
    assert trace.input_tokens[later][compacted].tolist() == summary[compacted].tolist()
    assert trace.reuse_output is not None
    assert np.all(trace.reuse_output[later][compacted] == 0)


def test_agent_prompts_are_like_those_of_claude_code_as_a_whole() -> None:
    """What follows from the parts: mean 117,433, p50 99,413, hit .962 in the recorded sessions."""
    trace = sessions(Agent(), 4)
    main = trace.hash_runs.values[trace.hash_runs.offsets[:-1], 0] == 0

    assert np.mean(trace.input_tokens[main]) == pytest.approx(117_433, rel=0.1)
    assert np.median(trace.input_tokens[main]) == pytest.approx(99_413, rel=0.2)
    assert trace.input_tokens.max() <= 200_000
    short = generate_trace(Agent(), Poisson(1.0), requests=8_000, seed=1)
    assert ideal_token_hit(short) == pytest.approx(0.962, abs=0.02)


def test_what_an_agent_shares_with_its_last_turn_depends_on_what_happened_to_the_context() -> None:
    trace = sessions(Agent(turns=8, turns_p90=12, losses=0.2, compactions=0.2, spawns=0.0), 1)
    later, earlier = before(trace)
    assert trace.reuse_output is not None
    shared = 15_000 // 64

    kinds: set[bool] = set()
    for at, previous in zip(later.tolist()[:300], earlier.tolist(), strict=False):
        lost = bool(trace.reuse_output[at] == 0)
        full = int(trace.input_tokens[previous]) // 64
        both = sum(
            a == b for a, b in zip(blocks_of(trace, at), blocks_of(trace, previous), strict=False)
        )
        assert both == (shared if lost else full)
        kinds.add(lost)
    assert kinds == {True, False}
    assert trace.hash_runs.counts.max() <= 2


@cache
def with_helpers() -> Trace:
    workload = Agent(turns=10, turns_p90=20, spawns=0.05, fan_out=2.0)
    return generate_trace(workload, Poisson(20.0), requests=12_000, seed=3)


def test_a_turn_waits_for_all_sub_agents_that_the_turn_before_it_started() -> None:
    trace = with_helpers()
    assert trace.after is not None
    assert trace.session is not None
    assert trace.turn is not None
    started: dict[int, set[int]] = {}
    first_of = {int(code): at for at, code in reversed(list(enumerate(trace.session.codes)))}
    for at in range(len(trace)):
        rows = trace.after.rows(at)[:, 0].tolist()
        if trace.turn[at] == 1 and rows:
            started.setdefault(rows[0], set()).add(int(trace.session.codes[at]))

    joins = 0
    for at in range(len(trace)):
        rows = trace.after.rows(at)[:, 0].tolist()
        others = {int(trace.session.codes[row]) for row in rows} - {int(trace.session.codes[at])}
        if trace.turn[at] > 1 and others:
            joins += 1
            assert len(rows) == len(others)
            (parent,) = {int(trace.after.rows(first_of[code])[0, 0]) for code in others}
            assert others == started[parent]
            assert trace.session.codes[parent] == trace.session.codes[at]
            assert trace.turn[parent] == trace.turn[at] - 1
            assert trace.reuse_output is not None
            assert trace.reuse_output[at] in (0, 1)
    assert joins > 100


def test_sub_agents_start_at_once_and_share_a_prompt_of_their_own() -> None:
    trace = with_helpers()
    assert trace.after is not None
    assert trace.turn is not None
    assert trace.delay_ns is not None
    first = np.flatnonzero((trace.turn == 1) & (trace.after.counts > 0))

    assert len(first) > 200
    assert np.all(trace.delay_ns[first] == 0)
    blocks = {tuple(blocks_of(trace, at)[: 9_041 // 64]) for at in first.tolist()}
    assert len(blocks) == 1
    agents = np.flatnonzero((trace.turn == 1) & (trace.after.counts == 0))
    assert not set(blocks.pop()) & set(blocks_of(trace, int(agents[0])))


def test_groups_of_sub_agents_are_as_frequent_and_large_as_asked() -> None:
    trace = sessions(Agent(turns=10, turns_p90=20, spawns=0.05, fan_out=2.0), 20)
    assert trace.session is not None
    alone = sessions(Agent(turns=10, turns_p90=20, spawns=0.0), 20)
    later = int(np.sum(alone.turn != 1))

    helpers = len(np.unique(trace.session.codes)) - 20 * 256
    assert helpers / later == pytest.approx(0.05 * 2.0, rel=0.1)


_UNDISTURBED = Agent(spawns=0.0, losses=0.0, compactions=0.0, longest_tokens=10**9)


def test_without_sub_agents_every_turn_follows_the_one_before() -> None:
    trace = generate_trace(_UNDISTURBED, requests=500, seed=2)
    assert trace.after is not None
    assert trace.turn is not None

    assert trace.after.counts.tolist() == (trace.turn > 1).astype(int).tolist()
    assert trace.reuse_output is None or np.all(trace.reuse_output == NONE)


def test_the_mean_number_of_requests_of_a_session_is_as_stated() -> None:
    for workload in (Chat(), Agent(), Agent(turns=10, turns_p90=20, spawns=0.05, fan_out=2.0)):
        make = workload.maker(Draw(3))
        start = np.arange(workload.batch) * 10**9
        sizes = np.array([len(make(start)) for _ in range(12)]) / workload.batch
        assert_mean(sizes, workload.requests_per_arrival)


def test_the_turns_of_a_session_come_in_order() -> None:
    trace = with_helpers()
    assert trace.session is not None
    assert trace.turn is not None
    turns: dict[int, int] = {}

    for code, turn in zip(trace.session.codes.tolist(), trace.turn.tolist(), strict=True):
        assert turn == turns.get(code, 0) + 1
        turns[code] = turn
    assert len(trace.session.names) == len(turns)
