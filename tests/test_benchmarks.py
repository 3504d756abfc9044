"""The benchmarks run, and say what they are read for; how fast anything is, no test says."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "benchmarks" / "bench.py"
READING = {"name", "requests", "cpu_seconds", "requests_per_cpu_second", "rss_mb"}
RUNS = READING | {"steps", "mean_batch", "preemptions", "steps_per_cpu_second"}
COMMANDS = {"name", "wall_seconds", "cpu_seconds", "rss_mb"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCH, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def lines(*names: str) -> list[dict[str, Any]]:
    done = bench("--quick", *names)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_runs_of_a_policy_of_ours_of_yours_and_with_a_cache() -> None:
    names = ("chat/lcm", "chat/python", "cached/vllm")
    found = lines(*names)

    assert tuple(line["name"] for line in found) == names
    assert all(set(line) == RUNS for line in found)
    assert all(line["requests"] == 64 < line["steps"] for line in found)
    assert all(line["cpu_seconds"] > 0 and 1 <= line["mean_batch"] < 64 for line in found)
    for line in found:
        assert line["steps_per_cpu_second"] > line["requests_per_cpu_second"] > 0
        assert 10 < line["rss_mb"] < 2_000


@pytest.mark.parametrize("name", ["scale/1k", "shapes/batch-16", "shapes/context-8k"])
def test_runs_of_other_sizes(name: str) -> None:
    (line,) = lines(name)

    assert set(line) == RUNS
    assert line["requests"] == 64


def test_readings() -> None:
    (line,) = lines("reading/read-mooncake")

    assert set(line) == READING
    assert line["requests"] == 64


def test_commands() -> None:
    (line,) = lines("startup/help")

    assert set(line) == COMMANDS


def test_every_group_is_listed_and_an_unknown_name_says_what_there_is() -> None:
    listed = bench("--list").stdout.split()

    assert {"chat/lcm", "sample/vllm", "startup/first-run-lcm", "scale/1M"} <= set(listed)
    assert "no group of cases; there are chat, " in bench("chats").stderr
    assert "no case of chat; there are paged, " in bench("chat/nothing").stderr


def test_a_case_that_fails_is_named_at_the_end(tmp_path: Path) -> None:
    for file in BENCH.parent.glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "counting.py").write_text("raise SystemExit(3)\n")
    command = [sys.executable, tmp_path / "bench.py", "--quick", "chat/python", "startup/help"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr.endswith("failed: chat/python\n")
    assert json.loads(done.stdout)["name"] == "startup/help"
