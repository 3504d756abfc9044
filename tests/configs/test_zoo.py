"""Every packaged model is what its config.json says, where that file is at hand."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from jenga_sim.configs.cache_types import cache_types
from jenga_sim.configs.hf.read import read_hf_config
from jenga_sim.configs.load import load_model, model_names

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("JENGA_SIM_DATA", ROOT / ".." / "shared" / "data"))

FILES = {
    "llama-3.1-405b": "meta-llama__Meta-Llama-3.1-405B",
    "llama-3.2-1b": "meta-llama__Llama-3.2-1B-Instruct",
    "llama-3.2-3b": "meta-llama__Llama-3.2-3B-Instruct",
    "llama-3.2-90b-vision": "meta-llama__Llama-3.2-90B-Vision-Instruct",
    "llama-4-maverick": "meta-llama__Llama-4-Maverick-17B-128E-Instruct",
    "gemma-2-2b": "google__gemma-2-2b",
    "gemma-2-9b": "google__gemma-2-9b",
    "gemma-3-1b": "google__gemma-3-1b-it",
    "gemma-3-4b": "google__gemma-3-4b-it",
    "gemma-4-26b-a4b": "google__gemma-4-26B-A4B",
    "gemma-4-31b": "google__gemma-4-31B-it",
    "gemma-4-e2b": "google__gemma-4-E2B-it",
    "qwen2-7b": "Qwen__Qwen2-7B-Instruct",
    "qwen2-72b": "Qwen__Qwen2-72B-Instruct",
    "qwen2.5-7b": "Qwen__Qwen2.5-7B-Instruct",
    "qwen2.5-vl-7b": "Qwen__Qwen2.5-VL-7B-Instruct",
    "qwen1.5-moe-a2.7b": "Qwen__Qwen1.5-MoE-A2.7B",
    "qwen3-0.6b": "Qwen__Qwen3-0.6B",
    "qwen3-1.7b": "Qwen__Qwen3-1.7B",
    "qwen3-8b": "Qwen__Qwen3-8B",
    "qwen3-14b": "Qwen__Qwen3-14B",
    "qwen3-32b-fp8": "Qwen__Qwen3-32B-FP8",
    "qwen3-235b-a22b": "Qwen__Qwen3-235B-A22B",
    "qwen3-235b-a22b-fp8": "Qwen__Qwen3-235B-A22B-FP8",
    "qwen3-coder-480b": "Qwen__Qwen3-Coder-480B-A35B-Instruct",
    "qwen3-vl-4b": "Qwen__Qwen3-VL-4B-Instruct",
    "qwen3-vl-32b": "Qwen__Qwen3-VL-32B-Thinking",
    "qwen3-vl-30b-a3b": "Qwen__Qwen3-VL-30B-A3B-Instruct",
    "qwen3-vl-235b-a22b": "Qwen__Qwen3-VL-235B-A22B-Instruct",
    "qwen3.5-0.8b": "Qwen__Qwen3.5-0.8B",
    "qwen3.5-122b-a10b": "Qwen__Qwen3.5-122B-A10B",
    "qwen3.5-397b-a17b-nvfp4": "nvidia__Qwen3.5-397B-A17B-NVFP4",
    "qwen3.6-27b-nvfp4": "nvidia__Qwen3.6-27B-NVFP4",
    "mistral-7b-v0.2": "mistralai__Mistral-7B-Instruct-v0.2",
    "mistral-nemo-12b": "mistralai__Mistral-Nemo-Instruct-2407",
    "mixtral-8x22b": "mistralai__Mixtral-8x22B-v0.1",
    "ministral-3-3b": "mistralai__Ministral-3-3B-2512",
    "phi-3.5-mini": "microsoft__Phi-3.5-mini-instruct",
    "phi-3.5-vision": "microsoft__Phi-3.5-vision-instruct",
    "phi-4-mini": "microsoft__Phi-4-mini-instruct",
    "phi-mini-moe": "microsoft__Phi-mini-MoE-instruct",
    "glm-4.5": "zai-org__GLM-4.5",
    "glm-4.1v-9b": "zai-org__GLM-4.1V-9B",
    "glm-5": "zai-org__GLM-5",
    "glm-5-fp8": "zai-org__GLM-5-FP8",
    "glm-5.2": "zai-org__GLM-5.2",
    "glm-5.2-fp8": "zai-org__GLM-5.2-FP8",
    "minimax-m1": "MiniMaxAI__MiniMax-M1-80k",
    "minimax-m2.5": "MiniMaxAI__MiniMax-M2.5",
    "minimax-m3": "MiniMaxAI__MiniMax-M3",
    "kimi-k2": "moonshotai__Kimi-K2-Instruct",
    "kimi-k2.5": "moonshotai__Kimi-K2.5",
    "kimi-k3": "moonshotai__Kimi-K3",
    "step-3.7-flash": "stepfun-ai__Step-3.7-Flash",
    "exaone-4.0-32b": "LGAI-EXAONE__EXAONE-4.0-32B",
    "olmo-2-32b": "allenai__OLMo-2-32B",
    "olmo-3-7b": "allenai__Olmo-3-7B",
    "olmo-3.1-32b": "allenai__Olmo-3.1-32B-Instruct",
    "starcoder2-7b": "bigcode__starcoder2",
    "codellama-34b": "codellama__CodeLlama-34b-Instruct-hf",
    "yi-34b": "01-ai__Yi-34B",
    "aya-23-8b": "CohereForAI__aya-23",
    "internvl2-2b": "OpenGVLab__InternVL2-2B",
    "lfm2.5-vl-1.6b": "LiquidAI__LFM2.5-VL-1.6B",
    "minicpm3-4b": "openbmb__MiniCPM3-4B",
    "minicpm-v-2.6": "openbmb__MiniCPM-V-2_6",
    "molmo-7b-d": "allenai__Molmo-7B-D-0924",
    "mimo-7b": "XiaomiMiMo__MiMo-7B-Base",
    "nemotron-super-49b": "nvidia__Llama-3_3-Nemotron-Super-49B-v1",
    "nemotron-3-nano-30b": "nvidia__NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "nemotron-3-super-120b": "nvidia__NVIDIA-Nemotron-3-Super-120B-A12B-FP8",
    "nemotron-3-ultra-550b": "nvidia__NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16",
    "deepseek-r1-0528": "deepseek-ai__DeepSeek-R1-0528",
    "deepseek-v4-pro": "deepseek-ai__DeepSeek-V4-Pro",
    "rwkv-5-3b": "RWKV__rwkv-5-world-3b",
    "stablelm-2-1.6b": "stabilityai__stablelm-2-zephyr-1_6b",
    "chatglm3-6b": "THUDM__chatglm3-6b",
    "llama-3.1-8b-eagle3": "SpecForge__llama3-8B-eagle3",
    "llama-3.1-70b-eagle3": "SpecForge__llama3-70B-ealge3",
    "llama-4-scout-eagle3": "SpecForge__llama4-scout-17B-16E-eagle3",
    "gpt-oss-20b-eagle3": "SpecForge__gpt-oss-20B-eagle3",
    "deepseek-v3-eagle3": "SpecForge__deepseek-v3-671b-eagle3",
    "qwen3-32b-eagle3": "SpecForge__qwen3-32b-eagle3",
    "qwen3-235b-a22b-eagle3": "SpecForge__qwen3-235B-A22B-eagle3",
    "qwen3-8b-dflash": "SpecForge__qwen3-8b-dflash",
    "qwen3.6-27b-dflash": "SpecForge__qwen3.6-27b-dflash",
    "kimi-k3-dspark": "SpecForge__kimi-k3-dspark",
}
"""Folder of the config.json that a model was read from."""

EDITED_COPIES = {"internvl2-2b", "minicpm-v-2.6", "mistral-7b-v0.2"}
"""Files of which the copy at hand was edited to 512 positions; the releases have 32,768."""

RESTATED = {
    "command-r7b": "Command-R7B",
    "deepseek-v2-lite": "DeepSeek-V2-Lite",
    "falcon-h1-7b": "Falcon-H1-7B",
    "falcon-mamba-7b": "Falcon-Mamba-7B",
    "granite-4.0-h-small": "Granite-4.0-H-Small",
    "granite-4.0-h-tiny": "Granite-4.0-H-Tiny",
    "kimi-linear-48b": "Kimi-Linear-48B",
    "mimo-v2-flash": "MiMo-V2-Flash",
    "minimax-text-01": "MiniMax-Text-01/M1",
    "mixtral-8x7b": "Mixtral-8x7B",
    "qwen3.5-35b-a3b": "Qwen3.5-35B-A3B",
    "qwen3.5-4b": "Qwen3.5-4B",
}
"""Models whose file was not at hand, and what the reference calls them."""
OTHER_STATE = {"qwen3.5-4b"}
"""The release has float32 states, the extract that the reference read does not say so."""
OTHER_PARAMS = {"minimax-text-01"}
"""The reference has a rounded figure."""


def test_the_zoo_is_large_and_every_model_is_checked_somewhere() -> None:
    from tests.configs.test_shipped import ZOO

    assert set(model_names()) == {*FILES, *RESTATED, *ZOO}
    assert len(model_names()) >= 60


@pytest.mark.parametrize("name", model_names())
def test_a_model_is_named_after_its_file_and_gives_its_source(name: str) -> None:
    model = load_model(name)
    assert model.name == name
    assert "Hugging Face)" in model.source


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_packaged_model_is_what_the_reader_makes_of_its_file(name: str) -> None:
    path = DATA / "hf_configs" / FILES[name] / "config.json"
    if not path.is_file():
        pytest.skip(f"no reference file {path}")
    model = load_model(name)
    read = read_hf_config(path)
    assert [layer.block for layer in model.layers] == [layer.block for layer in read.layers]
    # Widths are said by hand, where a vision tower is among the parameters.
    facts: dict[str, Any] = {"name": "", "hf": None, "source": "", "notes": (), "ffn_width": 0}
    if name in EDITED_COPIES:
        assert (read.max_model_len <= 1024, model.max_model_len) == (True, 32768)
        facts["max_model_len"] = 32768
    assert replace(model, **facts) == replace(read, **facts)


@pytest.mark.parametrize("name", sorted(RESTATED))
def test_a_restated_model_has_the_caches_and_parameters_of_the_reference(name: str) -> None:
    path = DATA / "models" / "zoo.yaml"
    if not path.is_file():
        pytest.skip(f"no reference file {path}")
    zoo = {entry["model"]: entry for entry in yaml.safe_load(path.read_text(encoding="utf-8"))}
    entry, model = zoo[RESTATED[name]], load_model(name)
    assert model.num_layers == entry["n_layers"]
    if name not in OTHER_PARAMS:
        assert model.params_total == entry["params_total"]
        assert model.params_active == entry["params_active"]
    kinds = entry["layer_types"]
    for each, kind in zip(cache_types(model), kinds, strict=True):
        assert (each.variant, each.layers) == (kind["layer_kind"], kind["n_layers"])
        assert each.bf16_bytes == kind["bytes_per_token_per_layer_bf16"]
        assert each.window == kind["window"]
        state = kind["ssm_state_bytes_fp32" if name in OTHER_STATE else "ssm_state_bytes"]
        assert (each.conv_state, each.ssm_state) == (kind["conv_state_bytes"], state)


QUANTISED = ("fp8", "nvfp4", "mxfp4", "int4", "int8", "awq", "gptq")
"""What the name of a checkpoint says of its weights; without a word it may have any."""
DTYPES_OF = {"awq": ("int4",), "gptq": ("int4", "int8")}


@pytest.mark.parametrize("name", model_names())
def test_the_name_of_a_checkpoint_and_its_weights_agree(name: str) -> None:
    model = load_model(name)
    words = (model.hf or name).casefold().split("-")
    for word in QUANTISED:
        if word in words:
            assert model.weight_dtype in DTYPES_OF.get(word, (word,))
    if "bf16" in words:
        assert model.weight_dtype == "bf16"


@pytest.mark.parametrize("name", model_names())
def test_weights_take_the_bytes_of_their_dtype(name: str) -> None:
    model = load_model(name)
    bits = 8 * model.weight_bytes / model.params_total
    least, most = {
        "bf16": (16, 16.01),
        "fp16": (16, 16.01),
        "fp8": (8, 9),
        "int4": (4.1, 6.5),
        "mxfp4": (4.2, 6),
        "nvfp4": (4.4, 6.5),
    }[model.weight_dtype]
    assert least <= bits <= most


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("google/gemma-3-27b-it", "gemma-3-27b"),
        ("Google/Gemma-3-27B-IT", "gemma-3-27b"),
        ("google/gemma-3-27b", "gemma-3-27b"),
        ("meta-llama/Meta-Llama-3.1-8B", "llama-3.1-8b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("deepseek-ai/DeepSeek-V3", "deepseek-v3"),
    ],
)
def test_a_name_on_hugging_face_means_the_packaged_model(written: str, name: str) -> None:
    assert load_model(written) is not None
    assert load_model(written).name == name


def test_names_on_hugging_face_are_unique() -> None:
    names = [load_model(name).hf for name in model_names()]
    given = [name for name in names if name is not None]
    assert len(given) == len(set(given))
