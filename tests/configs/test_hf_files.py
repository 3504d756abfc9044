"""Real config.json files are read as people who read the models' sources expect."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from jenga_sim.configs.cache_types import cache_types, kv_bytes_at
from jenga_sim.configs.hf.read import read_hf_config

ROOT = Path(__file__).parents[2]
FILES = Path(os.environ.get("JENGA_SIM_DATA", ROOT / ".." / "shared" / "data")) / "hf_configs"
EXPECTED = FILES / "expected.json"
NAMES: list[str] = sorted(json.loads(EXPECTED.read_text())) if EXPECTED.is_file() else []

pytestmark = pytest.mark.skipif(not NAMES, reason=f"no reference file {EXPECTED}")


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return json.loads(EXPECTED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_caches_are_those_of_the_source(name: str, expected: dict[str, Any]) -> None:
    model = read_hf_config(FILES / name / "config.json")
    found = {
        "types": [each.describe() for each in cache_types(model)],
        "shared_layers": len(model.shared_layers),
        "kv_bytes_at": kv_bytes_at(model, (1024, 8192, 32768, 131072)),
    }
    assert found == {key: expected[name][key] for key in found}


def test_the_reference_has_files() -> None:
    assert len(NAMES) >= 161
