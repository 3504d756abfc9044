"""Traps in published traces: each shows in what is read, or in what its reader is told.

Figures of real files are those of the files themselves; a test of them is skipped without a copy.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from jenga_sim.cli import cli
from jenga_sim.traces import Trace, read_trace
from jenga_sim.traces.columns import IntColumn
from jenga_sim.traces.inspection import inspect_trace
from jenga_sim.traces.transform.outputs import with_outputs
from jenga_sim.traces.transform.shaping import Shaping
from tests.traces.data import real

S = 10**9

CONVERSATION = "mooncake/conversation_trace.jsonl"


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def request(at_ms: float, tokens: int, ids: list[int] | None = None, **keys: Any) -> dict[str, Any]:
    row = {"timestamp": at_ms, "input_length": tokens, "output_length": 5} | keys
    return row if ids is None else row | {"hash_ids": ids}


# Trap 1: Arrivals in buckets of three seconds.


def test_trap_1_requests_of_one_tick_are_no_burst(tmp_path: Path) -> None:
    rows = [request(3000 * (at // 10), 600) for at in range(600)]

    trace = read_trace(written(tmp_path / "a.jsonl", *rows))
    arrivals = inspect_trace(trace).arrivals
    drawn = inspect_trace(Shaping(spread_quantum_ms=0).apply(trace)).arrivals

    assert (arrivals.quantum_ms, arrivals.timestamps, arrivals.per_timestamp_max) == (3000, 60, 10)
    assert arrivals.cv is not None
    assert arrivals.cv_spread is not None
    assert arrivals.cv > 2.5
    assert arrivals.cv_spread < 1.1
    assert drawn.cv == pytest.approx(arrivals.cv_spread, abs=0.1)
    assert drawn.timestamps == 600


def test_trap_1_mooncake_ticks_every_three_seconds_and_spreading_undoes_it() -> None:
    trace = read_trace(real(CONVERSATION))

    arrivals = inspect_trace(trace).arrivals
    drawn = inspect_trace(Shaping(spread_quantum_ms=0, seed=1).apply(trace)).arrivals

    assert (arrivals.quantum_ms, arrivals.timestamps, arrivals.per_timestamp_max) == (
        *(3000, 1180, 28),
    )
    assert arrivals.cv == pytest.approx(3.03, abs=0.005)
    assert arrivals.cv_spread == pytest.approx(1.01, abs=0.005)
    assert drawn.cv == pytest.approx(1.01, abs=0.03)


# Trap 6: Requests that nothing came out of, in an overloaded service.


@pytest.fixture
def overloaded(tmp_path: Path) -> Path:
    """Every third request has no output; blocks of 1,024 tokens, partial ones without an id."""
    rows = [
        request(100 * at, 2100, [1, 10 + at], output_length=5 if at % 3 else 0) for at in range(12)
    ]
    return written(tmp_path / "a.jsonl", *rows)


def test_trap_6_requests_without_an_output_are_kept_and_counted(overloaded: Path) -> None:
    trace = read_trace(overloaded, block_size=1024)

    assert inspect_trace(trace).no_output == 4
    assert trace.meta.hash_tail == "floor"


@pytest.mark.parametrize(
    ("policy", "outputs", "words"),
    [
        ("one", [1, 5, 5], "each generates one token"),
        ("prefill", [0, 5, 5], "only their prompts are computed"),
        ("skip", [5, 5], "skipped"),
    ],
)
def test_trap_6_what_becomes_of_them_is_said(
    overloaded: Path, policy: Any, outputs: list[int], words: str
) -> None:
    changed = with_outputs(read_trace(overloaded, block_size=1024), policy)

    assert changed.output_tokens.tolist() == outputs * 4
    assert changed.meta.notes[-1].startswith("4 of 12 requests have no output: ")
    assert words in changed.meta.notes[-1]


@pytest.mark.parametrize(("policy", "requests", "tokens"), [("one", 12, 44), ("prefill", 12, 40),
                                                            ("skip", 8, 40)])  # fmt: skip
def test_trap_6_a_run_counts_them_as_it_was_told(
    overloaded: Path, policy: str, requests: int, tokens: int
) -> None:
    run = ["run", str(overloaded), "--trace-block-size", "1024", "--policy", "paged"]
    options = ["--zero-output", policy, "--format", "json", "--quiet"]

    done = CliRunner().invoke(cli, [*run, *options], standalone_mode=False)

    assert done.exception is None, done.output
    summary = json.loads(done.stdout)
    assert (summary["num_prompts"], summary["completed"]) == (requests, requests)
    assert summary["total_output_tokens"] == tokens


# Trap 8: Pools of clients whose own sampler draws all fields from one number.


def rank_correlation(left: IntColumn, right: IntColumn) -> float:
    """Spearman's; equal values have the mean of their ranks."""
    ranks: list[Any] = []
    for values in (left, right):
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - counts / 2)[inverse])
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def test_trap_8_fields_of_a_pool_are_drawn_independently(tmp_path: Path) -> None:
    even = "{" + ", ".join(f"{tokens}: 0.01" for tokens in range(1, 101)) + "}"
    lengths = {"0": {"input_tokens": even, "output_tokens": even}}
    (tmp_path / "chunk-0-trace.csv").write_text("0,4,1,Gamma,1,1\n600,0,0,,0,0\n")
    (tmp_path / "chunk-0-dataset.json").write_text(json.dumps(lengths))

    trace = read_trace(tmp_path)

    assert len(trace) == 2400
    assert abs(rank_correlation(trace.input_tokens, trace.output_tokens)) < 0.05


def test_trap_8_so_are_those_of_the_published_clients() -> None:
    trace = read_trace(real("servegen/reason/deepseek-r1"))
    assert trace.tenant is not None

    for code in range(len(trace.tenant.names)):
        mine = trace.tenant.codes == code
        assert mine.sum() > 100
        assert abs(rank_correlation(trace.input_tokens[mine], trace.output_tokens[mine])) < 0.25


# Trap 9: Columns that moved when others were added.


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_trap_9_columns_of_burstgpt_are_found_by_name(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    table = [
        ("Timestamp", "Model", "Request tokens", "Response tokens"),
        ("5", "ChatGPT", "472", "18"),
        ("45", "GPT-4", "1087", "230"),
    ]
    path = tmp_path / "a.csv"
    path.write_text("".join(",".join(row[at] for at in order) + "\n" for row in table))

    trace = read_trace(path)

    assert trace.meta.format == "burstgpt"
    assert (trace.arrival_ns // S).tolist() == [0, 40]
    assert (trace.input_tokens.tolist(), trace.output_tokens.tolist()) == ([472, 1087], [18, 230])
    assert trace.model is not None
    assert [trace.model.word(at) for at in range(2)] == ["ChatGPT", "GPT-4"]


# Trap 10: Dates that differ from what is written about them, and one trace under two names.


def test_trap_10_a_trace_starts_at_its_first_row_whatever_the_day(tmp_path: Path) -> None:
    traces: list[Trace] = []
    for day in (11, 16):
        path = tmp_path / f"{day}.csv"
        rows = [f"2023-11-{day} 23:59:{second},374,44\n" for second in ("58.5", "59.25")]
        path.write_text("".join(["TIMESTAMP,ContextTokens,GeneratedTokens\n", *rows]))
        traces.append(read_trace(path))

    assert traces[0].arrival_ns.tolist() == traces[1].arrival_ns.tolist() == [0, 750_000_000]


def test_trap_10_rows_of_azure_are_of_16_november() -> None:
    rows = real("azure-llm-2023/AzureLLMInferenceTrace_conv.csv").read_text().splitlines()[1:]

    assert {row[:10] for row in rows} == {"2023-11-16"}


def test_trap_10_the_conversations_of_azure_and_the_file_of_vidur_are_the_same_requests() -> None:
    azure = read_trace(real("azure-llm-2023/AzureLLMInferenceTrace_conv.csv"))
    vidur = read_trace(real("vidur/splitwise_conv.csv"))

    for name in ("arrival_ns", "input_tokens", "output_tokens"):
        assert np.array_equal(getattr(azure, name), getattr(vidur, name)), name
    assert azure.meta.sha256 != vidur.meta.sha256
