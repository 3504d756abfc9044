"""Bytes of one request, requests at once and the longest one: closed forms, laws, real takes."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from jenga_sim.configs.engine import ResolvedEngine, engine_config
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.load import load_gpu, load_model
from jenga_sim.configs.specs import LayerSpec, ModelSpec
from jenga_sim.policies.carving.lcm import LCMCarving
from jenga_sim.policies.presets import PRESETS
from jenga_sim.sim.fit import (
    PolicyFit,
    fit_policy,
    needed_bytes,
    waste_share,
)
from jenga_sim.sim.pool import KVPool, kv_pool
from tests.sim.strategies import GPU, tiny_model, whole_entries

GIB = 1 << 30
H100, H200, B200 = (load_gpu(f"{name}-sxm") for name in ("h100", "h200", "b200"))
HYBRID = ("vllm", "two-ended", "lcm", "lcm-frugal", "pad-lcm", "gcd-page", "ideal")
UNIFORM = ("paged", "vllm-nohybrid")


def resolved(model: ModelSpec, gpu: Any = H200, **settings: Any) -> ResolvedEngine:
    return engine_config(**settings).resolve(model, gpu)


def tiny(layers: Any, **settings: Any) -> tuple[ModelSpec, ResolvedEngine]:
    model = tiny_model(layers)
    given_settings = {"max_num_batched_tokens": 32, "max_num_seqs": 8, "block_size": 4, **settings}
    given_settings["block_size"] = whole_entries(model, given_settings["block_size"])
    return model, resolved(model, GPU, **given_settings)


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


def test_entries_that_stand_for_several_tokens_are_held_in_full() -> None:
    """8 bytes for each 4 tokens, complete or not, and the last 6 of a compressor's input."""
    attention = LayerSpec(
        kind="mla", variant="c4", heads=2, kv_heads=1, k_dim=4, replicated=True, tokens_per_entry=4
    )
    buffer = LayerSpec(
        kind="compressor", variant="input", heads=2, kv_heads=1, k_dim=3, replicated=True, window=6
    )
    model, engine = tiny([attention, buffer], block_size=8)
    for tokens in (1, 4, 9, 101):
        ideal = fit_policy("ideal", model, engine, 1 << 20)
        inputs = 6 * min(tokens, 6)
        assert ideal.held_bytes(tokens) == 8 * -(-tokens // 4) + inputs
        assert needed_bytes(model, tokens, engine) == 8 * -(-tokens // 4) + inputs
        for policy in PRESETS:
            found = fit_policy(policy, model, engine, 1 << 20)
            if found.refused is None:
                assert found.held_bytes(tokens) >= ideal.held_bytes(tokens)


def test_jengas_placement_ends_with_fewer_requests_than_their_pages_would_need() -> None:
    """Each request has large pages of its own as long as there are enough."""
    found = fit("lcm", "gemma-3-27b", 20 * GIB, tensor_parallel_size=2)
    assert isinstance(found.carving, LCMCarving)
    need, count = found.live_pages(1000), found.concurrency(1000) or 0
    assert found.carving.could_fit([(count + 2) * pages for pages in need])
    frugal = fit("lcm-frugal", "gemma-3-27b", 20 * GIB, tensor_parallel_size=2)
    assert (frugal.concurrency(1000) or 0) >= count + 2


def test_it_needs_neither_the_compiler_nor_data_frames() -> None:
    script = (
        "import sys; import jenga_sim.sim.fit, jenga_sim.sim.max_context; "
        "print([m for m in ('numba', 'pandas', 'simpy', 'matplotlib') if m in sys.modules])"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


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
