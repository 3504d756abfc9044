"""Keep what benchmarks/bench.py measured, and show it: the tables of docs/performance.md.

``performance.py FILE...`` takes JSON lines into performance.json, where they replace those of the
same name; then, or without a file, it writes the tables anew.
"""

import json
import platform
import re
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS, DOCUMENT = HERE / "performance.json", HERE / "performance.md"

Line = dict[str, Any]
"""What bench.py says of a case."""
Column = tuple[str, Callable[[Line], str]]

OTHERS = (
    ("splitwise-sim", "8f99e7d", 61, 74),
    ("Vidur", "7d47513, 2024-11", 580, 637),
    ("simdistserve of DistServe", "82831f1", 700, 1_700),
    ("BLIS", "f90a1e3, 2026-08", 1_900, 5_300),
    ("Dynamo's replay", "1.4.2", 10_000, 13_000),
    ("a loop of ours in Python, O(1) per step, no memory", "", 290_000, 420_000),
    ("a loop of ours in numba, no memory", "", 550_000, 880_000),
)
"""Requests per CPU second of other simulators on the trace of ``chat``, from ... to."""
OUTPUT = 200
"""Tokens that come out of a request of ``shapes``."""
PROMPTS = {"1k": 896, "128k": 114_688}
"""Tokens of its prompt, by context."""
STAGES = {
    "read": "read the file",
    "prepare": "resolve names, pool and policy",
    "wire": "make the tables",
    "engine": "serve all requests",
    "figures": "all figures of the summary",
    "tables": "both data frames",
    "files": "write all files, two pictures among them",
}


def known() -> dict[str, Any]:
    """What performance.json has: where it was measured, and lines by name."""
    if not RESULTS.exists():
        return {"machine": "", "lines": {}}
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def keep(results: dict[str, Any], texts: Iterable[str]) -> None:
    """Take in JSON lines that were measured on this machine."""
    results["machine"] = _machine()
    for text in texts:
        line = json.loads(text)
        results["lines"][line.pop("name")] = line
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _machine() -> str:
    cpu = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", cpu.read_text()) if cpu.exists() else None
    packages = ", ".join(f"{name} {version(name)}" for name in ("numba", "numpy"))
    name = found[1] if found else platform.machine()
    return f"one core of an {name}, Python {platform.python_version()}, {packages}"


def rendered(results: dict[str, Any], text: str) -> str:
    """The document with the tables of these results."""
    tables = {
        "machine": f"Measured on {results['machine']}.",
        "others": _others(results["lines"]),
        "stages": _stages(results["lines"]),
        "costs": _costs(results["lines"]),
        **{name: _table(results["lines"], name, *form) for name, form in FORMS.items()},
    }
    for name, table in tables.items():
        place = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
        text = place.sub(lambda _, table=table: f"\n{table}\n\n", text, count=1)
    return text


def _group(lines: dict[str, Line], group: str) -> dict[str, Line]:
    """The lines of a group, by the second half of their names."""
    halves = ((name.partition("/"), line) for name, line in lines.items())
    return {case: line for (first, _, case), line in halves if first == group}


def _table(lines: dict[str, Line], group: str, what: str, columns: tuple[Column, ...]) -> str:
    rows = [f"| {what} | {' | '.join(header for header, _ in columns)} |"]
    rows.append(f"|---|{'---:|' * len(columns)}")
    for case, line in _group(lines, group).items():
        rows.append(f"| `{case}` | {' | '.join(cell(line) for _, cell in columns)} |")
    return "\n".join(rows)


def _others(lines: dict[str, Line]) -> str:
    rows = ["| simulator | version | requests per CPU second |", "|---|---|---:|"]
    for name, release, low, high in OTHERS:
        rows.append(f"| {name} | {release} | {low:,} to {high:,} |")
    for policy in ("python", "lcm", "paged"):
        rate = lines[f"chat/{policy}"]["requests_per_cpu_second"]
        own = "a policy in plain Python" if policy == "python" else f"`--policy {policy}`"
        rows.append(f"| **jenga-sim**, {own}, all memory figures | | {_round(rate):,} |")
    return "\n".join(rows)


def _stages(lines: dict[str, Line]) -> str:
    policies = _group(lines, "stages")
    rows = [f"| ms of CPU time | {' | '.join(f'`{policy}`' for policy in policies)} |"]
    rows.append(f"|---|{'---:|' * len(policies)}")
    for stage, words in STAGES.items():
        cells = " | ".join(f"{line[f'{stage}_ms']:.1f}" for line in policies.values())
        rows.append(f"| {words} | {cells} |")
    return "\n".join(rows)


def _costs(lines: dict[str, Line]) -> str:
    """What a token costs in any batch, and a block of a prompt: see benchmarks/shapes.py."""
    batches = [line for name, line in lines.items() if name.startswith("shapes/batch-")]
    tokens = [line["cpu_seconds"] / line["requests"] / OUTPUT * 1e9 for line in batches]
    short, long = lines["shapes/context-1k"], lines["shapes/context-128k"]
    more = (long["cpu_seconds"] - short["cpu_seconds"]) / long["requests"]
    blocks = (PROMPTS["128k"] - PROMPTS["1k"]) / 16
    return (
        f"A token costs {min(tokens):.0f} to {max(tokens):.0f} ns in these batches, a block of a "
        f"long prompt {more / blocks * 1e9:.0f} ns."
    )


def _round(number: float) -> int:
    """Three digits: the last ones of a time differ from run to run."""
    digits = max(0, len(str(round(number))) - 3)
    return round(number / 10**digits) * 10**digits


def _number(key: str) -> Callable[[Line], str]:
    return lambda line: f"{_round(line[key]):,}"


def _seconds(key: str) -> Callable[[Line], str]:
    return lambda line: f"{line[key]:.2f}"


def _us_per(key: str) -> Callable[[Line], str]:
    return lambda line: f"{line['cpu_seconds'] / line[key] * 1e6:.1f}"


RATE: Column = ("requests / CPU s", _number("requests_per_cpu_second"))
CPU: Column = ("CPU s", _seconds("cpu_seconds"))
MEMORY: Column = ("MB", _number("rss_mb"))
RUN: tuple[Column, ...] = (
    CPU,
    RATE,
    ("steps / CPU s", _number("steps_per_cpu_second")),
    ("µs / step", _us_per("steps")),
    ("running", lambda line: f"{line['mean_batch']:.0f}"),
    ("preemptions", lambda line: f"{line['preemptions']:,}"),
    MEMORY,
)
FORMS: dict[str, tuple[str, tuple[Column, ...]]] = {
    "chat": ("policy", RUN),
    "cached": ("policy", RUN),
    "scale": ("requests", RUN),
    "shapes": ("backlog", RUN),
    "sample": ("policy", RUN),
    "startup": ("command", (("wall s", _seconds("wall_seconds")), CPU, MEMORY)),
    "reading": ("file", (("requests", _number("requests")), CPU, RATE, MEMORY)),
}


if __name__ == "__main__":
    figures = known()
    if sys.argv[1:]:
        keep(figures, (x for p in sys.argv[1:] for x in Path(p).read_text().splitlines()))
    DOCUMENT.write_text(rendered(figures, DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
