"""The command line as a user calls it, and the texts it is expected to print."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "cli"


def _on_disk(types: str) -> Path:
    del types
    return GOLDEN


@pytest.fixture(autouse=True)
def _plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a terminal, nor a slow machine, nor an empty cache may change what is compared."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("jenga_sim.cli.progress.QUIET_SECONDS", float("inf"))
    monkeypatch.setattr("jenga_sim.policies.first_call._mark", _on_disk)


@pytest.fixture
def jenga(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., CompletedProcess[str]]:
    """Call ``jenga-sim`` in this process, through the same ``main`` as the installed command."""
    from jenga_sim.cli import main

    def call(*arguments: str | Path) -> CompletedProcess[str]:
        line = [str(argument) for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["jenga-sim", *line])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        code = caught.value.code
        assert isinstance(code, int)
        return CompletedProcess(line, code, out, err)

    return call


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with the one kept under its name; UPDATE_GOLDEN=1 keeps the new one."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / f"{name}.txt"
        if os.environ.get("UPDATE_GOLDEN") == "1":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"no {path.name} yet: run with UPDATE_GOLDEN=1, then read it"
        expected = path.read_text(encoding="utf-8")
        assert text == expected, f"{path.name} differs; if it should, run with UPDATE_GOLDEN=1"

    return compare


@pytest.fixture
def write_trace(tmp_path: Path) -> Callable[..., Path]:
    """Write rows of (milliseconds, prompt, output) or whole objects as a JSONL trace."""

    def write(
        rows: Iterable[tuple[float, int, int] | dict[str, Any]], name: str = "trace.jsonl"
    ) -> Path:
        keys = ("timestamp", "input_length", "output_length")
        lines = [
            row if isinstance(row, dict) else dict(zip(keys, row, strict=True)) for row in rows
        ]
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def chat(write_trace: Callable[..., Path]) -> Path:
    """Six requests that overlap."""
    return write_trace([(40.0 * i, 300 + 170 * i, 5 + 3 * i) for i in range(6)])
