"""Figures that were published of traces, from the files themselves where they are at hand.

Each number is written as it was printed and compared to as many places.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from jenga_sim.traces.runs import encode_runs
from jenga_sim.traces.stats import (
    ArrivalCounts,
    ArrivalFigures,
    Correlation,
    Distribution,
    PromptFigures,
    distribution,
    lru_figures,
    prompt_figures,
)
from jenga_sim.traces.stats.stack import stack_depths
from tests.traces.stats.real import (
    Columns,
    azure,
    lengths,
    mooncake,
    published,
    weka,
    weka_sessions,
)

BWB = "etalon/bwb_stats_llama2_tokenizer_filtered_v2.csv"
ARXIV = "vidur/arxiv_summarization_stats_llama2_tokenizer_filtered_v2.csv"


def arrivals(columns: Columns) -> ArrivalFigures:
    counts = ArrivalCounts()
    counts.add(columns.prompts.arrival_ns)
    return counts.result()


def known(found: Distribution | None) -> Distribution:
    assert found is not None
    return found


def four(column: Distribution | None) -> str:
    """Mean, median, 99th percentile and maximum as the table prints them."""
    found = known(column)
    values = (found.mean, found.p50, found.p99, found.max)
    return "/".join(f"{int(value + 0.5):,}" for value in values)


@pytest.mark.parametrize(
    ("trace", "requests", "span_s", "rate", "cv", "spread", "idc60"),
    [
        (partial(mooncake, "conversation"), 12_031, 3_537, "3.40", "3.03", "1.01", "2.9"),
        (partial(mooncake, "synthetic"), 3_993, 1_022, "3.91", "1.01", "1.01", "1.2"),
        (partial(azure, "code"), 8_819, 3_436, "2.57", "13.15", "13.15", "164.0"),
        (partial(azure, "conv"), 19_366, 3_502, "5.53", "1.09", "1.09", "16.1"),
    ],
)
def test_arrivals(
    trace: Callable[[], Columns],
    requests: int,
    span_s: int,
    rate: str,
    cv: str,
    spread: str,
    idc60: str,
) -> None:
    found = arrivals(trace())

    assert (found.requests, round(found.span_s)) == (requests, span_s)
    shown = f"{found.rate_per_s:.2f} {found.cv:.2f} {found.cv_spread:.2f} {found.idc60:.1f}"
    assert shown == f"{rate} {cv} {spread} {idc60}"


def test_the_clock_of_the_conversations_ticks_every_three_seconds() -> None:
    found = arrivals(mooncake("conversation"))

    assert (found.quantum_ms, found.timestamps, found.per_timestamp_max) == (3_000, 1_180, 28)
    assert f"{found.per_timestamp_mean:.1f}" == "10.2"


@pytest.mark.parametrize(
    ("trace", "inputs", "outputs"),
    [
        (
            partial(mooncake, "conversation"),
            "12,035/6,909/85,400/126,195",
            "343/350/1,119/2,000",
        ),
        (partial(mooncake, "synthetic"), "15,325/11,587/66,456/191,378", "149/69/768/893"),
        (partial(azure, "code"), "2,048/1,469/7,436/7,437", "28/13/251/1,899"),
        (partial(azure, "conv"), "1,155/1,020/4,142/14,050", "211/129/601/1,000"),
        (partial(lengths, "vidur/splitwise_conv.csv"), "1,155/1,020/4,142/14,050", None),
        (partial(lengths, ARXIV), "2,588/2,730/3,933/4,054", "291/167/3,271/4,056"),
        (partial(lengths, BWB), "1,067/1,037/1,800/3,504", "1,613/1,601/2,533/2,858"),
    ],
)
def test_lengths(trace: Callable[[], Columns], inputs: str, outputs: str | None) -> None:
    columns = trace()

    assert four(distribution(columns.prompts.input_tokens)) == inputs
    assert outputs in (None, four(distribution(columns.output_tokens)))


def test_long_books_have_long_translations() -> None:
    columns = lengths(BWB)
    correlation = Correlation()
    correlation.add(columns.prompts.input_tokens, columns.output_tokens)

    # Printed as 0.79, which neither this nor the correlation of the ranks (0.805) gives.
    assert correlation.result() == pytest.approx(0.785, abs=0.0005)


@pytest.mark.parametrize(
    ("name", "prefixes", "lru", "reuse_s", "depths", "chain"),
    [
        (
            "conversation",
            (288_500, 182_790, 0.366, 0.374, 0.9999, 0.76),
            (0.0532, 0.1355, 0.2852, 0.3588),
            (0, 114, 519, 1_578),
            (8_357, 31_589),
            0.86,
        ),
        (
            "synthetic",
            (121_877, 43_924, 0.640, 0.651, 0.4463, 0.58),
            (0.1395, 0.3094, 0.5665, 0.6396),  # printed as .140, .309, .567 and .640
            (4.8, 59, 282, 583),
            (6_266, 20_393),
            0.76,
        ),
    ],
)
def test_prefixes(
    name: str,
    prefixes: tuple[float, ...],
    lru: tuple[float, ...],
    reuse_s: tuple[float, ...],
    depths: tuple[float, ...],
    chain: float,
) -> None:
    figures = prompt_figures(mooncake(name).prompts)

    found, caches = figures.prefixes, figures.lru
    assert found is not None
    assert caches is not None
    assert (found.references, found.unique) == prefixes[:2]
    assert round(found.block_hit, 3) == prefixes[2]
    assert round(found.token_hit, 3) == prefixes[3]
    assert round(found.requests_with_hit, 4) == prefixes[4]
    assert round(found.used_once, 2) == prefixes[5]
    assert found.conflicts == 0
    times = known(found.reuse_s)
    assert (times.p10, times.p50, times.p90, times.p99) == pytest.approx(reuse_s, abs=0.5)
    assert caches.sampling_rate == 1
    assert tuple(round(hit, 4) for hit in caches.size_hits) == lru
    depth = known(caches.depth_blocks)
    assert (depth.p50, depth.p90) == depths
    assert found.chain_share is not None
    assert round(found.chain_share, 2) == chain


def test_the_conversations_share_one_block() -> None:
    found = prompt_figures(mooncake("conversation").prompts).prefixes

    assert found is not None
    assert found.widest_fork == 7_373


@pytest.mark.parametrize(
    ("name", "sessions", "follow_ups", "turns", "gaps_s"),
    [
        ("conversation", 7_411, 0.384, (1.62, 8, 43), (123, 483)),
        ("synthetic", 2_473, 0.381, (1.61, 8, 24), (75, 302)),
    ],
)
def test_inferred_sessions(
    name: str,
    sessions: int,
    follow_ups: float,
    turns: tuple[float, ...],
    gaps_s: tuple[float, ...],
) -> None:
    found = prompt_figures(mooncake(name).prompts).sessions

    assert found is not None
    assert found.inferred
    assert (found.sessions, round(found.follow_ups, 3)) == (sessions, follow_ups)
    assert (round(found.turns.mean, 2), found.turns.p99, found.turns.max) == turns
    gap = known(found.gap_s)
    assert (round(gap.p50), round(gap.p90)) == gaps_s


@pytest.fixture(scope="module")
def agents() -> Columns:
    """The first 350 sessions; those published are of 683."""
    return weka()


@pytest.fixture(scope="module")
def agent_figures(agents: Columns) -> PromptFigures:
    return prompt_figures(agents.prompts, agents.codes, agents.think_ns)


def test_agents_find_nearly_all_of_their_prompts(agent_figures: PromptFigures) -> None:
    found = agent_figures.prefixes

    assert found is not None
    assert (found.references, found.unique, found.conflicts) == (39_703_888, 1_738_002, 0)
    # .962 of all 683 sessions.
    assert (round(found.block_hit, 3), round(found.token_hit, 3)) == (0.956, 0.956)
    assert (found.chain_share, found.chain_inferred) == (1.0, False)


def test_turns_of_agents(agents: Columns, agent_figures: PromptFigures) -> None:
    found = agent_figures.sessions

    assert found is not None
    assert (found.sessions, found.turns.count, found.inferred) == (350, 350, False)
    # Of all sessions: 44 turns, 732 new tokens, 10 s, hits .83 and .95, 147,619 tokens.
    assert found.turns.p50 == 33
    assert round(known(found.new_tokens).p50) == 892
    assert round(known(found.think_s).p50) == 12
    hit = known(found.hit)
    assert (round(hit.p10, 2), round(hit.p50, 2)) == (0.82, 0.94)
    assert (found.context_tokens.p50, found.context_tokens.max) == (146_964.5, 894_371)
    # As published: the longest answer is among these sessions.
    assert int(agents.output_tokens.max()) == 18_195


def test_lists_of_ids_code_to_the_runs_that_were_published() -> None:
    coded = {trace["id"]: trace["requests"] for trace in weka_sessions()}
    files = sorted(published("weka-claude-code/sessions/trace_0022.json").parent.glob("*.json"))
    compared = 0

    for trace in (json.loads(file.read_text(encoding="utf-8")) for file in files):
        rows = zip(trace["requests"], coded.get(trace["id"], ()), strict=False)
        for plain, runs in rows:
            ids = np.array(plain.get("hash_ids", []), dtype=np.int64)
            found = encode_runs(np.array([0, len(ids)]), ids).values
            assert found.ravel().tolist() == runs.get("hash_runs", [])
            compared += len(ids) > 0

    assert compared == 43


def test_a_sample_of_the_agents_blocks_tells_nearly_what_all_of_them_tell() -> None:
    prompts = weka(sessions=30).prompts
    references = np.concatenate([chunk.blocks for chunk in prompts.chunks()])
    depths = stack_depths(references)
    sizes = (1_000_000, 3_000_000, 10_000_000)

    found = lru_figures(prompts, sizes, most_references=len(references) // 10)

    assert found is not None
    assert found.sampling_rate == pytest.approx(0.1, abs=0.001)
    exact = [np.mean((depths > 0) & (depths <= size // 64)) for size in sizes]
    assert found.size_hits == pytest.approx(exact, abs=0.02)
    assert known(found.depth_blocks).p50 == pytest.approx(
        np.percentile(depths[depths > 0], 50), rel=0.05
    )
