"""The front door: one call from a trace to a result, and requests that can never be served."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jenga_sim
from jenga_sim import ConfigError, Trace, TraceError
from jenga_sim.configs.specs import GPUSpec, LayerSpec, ModelSpec
from jenga_sim.sim.result import Result
from jenga_sim.sim.run import prepare, simulate

POLICIES = ("paged", "vllm", "static", "lcm", "ideal")
MS = 1_000_000

HYBRID = ModelSpec(
    name="hybrid",
    source="test",
    max_model_len=2_000,
    num_layers=6,
    hidden_size=256,
    vocab_size=1_000,
    params_total=10_000_000,
    params_active=10_000_000,
    weight_bytes=20_000_000,
    weight_dtype="bf16",
    layers=(
        *[LayerSpec(kind="full", variant="full", heads=4, kv_heads=2, k_dim=32, v_dim=32)] * 2,
        *[
            LayerSpec(
                kind="sliding_window",
                variant="swa",
                heads=4,
                kv_heads=2,
                k_dim=32,
                v_dim=32,
                window=128,
            )
        ]
        * 4,
    ),
)
GPU = GPUSpec(
    name="card",
    source="test",
    memory_bytes=8 << 30,
    memory_bandwidth=1e10,
    flops={"bf16": 1e12},
    link_bandwidth=1e9,
)
POOL = 3_000_000
"""Room for about 1,900 tokens of all layers, fewer than ``max_model_len``."""


Row = tuple[int, int, int]
"""Arrival in ms, prompt, output."""


def trace_of(rows: Sequence[Row]) -> Trace:
    at, prompt, output = (np.array(column) for column in zip(*rows, strict=True))
    return Trace.from_columns(at * MS, prompt, output, name="rows")


def run(rows: Sequence[Row] | Trace, policy: str = "vllm", **settings: Any) -> Result:
    trace = rows if isinstance(rows, Trace) else trace_of(rows)
    settings = {"kv_cache_memory_bytes": POOL, "max_num_batched_tokens": 512} | settings
    settings = {"max_num_seqs": 16} | settings
    return jenga_sim.run(trace, model=HYBRID, gpu=GPU, policy=policy, **settings)


def random_rows(seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, 400, 25)).tolist()
    return list(
        zip(at, rng.integers(1, 500, 25).tolist(), rng.integers(1, 80, 25).tolist(), strict=True)
    )


TOO_LONG = (1_990, 11)
"""One token more than the model's longest sequence."""


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(3))
def test_requests_that_never_fit_are_rejected_and_change_nothing_for_the_others(
    policy: str, seed: int
) -> None:
    rows = random_rows(seed)
    rng = np.random.default_rng(seed + 100)
    moments = rng.integers(rows[0][0], rows[-1][0], 12).tolist()
    mixed = [(*row, True) for row in rows] + [(at, *TOO_LONG, False) for at in moments]
    mixed.sort(key=lambda row: row[0])

    with_them = run([row[:3] for row in mixed], policy, check=True)
    without = run(rows, policy)

    served = with_them.requests[[row[3] for row in mixed]].reset_index(drop=True)
    rejected = with_them.requests[[not row[3] for row in mixed]]
    assert (rejected["status"] == "rejected").all()
    assert (rejected["rejected_by"] == "max_model_len").all()
    assert rejected[["queue_ms", "ttft_ms", "tpot_ms", "e2el_ms"]].isna().all(axis=None)
    other = ["request_id"]
    assert served.drop(columns=other).equals(without.requests.drop(columns=other))
    counts = {"num_prompts", "failed", "rejected", "rejected_by"}
    ours, theirs = (
        {name: value for name, value in result.summary.items() if name not in counts}
        for result in (with_them, without)
    )
    assert ours == theirs
    assert with_them.summary["rejected_by"] == {"max_model_len": 12}
    assert with_them.summary["failed"] == 12


def test_reasons_of_rejection_are_counted_one_by_one() -> None:
    # 1,995 tokens are allowed, but every layer keeps them all and the pool holds fewer.
    rows = [(0, 300, 20), (1, *TOO_LONG), (2, 1_985, 10), (3, 1_985, 10), (4, 200, 30)]

    summary = run(rows, "paged").summary

    assert summary["rejected_by"] == {"max_model_len": 1, "pool": 2}
    assert (summary["completed"], summary["rejected"], summary["num_prompts"]) == (2, 3, 5)
    assert run(rows, "vllm").summary["rejected_by"] == {"max_model_len": 1}


@pytest.mark.parametrize("policy", POLICIES)
def test_the_longest_request_that_the_warning_names_is_served_and_one_more_is_not(
    policy: str,
) -> None:
    pool = 2_000_000
    setup = prepare(
        trace_of([(0, 5, 5)]), model=HYBRID, gpu=GPU, policy=policy, kv_cache_memory_bytes=pool
    )
    text = next((w for w in setup.warnings if "does not fit this pool" in w), None)
    if text is None:
        longest = run([(0, 1_990, 10)], policy, kv_cache_memory_bytes=pool)
        assert longest.summary["completed"] == 1
        return
    most = int(text.split("the longest that does has ")[1].split(".")[0].replace(",", ""))

    settings = {"kv_cache_memory_bytes": pool, "max_num_batched_tokens": None, "max_num_seqs": None}
    fits = run([(0, most - 3, 3)], policy, check=True, **settings).summary
    too_long = run([(0, most - 3, 4)], policy, check=True, **settings).summary

    assert fits["completed"] == 1
    assert too_long["rejected_by"] == {"pool": 1}


@pytest.mark.parametrize("policy", POLICIES)
def test_everything_rejected_is_a_result_without_times(policy: str) -> None:
    result = run([(0, *TOO_LONG), (5, *TOO_LONG)], policy)

    assert result.complete
    assert result.summary["completed"] == result.summary["num_steps"] == 0
    assert result.summary["mean_ttft_ms"] is None
    assert (result.requests["status"] == "rejected").all()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(2))
def test_every_token_of_the_trace_comes_out(policy: str, seed: int) -> None:
    rows = random_rows(seed)

    result = run(rows, policy, check=True)

    assert result.summary["completed"] == len(rows)
    assert result.requests["output_tokens"].tolist() == [output for _, _, output in rows]
    assert result.summary["total_input_tokens"] == sum(prompt for _, prompt, _ in rows)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_crowd_that_arrives_at_once_is_served_in_the_order_of_the_trace(policy: str) -> None:
    result = run([(7, 100 + i, 20) for i in range(60)], policy, check=True)

    assert result.summary["completed"] == 60
    assert result.requests["queue_ms"].is_monotonic_increasing
    assert result.summary["batch_size"]["max"] <= 16


def test_smaller_priority_is_served_first_if_asked_for() -> None:
    count = 40
    trace = Trace.from_columns(
        [0] * count, [300] * count, [30] * count, priority=range(count, 0, -1)
    )

    by_priority = run(trace, scheduling_policy="priority", check=True).requests["ttft_ms"]
    in_order = run(trace, scheduling_policy="fcfs", check=True).requests["ttft_ms"]

    assert by_priority.iloc[-1] < by_priority.iloc[0]
    assert in_order.iloc[0] < in_order.iloc[-1]


def test_an_empty_trace_is_a_result_too() -> None:
    result = run(Trace.from_columns([], [], []))

    assert result.complete
    assert result.summary["num_prompts"] == 0
    assert result.summary["mean_ttft_ms"] is None
    assert len(result.requests) == len(result.steps) == 0


def test_a_trace_may_be_given_as_path(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text('{"timestamp": 4, "input_length": 30, "output_length": 7}\n')

    for given in (path, str(path)):
        result = jenga_sim.run(given, model=HYBRID, gpu=GPU)
        assert result.summary["trace"] == "trace.jsonl"
        assert result.summary["total_output_tokens"] == 7
    with pytest.raises(TraceError, match=r"no\.jsonl"):
        jenga_sim.run(tmp_path / "no.jsonl")


def test_a_prepared_run_knows_its_pool_and_pages_before_it_starts() -> None:
    setup = prepare(
        trace_of([(0, 30, 5)]),
        model=HYBRID,
        gpu=GPU,
        policy="vllm",
        kv_cache_memory_bytes=POOL,
        block_size=16,
    )

    assert setup.pool.bytes == POOL
    assert {group.page_bytes for group in setup.groups} == {16 * 2 * 64 * 2 * 2}
    assert simulate(setup).summary["completed"] == 1


def warnings_of(trace: Trace, model: str = "gemma-3-27b", policy: str = "vllm") -> str:
    setup = prepare(trace, model=model, gpu="h200-sxm", policy=policy)
    return "\n".join(setup.warnings)


def test_what_is_not_simulated_is_said() -> None:
    plain = trace_of([(0, 600, 5)])
    hashed = Trace.from_columns([0], [600], [5], hash_ids=[[1, 2]])
    cross = Trace.from_columns([0], [600], [5], cross_tokens=[1_600])

    assert "prefix caching is off" in warnings_of(hashed, policy="static")
    assert "finer than the trace's hash ids (512 tokens)" in warnings_of(hashed)
    assert "no prefix is shared" in warnings_of(plain)
    assert "cross_tokens of the trace are ignored" in warnings_of(cross)
    assert "cross_tokens" not in warnings_of(cross, "llama-3.2-11b-vision")
    assert warnings_of(plain, policy="static") == ""
    assert "prompts are computed whole, before decodes" in warnings_of(plain, policy="jenga")
    assert "--disable-hybrid-kv-cache-manager" in warnings_of(plain, "bamba-9b", "vllm-nohybrid")


def test_nothing_is_warned_about_through_python(recwarn: pytest.WarningsRecorder) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        run(random_rows(0))

    assert not recwarn.list


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"model": "gema-3-27b"}, "unknown model .*'gemma-3-27b'"),
        ({"gpu": "h100"}, "unknown GPU 'h100'"),
        ({"policy": "lmc"}, "unknown policy 'lmc'"),
        ({"max_num_seq": 3}, r"engine\.max_num_seq: unknown setting"),
        ({"model": "llama-3.1-70b"}, "does not fit 1 x h100-sxm"),
        ({"kv_cache_memory_bytes": 1_000}, "1,000 bytes"),
        ({"tensor_parallel_size": 3}, "3 ranks cannot share 32 attention heads"),
    ],
)
def test_an_impossible_run_is_refused_before_the_trace_is_read(
    settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        jenga_sim.run("no such trace", **settings)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("size", [1, 1_000, 40_000])
def test_a_pool_too_small_for_anything_is_refused_or_rejects_but_never_stalls(
    policy: str, size: int
) -> None:
    refused: ConfigError | None = None
    summary: dict[str, Any] = {}
    try:
        summary = run([(0, 100, 10)], policy, kv_cache_memory_bytes=size).summary
    except ConfigError as error:
        refused = error

    if refused is None:
        assert summary["rejected_by"] == {"pool": 1}
    else:
        assert "nothing can be served" in str(refused)


def test_results_are_pandas_tables_with_one_row_per_request_in_trace_order() -> None:
    rows = random_rows(4)
    result = run(rows)

    assert isinstance(result.requests, pd.DataFrame)
    assert result.requests["arrival_ms"].tolist() == [at for at, _, _ in rows]
    assert result.requests["request_id"].tolist() == [str(i) for i in range(len(rows))]
