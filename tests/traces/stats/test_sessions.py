from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.traces.stats import SessionFigures, prompt_figures
from jenga_sim.traces.stats.reuse import NONE, walk
from jenga_sim.traces.stats.sessions import given_sessions, session_figures
from jenga_sim.traces.stats.tree import (
    MOST_FOLLOWERS,
    previous_turns,
    session_codes,
    shared_blocks,
)
from tests.sim.strategies import examples
from tests.traces.stats.prompts import Drawn, chained, prompts

CODES = st.lists(st.integers(-1, 4), min_size=1, max_size=20)


def sessions(ids: list[list[int]], arrivals_s: list[int] | None = None) -> SessionFigures:
    found = prompt_figures(prompts(ids, arrivals_s)).sessions
    assert found is not None
    assert found.inferred
    return found


def test_a_prompt_that_extends_another_continues_its_session() -> None:
    found = sessions([[0, 1], [7], [0, 1, 2], [0, 1, 2, 3]], [0, 5, 60, 90])

    assert (found.sessions, found.follow_ups) == (2, 0.5)
    assert (found.turns.mean, found.turns.max) == (2.0, 3.0)
    assert found.gap_s is not None
    assert (found.gap_s.count, found.gap_s.mean, found.gap_s.max) == (2, 45.0, 60.0)


def test_a_prefix_that_many_prompts_leave_by_different_blocks_is_shared() -> None:
    system = [0, 1]
    starts = [[*system, 10 + n] for n in range(MOST_FOLLOWERS + 1)]
    again = [*starts[3], 99]

    assert sessions([*starts, again]).sessions == len(starts)
    # One start fewer, and the two blocks could be those of a conversation with retries.
    assert sessions([*starts[:-1], again]).sessions == 1


def test_a_prompt_that_ends_within_a_shared_prefix_begins_a_session() -> None:
    starts = [[0, 1, 10 + n] for n in range(MOST_FOLLOWERS + 1)]

    assert sessions([*starts, [0, 1], [0]]).sessions == len(starts) + 1


def test_prompts_of_one_moment_do_not_continue_each_other() -> None:
    assert sessions([[0, 1], [0, 1, 2]], [4, 4]).sessions == 2
    assert sessions([[0, 1], [0, 1, 2]], [4, 5]).sessions == 1


@examples(200)
@given(chained(), st.integers(0, 2))
def test_inferred_turns_follow_the_rule_request_by_request(drawn: Drawn, extra: int) -> None:
    # Every other draw gets a system prompt under all requests, so that something is shared.
    system = [10**6 + block for block in range(extra)]
    many = [[*system, 10**7 + 2 * n] for n in range(MOST_FOLLOWERS + 1 if extra else 0)]
    ids = [*many, *([*system, *row] for row in drawn.ids)]
    trace = prompts(ids, [0] * len(many) + drawn.arrivals_s, chunk_blocks=drawn.chunk_blocks)
    reuse = walk(trace)
    shared = shared_blocks(trace, reuse)

    previous = previous_turns(trace, reuse, shared)

    followers: dict[int, set[int]] = {}
    for row in ids:
        for block, after in pairwise(row):
            followers.setdefault(block, set()).add(after)
    codes: list[int] = []
    for request, row in enumerate(ids):
        forks = [p for p, b in enumerate(row) if len(followers.get(b, ())) > MOST_FOLLOWERS]
        assert shared[request] == (forks[-1] + 1 if forks else 0)
        hit, source = int(reuse.hit_blocks[request]), int(reuse.source[request])
        later = source != NONE and trace.arrival_ns[request] > trace.arrival_ns[source]
        follows = hit > shared[request] and later
        assert previous[request] == (source if follows else NONE)
        codes.append(codes[source] if follows else len(set(codes)))
    assert session_codes(previous).tolist() == codes


@examples(200)
@given(CODES)
def test_given_turns_continue_the_one_before_in_their_session(codes: list[int]) -> None:
    found = given_sessions(np.array(codes))

    last: dict[int, int] = {}
    for request, code in enumerate(codes):
        assert found.previous[request] == (last.get(code, NONE) if code >= 0 else NONE)
        last[code] = request


def test_figures_of_two_given_sessions_by_hand() -> None:
    codes = np.array([4, -1, 2, 4, 4])
    arrivals = np.array([0, 1, 2, 10, 40]) * 10**9
    inputs = np.array([100, 999, 50, 300, 200])
    hits = np.array([0, 999, 25, 90, 180])
    think = np.array([-1, -1, -1, 7, 20]) * 10**9

    found = session_figures(given_sessions(codes), arrivals, inputs, hits, think)

    assert found is not None
    assert (found.inferred, found.sessions, found.follow_ups) == (False, 2, 0.5)
    assert (found.turns.mean, found.turns.max) == (2.0, 3.0)
    assert found.gap_s is not None
    assert (found.gap_s.mean, found.gap_s.max) == (20.0, 30.0)
    assert found.think_s is not None
    assert (found.think_s.count, found.think_s.mean) == (2, 13.5)
    assert found.new_tokens is not None
    assert (found.new_tokens.count, found.new_tokens.mean) == (4, (100 + 25 + 210 + 20) / 4)
    assert found.hit is not None
    assert found.hit.mean == pytest.approx((270 / 600 + 25 / 50) / 2)
    assert (found.context_tokens.mean, found.context_tokens.max) == (175.0, 300.0)


def test_sessions_of_a_trace_without_block_ids_have_no_hits() -> None:
    found = prompt_figures(prompts([[], []]), np.array([0, 0])).sessions

    assert found is not None
    assert (found.sessions, found.new_tokens, found.hit, found.think_s) == (1, None, None, None)


def test_no_session_gives_no_figures() -> None:
    assert prompt_figures(prompts([[], []]), np.array([-1, -1])).sessions is None
