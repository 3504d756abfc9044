"""A model written as YAML reads back as the same model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jenga_sim.configs.dump import model_yaml
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.hf.read import read_hf_config
from jenga_sim.configs.load import load_model, model_names
from jenga_sim.configs.specs import ModelSpec
from jenga_sim.configs.speculation import speculating
from tests.configs.hf_cases import CASES


def again(model: ModelSpec, folder: Path) -> ModelSpec:
    path = folder / "again.yaml"
    path.write_text(model_yaml(model), encoding="utf-8")
    return load_model(path)


@pytest.mark.parametrize("name", model_names())
def test_shipped_models_survive(name: str, tmp_path: Path) -> None:
    model = load_model(name)
    assert again(model, tmp_path) == model


@pytest.mark.parametrize("case", CASES)
def test_what_was_read_from_a_config_survives(case: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"vocab_size": 1000, **CASES[case][0]}), encoding="utf-8")
    model = replace(read_hf_config(path), name="model")
    found = again(model, tmp_path)
    assert [layer.block for layer in found.layers] == [layer.block for layer in model.layers]
    assert found == model


PAIRS = {
    "a draft model": ("llama-3.1-70b", {"model": "llama-3.1-8b"}),
    "eagle3": ("llama-3.1-8b", {"model": "llama-3.1-8b-eagle3"}),
    "dflash": ("qwen3-8b", {"model": "qwen3-8b-dflash"}),
    "mtp": ("deepseek-v3.2", {"method": "mtp"}),
    "mtp beside states": ("qwen3.5-27b", {"method": "mtp"}),
    "ngram": ("qwen3.5-27b", {"method": "ngram"}),
}


@pytest.mark.parametrize("case", PAIRS)
def test_a_target_with_its_draft_survives(case: str, tmp_path: Path) -> None:
    """The proposed tokens too: states are larger and more by them."""
    target, config = PAIRS[case]
    pair = speculating(load_model(target), {**config, "num_speculative_tokens": 2})
    found = again(pair, tmp_path)
    assert found == pair
    assert found.num_speculative_tokens == 2
    assert [layer.block for layer in found.layers] == [layer.block for layer in pair.layers]


def test_sizes_that_are_not_known_stay_unknown(tmp_path: Path) -> None:
    model = replace(load_model("llama-3.1-8b"), params_total=0, params_active=0, weight_bytes=0)
    assert "weights: {dtype: bf16, bytes: unknown}" in model_yaml(model)
    assert again(model, tmp_path) == model


def test_a_draft_is_not_the_whole_model(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    text = model_yaml(load_model("llama-3.1-8b"))
    path.write_text(f"{text}draft: {{num_layers: 32}}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"draft\.num_layers: 32 leaves none of num_layers 32"):
        load_model(path)


def test_layers_that_repeat_are_written_once() -> None:
    text = model_yaml(load_model("gemma-3-27b"))
    assert "- {repeat: 10, pattern: [swa, swa, swa, swa, swa, full]}" in text
    assert "- {repeat: 2, pattern: [swa]}" in text
    assert len(text.splitlines()) < 25
