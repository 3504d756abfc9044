"""The policy of docs/extend.md: one file, no registration, and it obeys every law."""

import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jenga_sim import Carving, Result, Trace, get_policy, run
from jenga_sim.cli import main

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "docs" / "examples" / "my_policy.py"
MINE = f"{EXAMPLE}:Chunked"
PARTS = ("needed", "cached", "dead", "padding", "internal", "external", "reserved", "free")

Simulate = Callable[..., Result]


@pytest.fixture(scope="module")
def simulate() -> Simulate:
    """Run the policy on requests that overfill a small pool, so that it must preempt."""
    trace = Trace.from_columns(
        arrival_ns=[i * 5_000_000 for i in range(24)],
        input_tokens=[300 + 611 * (i % 7) for i in range(24)],
        output_tokens=[400 + 97 * (i % 5) for i in range(24)],
    )

    def call(policy: str = MINE, **settings: Any) -> Result:
        settings.setdefault("kv_cache_memory_bytes", 2600 << 20)
        return run(trace, policy=policy, max_num_batched_tokens=1024, max_num_seqs=16, **settings)

    return call


def test_it_is_named_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", "--sample", "--policy", MINE, "--check", "--quiet", "--format", "json"]
    monkeypatch.setattr(sys, "argv", ["jenga-sim", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["completed"] == 600
    assert summary["policy"] == MINE


def test_the_document_shows_that_command_and_the_example_too() -> None:
    assert "--policy ./docs/examples/my_policy.py:Chunked --check" in TEXT
    assert "--policy ./docs/examples/my_policy.py:Chunked" in EXAMPLE.read_text(encoding="utf-8")


def test_the_code_of_the_document_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    snippets = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 3
    names: dict[str, Any] = {"__name__": "snippet"}
    for snippet in snippets:
        exec(compile(snippet, "docs/extend.md", "exec"), names)


def test_the_contract_names_every_method() -> None:
    table = TEXT.partition("## 3. The contract")[2].partition("## 4.")[0]
    methods = {name for name, value in vars(Carving).items() if inspect.isfunction(value)}
    assert methods == set(re.findall(r"`(\w+)\([^)]*\)`", table))


def test_it_needs_nothing_but_its_grouping() -> None:
    policy = get_policy(MINE)
    assert policy.grouping == "by_kind"
    assert policy.make_carving.__name__ == "Chunked"


def test_a_small_pool_preempts_and_the_books_balance(simulate: Simulate) -> None:
    result = simulate(check=True)
    assert result.summary["num_preemptions"] > 0
    assert result.summary["completed"] == 24
    pool = result.summary["kv_pool"]["bytes"]
    assert (result.steps[list(PARTS)].sum(axis=1) == pool).all()


def test_compiled_runs_change_nothing(simulate: Simulate) -> None:
    fast, slow = simulate(fast=True), simulate(fast=False)
    assert fast.summary == slow.summary
    assert fast.requests.equals(slow.requests)
    assert fast.steps.equals(slow.steps)


def test_it_wastes_more_than_the_bound_and_less_than_uniform_paging(simulate: Simulate) -> None:
    plenty = 40 << 30
    waste = {
        policy: simulate(policy, kv_cache_memory_bytes=plenty).summary["waste"]
        for policy in ("ideal", MINE, "paged")
    }
    assert waste["ideal"] < waste[MINE] < waste["paged"]
