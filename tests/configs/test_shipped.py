"""The shipped models and GPUs say what their sources say."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from jenga_sim.configs.load import gpu_names, load_gpu, load_model
from jenga_sim.configs.specs import DTYPE_BYTES, ModelSpec

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("JENGA_SIM_DATA", ROOT / ".." / "shared" / "data"))

ZOO = {
    "llama-3.1-8b": "Llama-3.1-8B",
    "llama-3.1-70b": "Llama-3.1-70B",
    "qwen3-32b": "Qwen3-32B",
    "qwen3-30b-a3b": "Qwen3-30B-A3B",
    "gemma-2-27b": "Gemma-2-27B",
    "gemma-3-12b": "Gemma-3-12B",
    "gemma-3-27b": "Gemma-3-27B",
    "gpt-oss-20b": "gpt-oss-20b",
    "gpt-oss-120b": "gpt-oss-120b",
    "llama-4-scout": "Llama-4-Scout",
    "ministral-8b": "Ministral-8B-2410",
    "jamba-1.5-mini": "Jamba-v0.1/1.5-Mini",
    "bamba-9b": "Bamba-9B",
    "nemotron-h-56b": "Nemotron-H-56B",
    "qwen3-next-80b": "Qwen3-Next-80B",
    "qwen3.5-27b": "Qwen3.5-27B",
    "llama-3.2-11b-vision": "Llama-3.2-11B-Vision",
    "deepseek-v3": "DeepSeek-V3/R1",
    "deepseek-v3.2": "DeepSeek-V3.2",
    "deepseek-v4-flash": "DeepSeek-V4-Flash",
}

# What the zoo took from class defaults or from another copy, and the files give from the release.
OTHER_STATE = {"bamba-9b"}
OTHER_PARAMS = {"bamba-9b", "gemma-3-12b", "llama-4-scout"}
OTHER_LENGTH = {"bamba-9b", "gemma-3-12b"}

HF = {
    "llama-3.1-8b": "meta-llama__Meta-Llama-3.1-8B",
    "llama-3.1-70b": "meta-llama__Meta-Llama-3.1-70B",
    "qwen3-32b": "Qwen__Qwen3-32B",
    "qwen3-30b-a3b": "Qwen__Qwen3-30B-A3B",
    "gemma-2-27b": "google__gemma-2-27b",
    "gemma-3-27b": "google__gemma-3-27b-it",
    "gpt-oss-20b": "openai__gpt-oss-20b",
    "gpt-oss-120b": "openai__gpt-oss-120b",
    "llama-4-scout": "RedHatAI__Llama-4-Scout-17B-16E-Instruct-FP8-dynamic",
    "nemotron-h-56b": "nvidia__Nemotron-H-56B-Base-8K",
    "llama-3.2-11b-vision": "meta-llama__Llama-3.2-11B-Vision-Instruct",
    "deepseek-v3": "deepseek-ai__DeepSeek-R1",
    "deepseek-v3.2": "deepseek-ai__DeepSeek-V3.2",
    "deepseek-v4-flash": "nvidia__DeepSeek-V4-Flash-NVFP4",
}


def reference(*parts: str) -> str:
    path = DATA.joinpath(*parts)
    if not path.is_file():
        pytest.skip(f"no reference file {path}")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def zoo() -> dict[str, Any]:
    return {entry["model"]: entry for entry in yaml.safe_load(reference("models", "zoo.yaml"))}


def indices(layers: str) -> list[int]:
    """Layer numbers written as ``0,1,2`` or as ``0..79``."""
    first, dots, last = layers.partition("..")
    return list(range(int(first), int(last) + 1)) if dots else [int(n) for n in layers.split(",")]


def layer_types(entry: dict[str, Any], role: str = "") -> list[tuple[str, dict[str, Any]]]:
    """The caches of a zoo entry in layer order; those of one layer by name."""
    found = [
        (number, kind["layer_kind"], kind)
        for kind in entry["layer_types"]
        for number in indices(kind["layers"])
        if role in kind["role"]
    ]
    return [(name, kind) for _, name, kind in sorted(found, key=lambda item: item[:2])]


def in_order(model: ModelSpec) -> list[int]:
    """Places of the caches of a model; those of one layer by name."""
    layers = model.layers
    return sorted(range(len(layers)), key=lambda i: (layers[i].block, layers[i].variant))


@pytest.mark.parametrize("name", sorted(ZOO))
def test_caches_stand_in_the_order_of_the_layers(name: str, zoo: dict[str, Any]) -> None:
    expected, model = layer_types(zoo[ZOO[name]]), load_model(name)
    assert [model.layers[i].variant for i in in_order(model)] == [kind for kind, _ in expected]


@pytest.mark.parametrize("name", sorted(ZOO))
def test_bytes_per_token_and_windows_are_those_of_the_zoo(name: str, zoo: dict[str, Any]) -> None:
    model = load_model(name)
    for kv_dtype in ("bf16", "fp8"):
        specs = model.kv_cache_specs(block_size=16, kv_dtype=kv_dtype)
        for index, (variant, kind) in zip(
            in_order(model), layer_types(zoo[ZOO[name]]), strict=True
        ):
            spec, expected = specs[index], kind[f"bytes_per_token_per_layer_{kv_dtype}"]
            assert (spec.variant, spec.entry_bytes) == (variant, expected)
            assert spec.tokens_per_entry == kind["tokens_per_entry"]
            assert spec.window == (kind["window"] or 0)


@pytest.mark.parametrize("name", sorted(set(ZOO) - OTHER_STATE))
def test_state_bytes_are_those_of_the_zoo(name: str, zoo: dict[str, Any]) -> None:
    model = load_model(name)
    for layer, (_, kind) in zip(model.layers, layer_types(zoo[ZOO[name]]), strict=True):
        assert layer.conv_elements * DTYPE_BYTES[layer.conv_dtype] == kind["conv_state_bytes"]
        assert layer.ssm_elements * DTYPE_BYTES[layer.ssm_dtype] == kind["ssm_state_bytes"]
    total = sum(spec.state_bytes for spec in model.kv_cache_specs(block_size=16))
    assert total == zoo[ZOO[name]]["state_bytes_per_request"]


@pytest.mark.parametrize("name", sorted(ZOO))
def test_sizes_are_those_of_the_zoo(name: str, zoo: dict[str, Any]) -> None:
    model, entry = load_model(name), zoo[ZOO[name]]
    assert model.num_layers == entry["n_layers"]
    if name not in OTHER_PARAMS:
        assert model.params_total == entry["params_total"]
        assert model.params_active == entry["params_active"]
    if name not in OTHER_LENGTH:
        assert model.max_model_len == entry["max_positions_in_file"]


def first(config: dict[str, Any], *keys: str) -> Any:
    return next((config[key] for key in keys if config.get(key) is not None), None)


@pytest.mark.parametrize("name", HF)
def test_sizes_are_those_of_the_published_config(name: str) -> None:
    outer = json.loads(reference("hf_configs", HF[name], "config.json"))
    config, model = outer.get("text_config", outer), load_model(name)
    assert model.hidden_size == config["hidden_size"]
    assert model.vocab_size == config["vocab_size"]
    assert model.num_layers == config["num_hidden_layers"]
    assert model.max_model_len == config["max_position_embeddings"]
    assert model.tied_embeddings == config.get("tie_word_embeddings", name.startswith("gemma"))
    experts = first(config, "num_local_experts", "num_experts", "n_routed_experts")
    assert (model.moe and model.moe.experts) == experts
    assert (model.moe and model.moe.top_k) == config.get("num_experts_per_tok")


@pytest.mark.parametrize("name", HF)
def test_heads_are_those_of_the_published_config(name: str) -> None:
    outer = json.loads(reference("hf_configs", HF[name], "config.json"))
    config, model = outer.get("text_config", outer), load_model(name)
    heads = config["num_attention_heads"]
    head_dim = first(config, "head_dim", "attention_head_dim") or config["hidden_size"] // heads
    for layer in model.layers:
        if layer.kind in ("full", "sliding_window", "chunked_local", "cross"):
            assert (layer.heads, layer.kv_heads) == (heads, config["num_key_value_heads"])
            vector = name == "deepseek-v4-flash"
            assert (layer.k_dim, layer.v_dim) == (head_dim, 0 if vector else head_dim)
        elif layer.kind == "mla":
            assert layer.heads == heads
            latent = config.get("kv_lora_rank", head_dim - config["qk_rope_head_dim"])
            assert layer.k_dim == latent + config["qk_rope_head_dim"]
        elif layer.kind == "indexer":
            assert (layer.heads, layer.k_dim) == (64, config["index_head_dim"] + 4)


def test_layers_of_deepseek_v4_compress_as_the_published_config_says() -> None:
    config = json.loads(reference("hf_configs", HF["deepseek-v4-flash"], "config.json"))
    model = load_model("deepseek-v4-flash")
    ratios = [0] * model.num_layers
    for layer in model.layers:
        if layer.kind == "mla":
            ratios[layer.block] = layer.tokens_per_entry
        elif layer.kind == "sliding_window":
            assert layer.window == config["sliding_window"]
    # The last of them is that of the multi-token prediction layer.
    assert ratios == config["compress_ratios"][:-1]


@pytest.mark.parametrize("name", sorted(ZOO))
def test_an_unquantised_checkpoint_takes_two_bytes_a_parameter(name: str) -> None:
    model = load_model(name)
    if model.weight_dtype == "bf16":
        assert model.weight_bytes == 2 * model.params_total
    else:
        least = DTYPE_BYTES[model.weight_dtype] * model.params_total
        assert least <= model.weight_bytes < 2 * model.params_total


@pytest.mark.parametrize("name", ["gpt-oss-20b", "gpt-oss-120b"])
def test_gpt_oss_keeps_its_expert_matrices_in_4_25_bits(name: str) -> None:
    model = load_model(name)
    assert model.moe is not None
    idle = 1 - model.moe.top_k / model.moe.experts
    experts = round((model.params_total - model.params_active) / idle)
    matrices = experts * 8640 // 8643  # an expert has 8640 x 2880 weights and 3 x 2880 biases
    assert model.weight_bytes == matrices * 17 // 32 + 2 * (model.params_total - matrices)


def bamba_params(d_state: int) -> int:
    """Parameters of Bamba-9B, counted from its sizes."""
    hidden, inner, heads, vocab = 4096, 8192, 128, 128256
    channels = inner + 2 * d_state
    mamba = hidden * (inner + channels + heads) + 5 * channels + 3 * heads + inner + inner * hidden
    attention = 2 * hidden * hidden + 2 * hidden * 1024
    mlp = 3 * hidden * 14336 + 2 * hidden
    return 2 * vocab * hidden + hidden + 29 * (mamba + mlp) + 3 * (attention + mlp)


def test_bamba_has_the_state_that_its_published_size_implies() -> None:
    model = load_model("bamba-9b")
    state = next(layer for layer in model.layers if layer.kind == "mamba")
    d_state = state.ssm_elements // 8192
    assert state.conv_elements == 3 * (8192 + 2 * d_state)
    assert model.params_total == bamba_params(d_state)
    assert round(model.params_total / 1e9, 2) == 9.78
    assert round(bamba_params(256) / 1e9, 2) != 9.78


def caches(model: ModelSpec, kind: str) -> int:
    return sum(layer.kind == kind for layer in model.layers)


def test_layers_without_a_cache_are_absent_and_two_caches_stand_apart() -> None:
    nemotron, deepseek = load_model("nemotron-h-56b"), load_model("deepseek-v3.2")
    assert (caches(nemotron, "mamba"), caches(nemotron, "full"), nemotron.num_layers) == (
        54,
        10,
        118,
    )
    assert (caches(deepseek, "mla"), caches(deepseek, "indexer"), deepseek.num_layers) == (
        61,
        61,
        61,
    )


@pytest.mark.parametrize("name", gpu_names())
def test_a_gpu_is_named_after_its_file_and_its_numbers_are_plausible(name: str) -> None:
    gpu = load_gpu(name)
    assert gpu.name == name
    assert "nvidia-smi" in gpu.source
    assert 20 * 2**30 < gpu.memory_bytes < 200 * 2**30
    assert 1e9 < gpu.link_bandwidth < gpu.memory_bandwidth < 1e13
    assert gpu.flops["bf16"] == gpu.flops["fp16"]
    if "fp8" in gpu.flops:
        assert gpu.flops["fp8"] == pytest.approx(2 * gpu.flops["bf16"], rel=0.02)


def test_the_gpus_of_the_list_are_shipped() -> None:
    expected = "a100-sxm-80gb b200-sxm gb200 h100-sxm h200-sxm l4 l40s rtx-4090 rtx-pro-6000"
    assert gpu_names() == tuple(expected.split())
