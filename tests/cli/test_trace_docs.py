"""The commands of the documents on traces run as they stand, one after the other."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

ROOT = Path(__file__).parents[2]

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:17:{second:02d}.9799600,{100 * second + 34},{second + 1}\n"
    for second in range(40)
)


def commands(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "".join(found).splitlines()
    return [line.removeprefix("jenga-sim ") for line in lines if line.startswith("jenga-sim ")]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small files of the names that the documents use."""
    turn = {"t": 0.0, "type": "n", "in": 640, "out": 9, "hash_runs": [1, 10], "api_time": 2.0}
    session = {"block_size": 64, "hash_id_scope": "local", "requests": [turn, turn | {"t": 9.0}]}
    rows = [
        {"timestamp": 30_000 * i, "input_length": 600, "output_length": 5, "hash_ids": [0, i + 1]}
        for i in range(40)
    ]
    (tmp_path / "sessions").mkdir()
    for number in range(3):
        text = json.dumps({"id": f"s{number}", **session})
        (tmp_path / "sessions" / f"trace_{number:04d}.json").write_text(text)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "conversation_trace.jsonl").write_text(lines)
    (tmp_path / "AzureLLMInferenceTrace_code.csv").write_text(AZURE)
    (tmp_path / "mine.csv").write_text("arrived_at,prompt,answer\n0,100,5\n1500,200,6\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("document", "language"), [("README.md", "shell"), ("docs/traces.md", "sh")]
)
def test_every_command_runs(
    workplace: Path,
    jenga: Callable[..., CompletedProcess[str]],
    document: str,
    language: str,
) -> None:
    lines = commands(document, language)
    assert len(lines) >= 5
    for line in lines:
        done = jenga(*shlex.split(line))
        assert done.returncode == 0, (line, done.stderr)
