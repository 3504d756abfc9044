"""Weights that are not known are said so, as text and as JSON, and are never 0."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.configs.hf_cases import MLA

Jenga = Callable[..., CompletedProcess[str]]
POOL = ("--kv-bytes", "10GiB")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "unsized" / "config.json"
    path.parent.mkdir()
    content = {**MLA, "model_type": "deepseek_v3", "max_position_embeddings": 8192}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_the_headline_says_unknown(jenga: Jenga, file: Path) -> None:
    done = jenga("model", "show", str(file), *POOL)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first == "unsized: 27 layers, unknown parameters, unknown weights, 8,192 positions"


def test_json_has_null(jenga: Jenga, file: Path) -> None:
    found = json.loads(jenga("model", "show", str(file), *POOL, "--format", "json").stdout)
    assert found["parameters"] == {"total": None, "active": None}
    assert found["weights"] == {"bytes": None, "dtype": None}
    assert found["flops"]["linear_per_token"] is None


def test_a_comparison_says_unknown(jenga: Jenga, file: Path) -> None:
    pair = ("model", "diff", str(file), "llama-3.1-8b")
    facts = json.loads(jenga(*pair, "--format", "json").stdout)["facts"]
    assert facts["params_total"] == [None, 8_030_261_248]
    assert facts["weight_bytes"] == [None, 16_060_522_496]
    assert facts["vocab_size"] == [None, 128_256]
    assert "unknown" in jenga(*pair).stdout
    same = jenga("model", "diff", str(file), str(file)).stdout
    alike = next(line for line in same.splitlines() if line.startswith("alike"))
    assert "params_total" not in alike


def test_the_pool_must_be_given(jenga: Jenga, file: Path) -> None:
    done = jenga("max-context", "--model", str(file), "--gpu", "h100-sxm")
    assert done.returncode == 2
    assert "--kv-bytes" in done.stderr


@pytest.mark.parametrize("name", ["llama-3.1-8b-eagle3", "deepseek-v4-flash"])
def test_an_estimate_is_marked_in_the_headline(jenga: Jenga, name: str) -> None:
    done = jenga("model", "show", name, "--gpu", "h200-sxm", "--tp", "4")
    assert "weights (estimated), " in " ".join(done.stdout.split())
