"""A family's rule, read from a small file of that family, gives the caches that its release has."""

import json
from pathlib import Path
from typing import Any

import pytest

from jenga_sim.configs.cache_types import CacheType, cache_types
from jenga_sim.configs.hf.families import READERS
from jenga_sim.configs.hf.read import read_hf_config
from jenga_sim.configs.hf.sections import ARCHITECTURE_FAMILIES, OUTER_FAMILIES
from jenga_sim.configs.load import load_model
from jenga_sim.configs.specs import NO_LIMIT, ModelSpec
from tests.configs.hf_cases import CASES


def read(folder: Path, config: dict[str, Any]) -> ModelSpec:
    path = folder / "config.json"
    path.write_text(json.dumps({"vocab_size": 1000, **config}), encoding="utf-8")
    return read_hf_config(path)


def in_words(each: CacheType) -> str:
    window = f"(w{each.window})" if each.window else ""
    entry = f"/{each.tokens_per_entry}" if each.tokens_per_entry > 1 else ""
    size = each.conv_state + each.ssm_state or each.bf16_bytes
    return f"{each.layers} {each.variant}{window}{entry}: {size:,}"


def summary(model: ModelSpec) -> str:
    text = "; ".join(in_words(each) for each in cache_types(model))
    return f"{text}; {len(model.shared_layers)} shared" if model.shared_layers else text


@pytest.mark.parametrize("case", CASES)
def test_a_family_has_the_caches_of_its_release(case: str, tmp_path: Path) -> None:
    config, expected = CASES[case]
    assert summary(read(tmp_path, config)) == expected


def test_shared_layers_name_the_last_own_layer_of_their_type(tmp_path: Path) -> None:
    config, _ = CASES["gemma-3n-e2b"]
    shared = dict(read(tmp_path, config).shared_layers)
    assert shared == {layer: 19 if layer in (24, 29) else 18 for layer in range(20, 30)}


def test_packed_fp8_entries_are_vllms(tmp_path: Path) -> None:
    """656 bytes with an indexer, 584 where attention is compressed, 576 for plain MLA."""
    plain, sparse, compressed = (
        cache_types(read(tmp_path, CASES[case][0]))[0].fp8_bytes
        for case in ("deepseek-v2-lite", "an indexer in every layer", "compressed attention")
    )
    assert (plain, sparse, compressed) == (576, 656, 584)


def test_decoys_bring_a_note(tmp_path: Path) -> None:
    for case, key in {
        "qwen2 with its window off": "use_sliding_window",
        "a window that nothing outgrows": "no effect",
        "deepseek-v2-lite": "num_key_value_heads",
        "kimi-linear-48b": "head_dim",
        "falcon-mamba: expand is wrong": "expand",
        "mimo-v2-flash": "attention_chunk_size",
        "gemma-4-31b has other KV heads in global layers": "attention_k_eq_v",
        "an eagle-3 head": "sliding_window",
        "llava leaves the sizes of vicuna to the class": "num_hidden_layers",
    }.items():
        notes = read(tmp_path, CASES[case][0]).notes
        assert any(key in note for note in notes), (case, notes)


def test_every_reader_has_a_case() -> None:
    """A family that is added comes with its rule stated here, or shares a reader that has one."""
    named: set[str] = set()
    for config, _ in CASES.values():
        nested = config.get("text_config") or config.get("llm_config") or config
        named |= {str(config.get("model_type")), str(nested.get("model_type"))}
        named |= {ARCHITECTURE_FAMILIES.get(name, "") for name in config.get("architectures", ())}
    named |= {OUTER_FAMILIES.get(name, "") for name in named}
    tested = {READERS[name] for name in named if name in READERS}
    assert {name for name, reader in READERS.items() if reader not in tested} == set()


def test_positions_are_those_that_vllm_lets_a_user_choose(tmp_path: Path) -> None:
    """Longrope defaults to its short length; a file without a length limits nothing."""
    config: dict[str, Any] = {
        "model_type": "phi3",
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "num_attention_heads": 4,
    }
    lengths = {"max_position_embeddings": 131072, "original_max_position_embeddings": 4096}
    longrope = read(tmp_path, {**config, **lengths, "rope_scaling": {"type": "longrope"}})
    assert (longrope.max_model_len, longrope.positions) == (4096, 131072)
    plain = read(tmp_path, {**config, "max_position_embeddings": 8192})
    assert (plain.max_model_len, plain.max_positions, plain.positions) == (8192, None, 8192)
    nowhere = read(tmp_path, config)
    assert (nowhere.max_model_len, nowhere.positions) == (2048, NO_LIMIT)


def test_the_draft_layer_that_qwen3_next_does_not_name(tmp_path: Path) -> None:
    """The packaged model and its config.json agree; a file may still say that there is none."""
    config = CASES["qwen3-next-80b"][0]
    assert read(tmp_path, config).draft_layers == load_model("qwen3-next-80b").draft_layers
    assert read(tmp_path, {**config, "num_nextn_predict_layers": 0}).draft_layers == ()
