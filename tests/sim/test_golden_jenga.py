"""Recordings of the allocator of Jenga's artifact: ours must agree at every step."""

import copy
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jenga_sim.sim.verify import Log, differences, engine_of, read_golden, replay

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "jenga"
CASES = sorted(path.name.removesuffix(".case.json") for path in GOLDEN.glob("*.case.json"))
DATA = ROOT / os.environ.get("JENGA_SIM_DATA", "../shared/data") / "golden" / "jenga"
LONG = (
    "J01_full_apc",
    "J02_gemma2_docqa",
    "J03_ministral_docqa",
    "J04_ministral_pressure",
    "J06_jamba_apc_off",
    "J07_jamba_docqa",
    "J09_mllama_static",
    "J10_ministral_static",
    "J12_gemma3_12b_lcm",
)


def agree(folder: Path, case: str) -> tuple[Log, Log]:
    """Replay a case and compare it with its recording, at tolerance 0."""
    golden = read_golden(folder / f"{case}.golden.json")
    ours = replay(folder / f"{case}.case.json", engine_of(golden))
    assert list(differences(ours, golden)) == []
    return ours, golden


def error_of(ours: Log) -> str:
    """What ended a replay, without the reason."""
    return ours.get("error", "").split(":")[0].split(" from")[0]


def expected_error(golden: Log) -> str:
    """The same of a recording."""
    error = golden.get("error")
    if error is None:
        return ""
    if error["type"] == "Stuck":
        return "the artifact waits for ever"
    return f"the artifact breaks in step {error['step']}"


@pytest.mark.parametrize("case", CASES)
def test_every_step_is_that_of_the_artifact(case: str) -> None:
    ours, golden = agree(GOLDEN, case)
    assert error_of(ours) == expected_error(golden), "it ends where the artifact does"


@pytest.mark.parametrize("case", LONG)
def test_every_step_of_a_long_case_is_that_of_the_artifact(case: str) -> None:
    if not (DATA / f"{case}.case.json").is_file():
        pytest.skip(f"{case} is absent; set JENGA_SIM_DATA to the folder with golden/jenga")
    agree(DATA, case)


def traits(case: dict[str, Any], log: Log) -> set[str]:
    """What a recording exercises."""
    hits = any(log["first_admission_hit_tokens"].values())
    ratios = {group["small_per_large"] for group in log["config"]["groups"].values()}
    idle = [group for step in log["steps"] for group in step["groups"].values()]
    found = {
        "cache": case["enable_prefix_caching"],
        "hits": hits,
        "hits and preemption": hits and bool(log["preemptions"]),
        "preemption": bool(log["preemptions"]),
        "dropped": any(step["ignored"] for step in log["steps"]),
        "static partition": case.get("jenga", {}).get("static_partition", False),
        "several groups": len(log["config"]["groups"]) > 1,
        "small pages": max(ratios) > 1,
        "whole large pages to evict": any(group.get("evictable_large") for group in idle),
        "breaks": "error" in log,
    }
    return {name for name, there in found.items() if there}


def test_the_recordings_hold_what_is_hard_about_two_levels_of_pages() -> None:
    seen: Counter[str] = Counter()
    kinds: set[str] = set()
    for name in CASES:
        case = json.loads((GOLDEN / f"{name}.case.json").read_text())
        log = read_golden(GOLDEN / f"{name}.golden.json")
        assert engine_of(log) == "jenga"
        seen.update(traits(case, log))
        kinds.update(group.rpartition("_")[0].split("_")[0] for group in log["config"]["groups"])
    least = {
        "cache": 25,
        "hits": 20,
        "hits and preemption": 5,
        "preemption": 10,
        "dropped": 4,
        "static partition": 8,
        "several groups": 30,
        "small pages": 20,
        "whole large pages to evict": 15,
        "breaks": 10,
    }
    print(dict(seen), kinds)
    assert kinds == {"self", "sliding", "linear", "encoder"}
    assert {name: seen[name] for name in least if seen[name] < least[name]} == {}


# A comparison that overlooks a field would pass for ever. So each is changed once.

BUSY = "window-only-twins-1"
"""It hits, and it preempts."""
Change = Callable[[Any], Any]


def plus_one(value: int) -> int:
    return value + 1


def somebody_else(value: list[Any]) -> list[Any]:
    return [*value, "nobody"]


def one_more(counts: dict[str, int]) -> dict[str, int]:
    first = next(iter(counts))
    return counts | {first: counts[first] + 1}


def one_more_within(field: str) -> Change:
    def change(groups: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
        first = next(iter(groups))
        return groups | {first: groups[first] | {field: groups[first][field] + 1}}

    return change


STEP_FIELDS: list[tuple[str, Change]] = [
    ("step", plus_one),
    ("prefill", somebody_else),
    ("decode", plus_one),
    ("preempted", somebody_else),
    ("ignored", somebody_else),
    ("hits", one_more),
    ("free_large", plus_one),
    ("groups", one_more_within("large")),
    ("groups", one_more_within("free_small")),
    ("groups", one_more_within("evictable_large")),
    ("groups", one_more_within("evictable_small")),
    ("finished", somebody_else),
]
TOTALS = ("finish_step", "preemptions", "first_admission_hit_tokens")


@pytest.fixture(scope="module")
def ours() -> Log:
    return replay(GOLDEN / f"{BUSY}.case.json", "jenga")


@pytest.fixture
def golden() -> Log:
    return read_golden(GOLDEN / f"{BUSY}.golden.json")


def named(ours: Log, golden: Log) -> list[str]:
    return [line.split(": ours")[0] for line in differences(ours, golden)]


@pytest.mark.parametrize(("name", "change"), STEP_FIELDS)
def test_a_number_that_is_altered_in_one_step_is_named(
    ours: Log, golden: Log, name: str, change: Change
) -> None:
    step = next(step for step in golden["steps"][1:] if step["hits"])
    number, before = step["step"], copy.deepcopy(step[name])
    step[name] = change(step[name])
    assert step[name] != before
    assert named(ours, golden) == [f"step {number}: {name}"]


def test_every_field_of_a_step_is_altered_above(golden: Log) -> None:
    step = golden["steps"][0]
    assert {name for name, _ in STEP_FIELDS} == set(step)
    fields = {field for group in step["groups"].values() for field in group}
    assert fields == {"large", "free_small", "evictable_large", "evictable_small"}


@pytest.mark.parametrize("name", TOTALS)
def test_a_total_that_is_altered_is_named(ours: Log, golden: Log, name: str) -> None:
    golden[name] = one_more(golden[name])
    assert named(ours, golden) == [name]


@pytest.mark.parametrize("name", ["large_page_elements", "num_large_pages"])
def test_a_pool_that_is_altered_is_named(ours: Log, golden: Log, name: str) -> None:
    golden["config"][name] += 1
    assert named(ours, golden) == [f"config.{name}"]


def test_a_group_that_is_altered_is_named(ours: Log, golden: Log) -> None:
    golden["config"]["groups"] = one_more_within("small_per_large")(golden["config"]["groups"])
    assert named(ours, golden) == ["config.groups"]


def test_a_missing_step_is_named(ours: Log, golden: Log) -> None:
    golden["steps"].pop()
    assert named(ours, golden)[0].startswith("number of steps")


def test_a_replay_that_breaks_where_the_recording_goes_on_is_named() -> None:
    case = "jamba-prefix-1"
    golden = read_golden(GOLDEN / f"{case}.golden.json")
    del golden["error"]
    assert named(replay(GOLDEN / f"{case}.case.json", "jenga"), golden) == ["error"]
