"""Recordings of the real vLLM 0.33 scheduler and cache manager: ours must agree at every step."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jenga_sim.sim.verify import Log, differences, read_golden, replay

GOLDEN = Path(__file__).parents[1] / "golden" / "vllm"
CASES = sorted(path.name.removesuffix(".case.json") for path in GOLDEN.glob("*.case.json"))


def test_there_are_recordings() -> None:
    assert len(CASES) >= 130


@pytest.mark.parametrize("case", CASES)
def test_every_step_is_that_of_vllm(case: str) -> None:
    ours = replay(GOLDEN / f"{case}.case.json")
    golden = read_golden(GOLDEN / f"{case}.golden.json")
    assert list(differences(ours, golden)) == []


def test_the_recordings_hold_what_is_hard_to_get_right() -> None:
    logs = [read_golden(GOLDEN / f"{case}.golden.json") for case in CASES]
    assert sum(bool(log["preemptions"]) for log in logs) >= 20
    assert sum(len(log["config"]["groups"]) > 1 for log in logs) >= 20
    specs = {group["spec"] for log in logs for group in log["config"]["groups"]}
    assert specs >= {
        "FullAttentionSpec",
        "SlidingWindowSpec",
        "ChunkedLocalAttentionSpec",
        "MambaSpec",
        "MLAAttentionSpec",
    }


# A comparison that overlooks a field would pass for ever. So each compared field is changed once.

PREEMPTING = next(
    case for case in CASES if read_golden(GOLDEN / f"{case}.golden.json")["preemptions"]
)
Change = Callable[[Any], Any]


def plus_one(value: int) -> int:
    return value + 1


def one_more_entry(value: list[Any]) -> list[Any]:
    return [*value, "nobody"]


def one_more_key(value: dict[str, int]) -> dict[str, int]:
    return {**value, "nobody": 1}


def reversed_order(value: list[Any]) -> list[Any]:
    return value[::-1]


def first_key_dropped(value: dict[str, int]) -> dict[str, int]:
    return dict(list(value.items())[1:])


STEP_FIELDS: list[tuple[str, Change]] = [
    ("step", plus_one),
    ("scheduled", first_key_dropped),
    ("scheduled", one_more_key),
    ("running", reversed_order),
    ("waiting", one_more_entry),
    ("preempted", one_more_entry),
    ("admitted_hit_tokens", one_more_key),
    ("free_blocks", plus_one),
    ("cached_blocks", plus_one),
    ("group_blocks", one_more_entry),
    ("finished", one_more_entry),
]
TOTALS: list[tuple[str, Change]] = [
    ("total_steps", plus_one),
    ("total_scheduled_tokens", plus_one),
    ("preemptions", first_key_dropped),
    ("finish_step", first_key_dropped),
]
CONFIG = (
    "num_blocks",
    "bytes_per_block",
    "tensor_bytes",
    "scheduler_block_size",
    "hash_block_size",
    "max_concurrency",
    "capacity_tokens_at_max_model_len",
)


@pytest.fixture(scope="module")
def ours() -> Log:
    return replay(GOLDEN / f"{PREEMPTING}.case.json")


@pytest.fixture
def golden() -> Log:
    return read_golden(GOLDEN / f"{PREEMPTING}.golden.json")


@pytest.mark.parametrize(("name", "change"), STEP_FIELDS)
def test_a_change_in_one_step_is_named(ours: Log, golden: Log, name: str, change: Change) -> None:
    step = next(step for step in golden["steps"] if len(step["running"]) > 1)
    number = step["step"]
    before = copy.deepcopy(step[name])
    step[name] = change(step[name])
    assert step[name] != before
    found = list(differences(ours, golden))
    assert [line.split(": ours")[0] for line in found] == [f"step {number}: {name}"]


def test_every_field_of_a_step_is_covered_above(golden: Log) -> None:
    assert {name for name, _ in STEP_FIELDS} == set(golden["steps"][0])


@pytest.mark.parametrize(("name", "change"), TOTALS)
def test_a_change_in_a_total_is_named(ours: Log, golden: Log, name: str, change: Change) -> None:
    golden[name] = change(golden[name])
    assert [line.split(": ours")[0] for line in differences(ours, golden)] == [name]


@pytest.mark.parametrize("name", CONFIG)
def test_a_change_in_the_configuration_is_named(ours: Log, golden: Log, name: str) -> None:
    golden["config"][name] += 1
    assert [line.split(": ours")[0] for line in differences(ours, golden)] == [f"config.{name}"]


def test_a_change_in_a_group_is_named(ours: Log, golden: Log) -> None:
    for name, value in golden["config"]["groups"][-1].items():
        changed = copy.deepcopy(golden)
        changed["config"]["groups"][-1][name] = f"not {value}"
        last = len(golden["config"]["groups"]) - 1
        found = [line.split(": ours")[0] for line in differences(ours, changed)]
        assert found == [f"config.groups[{last}].{name}"]


def test_a_missing_step_and_one_too_many_are_named(ours: Log, golden: Log) -> None:
    last = golden["steps"][-1]
    golden["steps"] = golden["steps"][:-1]
    assert any(line.startswith("number of steps") for line in differences(ours, golden))
    golden["steps"] += [last, last]
    assert any(line.startswith("number of steps") for line in differences(ours, golden))


def test_differences_come_first_step_first(ours: Log, golden: Log) -> None:
    steps = [golden["steps"][index] for index in (3, 6, 9)]
    for step in steps[::-1]:
        step["free_blocks"] += 1
    found = list(differences(ours, golden))
    assert [line.split(":")[0] for line in found] == [f"step {step['step']}" for step in steps]
