"""Parameters and weight bytes of config.json files against the classes that they configure."""

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.hf.keys import Keys, read_keys
from jenga_sim.configs.hf.parameters.count import (
    Parameters,
    UnknownParametersError,
    count_parameters,
    list_tensors,
)
from jenga_sim.configs.hf.parameters.defaults import TABLE, class_defaults
from jenga_sim.configs.hf.parameters.layouts import LAYOUTS
from jenga_sim.configs.hf.parameters.stored import Names, Scheme
from jenga_sim.configs.hf.parameters.table import FAMILIES
from jenga_sim.configs.hf.parameters.towers import TOWERS
from jenga_sim.configs.hf.sections import family_of, text_section

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("JENGA_SIM_DATA", ROOT / ".." / "shared" / "data"))
GOLDEN = ROOT / "tests" / "golden"
FILES: dict[str, dict[str, Any]] = json.loads(
    (GOLDEN / "parameters.json").read_text(encoding="utf-8")
)["files"]
CLASSES: dict[str, dict[str, Any]] = json.loads(
    (GOLDEN / "parameter_classes.json").read_text(encoding="utf-8")
)["classes"]

SHIPPED = {
    "llama-3.1-8b": "meta-llama__Meta-Llama-3.1-8B",
    "llama-3.1-70b": "meta-llama__Meta-Llama-3.1-70B",
    "qwen3-32b": "Qwen__Qwen3-32B",
    "qwen3-30b-a3b": "Qwen__Qwen3-30B-A3B",
    "gemma-2-27b": "google__gemma-2-27b",
    "gemma-3-27b": "google__gemma-3-27b-it",
    "gpt-oss-20b": "openai__gpt-oss-20b",
    "gpt-oss-120b": "openai__gpt-oss-120b",
    "nemotron-h-56b": "nvidia__Nemotron-H-56B-Base-8K",
    "llama-3.2-11b-vision": "meta-llama__Llama-3.2-11B-Vision-Instruct",
    "deepseek-v3": "deepseek-ai__DeepSeek-R1",
    "deepseek-v3.2": "deepseek-ai__DeepSeek-V3.2",
}
"""Shipped models whose file is at hand; their gpt-oss bytes are those of the safetensors index."""

PUBLISHED = {
    "OpenGVLab__InternVL2-2B": 2_205_754_368,
    "Qwen__Qwen-7B": 1_836_828_672,
    "THUDM__chatglm3-6b": 6_243_584_000,
    "allenai__Molmo-7B-D-0924": 8_021_025_280,
    "microsoft__Phi-3.5-vision-instruct": 4_146_621_440,
    "nvidia__Llama-3_3-Nemotron-Super-49B-v1": 49_867_145_216,
    "openbmb__MiniCPM-V-2_6": 8_099_175_152,
}
"""Parameters as the model's page gives them, of models that transformers has no class for.

The file called Qwen-7B has the sizes of Qwen-1.8B.
"""

SCOUT = "RedHatAI__Llama-4-Scout-17B-16E-Instruct-FP8-dynamic"
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 1000,
}
MIXTRAL = LLAMA | {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}


def count(data: dict[str, Any], file: str = "config.json") -> Parameters:
    root = Keys(data, file=file)
    text = text_section(root)
    return count_parameters(root, text, family_of(root, text))


def read(name: str) -> Keys:
    path = DATA / "hf_configs" / name / "config.json"
    if not path.is_file():
        pytest.skip(f"no reference file {path}")
    return read_keys(path)


def count_file(name: str) -> Parameters:
    root = read(name)
    text = text_section(root)
    return count_parameters(root, text, family_of(root, text))


def comparable(parts: dict[str, int]) -> dict[str, int]:
    """The parts that a measured file tells apart."""
    apart = {name: parts.get(name, 0) for name in ("embedding", "experts", "head", "vision")}
    mtp = parts.get("mtp", 0)
    return apart | {"rest": sum(parts.values()) - mtp - sum(apart.values())}


@pytest.mark.parametrize("name", FILES)
def test_totals_and_parts_are_those_of_the_class(name: str) -> None:
    found = count_file(name)
    assert found.total == FILES[name]["total"]
    assert comparable(found.parts) == comparable(FILES[name]["parts"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_totals_are_those_that_are_published(name: str) -> None:
    assert count_file(name).total == PUBLISHED[name]


@pytest.mark.parametrize("family", CLASSES)
def test_families_count_as_their_classes(family: str) -> None:
    assert count(CLASSES[family]["config"]).total == CLASSES[family]["total"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_file_says_what_the_shipped_model_says(name: str) -> None:
    found = count_file(SHIPPED[name])
    path = ROOT / "configs" / "models" / f"{name}.yaml"
    model = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"total": found.total, "active": found.active} == model["params"]
    assert {"dtype": found.weight_dtype, "bytes": found.weight_bytes} == model["weights"]
    assert (asdict(found.moe) if found.moe else None) == model.get("moe")
    assert found.tied_embeddings == model["tied_embeddings"]


def test_every_file_is_read_without_an_error_and_fast() -> None:
    folder = DATA / "hf_configs"
    if not folder.is_dir():
        pytest.skip(f"no reference files {folder}")
    for path in sorted(folder.glob("*/config.json")):
        start = time.process_time()
        found = count_file(path.parent.name)
        assert time.process_time() - start < 0.25, path
        assert 0 < found.active <= found.total
        assert found.weight_bytes > 0


@pytest.mark.parametrize(
    ("name", "dtype", "size"),
    [
        ("meta-llama__Meta-Llama-3.1-8B", "bf16", 16_060_522_496),
        ("Qwen__Qwen2.5-7B-Instruct", "bf16", 15_231_233_024),
        ("openai__gpt-oss-20b", "mxfp4", 13_761_264_768),
        ("openai__gpt-oss-120b", "mxfp4", 65_248_815_744),
    ],
)
def test_weight_bytes_are_those_of_the_safetensors_index(name: str, dtype: str, size: int) -> None:
    found = count_file(name)
    assert (found.weight_dtype, found.weight_bytes) == (dtype, size)


def test_fp8_by_block_keeps_what_the_list_names_in_bf16() -> None:
    # 94 layers: attention and experts in fp8 with a float32 scale for each 128 x 128; the router,
    # norms, embedding and head in bf16.
    layer = 2 * 8192 * 4096 + 2 * 512 * 4096 + 128 * 3 * 1536 * 4096
    scales = layer // (128 * 128)
    rest = 235_093_634_560 - 94 * layer
    expected = 94 * (layer + 4 * scales) + 2 * rest
    assert count_file("Qwen__Qwen3-235B-A22B-FP8").weight_bytes == expected


def test_int4_experts_of_kimi_k2_5_and_all_else_in_bf16() -> None:
    experts = 60 * 384 * 3 * 2048 * 7168
    scales, shapes = experts // 32, 60 * 384 * 3
    rest = 1_026_879_353_328 - experts
    expected = experts // 2 + 2 * scales + 16 * shapes + 2 * rest + 60 * 384 * 4
    found = count_file("moonshotai__Kimi-K2.5")
    assert (found.weight_dtype, found.weight_bytes) == ("int4", expected)


def test_an_ignore_list_may_name_single_layers() -> None:
    # Layers 0-2 are dense and stay in bf16, and so do attention and shared experts everywhere.
    experts = 75 * 256 * 3 * 2048 * 6144
    nvfp4 = experts // 2 + experts // 16 + 8 * 75 * 256 * 3
    rest = 743_911_199_232 - experts
    expected = nvfp4 + 2 * rest + 75 * 256 * 4
    assert count_file("nvidia__GLM-5.1-NVFP4").weight_bytes == expected


def test_the_vision_tower_of_the_file_is_counted_and_not_that_of_the_class() -> None:
    found = count_file(SCOUT)
    assert found.total == 108_641_793_536
    assert found.parts["vision"] == FILES[SCOUT]["parts"]["vision"]


def test_prediction_layers_are_counted_apart() -> None:
    found = count_file("deepseek-ai__DeepSeek-R1")
    layer = 671_026_404_352 - 2 * 129280 * 7168
    assert found.parts["mtp"] > layer // 61
    assert found.total == 671_026_404_352


def test_a_side_file_of_modelopt_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    plain = count_keys(read_keys(tmp_path))
    side = {"quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(side), encoding="utf-8")
    found = count_keys(read_keys(tmp_path))
    assert (plain.weight_dtype, found.total) == ("bf16", plain.total)
    assert found.weight_bytes < plain.weight_bytes


def count_keys(root: Keys) -> Parameters:
    return count_parameters(root, root, family_of(root, root))


@pytest.mark.parametrize(
    ("quantization", "dtype"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8"),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, "fp8"),
        ({"quant_method": "awq", "bits": 4, "group_size": 32}, "int4"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "int4"),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "int8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}, "nvfp4"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8"),
        ({"quant_method": "fbgemm_fp8"}, "fp8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8"),
    ],
)
def test_quantised_weights_are_fewer_bytes(quantization: dict[str, Any], dtype: str) -> None:
    wide = LLAMA | {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 8}
    plain, found = count(wide), count(wide | {"quantization_config": quantization})
    assert found.weight_bytes < plain.weight_bytes
    assert found.weight_dtype == dtype
    assert found.total == plain.total
    assert not found.notes


def test_a_quantisation_that_is_not_known_is_said() -> None:
    found = count(LLAMA | {"quantization_config": {"quant_method": "hqq"}})
    assert found.weight_bytes == count(LLAMA).weight_bytes
    assert found.estimated
    assert "'hqq'" in found.notes[0]


def test_a_family_that_is_not_known_is_not_counted_and_says_so() -> None:
    found = count(LLAMA | {"model_type": "novel"})
    assert (found.total, found.weight_bytes) == (0, 0)
    assert "'novel'" in found.notes[0]
    keys = Keys(LLAMA, file="config.json")
    with pytest.raises(UnknownParametersError, match="novel"):
        list_tensors(keys, keys, "novel")


def test_a_known_family_needs_its_sizes() -> None:
    with pytest.raises(ConfigError, match="num_attention_heads"):
        count(LLAMA | {"num_attention_heads": 0})


def test_a_draft_model_is_an_estimate() -> None:
    found = count(LLAMA | {"architectures": ["LlamaForCausalLMEagle3"]})
    assert found.estimated
    assert "draft" in found.notes[0]


def test_a_tower_that_is_not_known_is_named() -> None:
    found = count({"model_type": "novel_vl", "text_config": LLAMA, "vision_config": {"depth": 2}})
    assert found.notes == ("Not counted: its vision tower.",)


def test_a_tower_of_class_defaults_is_a_guess() -> None:
    found = count_file("meta-llama__Llama-4-Maverick-17B-128E-Instruct")
    assert found.estimated
    assert "vision_config is missing" in found.notes[0]


def test_a_list_for_fewer_layers_than_there_are_is_an_error() -> None:
    short = {"layer_types": ["linear_attention"], "num_hidden_layers": 2}
    with pytest.raises(ConfigError, match="layer_types: has 1 entries for 2 layers"):
        count(CLASSES["qwen3_next"]["config"] | short)


def test_a_kind_of_layer_that_a_family_has_not_is_an_error() -> None:
    other = {"layer_types": ["conv", "full_attention"], "num_hidden_layers": 2}
    with pytest.raises(ConfigError, match="'conv' is no kind of layer"):
        count(CLASSES["qwen3_next"]["config"] | other)


def test_more_layers_than_any_model_has_are_a_slip() -> None:
    with pytest.raises(ConfigError, match="num_hidden_layers"):
        count(LLAMA | {"num_hidden_layers": 10**8})


def test_kimi_linear_numbers_its_layers_from_1() -> None:
    # The released model: 20 layers of KDA where the class has 21; 49.12 B, of which 3.48 B active.
    full = [4, 8, 12, 16, 20, 24, 27]
    layers = {
        "kda_layers": [number for number in range(1, 28) if number not in full],
        "full_attn_layers": full,
        "num_heads": 32,
        "head_dim": 128,
        "short_conv_kernel_size": 4,
    }
    released = CLASSES["kimi_linear"]["config"] | {
        "linear_attn_config": layers,
        "num_hidden_layers": 27,
        "mlp_layer_types": ["dense"] + ["sparse"] * 26,
    }
    found = count(released)
    assert (found.total, found.active) == (49_122_675_072, 3_484_453_248)


def test_a_nested_file_may_leave_sizes_to_the_class() -> None:
    # LLaVA-1.5-7B: the language model is given by its vocabulary alone. Published: 7,063,427,072.
    clip = {
        "model_type": "clip_vision_model",
        "hidden_size": 1024,
        "image_size": 336,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "patch_size": 14,
    }
    text = {"model_type": "llama", "vocab_size": 32064}
    found = count({"model_type": "llava", "text_config": text, "vision_config": clip})
    assert found.total == 7_063_427_072


def test_idle_experts_of_longcat_are_not_stored() -> None:
    # The class makes room for 256 experts that do nothing: 741 B. The checkpoint has 512.
    longcat = {
        "model_type": "longcat_flash",
        "vocab_size": 131072,
        "hidden_size": 6144,
        "num_layers": 28,
        "num_attention_heads": 64,
        "zero_expert_num": 256,
        "n_routed_experts": 512,
        "moe_topk": 12,
    }
    found = count(longcat)
    assert found.parts["experts"] == 28 * 512 * 3 * 2048 * 6144
    assert found.total == 560_664_958_976


def test_null_is_not_the_default_of_the_class() -> None:
    mla = CLASSES["deepseek_v3"]["config"]
    low_rank = count(mla)
    full = count(mla | {"q_lora_rank": None})
    assert full.total > low_rank.total


def test_tables_agree() -> None:
    assert all(layout.kind in TOWERS for layout in LAYOUTS.values() if layout.kind)
    listed = {line.partition(":")[0] for line in TABLE.splitlines() if not line.startswith(" ")}
    assert listed <= {*FAMILIES, *TOWERS}
    for family in listed:
        assert set(class_defaults(Keys({}, file=""), family))


@pytest.mark.parametrize(
    ("entry", "path", "named"),
    [
        ("lm_head", "language_model.lm_head", True),
        ("gate", "model.layers.3.mlp.gate", True),
        ("gate", "model.layers.3.mlp.gate_proj", False),
        ("model.layers.1.mlp", "model.layers.1.mlp.up_proj", True),
        ("model.layers.1.mlp", "model.layers.11.mlp.up_proj", False),
        ("model.layers.1*", "model.layers.11.mlp", True),
        ("model.layers.1.*", "model.layers.11.mlp", False),
        ("*.attn.*", "layers.0.attn.wq_a", True),
        ("model.layers.*.self_attn", "model.layers.7.self_attn.q_proj", True),
        ("re:.*mlp\\.(gate|up|down)_proj.*", "model.layers.0.mlp.up_proj", True),
        ("re:.*mlp\\.(gate|up|down)_proj.*", "model.layers.0.mlp.experts.0.up_proj", False),
    ],
)
def test_names_of_quantisation_lists(entry: str, path: str, named: bool) -> None:
    assert (path in Names([entry])) == named


def test_bytes_of_one_matrix() -> None:
    block = Scheme(dtype="fp8", bits=8, rows=128, columns=128, scale_bytes=4)
    assert block.bytes_of((130, 256)) == 130 * 256 + 2 * 2 * 4
    group = Scheme(dtype="int4", bits=4, rows=1, columns=32, scale_bytes=2, zero_bits=4)
    assert group.bytes_of((8, 64)) == 256 + 16 * 2 + 8


SIZES = st.fixed_dictionaries(
    {
        "hidden_size": st.integers(1, 8).map(lambda n: 64 * n),
        "intermediate_size": st.integers(1, 16).map(lambda n: 32 * n),
        "num_hidden_layers": st.integers(1, 12),
        "num_attention_heads": st.sampled_from([1, 2, 4, 8]),
        "vocab_size": st.integers(1, 5000),
        "tie_word_embeddings": st.booleans(),
    }
)


@given(sizes=SIZES, family=st.sampled_from(["llama", "qwen3", "gemma2", "mixtral", "olmo2"]))
@settings(deadline=None)
def test_more_layers_are_more_parameters(sizes: dict[str, Any], family: str) -> None:
    data = MIXTRAL | sizes | {"model_type": family}
    fewer = count(data)
    more = count(data | {"num_hidden_layers": sizes["num_hidden_layers"] + 1})
    assert 0 < fewer.active <= fewer.total < more.total
    assert fewer.active < more.active
    assert sum(fewer.parts.values()) == fewer.total
    assert fewer.weight_bytes == 2 * fewer.total


@given(sizes=SIZES, experts=st.integers(1, 64), top_k=st.integers(1, 64))
@settings(deadline=None)
def test_a_token_uses_some_experts(sizes: dict[str, Any], experts: int, top_k: int) -> None:
    data = MIXTRAL | sizes | {"num_local_experts": experts, "num_experts_per_tok": top_k}
    found = count(data)
    assert found.active <= found.total
    assert (found.active == found.total) == (top_k >= experts)
    assert found.moe is not None
    assert found.moe.experts == experts


@given(sizes=SIZES)
@settings(deadline=None)
def test_a_tied_head_is_counted_once(sizes: dict[str, Any]) -> None:
    tied = count(LLAMA | sizes | {"tie_word_embeddings": True})
    apart = count(LLAMA | sizes | {"tie_word_embeddings": False})
    assert apart.total - tied.total == sizes["vocab_size"] * sizes["hidden_size"]
    assert tied.tied_embeddings
    assert not apart.tied_embeddings
