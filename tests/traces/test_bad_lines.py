from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import read_trace
from jenga_sim.traces.runs import expand

GOOD = b'{"timestamp": 1, "input_length": 600, "output_length": 5}\n'


def with_key(name: str, value: bytes) -> bytes:
    """Give a line with one key's value replaced by raw JSON text."""
    fields = {"timestamp": b"1", "input_length": b"600", "output_length": b"5"} | {name: value}
    return b"{" + b", ".join(b'"%s": %s' % (k.encode(), v) for k, v in fields.items()) + b"}\n"


def without_key(name: str) -> bytes:
    fields: dict[str, Any] = json.loads(GOOD)
    del fields[name]
    return json.dumps(fields).encode() + b"\n"


BAD_LINES = {
    "half a line": (GOOD[:20] + b"\n", "is not valid JSON: "),
    "text": (b"hello\n", "is not valid JSON: invalid character"),
    "two objects": (GOOD[:-1] + GOOD, "is not valid JSON: trailing characters"),
    "array": (b"[1, 2]\n", "must be a JSON object with the keys timestamp, input_length"),
    "null": (b"null\n", "must be a JSON object"),
    "nesting": (b'{"x": ' + b"[" * 100_000 + b"\n", "is nested too deeply"),
    "nested objects": (b'{"a":' * 100_000 + b"\n", "is nested too deeply"),
    "no timestamp": (without_key("timestamp"), "timestamp: is missing"),
    "no input": (without_key("input_length"), "input_length: is missing"),
    "no output": (without_key("output_length"), "output_length: is missing"),
    "text for a number": (
        with_key("input_length", b'"600"'),
        'input_length: must be an integer from 1 to 1099511627776, is "600"',
    ),
    "bool": (with_key("input_length", b"true"), "input_length: must be an integer .*, is true"),
    "fraction": (with_key("input_length", b"3.5"), "input_length: must be an integer .*, is 3.5"),
    "float": (with_key("output_length", b"3.0"), "output_length: must be an integer .*, is 3.0"),
    "null input": (with_key("input_length", b"null"), "input_length: must be .*, is null"),
    "zero input": (with_key("input_length", b"0"), "input_length: must be .*, is 0$"),
    "negative": (with_key("input_length", b"-5"), "input_length: must be .*, is -5"),
    "too many tokens": (
        with_key("input_length", b"1099511627777"),
        "input_length: must be .*, is 1099511627777",
    ),
    "a huge integer": (with_key("output_length", b"9" * 9_000), r"output_length: .* is 9+\.\.\.$"),
    "negative time": (
        with_key("timestamp", b"-0.5"),
        "timestamp: must be a number of milliseconds from 0 to 8796093022208, is -0.5",
    ),
    "late time": (with_key("timestamp", b"8796093022209"), "timestamp: .*, is 8796093022209"),
    "late float time": (with_key("timestamp", b"1e300"), "timestamp: .*, is 1e300"),
    "infinite time": (with_key("timestamp", b"1e400"), "timestamp: .*, is 1e400"),
    "huge time": (with_key("timestamp", b"9" * 9_000), "timestamp: must be"),
    "text time": (with_key("timestamp", b'"1"'), 'timestamp: .*, is "1"'),
    "bool time": (with_key("timestamp", b"false"), "timestamp: .*, is false"),
    "NaN": (with_key("timestamp", b"NaN"), "not valid JSON: .*NaN and Infinity are not JSON"),
    "Infinity": (with_key("timestamp", b"-Infinity"), "NaN and Infinity are not JSON"),
    "hash ids no list": (with_key("hash_ids", b"7"), "hash_ids: must be a list of .*, is 7"),
    "hash ids null": (with_key("hash_ids", b"null"), "hash_ids: .*, is null; leave the key out"),
    "hash id text": (with_key("hash_ids", b'["1", 2]'), "hash_ids: must be a list of integers"),
    "hash id negative": (with_key("hash_ids", b"[1, -2]"), r"hash_ids: .*, is \[1, -2\]"),
    "hash id float": (with_key("hash_ids", b"[1, 2.0]"), r"hash_ids: .*, is \[1, 2.0\]"),
    "hash id too large": (
        with_key("hash_ids", b"[1, 9223372036854775808]"),
        r"hash_ids: must be a list of integers from 0 to 9223372036854775807",
    ),
    "cross negative": (with_key("cross_tokens", b"-1"), "cross_tokens: must be .*, is -1"),
    "priority text": (with_key("priority", b'"high"'), 'priority: must be .*, is "high"'),
    "priority huge": (with_key("priority", b"-1099511627777"), "priority: must be an integer"),
    "flag as id": (with_key("request_id", b"true"), "request_id: must be a non-empty string"),
    "empty id": (with_key("request_id", b'""'), 'request_id: must be .*, is ""'),
    "id of half a character": (
        with_key("request_id", b'"\\ud800"'),
        "is not valid JSON|request_id",
    ),
    "repeated key": (
        b'{"timestamp": "x", "timestamp": 1, "input_length": 6, "output_length": 5}\n',
        "timestamp",
    ),
    "terminal escape": (with_key("priority", b'"\x1b[31m"'), r'"\?\[31m"|invalid character'),
    "invalid UTF-8": (with_key("x", b'"\xff"'), r"is not valid UTF-8 \(byte \d+\); convert"),
    "CRLF": (GOOD[:-1] + b"\r\n", r"carriage return .*: tr -d '\\r' < OLD > NEW"),
    "blank with CRLF": (b"\r\n", "carriage return"),
    "BOM in line 2": (b"\xef\xbb\xbf" + GOOD, "is not valid JSON"),
    "same id": (with_key("request_id", b'"0"'), "request_id: '0' is taken by line 1; "),
}


@pytest.fixture(params=BAD_LINES, ids=str)
def bad_line(request: pytest.FixtureRequest) -> tuple[bytes, str]:
    return BAD_LINES[request.param]


def write(tmp_path: Path, *lines: bytes) -> Path:
    path = tmp_path / "trace.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def test_one_bad_line_is_one_clear_line(tmp_path: Path, bad_line: tuple[bytes, str]) -> None:
    line, message = bad_line
    path = write(tmp_path, GOOD, line, GOOD)

    with pytest.raises(TraceError, match=message) as caught:
        read_trace(path)

    text = str(caught.value)
    assert text.startswith(f"{path}:2: ")
    assert text.isprintable()
    assert len(text) < len(str(path)) + 250


def test_skip_drops_the_bad_line_and_counts_it(tmp_path: Path, bad_line: tuple[bytes, str]) -> None:
    trace = read_trace(write(tmp_path, GOOD, bad_line[0], GOOD), on_bad_line="skip")

    assert trace.request_ids == ("0", "2")
    assert expand(trace.hash_runs.values).tolist() == []
    assert trace.meta.skipped_lines == 1


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"\xef\xbb\xbf", r":1: starts with a UTF-8 byte order mark; remove it with: tail"),
        (b"\xff\xfe", ":1: is UTF-16 text; convert the file with: iconv"),
    ],
)
def test_byte_order_mark_is_refused_with_the_way_out(
    tmp_path: Path, start: bytes, message: str
) -> None:
    path = write(tmp_path, start + GOOD, GOOD)

    with pytest.raises(TraceError, match=message):
        read_trace(path)
    assert read_trace(path, on_bad_line="skip").request_ids == ("1",)


def test_first_bad_line_leads_and_three_are_listed(tmp_path: Path) -> None:
    zero = with_key("input_length", b"0")
    path = write(tmp_path, GOOD, b"\n", zero, b"x\n", zero, GOOD, zero, zero)

    with pytest.raises(TraceError) as caught:
        read_trace(path)

    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines[:3]] == [f"{path}:{n}" for n in (3, 4, 5)]
    assert lines[3:] == ["... and 2 more bad lines of 7"]


def test_two_bad_lines_need_no_summary(tmp_path: Path) -> None:
    with pytest.raises(TraceError) as caught:
        read_trace(write(tmp_path, b"x\n", GOOD, b"y\n"))

    assert len(str(caught.value).splitlines()) == 2


def test_skip_that_leaves_nothing_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"timestamp": 1}\n', b"y\n")
    with pytest.raises(TraceError, match=r"trace\.jsonl:1: input_length: is missing"):
        read_trace(path, on_bad_line="skip")


def test_late_lines_are_measured_against_good_lines_only(tmp_path: Path) -> None:
    bad_but_late = with_key("timestamp", b"900").replace(b"600", b"0")
    path = write(tmp_path, bad_but_late, GOOD, with_key("timestamp", b"0"), GOOD)

    trace = read_trace(path, on_bad_line="skip")

    assert trace.request_ids == ("2", "1", "3")
    assert (trace.meta.skipped_lines, trace.meta.sorted_lines) == (1, 1)


def test_nesting_beyond_a_raised_recursion_limit_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit * 2)
    try:
        with pytest.raises(TraceError, match="nested too deeply"):
            read_trace(path)
    finally:
        sys.setrecursionlimit(limit)


def test_unknown_choice_and_block_size_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    choice: Any = "ignore"

    with pytest.raises(ValueError, match="'ignore'"):
        read_trace(path, on_bad_line=choice)
    with pytest.raises(TraceError, match="--trace-block-size 0: a block holds at least 1 token"):
        read_trace(path, block_size=0)
