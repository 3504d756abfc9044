"""Prefix models: what hits they give, and what they say of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace, write_trace
from jenga_sim.traces.columns import NONE, Labels
from jenga_sim.traces.generate.generate import generate_trace
from jenga_sim.traces.generate.workloads.agent import Agent
from jenga_sim.traces.generate.workloads.lengths import IndependentLengths
from jenga_sim.traces.prefix_model import apply_prefix_model, parse_prefix_model
from jenga_sim.traces.prefix_model.model import ideal_token_hit
from jenga_sim.traces.prefix_model.tree import matched
from tests.sim.strategies import examples
from tests.traces.data import real


def lengths(count: int = 2_000, seed: int = 1) -> Trace:
    return generate_trace(IndependentLengths(), requests=count, seed=seed)


def trace_of(inputs: list[int], outputs: list[int] | None = None) -> Trace:
    return Trace.from_columns(range(len(inputs)), inputs, outputs or [1] * len(inputs))


def ids(trace: Trace) -> list[list[int]]:
    return [trace.hash_ids(at).tolist() for at in range(len(trace))]


def stated_hit(trace: Trace) -> float:
    found = re.search(r"ideal token hit (\d\.\d+) \(a model, not measured\)", trace.meta.notes[-1])
    assert found
    return float(found.group(1))


def plain_hit(trace: Trace) -> float:
    """The definition, one request at a time."""
    seen: set[int] = set()
    hit = 0
    for at, prompt in enumerate(ids(trace)):
        depth = next((n for n, block in enumerate(prompt) if block not in seen), len(prompt))
        hit += min(depth * trace.block_size, int(trace.input_tokens[at]))
        seen |= set(prompt)
    return hit / int(trace.input_tokens.sum())


MODELS = ("none", "shared:k=3,len=200", "sessions", "split", "hit:0.3", "hit:0.9")


@examples(25)
@given(
    rows=st.lists(st.tuples(st.integers(1, 400), st.integers(0, 50), st.integers(0, 2)), min_size=1)
)
@pytest.mark.parametrize("words", MODELS)
def test_the_stated_hit_is_that_of_an_endless_cache(
    words: str, rows: list[tuple[int, int, int]]
) -> None:
    inputs, outputs, sessions = (list(column) for column in zip(*rows, strict=True))
    trace = trace_of(inputs, outputs)
    trace = replace(
        trace,
        session=Labels.of([str(session) if session else None for session in sessions]),
        recorded_cached_tokens=np.array(inputs) // 2,
    )

    modelled = apply_prefix_model(trace, words, seed=3)

    assert stated_hit(modelled) == pytest.approx(plain_hit(modelled), abs=5.1e-5)
    assert ideal_token_hit(modelled) == pytest.approx(plain_hit(modelled), abs=1e-12)
    counts = [len(prompt) for prompt in ids(modelled)]
    expected = [0] * len(rows) if words == "none" else [tokens // 16 for tokens in inputs]
    assert counts == expected
    assert (modelled.block_size, modelled.meta.hash_tail) == (16, "floor")


@pytest.mark.parametrize("words", ["none", "shared:k=3,len=200", "hit:0.5"])
def test_a_model_and_a_seed_decide_the_ids(words: str) -> None:
    one = apply_prefix_model(lengths(300), words, seed=1)

    assert ids(one) == ids(apply_prefix_model(lengths(300), words, seed=1))
    if words != "none":
        assert ids(one) != ids(apply_prefix_model(lengths(300), words, seed=2))


def test_the_note_is_kept_when_the_trace_is_written(tmp_path: Path) -> None:
    modelled = apply_prefix_model(lengths(50), "hit:0.2")
    write_trace(modelled, tmp_path / "t.jsonl")

    assert "prefix model hit:0.2: ideal token hit 0.1998" in modelled.meta.notes[-1]
    assert modelled.meta.notes[-1] in read_trace(tmp_path / "t.jsonl").meta.source


def test_ids_of_the_trace_itself_are_replaced_and_that_is_said() -> None:
    trace = Trace.from_columns([0, 1], [512, 512], [1, 1], hash_ids=[[5], [5]])

    modelled = apply_prefix_model(trace, "none")

    assert not modelled.has_hashes
    assert modelled.meta.notes[-1].endswith("the trace's own ids are not used")


def test_shared_gives_each_request_one_of_k_prompts() -> None:
    modelled = apply_prefix_model(lengths(), "shared:k=3,len=100,zipf=0")
    heads = {tuple(prompt[:6]) for prompt in ids(modelled) if len(prompt) >= 6}

    assert heads == {tuple(range(start, start + 6)) for start in (0, 6, 12)}
    rest = [block for prompt in ids(modelled) for block in prompt[6:]]
    assert len(set(rest)) == len(rest)


def test_shared_prompts_follow_zipf() -> None:
    modelled = apply_prefix_model(lengths(20_000), "shared:k=2,len=16,zipf=2")
    first = np.array([prompt[0] for prompt in ids(modelled) if prompt])

    assert np.mean(first == 0) == pytest.approx(0.8, abs=0.015)


def test_sessions_share_a_prompt_if_the_next_holds_it_and_its_answer() -> None:
    trace = replace(
        trace_of([32, 64, 50, 33, 100, 64], [16, 8, 4, 4, 4, 0]),
        session=Labels.of(["a", "b", "a", None, "b", "a"]),
    )

    modelled = apply_prefix_model(trace, "sessions")

    a, b, a2, alone, b2, a3 = ids(modelled)
    assert a2[:2] == a
    assert b2[:4] == b
    assert a3[:3] == a2
    assert not set(alone) & {block for prompt in (a, b, a2, b2, a3) for block in prompt}
    assert "0 of 3 later turns start a new context" in modelled.meta.notes[-1]


def test_a_turn_that_is_too_short_for_the_one_before_starts_anew() -> None:
    trace = replace(trace_of([100, 103], [4, 1]), session=Labels.of(["a", "a"]))

    modelled = apply_prefix_model(trace, "sessions")

    assert plain_hit(modelled) == 0.0
    assert "1 of 1 later turns start a new context" in modelled.meta.notes[-1]


def test_sessions_give_agents_back_what_they_shared() -> None:
    """Recorded ids beside modelled ones: compaction and lost contexts are what differs."""
    agents = generate_trace(Agent(block_tokens=16, spawns=0.0), requests=3_000, seed=2)

    modelled = apply_prefix_model(agents, "sessions")

    assert stated_hit(modelled) == pytest.approx(ideal_token_hit(agents), abs=0.02)


def test_split_gives_exactly_the_recorded_hits() -> None:
    agents = generate_trace(Agent(block_tokens=16, spawns=0.0), requests=1_500, seed=2)
    assert agents.after is not None
    cached = np.full(len(agents), NONE)
    for at in np.flatnonzero(agents.after.counts).tolist():
        before = int(agents.after.rows(at)[0, 0])
        cached[at] = min(agents.input_tokens[before], agents.input_tokens[at])
    trace = replace(agents, recorded_cached_tokens=cached)

    modelled = apply_prefix_model(trace, "split")

    seen: set[int] = set()
    for at, prompt in enumerate(ids(modelled)[:400]):
        depth = next((n for n, block in enumerate(prompt) if block not in seen), len(prompt))
        assert depth == max(int(cached[at]), 0) // 16
        seen |= set(prompt)


def test_split_prefers_the_own_session_and_says_what_it_could_not_meet() -> None:
    trace = replace(
        trace_of([64, 64, 64, 160]),
        session=Labels.of(["a", "b", "a", "b"]),
        recorded_cached_tokens=np.array([48, NONE, 32, 160]),
    )

    modelled = apply_prefix_model(trace, "split")

    first, other, again, last = ids(modelled)
    assert again[:2] == first[:2]
    assert not set(again[2:]) & set(first)
    assert last[:4] == again
    assert not set(other) & {*first, *again, *last}
    assert "144 cached tokens are longer than all prompts before them" in modelled.meta.notes[-1]


@pytest.mark.parametrize("target", [0.0, 0.1, 0.37, 0.5, 0.8])
def test_a_wanted_hit_is_met_within_half_a_percent(target: float) -> None:
    modelled = apply_prefix_model(lengths(), f"hit:{target}")

    assert plain_hit(modelled) == pytest.approx(target, abs=0.001)
    assert "out of reach" not in modelled.meta.notes[-1]


def test_a_hit_out_of_reach_is_said_to_be() -> None:
    modelled = apply_prefix_model(trace_of([100] * 50), "hit:0.5")

    assert plain_hit(modelled) == 0.0
    assert "0.5 is out of reach" in modelled.meta.notes[-1]


def test_a_follow_up_holds_an_earlier_prompt_and_its_answer() -> None:
    modelled = apply_prefix_model(trace_of([100, 105, 104], [5, 5, 5]), "hit:1")

    first, second, third = ids(modelled)
    assert second[: len(first)] == first
    assert not set(third) & set(first)


def write_tree(path: Path, ids: list[list[int]], inputs: list[int]) -> str:
    trace = Trace.from_columns(range(len(ids)), inputs, [1] * len(ids), hash_ids=ids, block_size=32)
    return str(write_trace(trace, path).path)


def test_a_tree_gives_what_other_requests_share_to_prompts_of_that_length(tmp_path: Path) -> None:
    source = write_tree(
        tmp_path / "s.jsonl", [[7, 1], [7, 2, 3, 4], [7, 5], [7, 2, 3, 6]], [64, 128, 64, 128]
    )

    modelled = apply_prefix_model(trace_of([64, 128, 66, 128]), f"tree:{source}")

    short, long, short2, long2 = ids(modelled)
    shared = [sum(a == b for a, b in pairwise_of(short, short2))]
    shared += [sum(a == b for a, b in pairwise_of(long, long2))]
    shared += [sum(a == b for a, b in pairwise_of(short, long))]
    assert shared == [2, 6, 2]
    assert "paths of 4 of 4 requests" in modelled.meta.notes[-1]


def pairwise_of(one: list[int], other: list[int]) -> list[tuple[int, int]]:
    return list(zip(one, other, strict=False))


def test_paths_that_are_used_up_come_again_with_new_ids(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "s.jsonl", [[7, 1], [7, 2]], [64, 64])

    modelled = apply_prefix_model(trace_of([64] * 6), f"tree:{source}")

    heads = [tuple(prompt[:2]) for prompt in ids(modelled)]
    assert heads[0] == heads[1] != heads[2] == heads[3] != heads[4] == heads[5]


def test_requests_of_a_length_take_those_of_the_nearest_length_in_order_of_time() -> None:
    wanted, offered = np.array([10, 1000, 11, 90, 10]), np.array([1300, 10, 1000, 10])

    chosen, copy = matched(wanted, offered, start=0)
    later, _ = matched(wanted, offered, start=2)

    # 10 and 11 are in one bin, which is also the nearest to 90; its second round is a copy.
    assert chosen.tolist() == [1, 2, 3, 1, 3]
    assert copy.tolist() == [0, 0, 0, 1, 1]
    assert later.tolist() == [3, 2, 1, 3, 1]


def test_a_tree_of_the_trace_itself_keeps_its_hit() -> None:
    path = real("mooncake/conversation_trace.jsonl")
    trace = read_trace(path)

    modelled = apply_prefix_model(trace, f"tree:{path}")

    assert stated_hit(modelled) == pytest.approx(ideal_token_hit(trace), abs=0.01)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("some", "prefix model 'some': is unknown; known are none, shared, sessions, split, tree"),
        ("hit", "prefix model hit: must be a share from 0 to 1, as in hit:0.4, is ''"),
        ("hit:37%", "prefix model hit: must be a share from 0 to 1, as in hit:0.4, is '37%'"),
        ("hit:1.5", "prefix model hit: must be from 0 to 1, is 1.5"),
        ("hit:nan", "prefix model hit: must be from 0 to 1, is nan"),
        ("tree", "prefix model tree: must name a trace with hash ids"),
        ("shared:k=0", "shared: k: must be an integer from 1 to 10000000, is 0"),
        ("sessions", "prefix model sessions: the trace names no sessions; hit:0.4"),
        ("split", "prefix model split: the trace has no recorded cached tokens"),
    ],
)
def test_errors_name_the_model_and_the_way_out(words: str, message: str) -> None:
    with pytest.raises(TraceError) as error:
        apply_prefix_model(trace_of([10]), words)
    assert str(error.value).startswith(message)


def test_a_tree_needs_chained_ids_of_a_multiple_of_the_block(tmp_path: Path) -> None:
    unchained = write_tree(tmp_path / "u.jsonl", [[1, 2], [3, 2]], [64, 64])
    without = str(write_trace(lengths(10), tmp_path / "l.jsonl").path)
    good = write_tree(tmp_path / "g.jsonl", [[1, 2]], [64])

    for path, block_size, message in (
        (unchained, 16, "has ids that are not chained"),
        (without, 16, "has no hash ids"),
        (good, 10, "has ids of 32 tokens, which 10 does not divide"),
    ):
        with pytest.raises(TraceError, match=message):
            apply_prefix_model(trace_of([10]), f"tree:{path}", block_size=block_size)


def test_words_give_models() -> None:
    assert parse_prefix_model("shared:k=8,len=300,zipf=0.5").k == 8  # type: ignore[attr-defined]
    assert parse_prefix_model("hit:0.37").target == 0.37  # type: ignore[attr-defined]
    assert parse_prefix_model("tree:a:b.jsonl").path == "a:b.jsonl"  # type: ignore[attr-defined]
