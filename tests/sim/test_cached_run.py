"""Whole runs with a prefix cache: plain and compiled, and hit rates known by hand."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given

import jenga_sim
from jenga_sim import Trace
from jenga_sim.sim.requests import Status
from jenga_sim.sim.result import Result
from jenga_sim.sim.run import make_replica, prepare
from tests.sim.cached_runs import (
    BLOCK,
    COMPRESSED,
    LARGE,
    MODELS,
    Case,
    LargeCase,
    assert_same,
    cases,
    conversations,
    enough,
    large_cases,
    policy_of,
)
from tests.sim.strategies import examples

ROOT = Path(__file__).parents[2]


# --- compiled runs


EXAMPLES = {"jamba-1.5-mini": 10, COMPRESSED: 40}


@pytest.mark.parametrize("model", MODELS)
def test_compiled_runs_change_no_figure_of_a_run_with_a_prefix_cache(model: str) -> None:
    seen: Counter[str] = Counter()

    @examples(EXAMPLES.get(model, 20))
    @given(case=cases((model,), reserve=(True,)))
    def holds(case: Case) -> None:
        assert_same(case, seen)

    holds()
    enough(seen)


@pytest.mark.parametrize("model", MODELS)
def test_leaps_stop_where_a_hit_gets_shorter_and_a_request_fits(model: str) -> None:
    """Without scheduler_reserve_full_isl a shorter hit means a shorter first chunk in all."""
    seen: Counter[str] = Counter()

    @examples(EXAMPLES.get(model, 20))
    @given(case=cases((model,), reserve=(False,)))
    def holds(case: Case) -> None:
        assert_same(case, seen)

    holds()
    enough(seen)


@pytest.mark.parametrize("policy", [name for name, p in LARGE.items() if p.scheduler == "v1"])
def test_compiled_runs_change_no_figure_of_a_run_on_large_pages(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(10)
    @given(case=large_cases(policy))
    def holds(case: LargeCase) -> None:
        assert_same(case, seen)

    holds()
    enough(seen)


@pytest.mark.parametrize("model", MODELS)
def test_compiled_runs_change_no_figure_of_conversations_with_a_prefix_cache(model: str) -> None:
    """The next turn arrives when the one before it has ended, and hits what that left behind."""
    seen: Counter[str] = Counter()

    @examples(15)
    @given(case=conversations(cases((model,))))
    def holds(case: Case) -> None:
        assert_same(case, seen)

    holds()
    print(dict(seen))
    # States are hit at block boundaries only, and jamba's pools hold few of them.
    assert seen["hits"] >= (0.2 if model == "jamba-1.5-mini" else 0.5) * seen["runs"]
    assert seen["preemptions"]
    assert seen["async"]


@pytest.mark.parametrize("policy", LARGE)
def test_compiled_runs_change_no_figure_of_conversations_on_large_pages(policy: str) -> None:
    seen: Counter[str] = Counter()

    @examples(10)
    @given(case=conversations(large_cases(policy)))
    def holds(case: LargeCase) -> None:
        assert_same(case, seen)

    holds()
    print(dict(seen))
    assert seen["hits"] >= 0.4 * seen["runs"]


def test_two_requests_do_not_preempt_each_other_for_ever() -> None:
    """With two batches in flight a request holds three states of each group, not two."""
    case = Case(
        model="jamba-1.5-mini",
        policy="vllm",
        retention="dense",
        trace=Trace.from_columns([0, 0], [1583, 1583], [16, 16]),
        room=0,
        engine={
            "max_model_len": 2048,
            "max_num_seqs": 16,
            "max_num_batched_tokens": 100,
            "async_scheduling": True,
        },
    )
    page = case.setup().groups[0].page_bytes
    setup = prepare(
        case.trace,
        model=case.model,
        gpu="h100-sxm",
        policy=policy_of("vllm", "dense"),
        kv_cache_memory_bytes=35 * page,
        **case.engine,
    )
    replica = make_replica(setup, fast=False)
    replica.hooks.should_stop = lambda: replica.recorder.num_steps > 3000
    replica.run()
    assert not replica.truncated, "the run makes no progress"
    assert set(replica.requests.status) <= {Status.FINISHED, Status.REJECTED}


# --- compiled code

PROGRAM = """
import json, sys, numpy as np, jenga_sim
from jenga_sim.sim.verify import replay
prompts, outputs = [200, 150, 300, 200, 260], [40, 30, 70, 9, 50]
hash_ids = [[1, 2, 3, 4], [1, 2, 5], [1, 2, 3, 6, 7], [1, 2, 3, 4], [8, 9, 10, 11, 12]]
trace = jenga_sim.Trace.from_columns(
    [0, 0, 10**7, 10**8, 10**9], prompts, outputs, hash_ids=hash_ids, block_size=64
)
result = jenga_sim.run(
    trace, model="gpt-oss-20b", policy="vllm", max_model_len=1024, check=True,
    max_num_batched_tokens=128, kv_cache_memory_bytes=393216 * 60,
)
print(json.dumps(replay(sys.argv[1])))
print(json.dumps(result.summary))
print(result.requests.to_csv(), result.steps.to_csv())
"""


def output_of(case: Path, **environment: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(case)],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    return done.stdout


def test_compiled_code_says_what_plain_python_says() -> None:
    case = ROOT / "tests" / "golden" / "vllm" / "f40_mamba64_full32_partialhit.case.json"
    plain = output_of(case, NUMBA_DISABLE_JIT="1")
    assert plain == output_of(case, NUMBA_DISABLE_JIT="0")
    summary = json.loads(plain.splitlines()[1])
    assert summary["requests_with_hit"] >= 2
    assert summary["num_preemptions"]


# --- hit rates known by hand


def run_apart(hash_ids: list[list[int]], *, model: str, retention: str, block: int) -> Result:
    """Prompts of whole blocks, each sent long after the one before it has ended."""
    trace = Trace.from_columns(
        [100 * 10**9 * index for index in range(len(hash_ids))],
        [block * len(ids) for ids in hash_ids],
        [10] * len(hash_ids),
        hash_ids=hash_ids,
        block_size=block,
    )
    policy = policy_of("vllm", retention)
    return jenga_sim.run(
        trace,
        model=model,
        policy=policy,
        max_model_len=8192,
        kv_cache_memory_bytes=10 << 30,
        check=True,
    )


def test_the_second_of_two_requests_hits_the_blocks_that_they_share(tmp_path: Path) -> None:
    result = run_apart(
        [[1, 2, 3], [1, 2, 9]], model="llama-3.1-8b", retention="junction", block=BLOCK
    )
    assert result.requests["hit_tokens"].tolist() == [0, 128]
    found = {name: result.summary[name] for name in FIGURES}
    assert found == {
        "prefix_caching": True,
        "prefix_hit_rate": 128 / 384,
        "prefix_hit_tokens": 128,
        "prefix_queried_tokens": 384,
        "requests_with_hit": 1,
        "hit_limiter": {},
    }
    result.save(tmp_path / "run")
    rows = (tmp_path / "run" / "requests.csv").read_text().splitlines()
    column = rows[0].split(",").index("hit_tokens")
    assert [row.split(",")[column] for row in rows[1:]] == ["0", "128"]


FIGURES = (
    "prefix_caching",
    "prefix_hit_rate",
    "prefix_hit_tokens",
    "prefix_queried_tokens",
    "requests_with_hit",
    "hit_limiter",
)


def test_a_prompt_sent_again_is_computed_from_its_last_block_on() -> None:
    """All of it is cached, but the last token must be computed to have a next one."""
    result = run_apart([[1, 2, 3]] * 2, model="llama-3.1-8b", retention="dense", block=BLOCK)
    assert result.requests["hit_tokens"].tolist() == [0, 192 - 16]


SHARERS = [[1, 2, 10, 11], [1, 2, 20, 21], [1, 2, 30, 31]]
"""Prompts of 4,096 tokens that part after 2,048; windows of 1,024 are long gone by the end."""


@pytest.mark.parametrize(
    ("retention", "hits"),
    [
        ("dense", [0, 2048, 2048]),
        ("junction", [0, 0, 2048]),
        ("interval(2048)", [0, 2048, 2048]),
        ("interval(1024)", [0, 2048, 2048]),
        ("interval(4096)", [0, 0, 2048]),
    ],
)
def test_at_a_junction_the_second_sharer_misses_and_the_third_hits(
    retention: str, hits: list[int]
) -> None:
    result = run_apart(SHARERS, model="gemma-3-27b", retention=retention, block=1024)
    assert result.requests["hit_tokens"].tolist() == hits
    assert result.summary["prefix_hit_rate"] == sum(hits) / (3 * 4096)
    limiter = {} if hits[1] else {"swa(1024)": {"requests": 1, "tokens": 2048}}
    assert result.summary["hit_limiter"] == limiter


def test_a_state_is_hit_at_the_last_boundary_before_the_end_of_a_prompt() -> None:
    """jamba has blocks of 80 tokens; a prompt that ends at one leaves its last token to compute."""
    ids = [[1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, 4, 6]]
    result = run_apart(ids, model="jamba-1.5-mini", retention="junction", block=80)
    assert result.summary["page_groups"][0]["block_size"] == 80
    # The first prompt's last state is at 160, though attention has 240; the second's is at 320.
    assert result.requests["hit_tokens"].tolist() == [0, 160, 320]
    assert result.summary["hit_limiter"] == {"mamba1": {"requests": 1, "tokens": 80}}


def test_without_a_cache_nothing_is_hit_and_the_run_says_so() -> None:
    trace = Trace.from_columns(
        [0, 10**10], [192] * 2, [9] * 2, hash_ids=[[1, 2, 3]] * 2, block_size=64
    )
    result = jenga_sim.run(trace, model="llama-3.1-8b", policy="vllm", enable_prefix_caching=False)
    assert result.summary["prefix_caching"] is False
    assert result.summary["prefix_hit_rate"] == 0
    assert any("prefix caching is off" in warning for warning in result.summary["warnings"])
