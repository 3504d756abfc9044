"""Runs whose steps are timed by a profile: sums of kernels, the same in both engines."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim import Trace, run
from jenga_sim.cli import cli
from jenga_sim.configs.engine import engine_config
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.load import load_gpu, load_model, model_names
from jenga_sim.sim.kernels.knots import knot_below, knots
from jenga_sim.sim.kernels.launches import (
    KERNELS,
    PASSES,
    attention_matrices,
    dense_matrices,
    dense_width,
    require_timed,
    routed_experts,
)
from jenga_sim.sim.kernels.profile import Profile, load_profile
from jenga_sim.sim.latency import KERNEL_START_US, Prefill, StepShape
from jenga_sim.sim.measured import MeasuredLatency
from tests.sim.strategies import examples

DATA = Path(os.environ.get("JENGA_SIM_DATA", Path(__file__).parents[3] / "shared" / "data"))
CONFIGS = DATA / "hf_configs"
SMALL = {"max_model_len": 32_768, "max_num_seqs": 32, "max_num_batched_tokens": 2048}


@cache
def shipped() -> Profile:
    return load_profile("h100-sxm")


@pytest.fixture
def h100() -> Profile:
    return shipped()


@cache
def llama() -> MeasuredLatency:
    return latency(shipped(), "llama-3.1-8b")


def latency(profile: Profile, model: str, **engine: Any) -> MeasuredLatency:
    spec, gpu = load_model(model), load_gpu("h100-sxm")
    resolved = engine_config(**(SMALL | engine)).resolve(spec, gpu)
    return MeasuredLatency(profile, spec, gpu, resolved)


# --- places ---------------------------------------------------------------------------------------


@examples(300)
@given(st.integers(0, 1 << 22))
def test_a_length_lies_between_its_places(value: int) -> None:
    places = knots(value)
    place, low, step = knot_below(value)
    assert places[place] == low <= value < low + step == places[place + 1]
    assert len(places) == place + 3
    assert low == 0 or step / low <= 1 / 8 or step == 1


# --- what is launched -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "width"),
    [
        ("llama-3.1-8b", 14336),
        ("llama-3.1-70b", 28672),
        ("qwen3-32b", 25600),
        ("mistral-nemo-12b", 14336),
        ("gemma-3-27b", 21504),
        ("gpt-oss-120b", 0),
        ("mixtral-8x22b", 0),
    ],
)
def test_feed_forward_layers_are_as_wide_as_their_parameters_say(model: str, width: int) -> None:
    assert dense_width(load_model(model)) == width


def test_experts_are_as_wide_as_their_parameters_say() -> None:
    found = {name: routed_experts(load_model(name)) for name in ("gpt-oss-120b", "qwen3-30b-a3b")}
    assert [each and (each.inner, each.experts, each.top_k) for each in found.values()] == [
        (2880, 128, 4),
        (768, 128, 8),
    ]


def timed(name: str) -> bool:
    try:
        require_timed(load_model(name))
    except ConfigError:
        return False
    return True


@pytest.mark.skipif(not CONFIGS.is_dir(), reason=f"{CONFIGS} is absent; set JENGA_SIM_DATA")
def test_widths_are_those_of_the_configs() -> None:
    """Of every model that a profile can time and whose config is at hand.

    Where the first layers are dense and the others are not, experts come out a little narrower.
    """
    seen = 0
    for name in filter(timed, model_names()):
        model = load_model(name)
        path = CONFIGS / str(model.hf).replace("/", "__") / "config.json"
        if not path.is_file():
            continue
        config = json.loads(path.read_text())
        config = config.get("text_config", config)
        known = config.get("moe_intermediate_size") or config.get("intermediate_size")
        experts = routed_experts(model)
        found = experts.inner if experts else dense_width(model)
        if config.get("first_k_dense_replace"):
            assert 0.9 * known < found < known, name
        elif known:
            assert found == known, name
            seen += 1
    assert seen >= 25


def test_tensor_parallelism_splits_heads_and_widths() -> None:
    model = load_model("llama-3.1-70b")
    alone = {m.name: (m.n, m.k) for m in (*attention_matrices(model), *dense_matrices(model))}
    split = {m.name: (m.n, m.k) for m in (*attention_matrices(model, 8), *dense_matrices(model, 8))}
    assert alone == {
        "qkv": (10240, 8192),
        "o": (8192, 8192),
        "gate_up": (2 * 28672, 8192),
        "down": (8192, 28672),
    }
    assert split == {
        "qkv": (1280, 8192),
        "o": (8192, 1024),
        "gate_up": (2 * 3584, 8192),
        "down": (8192, 3584),
    }


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("jamba-1.5-mini", "it has layers of mamba"),
        ("deepseek-v3", "it has layers of mla"),
        ("llama-4-scout", "it has layers of chunk"),
        ("qwen2.5-vl-7b", "ffn_width is not given"),
    ],
)
def test_a_model_of_other_kernels_is_refused_with_the_reason(model: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as error:
        require_timed(load_model(model))
    assert "leave --profile out" in str(error.value)


# --- steps ----------------------------------------------------------------------------------------


def one(profile: Profile, op: str, tags: dict[str, str], **columns: float) -> float:
    table = profile.table(op, **tags)
    return float(table.us({name: np.array([value]) for name, value in columns.items()})[0][0])


def test_a_step_is_the_sum_of_its_kernels(h100: Profile) -> None:
    """Llama on one GPU: 7 decodes of 1,000 tokens and a chunk of 512 behind 1,024."""
    timed = latency(h100, "llama-3.1-8b")
    shape = StepShape(519, 7, 7, (7000,), (Prefill(512, 1536, 0),))
    bf16, kv = {"dtype": "bf16"}, {"kv_dtype": "bf16"}
    matrices = {(6144, 4096): 32, (4096, 4096): 32, (28672, 4096): 32, (4096, 14336): 32}
    expected = sum(
        count * one(h100, "gemm", bf16, m=519, n=n, k=k) for (n, k), count in matrices.items()
    )
    expected += one(h100, "gemm", bf16, m=7, n=128256, k=4096)
    heads = {"heads": 32, "kv_heads": 8, "head_dim": 128, "window": 0}
    expected += 32 * one(h100, "attention_decode", kv, batch=7, kv_len=1000, **heads)
    expected += 32 * one(h100, "attention_prefill", kv, batch=1, q_len=512, prefix=1024, **heads)
    moved = 519 * 4096 * 2 * PASSES / 3.35e6
    expected += 32 * (KERNELS * KERNEL_START_US + 1.25 * moved)
    expected += 126 + 7 * 4
    assert timed.step_ns(shape) == pytest.approx(expected * 1e3, rel=2e-3)


def test_windows_and_experts_and_links_count(h100: Profile) -> None:
    model = "gpt-oss-120b"
    alone, split = (latency(h100, model, tensor_parallel_size=tp) for tp in (1, 2))
    assert [each.label for each in alone.classes] == ["swa(128)", "full"]
    step = StepShape(16, 16, 16, (16 * 128, 16 * 20_000))
    assert split.step_ns(step) < alone.step_ns(step)
    longer = StepShape(16, 16, 16, (16 * 128, 16 * 30_000))
    assert alone.step_ns(longer) > alone.step_ns(step)
    assert "moe mxfp4 power_law_1.2" in alone.describe()["held_out_median_pct"]
    assert "collective all_reduce engine" in split.describe()["held_out_median_pct"]
    assert "collective all_reduce engine" not in alone.describe()["held_out_median_pct"]


@examples(60)
@given(st.integers(1, 32), st.integers(1, 20_000), st.integers(1, 2000), st.integers(0, 20_000))
def test_between_places_a_step_is_that_of_its_kernels(
    rows: int, length: int, new: int, before: int
) -> None:
    """To what blending over an eighth of an octave loses, where a table has its steps."""
    timed = llama()
    heads = {"heads": 32, "kv_heads": 8, "head_dim": 128, "window": 0}
    kv = {"kv_dtype": "bf16"}
    table = timed.profile
    decode = 32 * one(table, "attention_decode", kv, batch=rows, kv_len=length, **heads)
    prefill = 32 * one(table, "attention_prefill", kv, batch=1, q_len=new, prefix=before, **heads)
    nothing = timed.step_ns(StepShape(rows, rows, 0, (0,)))
    only = timed.step_ns(StepShape(rows, rows, rows, (rows * length,))) - nothing
    assert only == pytest.approx(decode * 1e3, rel=0.03)
    chunk = (Prefill(new, new + before, 0),)
    alone = timed.step_ns(StepShape(new, 1, 0, (0,), chunk)) - timed.step_ns(
        StepShape(new, 1, 0, (0,))
    )
    assert alone == pytest.approx(prefill * 1e3, rel=0.03)


# --- runs -----------------------------------------------------------------------------------------


def trace() -> Trace:
    rng = np.random.default_rng(7)
    return Trace.from_columns(
        np.cumsum(rng.integers(0, 80_000_000, 60)),
        rng.integers(10, 3000, 60),
        rng.integers(1, 80, 60),
        name="mixed",
    )


@pytest.mark.parametrize("model", ["llama-3.1-8b", "gpt-oss-20b", "gemma-3-27b"])
@pytest.mark.parametrize("policy", ["vllm", "lcm"])
def test_both_engines_record_the_same(model: str, policy: str) -> None:
    settings: dict[str, Any] = {"model": model, "policy": policy, "profile": "h100-sxm"}
    settings |= {"enable_prefix_caching": False, "max_num_seqs": 8, "max_model_len": 8192}
    fast, slow = (run(trace(), **settings, fast=fast).summary for fast in (True, False))
    assert fast == slow
    shares = fast["latency_model"]["shares"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    # Gemma's matrices have widths that nobody measured.
    assert (shares["measured"] > 0) == (model != "gemma-3-27b")
    assert shares["extrapolated"] < 0.05


def test_files_name_the_profile_and_its_digest(tmp_path: Path) -> None:
    result = run(trace().head(3), model="llama-3.1-8b", profile="h100-sxm")
    result.save(tmp_path)
    known = {"name": "h100-sxm-vllm", "sha256": shipped().sha256}
    assert yaml.safe_load((tmp_path / "config.resolved.yaml").read_text())["profile"] == known
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["profile"] == "profile h100-sxm-vllm"
    assert provenance["profile_sha256"] == known["sha256"]


def test_a_run_says_whose_kernels_it_counts() -> None:
    result = CliRunner().invoke(
        cli,
        ["run", "--sample", "--requests", "20", "--model", "llama-3.1-8b", "--profile", "h100-sxm"],
    )
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert "step times: profile h100-sxm-vllm: " in text
    assert "% measured, " in text
    assert "not checked against whole steps" in text
    wrong = CliRunner().invoke(cli, ["run", "--sample", "--profile", "h100"])
    assert "no profile 'h100'" in str(wrong.exception)
