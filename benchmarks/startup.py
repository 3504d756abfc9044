"""What a command costs: help, a first run with nothing compiled, later runs, a large file."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cases import LEAST, Case, Effort, Line

LARGE = 1_000_000
WORKLOAD = (
    "--workload",
    "lengths:input=500,input_p99=1000,output=200,output_p99=500",
    "--rate",
    "8",
)


def _command(*arguments: str | Path, cache: str | Path | None = None) -> Line:
    """Seconds and memory of one ``jenga-sim`` command; ``cache``: where compiled code is kept."""
    environment = os.environ if cache is None else os.environ | {"XDG_CACHE_HOME": str(cache)}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "jenga_sim", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"jenga-sim {' '.join(map(str, arguments))}: exit {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "wall_seconds": round(wall, 3),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
        "rss_mb": round(used.ru_maxrss * unit / 1e6),
    }


def _best(lines: list[Line]) -> Line:
    return min(lines, key=lambda line: line["wall_seconds"])


def _help(effort: Effort) -> Line:
    return _best([_command("--help") for _ in range(effort.repeat)])


def _sample(policy: str, effort: Effort, cache: str) -> Line:
    few = ("--requests", str(LEAST)) if effort.quick else ()
    return _command("run", "--sample", *few, "--policy", policy, "--quiet", cache=cache)


def _first(policy: str) -> Case:
    def case(effort: Effort) -> Line:
        with tempfile.TemporaryDirectory() as cache:
            return _sample(policy, effort, cache)

    return case


def _later(policy: str) -> Case:
    def case(effort: Effort) -> Line:
        with tempfile.TemporaryDirectory() as cache:
            _sample(policy, effort, cache)
            return _best([_sample(policy, effort, cache) for _ in range(effort.repeat)])

    return case


def _large(effort: Effort) -> Line:
    """A file of a million requests, read, served and written, with what was compiled before."""
    requests = effort.share(LARGE)
    with tempfile.TemporaryDirectory() as folder:
        trace, out = Path(folder) / "trace.jsonl", Path(folder) / "out"
        _command("trace", "generate", trace, *WORKLOAD, "--requests", str(requests))
        run = ("run", trace, "--gpu", "h200-sxm", "--no-enable-prefix-caching", "--quiet")
        _command(*run, "--requests", str(LEAST))
        return {"requests": requests, **_command(*run, "--out", out)}


POLICIES = ("lcm", "vllm", "paged")
CASES: dict[str, Case] = {
    "help": _help,
    **{f"first-run-{policy}": _first(policy) for policy in POLICIES},
    **{f"later-run-{policy}": _later(policy) for policy in POLICIES},
    "large-file": _large,
}
