"""docs/performance.md shows what performance.json has, of every case that there is."""

import subprocess
import sys
from pathlib import Path

import performance
import pytest

from jenga_sim.policies.presets import PRESETS
from jenga_sim.sim.gaps import LIMIT

TEXT = performance.DOCUMENT.read_text(encoding="utf-8")
LINES = performance.known()["lines"]


def test_the_tables_are_those_of_the_figures() -> None:
    assert performance.rendered(performance.known(), TEXT) == TEXT


def test_a_document_without_tables_gets_them_and_loses_nothing() -> None:
    bare = "before\n<!-- chat -->\n<!-- end -->\nbetween\n<!-- scale -->\n<!-- end -->\nafter\n"

    text = performance.rendered(performance.known(), bare)

    kept = [line for line in text.splitlines() if line and not line.startswith("|")]
    assert kept == bare.splitlines()
    assert "\n| `lcm` | " in text
    assert performance.rendered(performance.known(), text) == text


def test_what_is_kept_is_what_the_cases_measure() -> None:
    bench = Path(__file__).parents[1] / "benchmarks" / "bench.py"
    listed = subprocess.run(
        [sys.executable, bench, "--list"], check=True, capture_output=True, text=True
    )
    assert set(LINES) == set(listed.stdout.split())


@pytest.mark.parametrize("policy", [*PRESETS, "python"])
def test_a_policy_has_a_row(policy: str) -> None:
    assert f"\n| `{policy}` | " in TEXT.partition("<!-- chat -->")[2].partition("<!-- end -->")[0]


def test_new_figures_replace_those_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performance, "RESULTS", tmp_path / "performance.json")
    results = {"machine": "", "lines": {"startup/help": {"wall_seconds": 9}, "startup/x": {}}}

    performance.keep(results, ['{"name": "startup/help", "wall_seconds": 0.5}'])

    kept = performance.known()
    assert kept["lines"] == {"startup/help": {"wall_seconds": 0.5}, "startup/x": {}}
    assert list(kept["lines"]) == ["startup/help", "startup/x"]
    assert kept["machine"]


def test_the_limit_of_exact_gaps_is_the_one_in_the_text() -> None:
    assert f"{LIMIT:,}" in TEXT
