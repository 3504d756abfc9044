"""Weights that a file does not determine are not known, or a note names what was assumed."""

import json
from pathlib import Path
from typing import Any

import pytest

from jenga_sim.configs.cache_types import kv_bytes
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.hf.families import READERS
from jenga_sim.configs.hf.parameters.table import FAMILIES
from jenga_sim.configs.hf.read import read_hf_config
from jenga_sim.configs.specs import ModelSpec
from tests.configs.hf_cases import CASES

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}
DBRX: dict[str, Any] = {
    "model_type": "dbrx",
    "attn_config": {"clip_qkv": 8, "kv_n_heads": 8},
    "d_model": 6144,
    "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
    "max_seq_len": 32768,
    "n_heads": 48,
    "n_layers": 40,
    "vocab_size": 100352,
}
HUNYUAN: dict[str, Any] = {
    "model_type": "hunyuan_v1_moe",
    "attention_head_dim": 128,
    "head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 3072,
    "moe_intermediate_size": [3072] * 32,
    "moe_topk": [8] * 32,
    "num_shared_expert": [1] * 32,
    "num_experts": 64,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "use_qk_norm": True,
    "max_position_embeddings": 32768,
    "vocab_size": 128167,
    "tie_word_embeddings": True,
}


def read(folder: Path, config: dict[str, Any]) -> ModelSpec:
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return read_hf_config(path)


def without(config: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in names}


def is_unknown(model: ModelSpec, *words: str) -> bool:
    notes = [
        note for note in model.notes if note.startswith("parameters and weights are not known")
    ]
    told = all(any(word in note for note in notes) for word in words)
    return (model.params_total, model.weight_bytes) == (0, 0) and bool(notes) and told


def test_dbrx_keeps_its_experts_in_a_section(tmp_path: Path) -> None:
    # DbrxForCausalLM of transformers 5.23 on torch's meta device: 131,596,523,520.
    model = read(tmp_path, DBRX)
    assert (model.params_total, model.weight_bytes) == (131_596_523_520, 263_193_047_040)
    assert model.params_active == 36_469_708_800
    assert model.moe is not None
    assert (model.moe.experts, model.moe.top_k) == (16, 4)


@pytest.mark.parametrize("section", ["attn_config", "ffn_config"])
def test_dbrx_without_a_section_has_caches_alone(section: str, tmp_path: Path) -> None:
    assert is_unknown(read(tmp_path, without(DBRX, section)), section)


@pytest.mark.parametrize("family", sorted(set(READERS) - set(FAMILIES)))
def test_a_family_with_caches_alone_is_not_counted_as_another(family: str, tmp_path: Path) -> None:
    model = read(tmp_path, LLAMA | {"model_type": family, "layer_group_size": 8})
    assert is_unknown(model, repr(family))
    assert kv_bytes(model, 1024) > 0


def test_a_file_without_its_vocabulary_has_no_weights(tmp_path: Path) -> None:
    assert is_unknown(read(tmp_path, without(LLAMA, "vocab_size")), "vocab_size")
    assert is_unknown(read(tmp_path, without(LLAMA, "vocab_size", "intermediate_size")))


def test_sizes_of_the_class_are_named(tmp_path: Path) -> None:
    assert read(tmp_path, LLAMA).notes == ()
    model = read(tmp_path, without(LLAMA, "intermediate_size"))
    assert model.params_total > 0
    expected = "intermediate_size: not in the file, counted as the model's class assumes"
    assert model.notes == (expected,)


def test_sizes_of_a_tower_that_its_class_gives_are_named(tmp_path: Path) -> None:
    text = without(LLAMA, "num_key_value_heads")
    tower = {"model_type": "clip_vision_model", "num_hidden_layers": 24, "patch_size": 14}
    config = {"model_type": "llava", "text_config": text, "vision_config": tower}
    notes = read(tmp_path, config).notes
    expected = "vision_config: hidden_size, image_size, intermediate_size: not in the file"
    assert any(note.startswith(expected) for note in notes)


def test_a_gated_layer_has_no_size_by_rule(tmp_path: Path) -> None:
    orion = LLAMA | {"model_type": "orion"}
    assert read(tmp_path, orion).params_total > 0
    assert is_unknown(read(tmp_path, without(orion, "intermediate_size")), "intermediate_size")


def test_lists_that_say_one_thing_are_one_number(tmp_path: Path) -> None:
    # Hunyuan-A13B; its page says 80 B, of which 13 B active.
    model = read(tmp_path, HUNYUAN)
    assert (model.params_total, model.params_active) == (80_393_183_232, 12_747_448_320)
    single = {"moe_intermediate_size": 3072, "moe_topk": 8, "num_shared_expert": 1}
    assert read(tmp_path, HUNYUAN | single).params_total == model.params_total


@pytest.mark.parametrize("name", ["moe_topk", "moe_intermediate_size", "num_shared_expert"])
def test_lists_that_differ_leave_the_caches(name: str, tmp_path: Path) -> None:
    uneven = HUNYUAN | {name: [8] * 31 + [4]}
    model = read(tmp_path, uneven)
    assert is_unknown(model, name)
    assert kv_bytes(model, 1) == 32 * 4096


def test_a_list_where_the_caches_need_a_number_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num_key_value_heads: lists a size for each layer"):
        read(tmp_path, LLAMA | {"num_key_value_heads": [8] * 31 + [4]})


def test_a_damaged_size_of_weights_is_still_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="intermediate_size: must be a whole number"):
        read(tmp_path, LLAMA | {"intermediate_size": "many"})


def test_a_file_of_an_mla_family_without_latents_has_plain_weights(tmp_path: Path) -> None:
    config, _ = CASES["deepseek-vl2-tiny has no latent"]
    layer = 4 * 1280 * 1280 + 2 * 1280
    experts = 11 * (66 * 3 * 896 * 1280 + 64 * 1280)
    tables = 2 * 129280 * 1280 + 1280
    total = 12 * layer + experts + 3 * 6848 * 1280 + tables
    assert read(tmp_path, config).params_total == total
    by_parts = without(config["language_config"], "use_mla")
    assert read(tmp_path, by_parts).params_total == total


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"use_mla": False, "kv_lora_rank": 512}, "other keys say there is none"),
        ({"use_mla": True}, "kv_lora_rank: is missing"),
        ({"use_mla": None, "qk_rope_head_dim": 64}, "kv_lora_rank: is missing"),
    ],
)
def test_a_missing_latent_is_not_plain_attention(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    config = CASES["deepseek-vl2-tiny has no latent"][0]["language_config"]
    with pytest.raises(ConfigError, match=reason):
        read(tmp_path, config | change)


def test_a_name_with_a_scheme_that_the_file_lacks_is_an_estimate(tmp_path: Path) -> None:
    folder = tmp_path / "Llama-3.1-8B-Instruct-FP8"
    folder.mkdir()
    expected = "Weight bytes are estimated in bf16: the name says fp8, but no scheme is in the file"
    model = read(folder, LLAMA)
    assert model.notes[0].startswith(expected)
    side = {"quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    (folder / "hf_quant_config.json").write_text(json.dumps(side), encoding="utf-8")
    found = read(folder, LLAMA)
    assert (found.notes, found.weight_dtype) == ((), "fp8")
    assert found.weight_bytes < model.weight_bytes


def test_sizes_of_a_nested_class_are_named_once(tmp_path: Path) -> None:
    config, _ = CASES["llava leaves the sizes of vicuna to the class"]
    notes = " ".join(read(tmp_path, config).notes)
    assert notes.count("num_hidden_layers") == 1


def test_a_note_has_no_private_path(tmp_path: Path) -> None:
    notes = read(tmp_path, without(LLAMA, "vocab_size")).notes
    assert not any(str(tmp_path) in note for note in notes)
    assert f"{tmp_path.name}/config.json:" in notes[0]
