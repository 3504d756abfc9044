"""Recordings with the prefix cache on, long ones by their totals, and what vLLM refuses to start.

``test_golden_vllm.py`` compares every recording in ``tests/golden/vllm`` step by step.
"""

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jenga_sim.configs.errors import ConfigError
from jenga_sim.sim.verify import Log, differences, read_golden, replay

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "vllm"
DATA = ROOT / os.environ.get("JENGA_SIM_DATA", "../shared/data")
LARGE = ("s2_gemma3_27b_tight", "s4_llama4_scout_tight", "s6_gptoss_20b_async_prio_dense_tight")
Layer = dict[str, Any]


def case_files() -> list[tuple[dict[str, Any], Log]]:
    return [
        (json.loads(path.read_text()), read_golden(str(path).replace(".case.", ".golden.")))
        for path in sorted(GOLDEN.glob("*.case.json"))
    ]


def traits(case: dict[str, Any], log: Log) -> set[str]:
    """What a recording with the prefix cache on exercises."""
    if not case.get("enable_prefix_caching", True):
        return set()
    layers = [layer for entry in case["layers"] for layer in entry.get("pattern", [entry])]
    scheduler, config = case.get("scheduler", {}), log["config"]
    states = any(layer["kind"] == "mamba" for layer in layers)
    hits = any(log["first_admission_hit_tokens"].values())
    fine = config["hash_block_size"] < config["scheduler_block_size"]
    retention = case.get("retention_interval", 0)
    found = {
        "on": True,
        "hits": hits,
        "hits and preemption": hits and bool(log["preemptions"]),
        "dense": retention is None,
        "junctions": retention == 0,
        "intervals": bool(retention),
        "states": states,
        "hits inside a block of states": hits and states and fine,
        "draft tokens": any(layer.get("num_speculative_blocks") for layer in layers),
        "packed pages": case.get("kv_cache_layout", "LBNHC") != "LBNHC",
        "stall": "stalled_at_step" in config,
        "blocks of one or two tokens": config["hash_block_size"] <= 2,
        "priority": scheduler.get("policy") == "priority",
        "async": bool(scheduler.get("async")),
        "no hybrid manager": not case.get("hybrid", True),
        "no chunked prefill": not scheduler.get("enable_chunked_prefill", True),
    }
    return {name for name, there in found.items() if there}


def test_the_recordings_hold_what_is_hard_about_a_prefix_cache() -> None:
    seen: Counter[str] = Counter()
    for case, log in case_files():
        seen.update(traits(case, log))
    least = {
        "on": 70,
        "hits": 60,
        "hits and preemption": 30,
        "dense": 15,
        "junctions": 20,
        "intervals": 15,
        "states": 20,
        "hits inside a block of states": 10,
        "draft tokens": 5,
        "packed pages": 3,
        "stall": 3,
        "blocks of one or two tokens": 10,
        "priority": 15,
        "async": 20,
        "no hybrid manager": 4,
        "no chunked prefill": 3,
    }
    assert {name: seen[name] for name in least if seen[name] < least[name]} == {}


def test_a_planted_hit_is_reported_with_its_step() -> None:
    ours = replay(GOLDEN / "01_full_apc_on.case.json")
    golden = read_golden(GOLDEN / "01_full_apc_on.golden.json")
    step = next(step for step in golden["steps"] if any(step["admitted_hit_tokens"].values()))
    name = next(name for name, hit in step["admitted_hit_tokens"].items() if hit)
    step["admitted_hit_tokens"][name] -= 16
    golden["first_admission_hit_tokens"][name] -= 16
    found = [line.split(": ours")[0] for line in differences(ours, golden)]
    assert found == [f"step {step['step']}: admitted_hit_tokens", "first_admission_hit_tokens"]


# --- long cases: totals, and per request when it finished, what it hit, how often it was preempted


def large(name: str) -> tuple[Path, Path]:
    case, totals = (
        DATA / "golden" / "vllm-large" / f"{name}.{kind}.json" for kind in ("case", "totals")
    )
    if not (case.exists() and totals.exists()):
        pytest.skip(f"{case} is absent; set JENGA_SIM_DATA to the folder with golden/vllm-large")
    return case, totals


@pytest.mark.parametrize("name", LARGE)
def test_totals_of_a_long_case_are_those_of_vllm(name: str) -> None:
    case, totals = large(name)
    ours, golden = replay(case), read_golden(totals)
    assert list(differences(ours, golden)) == []
    golden["preemptions_total"] += 1
    golden["hit_tokens"][7] += 16
    found = [line.split(": ours")[0] for line in differences(ours, golden)]
    assert found == ["preemptions_total", "hit_tokens[7]"]


# --- what vLLM does not start with ---------------------------------------------------------------

FULL: Layer = {"kind": "full", "kv_heads": 1, "head_size": 64}
STATE: Layer = {"kind": "mamba", "shapes": [[64]], "dtypes": ["fp32"]}
SMALL_STATE: Layer = {**STATE, "mode": "align", "mamba_block_size": 16}


def window(tokens: int) -> Layer:
    return {**FULL, "kind": "sliding_window", "window": tokens}


def chunk(tokens: int, head_size: int = 64) -> Layer:
    return {**FULL, "head_size": head_size, "kind": "chunked_local", "chunk": tokens}


REFUSED: list[tuple[list[Layer], dict[str, Any], str]] = [
    ([FULL, window(32)], {"retention_interval": 24}, "retention interval 24: .* of 16 tokens"),
    ([FULL, window(32)], {"retention_interval": -16}, "retention interval -16: must be a multiple"),
    ([FULL], {"retention_interval": 16}, "no sliding window and no states"),
    ([FULL, chunk(32, 128)], {}, "chunked local attention beside groups of another block size"),
    ([window(32), window(64)], {"hybrid": False}, "Failed to promote local KV cache specs"),
    ([FULL, SMALL_STATE], {"hybrid": False}, "Failed to promote local KV cache specs"),
    (
        [FULL, window(32), window(64)],
        {"hybrid": False},
        "All attention layers in the same KV cache group must have the same window size.",
    ),
    ([FULL, STATE], {}, "mode 'none' of a Mamba layer needs enable_prefix_caching false"),
    ([FULL], {"kv_bytes": 4096}, "No available memory for the cache blocks"),
    (
        [FULL],
        {"kv_bytes": 8192},
        r"serve at least one request with the model's max seq len \(256\)",
    ),
]


def write_case(folder: Path, layers: list[Layer], **changes: Any) -> Path:
    case = {
        "name": "refused",
        "layers": layers,
        "block_size": 16,
        "kv_bytes": 1 << 20,
        "max_model_len": 256,
        "requests": [{"prompt": [[1, 40]], "output_len": 2}],
        **changes,
    }
    path = folder / "refused.case.json"
    path.write_text(json.dumps(case))
    return path


@pytest.mark.parametrize(("layers", "changes", "limit"), REFUSED)
def test_what_vllm_refuses_is_an_error_that_names_the_file_and_the_limit(
    tmp_path: Path, layers: list[Layer], changes: dict[str, Any], limit: str
) -> None:
    path = write_case(tmp_path, layers, **changes)
    with pytest.raises(ConfigError, match=limit) as error:
        replay(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(("layers", "changes", "limit"), REFUSED[3:4] + REFUSED[7:8])
def test_they_run_without_the_prefix_cache(
    tmp_path: Path, layers: list[Layer], changes: dict[str, Any], limit: str
) -> None:
    del limit
    log = replay(write_case(tmp_path, layers, enable_prefix_caching=False, **changes))
    assert list(log["finish_step"]) == ["r0"]


def test_a_prompt_beyond_max_model_len_ends_with_its_first_token(tmp_path: Path) -> None:
    requests = [{"prompt": [[1, 4000]], "output_len": 9}]
    log = replay(write_case(tmp_path, [FULL], requests=requests))
    assert log["finish_step"] == {"r0": 0}
    assert log["steps"][0]["scheduled"] == {"r0": 4000}


BROKEN: dict[str, dict[str, Any]] = {
    "requests.0.prompt.0.1": {"requests": [{"prompt": [[1, -5]], "output_len": 1}]},
    "requests.0.prompt.0.0": {"requests": [{"prompt": [[2**70, 5]], "output_len": 1}]},
    "at least one token": {"requests": [{"prompt": [], "output_len": 1}]},
    "the id 'a' is given 2 times": {
        "requests": [{"id": "a", "prompt": [[1, 5]], "output_len": 1}] * 2
    },
    "scheduler.watermark": {"scheduler": {"watermark": 2.0}},
    "layers.0.count": {"layers": [{**FULL, "count": 10**7}]},
}


@pytest.mark.parametrize("words", BROKEN)
def test_a_value_out_of_range_is_refused_by_its_key(words: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.case.json"
    case = {"name": "x", "block_size": 16, "max_model_len": 64, "kv_bytes": 10**6}
    case |= {"layers": [FULL], "requests": []}
    path.write_text(json.dumps(case | BROKEN[words]), encoding="utf-8")

    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        replay(path)

    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "golden",
    [
        {"steps": [{}]},
        {"steps": True, "finish_step": []},
        {"steps": [], "config": [1]},
        {"steps": [], "config": {"groups": ["a"]}},
    ],
)
def test_a_recording_that_says_nothing_is_none(golden: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    path.write_text(json.dumps(golden), encoding="utf-8")

    with pytest.raises(ConfigError, match="is expected"):
        read_golden(path)
