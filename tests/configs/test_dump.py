"""A model written as YAML reads back as the same model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jenga_sim.configs.dump import model_yaml
from jenga_sim.configs.hf.read import read_hf_config
from jenga_sim.configs.load import load_model, model_names
from jenga_sim.configs.specs import ModelSpec
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
    if not model.params_total:
        model = replace(model, params_total=9, params_active=9, weight_bytes=18)
    model = replace(model, hidden_size=model.hidden_size or 9, vocab_size=model.vocab_size or 9)
    found = again(model, tmp_path)
    assert [layer.block for layer in found.layers] == [layer.block for layer in model.layers]
    assert found == model


def test_layers_that_repeat_are_written_once() -> None:
    text = model_yaml(load_model("gemma-3-27b"))
    assert "- {repeat: 10, pattern: [swa, swa, swa, swa, swa, full]}" in text
    assert "- {repeat: 2, pattern: [swa]}" in text
    assert len(text.splitlines()) < 25
