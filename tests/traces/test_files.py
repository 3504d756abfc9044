from __future__ import annotations

import gzip
import os
import re
from pathlib import Path
from typing import Any, Literal

import pytest

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import read_trace, source

GOOD = b'{"timestamp": 1, "input_length": 600, "output_length": 5}\n'
PACKED = gzip.compress(GOOD * 500)

BAD_FILES = {
    "empty": ("t.jsonl", b"", ":1: is empty"),
    "blank": ("t.jsonl", b"\n \n\t\n", ":1: has only blank lines"),
    "empty gz": ("t.jsonl.gz", b"", ":1: is empty"),
    "packed nothing": ("t.jsonl.gz", gzip.compress(b""), ":1: is empty"),
    "truncated gz": ("t.jsonl.gz", PACKED[:-20], "gzip data ends too early"),
    "gz header only": ("t.jsonl.gz", PACKED[:5], "gzip data ends too early"),
    "damaged gz": ("t.jsonl.gz", PACKED[:15] + b"\xff" * 9 + PACKED[24:], "gzip data is damaged"),
    "wrong checksum": ("t.jsonl.gz", PACKED[:-8] + b"\0" * 8, "gzip data is damaged"),
    "garbage after gz": ("t.jsonl.gz", PACKED + b"garbage", "gzip data is damaged"),
    "not gz": ("t.jsonl.gz", GOOD, r"is no gzip data despite its name; rename it to t\.jsonl$"),
    "one byte gz": ("t.jsonl.gz", b"\x1f", "is no gzip data"),
    "hidden gz": ("t.jsonl", PACKED, r"is gzip data; rename it to t\.jsonl\.gz$"),
}


@pytest.mark.parametrize("on_bad_line", ["error", "skip"])
@pytest.mark.parametrize("case", BAD_FILES)
def test_file_level_problems_are_always_errors(
    tmp_path: Path, case: str, on_bad_line: Literal["error", "skip"]
) -> None:
    name, content, message = BAD_FILES[case]
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(TraceError, match=message) as caught:
        read_trace(path, on_bad_line=on_bad_line)

    assert re.match(re.escape(str(path)) + r":(\d+:)? ", str(caught.value))
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"no\.jsonl: cannot be read: No such file"):
        read_trace(tmp_path / "no.jsonl")


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="is a folder without trace files; known are folders of"):
        read_trace(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")

    with pytest.raises(TraceError, match="is no regular file"):
        read_trace(tmp_path / "pipe.jsonl")


def test_name_with_a_null_byte() -> None:
    with pytest.raises(TraceError, match=r"is no file name|cannot be read"):
        read_trace("a\0b.jsonl")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(GOOD)

    def refuse(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    # Taking the permission away would not stop a test that runs as root.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(TraceError, match=r"t\.jsonl: cannot be read: Permission denied"):
        read_trace(path)


def test_overlong_line_stops_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_LINE_BYTES", 2**20)
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD + b" " * 2**21))

    with pytest.raises(TraceError, match=r":2: is longer than 1 MiB; write one request per line"):
        read_trace(path, on_bad_line="skip")


def test_file_is_closed_after_an_error(tmp_path: Path) -> None:
    # An unclosed file would raise a ResourceWarning, which the test run turns into an error.
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(PACKED[:-20])
    with pytest.raises(TraceError):
        read_trace(path)
    path.unlink()
