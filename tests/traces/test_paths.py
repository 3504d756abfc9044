"""Names of files that no file has, or that say what columns say too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import read_trace

LINE = '{"timestamp": 1, "input_length": 600, "output_length": 5}\n'


@pytest.mark.parametrize("force", ["", "mooncake:", "weka:", "blis:", "servegen:", "otel:"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x" * 300, "cannot be read: "),
        ("a/" * 3000, "cannot be read: "),
        ("a\0b", "is no file name "),
        ("\ud800", "is no file name "),
        ("\udcff.jsonl", "cannot be read: "),
        ("no\nsuch.jsonl", "cannot be read: "),
    ],
)
def test_a_path_that_no_file_can_have_is_a_plain_error(force: str, name: str, words: str) -> None:
    with pytest.raises(TraceError, match=words):
        read_trace(force + name)


@pytest.mark.parametrize("name", ["", ".", "/", "..", "otel:/", "servegen:."])
def test_a_folder_without_a_name_is_one_without_traces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")

    def nothing(*_: object) -> Iterator[Path]:
        return iter(())

    # Nobody wants to look for spans in every file of the machine.
    monkeypatch.setattr(Path, "glob", nothing)

    with pytest.raises(TraceError, match=r"is a folder without trace files|has no |cannot be read"):
        read_trace(name)


def test_a_file_may_have_the_longest_name_though_its_sidecar_cannot(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 249 + ".jsonl")
    path.write_text(LINE)

    assert len(read_trace(path)) == 1


def test_columns_beside_a_forced_format_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(LINE)
    columns = {"input_length": "output_length"}

    with pytest.raises(TraceError) as caught:
        read_trace(f"mooncake:{path}", columns=columns)

    assert str(caught.value) == (
        f"{path}: mooncake: says what its fields mean, and so do the columns given (--column); "
        "leave one of them out"
    )


def test_columns_beside_mapped_are_its_own(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n3,4\n")

    trace = read_trace(f"mapped:{path}", columns={"a": "input_length", "b": "output_length"})

    assert (trace.input_tokens.tolist(), trace.output_tokens.tolist()) == ([3], [4])


@pytest.mark.parametrize("rows", ['"after": ["no"]', '"after": ["0"]'])
def test_a_link_that_leads_nowhere_is_named_with_its_file(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(LINE.replace("}", f", {rows}}}"))

    with pytest.raises(TraceError) as caught:
        read_trace(path)

    assert str(caught.value).startswith(f"{path}: after: line 1 comes after ")
