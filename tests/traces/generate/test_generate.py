"""Laws of every generated trace, whatever the workload."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace, write_trace
from jenga_sim.traces.columns import NONE, Ragged
from jenga_sim.traces.generate.arrivals import AtOnce, Constant, Poisson
from jenga_sim.traces.generate.generate import (
    WORKLOADS,
    generate,
    generate_trace,
    parse_arrivals,
    parse_workload,
)
from jenga_sim.traces.generate.merge import in_time_order
from jenga_sim.traces.generate.sessions import answer_ns
from jenga_sim.traces.generate.workload import part_of
from jenga_sim.traces.generate.workloads.chat import Chat
from jenga_sim.traces.generate.workloads.lengths import IndependentLengths
from jenga_sim.traces.runs import block_counts
from jenga_sim.traces.words import described
from tests.traces.strategies import assert_same

NAMES = sorted(WORKLOADS)


def trace_of(name: str, requests: int = 700, seed: int = 1) -> Trace:
    return generate_trace(parse_workload(name), requests=requests, seed=seed)


@pytest.mark.parametrize("name", NAMES)
def test_requests_are_in_order_of_time_and_named_by_number(name: str) -> None:
    trace = trace_of(name)

    assert len(trace) == 700
    assert np.all(np.diff(trace.arrival_ns) >= 0)
    assert list(trace.request_ids) == [str(number) for number in range(700)]
    assert trace.input_tokens.min() >= 1
    assert trace.output_tokens.min() >= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_shorter_trace_is_the_beginning_of_a_longer_one(name: str) -> None:
    assert_same(trace_of(name, 150), trace_of(name).head(150))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "agent"])
def test_the_seed_decides_the_trace(name: str) -> None:
    one, other = trace_of(name, 40), trace_of(name, 40, seed=2)

    assert_same(one, trace_of(name, 40))
    changed = one.input_tokens.tolist() != other.input_tokens.tolist()
    assert changed == (name != "mmmu-pro")


@pytest.mark.parametrize("name", NAMES)
def test_ids_cover_the_prompt(name: str) -> None:
    trace = trace_of(name)
    counts, size = block_counts(trace.hash_runs), trace.block_size

    if name == "lengths":
        assert not trace.has_hashes
    elif trace.meta.hash_tail == "ceil":
        assert counts.tolist() == (-(-trace.input_tokens // size)).tolist()
    else:
        assert trace.meta.hash_tail == "floor"
        assert counts.tolist() == (trace.input_tokens // size).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_chained(name: str) -> None:
    """An id always has the same id before it: it stands for a block and all that precedes it."""
    trace = trace_of(name, 300)
    before: dict[int, int] = {}

    for index in range(len(trace)):
        previous = NONE
        for hash_id in trace.hash_ids(index).tolist():
            assert before.setdefault(hash_id, previous) == previous
            previous = hash_id


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_back(name: str, tmp_path: Path) -> None:
    trace = trace_of(name)
    write_trace(trace, tmp_path / "t.jsonl.gz")

    again = read_trace(tmp_path / "t.jsonl.gz")

    assert_same(again, trace)
    assert again.meta.source == trace.meta.source != ""


@pytest.mark.parametrize("name", NAMES)
def test_parts_can_be_written_one_by_one(name: str, tmp_path: Path) -> None:
    write_trace(trace_of(name), tmp_path / "whole.jsonl")
    write_trace(generate(parse_workload(name), requests=700, seed=1), tmp_path / "parts.jsonl")

    assert (tmp_path / "whole.jsonl").read_bytes() == (tmp_path / "parts.jsonl").read_bytes()


DIGESTS = {
    "agent": "9b32b63af26c83d9",
    "chat": "9c3a383b943a3bc2",
    "doc-qa": "50814708cf5ad6f2",
    "lengths": "31a63ee354f97ed4",
    "mmlu-pro": "d4cf1f6cc1e870dd",
    "mmmu-pro": "951feac06b4ff845",
    "rag": "495f9799092dd622",
    "reasoning": "ecd3b61f751ec380",
    "vlm": "fedc161d015d2d05",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_are_the_same_everywhere(name: str, tmp_path: Path) -> None:
    """Digests of the first 700 requests; they change only if a workload is meant to change."""
    written = write_trace(trace_of(name), tmp_path / "t.jsonl")

    assert written.sha256[:16] == DIGESTS[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_words_in_the_meta_make_the_trace_again(name: str) -> None:
    trace = trace_of(name, 50)
    kind, workload, arrivals, word, seed = trace.meta.source.split(" ")

    assert (kind, word) == ("generated:", "seed")
    again = generate_trace(
        parse_workload(workload), parse_arrivals(arrivals), requests=50, seed=int(seed)
    )
    assert_same(trace, again)


@pytest.mark.parametrize("name", ["chat", "agent"])
def test_a_turn_comes_when_those_before_it_were_answered_and_its_pause_is_over(name: str) -> None:
    trace = generate_trace(parse_workload(name), Poisson(20.0), requests=20_000, seed=1)
    assert trace.after is not None
    assert trace.delay_ns is not None
    ends = trace.arrival_ns + answer_ns(trace.output_tokens)

    later = np.flatnonzero(trace.after.counts)
    assert len(later) > 5_000
    latest = np.maximum.reduceat(ends[trace.after.values[:, 0]], trace.after.offsets[later])
    assert (latest + trace.delay_ns[later]).tolist() == trace.arrival_ns[later].tolist()
    assert np.all(trace.delay_ns[trace.after.counts == 0] == NONE)


def test_the_rate_counts_requests_and_not_sessions() -> None:
    trace = generate_trace(Chat(gap_s=2.0, gap_p90_s=5.0), Poisson(5.0), requests=30_000, seed=4)

    assert len(trace) / (trace.span_ns / 1e9) == pytest.approx(5.0, rel=0.03)


def test_a_duration_ends_the_trace() -> None:
    trace = generate_trace(IndependentLengths(), Constant(10.0), duration_s=3.05)

    assert trace.arrival_ns.tolist() == [100_000_000 * number for number in range(31)]
    both = generate_trace(IndependentLengths(), Constant(10.0), duration_s=3.05, requests=7)
    assert len(both) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "generate: has no end; give a number of requests or a duration"),
        ({"requests": 0}, "generate: requests: must be at least 1, is 0"),
        ({"duration_s": 0.0}, "generate: duration: must be above 0"),
        ({"duration_s": float("nan")}, "generate: duration: must be above 0"),
        ({"duration_s": 1e-3}, "lengths: nothing arrives within 0.001 s; take longer"),
        ({"requests": 20_000, "arrivals": Poisson(1e-6)}, "arrivals: go beyond 8.79609e+09 s"),
        ({"duration_s": 5.0, "arrivals": AtOnce()}, "generate: at-once has no end in time"),
    ],
)
def test_an_end_that_is_none_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(TraceError) as error:
        generate_trace(IndependentLengths(), **({"arrivals": Poisson()} | arguments))  # type: ignore[arg-type]
    assert str(error.value).startswith(message)


def test_lengths_stream_in_constant_memory() -> None:
    def peak(requests: int) -> int:
        tracemalloc.start()
        count = sum(map(len, generate(IndependentLengths(), requests=requests)))
        bytes_at_most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == requests
        return bytes_at_most

    assert peak(1_500_000) < 1.1 * peak(300_000)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_read_back_from_their_words(name: str) -> None:
    workload = parse_workload(name)

    assert described(workload) == name
    assert parse_workload(described(workload)) == workload


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("chatt", "workload 'chatt': is unknown; known are chat, agent, rag, doc-qa"),
        ("chat:turns=0.5", "chat: turns: must be a number from 1 to 10000, is 0.5"),
        ("agent:think_p90=1", "agent: think_p90: must be a number from 10 to"),
        ("reasoning:share_p90=1", "reasoning: share_p90: must be a number from 0.001 to 0.999"),
        ("doc-qa:articles_most=1", "doc-qa: articles_most: must be at least articles_least (2)"),
        ("lengths:mean=4", "lengths: mean: is no parameter; there are: input, input_p99, output"),
    ],
)
def test_errors_name_workload_key_and_way_out(words: str, message: str) -> None:
    with pytest.raises(TraceError) as error:
        parse_workload(words)
    assert str(error.value).startswith(message)


@given(st.data())
def test_merging_gives_what_sorting_everything_would(data: st.DataObject) -> None:
    parts: list[tuple[Trace, int]] = []
    start = 0
    for number in range(data.draw(st.integers(1, 4))):
        times = data.draw(st.lists(st.integers(start, start + 30), min_size=1, max_size=6))
        start = data.draw(st.integers(start, start + 20))
        after = Ragged.of([[(at - 1,)] if at else [] for at in range(len(times))], 1)
        times.sort()
        marks = np.arange(1, len(times) + 1) + 100 * number
        parts.append((part_of(np.array(times), marks, marks, after=after), start))
    last = np.array([1000])
    parts.append((part_of(last, last, last, after=Ragged.empty(1, 1)), 10**6))

    merged = list(in_time_order(parts))

    order = sorted(
        (int(time), number, position)
        for number, (part, _) in enumerate(parts)
        for position, time in enumerate(part.arrival_ns.tolist())
    )
    numbers = {key[1:]: number for number, key in enumerate(order)}
    marks = [mark for part in merged for mark in part.input_tokens.tolist()]
    assert marks == [int(parts[n][0].input_tokens[at]) for _, n, at in order]
    lists = [part.after.rows(at)[:, 0].tolist() for part in merged for at in range(len(part))]  # type: ignore[union-attr]
    assert lists == [
        [numbers[n, at - 1]] if at and n < len(parts) - 1 else [] for _, n, at in order
    ]
    names = [name for part in merged for name in part.request_ids]
    assert names == [str(number) for number in range(len(order))]
