"""Bytes of one request, requests at once and the longest one: closed forms, laws, real takes."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.engine import ResolvedEngine, engine_config
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.load import load_gpu, load_model, model_names
from jenga_sim.configs.specs import ModelSpec
from jenga_sim.policies.base import Carving, GroupingContext
from jenga_sim.policies.carving.lcm import LCMCarving
from jenga_sim.policies.presets import PRESETS, get_policy
from jenga_sim.policies.retention import Retention
from jenga_sim.sim.fit import (
    ENDLESS,
    PolicyFit,
    fit_policy,
    needed_bytes,
    waste_share,
)
from jenga_sim.sim.fit_pages import PAGE_EXACT, bytes_taken, most_requests
from jenga_sim.sim.pool import KVPool, kv_pool
from jenga_sim.sim.recorder import StepRecord
from jenga_sim.sim.run import make_replica, prepare
from jenga_sim.sim.setup import Setup, policy_specs
from jenga_sim.sim.usage import PARTS
from jenga_sim.traces import Trace
from tests.sim.strategies import GPU, SpyRecorder, examples, layer_mixes, tiny_model

GIB = 1 << 30
H100, H200, B200 = (load_gpu(f"{name}-sxm") for name in ("h100", "h200", "b200"))
MY_POLICY = Path(__file__).parents[2] / "docs" / "examples" / "my_policy.py"
HYBRID = ("vllm", "two-ended", "lcm", "lcm-frugal", "pad-lcm", "gcd-page", "ideal")
UNIFORM = ("paged", "vllm-nohybrid")


def resolved(model: ModelSpec, gpu: Any = H200, **settings: Any) -> ResolvedEngine:
    return engine_config(**settings).resolve(model, gpu)


def fit(policy: str, name: str, pool: int, **settings: Any) -> PolicyFit:
    model = load_model(name)
    return fit_policy(policy, model, resolved(model, **settings), pool)


# --- published capacities ------------------------------------------------------------------------


def scout(policy: str, gpu: Any, **settings: Any) -> tuple[PolicyFit, KVPool]:
    """Llama 4 Scout in bf16 on eight GPUs, with the overhead of its file."""
    model = load_model("llama-4-scout")
    engine = resolved(model, gpu, tensor_parallel_size=8, **settings)
    pool = kv_pool(model, gpu, engine)
    return fit_policy(policy, model, engine, pool.bytes), pool


@pytest.mark.parametrize("utilization", [0.9, 0.92])
@pytest.mark.parametrize(
    ("gpu", "uniform", "hybrid"),
    [(H200, 3.7e6, 14.7e6), (H100, 1.3e6, 5.2e6)],
    ids=["h200", "h100"],
)
def test_scout_is_as_long_as_jengas_paper_says(
    gpu: Any, uniform: float, hybrid: float, utilization: float
) -> None:
    """SOSP 2025: 3.7 and 14.7 million tokens on 8 H200, 1.3 and 5.2 million on 8 H100."""
    for policies, published in ((UNIFORM, uniform), (HYBRID, hybrid)):
        for policy in policies:
            found, pool = scout(policy, gpu, gpu_memory_utilization=utilization)
            assert found.longest() == pytest.approx(published, rel=0.12)
            assert pool.sums is not None
            assert pool.sums.overhead == 18_000_000_000
            assert "overhead 16.76 GiB (observed with vLLM in 2025" in pool.explanation


def test_scout_takes_four_times_fewer_bytes_a_token_with_hybrid_memory() -> None:
    """48 layers keep every token, or 12 of them."""
    for policy in UNIFORM:
        assert scout(policy, H200)[0].token_bytes() == 196_608 / 8
    for policy in HYBRID:
        assert scout(policy, H200)[0].token_bytes() == 196_608 / 8 / 4
    uniform, hybrid = (scout(policy, H200)[0] for policy in ("paged", "vllm"))
    chunk = 8192
    a, b = 20 * chunk, 900 * chunk
    steps = [each.held_bytes(b) - each.held_bytes(a) for each in (uniform, hybrid)]
    assert Fraction(*steps) == 4


@pytest.mark.parametrize("gpu", [H200, B200], ids=["h200", "b200"])
@pytest.mark.parametrize("policy", HYBRID)
def test_ten_million_tokens_fit_eight_large_gpus(policy: str, gpu: Any) -> None:
    found, _ = scout(policy, gpu)
    assert found.longest_allowed() == 10_485_760
    assert (found.concurrency(10_000_000) or 0) >= 1


def test_ten_million_tokens_do_not_fit_eight_h100() -> None:
    assert scout("lcm", H100)[0].concurrency(10_000_000) == 0


# --- closed forms --------------------------------------------------------------------------------

GEMMA_TOKEN = 2 * 16 * 128 * 2
"""Bytes of a token in one of Gemma 3 27B's 62 layers: K and V of 16 heads in bf16."""


def test_gemma_3_27b_at_128k() -> None:
    tokens, pool = 131_072, 100 * GIB
    paged, vllm, lcm = (fit(name, "gemma-3-27b", pool) for name in ("paged", "vllm", "lcm"))
    assert paged.held_bytes(tokens) == 62 * GEMMA_TOKEN * tokens
    # Six groups of 9 or 8 of the 52 window layers, each padded to 10. A window of 1,024 tokens ends
    # with a block here, so it lies in 64 of them.
    assert vllm.held_bytes(tokens) == 10 * GEMMA_TOKEN * (tokens + 6 * 1024)
    # Large pages of lcm(10, 52) = 260 layers' blocks: 26 blocks of full layers, 5 of windows.
    large = 260 * 16 * GEMMA_TOKEN
    assert lcm.held_bytes(tokens) == large * (-(-8192 // 26) + -(-64 // 5))
    for found in (paged, vllm):
        pages = pool // (found.groups[0].page_bytes) - 1
        each = found.held_bytes(tokens) // found.groups[0].page_bytes
        assert found.concurrency(tokens) == pages // each
    needed = needed_bytes(load_model("gemma-3-27b"), tokens, paged.engine)
    assert needed == GEMMA_TOKEN * (10 * tokens + 52 * 1024)
    assert f"{waste_share(needed, paged.held_bytes(tokens)):.3f}" == "0.832"


def test_gpt_oss_120b_reports_78384_tokens() -> None:
    """A start-up log: 78,384 tokens of 36 layers' 73,728 bytes in all."""
    pool = 78_384 * 73_728
    found = fit("paged", "gpt-oss-120b", pool + 16 * 73_728, max_num_seqs=64)
    assert f"{pool / GIB:.4f}" == "5.3822"
    assert found.token_bytes() == 73_728
    assert found.longest() == 78_384
    # The null page is one of the pool's.
    assert fit("paged", "gpt-oss-120b", pool).longest() == 78_384 - 16


def test_a_model_of_windows_alone_has_no_longest_request() -> None:
    layers = [replace(_first("gemma-3-27b", "sliding_window"), window=64)] * 3
    model = tiny_model(layers)
    engine = resolved(model, GPU, async_scheduling=False, max_num_batched_tokens=64, max_num_seqs=4)
    for policy in ("vllm", "lcm", "static", "ideal", "two-ended", "buddy-bytes"):
        found = fit_policy(policy, model, engine, 1 << 22)
        assert found.longest() is None
        assert found.longest_allowed() == 300
        assert found.token_bytes() == 0
        held = {found.held_bytes(tokens) for tokens in range(1_000, 1_100)}
        assert max(held) <= found.bounded_bytes(1_000)
        assert found.held_bytes(10**9) in held
    assert fit_policy("paged", model, engine, 1 << 22).longest() is not None


def _first(name: str, kind: str) -> Any:
    return next(layer for layer in load_model(name).layers if layer.kind == kind)


# --- what refuses --------------------------------------------------------------------------------


def test_a_policy_that_cannot_serve_says_why() -> None:
    found = fit("lcm", "bamba-9b", 40 * GIB)
    assert found.refused is not None
    assert "the large page is lcm(" in found.refused
    assert (found.concurrency(1000), found.longest(), found.longest_allowed()) == (0, 0, 0)
    with pytest.raises(ConfigError, match=r"policy lcm: the large page is lcm"):
        found.held_bytes(1000)


def test_unknown_policies_and_lengths_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'lcm'"):
        fit("lmc", "gemma-3-27b", GIB)
    with pytest.raises(ConfigError, match="one token at least, not 0"):
        fit("lcm", "gemma-3-27b", 40 * GIB).held_bytes(0)


# --- against what carvings and runs really do ----------------------------------------------------


@pytest.mark.parametrize("model", model_names())
def test_groups_are_those_of_a_run(model: str) -> None:
    """But for the block of a state, which is a whole request of whatever length."""
    spec = load_model(model)
    engine = resolved(spec, B200)
    context = GroupingContext(block_size=engine.block_size, max_model_len=engine.max_model_len)
    for policy in PRESETS.values():
        found = fit_policy(policy, spec, engine, 100 * GIB)
        specs = policy_specs(spec, engine, policy, Retention(enabled=False))
        groups = policy.group(specs, context)
        assert len(groups) == len(found.groups)
        for mine, real in zip(found.groups, groups, strict=True):
            if mine.block_size == ENDLESS:
                mine = replace(mine, block_size=real.block_size)
            assert replace(mine, spec=None) == replace(real, spec=None)


POOLS = {"gemma-3-12b": 3 * GIB, "qwen3-next-80b": 3 * GIB, "llama-3.2-11b-vision": GIB}


@pytest.mark.parametrize("policy", PRESETS)
@pytest.mark.parametrize("model", POOLS)
@pytest.mark.parametrize("tokens", [37, 2_500])
def test_as_many_requests_as_said_can_be_taken_one_after_the_other(
    model: str, policy: str, tokens: int
) -> None:
    found = fit(policy, model, POOLS[model], tensor_parallel_size=2)
    if found.carving is None:
        return
    need = found.live_pages(tokens, cross=100)
    expected = found.concurrency(tokens, cross=100)
    carving = get_policy(policy).make_carving(found.groups, found.pool_bytes)
    taken = 0
    while carving.take(taken, need):
        taken += 1
    assert taken == expected
    carving.check()


@pytest.mark.parametrize("policy", PRESETS)
@pytest.mark.parametrize("model", POOLS)
def test_bytes_are_what_the_pool_lacks_afterwards(model: str, policy: str) -> None:
    found = fit(policy, model, 16 * GIB, tensor_parallel_size=2)
    assert found.carving is not None
    mine = type("Mine", (type(found.carving),), {})
    asked = mine(found.groups, found.pool_bytes)
    for tokens in (1, 16, 17, 700, 5_000):
        need = found.live_pages(tokens)
        assert bytes_taken(found.carving, need) == bytes_taken(asked, need)


def test_a_class_of_the_users_is_asked() -> None:
    """Whole chunks of 2 MiB for each request: what n of them need is not n times in one request."""
    found = fit(f"{MY_POLICY}:Chunked", "gemma-3-12b", 3 * GIB)
    assert found.carving is not None
    pages = zip(found.live_pages(900), found.groups, strict=True)
    chunks = sum(-(-count * group.page_bytes // (2 << 20)) for count, group in pages)
    layers = [len(group.layers) for group in found.groups]
    assert found.held_bytes(900) % (2 << 20) == 0
    assert found.held_bytes(900) >= chunks * (2 << 20)
    assert len(layers) == 2
    assert found.concurrency(900) == 3 * GIB // found.held_bytes(900)
    assert found.concurrency(10**7) == 0


class Hoarder(LCMCarving):
    """Takes what no pool has."""

    def take(self, slot: int, need: Any) -> bool:
        return False


def test_a_class_that_takes_nothing_is_named() -> None:
    found = fit("lcm", "gemma-3-12b", 3 * GIB)
    with pytest.raises(ConfigError, match=r"Hoarder refuses .* pages of one request"):
        bytes_taken(Hoarder(found.groups, found.pool_bytes), found.live_pages(5))


def records(
    policy: str, model: ModelSpec, prompt: int, output: int
) -> tuple[Setup, list[StepRecord]]:
    setup = prepare(
        Trace.from_columns([0], [prompt], [output]),
        model=model,
        gpu=H100,
        policy=policy,
        kv_cache_memory_bytes=60 * GIB,
        max_num_batched_tokens=max(prompt, 64),
        max_num_seqs=1,
        async_scheduling=False,
        enable_prefix_caching=False,
    )
    replica = make_replica(setup, fast=False, check=False)
    replica.recorder = SpyRecorder(replica.meter.labels, setup.pool.bytes)
    replica.run()
    return setup, replica.recorder.records


@pytest.mark.parametrize("policy", PRESETS)
@pytest.mark.parametrize("model", ["gemma-3-12b", "qwen3-next-80b"])
def test_a_run_holds_what_was_said(model: str, policy: str) -> None:
    """In decode steps behind a prompt of one token; exactly, but for Jenga's moving windows."""
    spec = load_model(model)
    last = 1_300 if model == "gemma-3-12b" else 60
    setup, steps = records(policy, spec, 1, last)
    found = fit_policy(policy, spec, setup.engine, setup.pool.bytes)
    assert found.carving is not None
    windows = sum(1 for group in found.groups if group.window)
    parts = [PARTS.index(part) for part in ("needed", "dead", "padding", "internal")]
    for tokens in range(2, last, 7):
        record = steps[tokens - 1]
        held = sum(sum(record.parts[part]) for part in parts)
        if type(found.carving) in PAGE_EXACT:
            assert found.held_bytes(tokens) == held
        elif policy != "lcm-frugal":
            assert isinstance(found.carving, LCMCarving)
            spare = windows * found.carving.large_bytes
            assert found.held_bytes(tokens) <= held <= found.held_bytes(tokens) + spare
        assert sum(record.parts[0]) == needed_bytes(spec, tokens, setup.engine)


# --- laws ----------------------------------------------------------------------------------------

LENGTHS = st.integers(1, 400)


def tiny(layers: Any, **settings: Any) -> tuple[ModelSpec, ResolvedEngine]:
    model = tiny_model(layers)
    given_settings = {"max_num_batched_tokens": 32, "max_num_seqs": 8, "block_size": 4, **settings}
    return model, resolved(model, GPU, **given_settings)


@examples(60)
@given(layer_mixes(), LENGTHS, st.integers(0, 40), st.sampled_from([1, 3, 4, 16]))
def test_no_policy_holds_less_than_needed_nor_than_ideal(
    layers: Any, tokens: int, cross: int, block: int
) -> None:
    model, engine = tiny(layers, block_size=block)
    needed = needed_bytes(model, tokens, engine, cross)
    ideal = fit_policy("ideal", model, engine, 1 << 21).held_bytes(tokens, cross)
    assert ideal == needed
    for policy in PRESETS:
        found = fit_policy(policy, model, engine, 1 << 21)
        if found.refused is None:
            held = found.held_bytes(tokens, cross)
            assert held >= needed
            assert 0 <= waste_share(needed, held) <= 1


@examples(60)
@given(layer_mixes(), LENGTHS, st.integers(1, 200))
def test_longer_requests_hold_no_less_where_nothing_is_recycled(
    layers: Any, tokens: int, more: int
) -> None:
    model, engine = tiny(layers)
    for policy in PRESETS:
        found = fit_policy(policy, model, engine, 1 << 21)
        if found.refused is None and not any(group.window for group in found.groups):
            shorter, longer = (found.held_bytes(n) for n in (tokens, tokens + more))
            assert shorter <= longer


@examples(60)
@given(layer_mixes(), LENGTHS, st.integers(2_000, 400_000))
def test_requests_at_once_fit_the_pool_and_one_more_is_not_taken(
    layers: Any, tokens: int, pool: int
) -> None:
    model, engine = tiny(layers)
    for policy in PRESETS:
        found = fit_policy(policy, model, engine, pool)
        if found.carving is None:
            continue
        count = found.concurrency(tokens)
        need = found.live_pages(tokens)
        if count is None:
            assert not any(need)
            continue
        assert count * found.held_bytes(tokens) <= pool or type(found.carving) not in PAGE_EXACT
        assert_taken(found.carving, found, need, count)


def assert_taken(like: Carving, found: PolicyFit, need: Any, count: int) -> None:
    """``count`` requests are taken one after the other, and not one more."""
    carving = type(like)(found.groups, found.pool_bytes)
    assert most_requests(carving, need) == count
    for slot in range(min(count, 3_000)):
        assert carving.take(slot, need)
    assert count > 3_000 or not carving.take(count, need)


@examples(60)
@given(layer_mixes(), st.integers(2_000, 100_000), st.integers(0, 100_000))
def test_a_larger_pool_serves_no_shorter_requests(layers: Any, pool: int, more: int) -> None:
    """But for SGLang's parts: one more slot of states in a larger pool leaves less for attention."""
    model, engine = tiny(layers)
    for policy in PRESETS:
        small, large = (fit_policy(policy, model, engine, size) for size in (pool, pool + more))
        if small.refused is None and policy != "static-sglang":
            assert large.refused is None
            one, two = small.longest(), large.longest()
            assert two is None or (one is not None and one <= two)
            assert small.longest_allowed() <= large.longest_allowed() <= engine.max_model_len
        for found in (small, large):
            longest, limit = found.longest(), engine.max_model_len
            assert found.longest_allowed() == (limit if longest is None else min(longest, limit))
