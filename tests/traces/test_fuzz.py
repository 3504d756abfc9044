from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from jenga_sim.traces.runs import block_counts, expand

GOOD_LINES = (
    b'{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}\n',
    b'{"timestamp": 2.5, "input_length": 7, "output_length": 1, "request_id": "\xc3\xa9"}\n',
    b'{"timestamp": 2.5, "input_length": 7, "output_length": 1, "priority": -1, "x": {"y": []}}\n',
    b'{"timestamp": 9e3, "input_length": 512, "output_length": 1, "cross_tokens": 6404}\n',
)

SNIPPETS = st.sampled_from(
    [
        *(b"\n", b"\r\n", b"\0", b'"', b"\\", b"{", b"[" * 3_000, b"}", b",", b"-", b"9" * 5_000),
        *(
            b"e999",
            b"NaN",
            b"null",
            b"true",
            b"\xff",
            b"\xef\xbb\xbf",
            b"\\ud800",
            b"1.0",
            b"\x1f\x8b",
        ),
    ]
)

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)

OPTIONS = st.fixed_dictionaries(
    {
        "on_bad_line": st.sampled_from(["error", "skip"]),
        "block_size": st.sampled_from([1, 16, 512, 2**40]),
    }
)

FileMaker = Callable[[bytes, str], Path]


@pytest.fixture(scope="module")
def make_file(tmp_path_factory: pytest.TempPathFactory) -> FileMaker:
    folder = tmp_path_factory.mktemp("fuzz")

    def make(content: bytes, name: str) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


@st.composite
def mutated_lines(draw: st.DrawFn) -> bytes:
    content = bytearray(b"".join(draw(st.permutations(GOOD_LINES))))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 8))
        content[start : start + length] = draw(SNIPPETS | st.binary(max_size=4))
    return bytes(content)


def assert_consistent(trace: Trace) -> None:
    assert len(trace) > 0
    assert len(trace.request_ids) == len(set(trace.request_ids)) == len(trace)
    assert np.all(np.diff(trace.arrival_ns) >= 0)
    assert trace.arrival_ns[0] >= 0
    assert trace.input_tokens.min() >= 1
    assert trace.output_tokens.min() >= 0
    assert trace.hash_runs.offsets[-1] == len(trace.hash_runs.values)
    assert len(trace.hash_runs) == len(block_counts(trace.hash_runs)) == len(trace)


def read_or_refuse(path: Path, options: dict[str, Any]) -> None:
    try:
        trace = read_trace(path, **options)
    except TraceError as error:
        message = str(error)
    else:
        assert_consistent(trace)
        return
    assert message.startswith(str(path))
    assert len(message.splitlines()) <= 4


@given(st.binary(max_size=200), st.sampled_from(["f.jsonl", "f.jsonl.gz"]), OPTIONS)
@settings(deadline=None)
def test_random_bytes_are_read_or_refused(
    make_file: FileMaker, content: bytes, name: str, options: dict[str, Any]
) -> None:
    read_or_refuse(make_file(content, name), options)


@given(mutated_lines(), OPTIONS)
@settings(deadline=None, max_examples=500)
def test_damaged_lines_are_read_or_refused(
    make_file: FileMaker, content: bytes, options: dict[str, Any]
) -> None:
    read_or_refuse(make_file(content, "f.jsonl"), options)


@given(st.data(), OPTIONS)
@settings(deadline=None)
def test_damaged_gzip_is_read_or_refused(
    make_file: FileMaker, data: st.DataObject, options: dict[str, Any]
) -> None:
    content = bytearray(gzip.compress(b"".join(GOOD_LINES), mtime=0))
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    del content[data.draw(st.integers(position, len(content))) :]
    read_or_refuse(make_file(bytes(content), "f.jsonl.gz"), options)


def is_integer(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def plainly_good(row: dict[str, Any]) -> bool:
    """Restate the rules for one line's keys in the shortest way."""
    time = row.get("timestamp")
    ids = row.get("hash_ids", [])
    name = row.get("request_id", "x")
    return (
        isinstance(time, int | float)
        and not isinstance(time, bool)
        and 0 <= time <= 2**43
        and is_integer(row.get("input_length"), 1, 2**40)
        and is_integer(row.get("output_length"), 0, 2**40)
        and is_integer(row.get("cross_tokens", 0), 0, 2**40)
        and is_integer(row.get("priority", 0), -(2**40), 2**40)
        and (type(name) is int or (isinstance(name, str) and name != ""))
        and isinstance(ids, list)
        and all(is_integer(i, 0, 2**63 - 1) for i in ids)
        and (len(ids) in (0, row["input_length"] // 16, -(-row["input_length"] // 16)))
    )


KEYS = ("timestamp", "input_length", "output_length", "hash_ids", "cross_tokens", "priority")
ODD_VALUES = JSON_VALUES | st.sampled_from(
    [0, 1, -1, 2**40, 2**40 + 1, 2**43, 2**43 + 1, 2**63, 2**64, 1.0, 1.5, [1], [1, 2], [2**63]]
)


@given(st.dictionaries(st.sampled_from((*KEYS, "request_id", "other")), ODD_VALUES, max_size=3))
@settings(deadline=None, max_examples=500)
def test_reader_accepts_exactly_what_the_rules_say(
    make_file: FileMaker, changes: dict[str, Any]
) -> None:
    row = {"timestamp": 1, "input_length": 20, "output_length": 2} | changes
    text = json.dumps(row)
    path = make_file(text.encode(), "f.jsonl")
    try:
        read_trace(path, block_size=16)
        accepted = True
    except TraceError:
        accepted = False

    is_json = not any(word in text for word in ("NaN", "Infinity"))
    has_surrogate = "\\ud" in text
    assert has_surrogate or accepted == (is_json and plainly_good(row))


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30), st.sampled_from(["error", "skip"]))
@settings(deadline=None)
def test_sorting_agrees_with_sorted(
    make_file: FileMaker, times: list[int], on_bad_line: Literal["error", "skip"]
) -> None:
    lines = [
        json.dumps({"timestamp": t, "input_length": i + 1, "output_length": 1, "hash_ids": [i]})
        for i, t in enumerate(times)
    ]
    path = make_file("\n".join(lines).encode(), "f.jsonl")

    trace = read_trace(path, on_bad_line=on_bad_line)

    order = sorted(range(len(times)), key=times.__getitem__)
    assert trace.request_ids == tuple(map(str, order))
    assert expand(trace.hash_runs.values).tolist() == order
    assert (trace.input_tokens - 1).tolist() == order
    late = sum(t < max(times[: i + 1]) for i, t in enumerate(times))
    assert trace.meta.sorted_lines == late
    assert trace.meta.skipped_lines == 0
