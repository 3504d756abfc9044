"""What holds for every CSV file: lines keep their numbers, and nothing bad passes unnoticed."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from jenga_sim.traces.formats import csv_lines
from jenga_sim.traces.limits import MAX_TOKENS
from tests.traces.formats.attempts import attempt

HEADER = "arrived_at,num_prefill_tokens,num_decode_tokens,label"


def read(folder: Path, text: str | bytes, *, skip: bool = False, name: str = "a.csv") -> Trace:
    path = folder / name
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return read_trace(f"lengths:{path}", on_bad_line="skip" if skip else "error")


def lines(*rows: str) -> str:
    return "\n".join((HEADER, *rows)) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lines, "BLOCK_BYTES", 40)


def test_columns_are_found_by_name_in_any_order_and_case(tmp_path: Path) -> None:
    trace = read(tmp_path, "x,NUM_DECODE_TOKENS, num_prefill_tokens ,arrived_at\n-,3,70,1.5\n")
    assert (trace.input_tokens[0], trace.output_tokens[0]) == (70, 3)
    assert trace.arrival_ns[0] == 1_500_000_000


def test_fields_that_are_not_used_are_named_once(tmp_path: Path) -> None:
    trace = read(tmp_path, lines("0,5,1,a", "1,5,1,b"))
    assert trace.meta.notes == ("fields that are not used: label",)


@pytest.mark.usefixtures("small_blocks")
def test_requests_are_called_by_their_place_whatever_the_blocks(tmp_path: Path) -> None:
    trace = read(tmp_path, lines(*(f"{i},{i + 1},1,x" for i in range(30))))
    assert list(trace.request_ids) == [str(i) for i in range(30)]
    assert trace.input_tokens.tolist() == list(range(1, 31))


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_line_ends_of_windows_and_a_missing_last_one_are_fine(tmp_path: Path, end: str) -> None:
    trace = read(tmp_path, end.join((HEADER, "0,5,1,a", "1,6,2,b")))
    assert trace.input_tokens.tolist() == [5, 6]


def test_a_compressed_file_is_the_same_trace(tmp_path: Path) -> None:
    text = lines("0,5,1,a", "1,6,2,b")
    packed = read(tmp_path, text, name="a.csv.gz")
    assert packed.input_tokens.tolist() == read(tmp_path, text).input_tokens.tolist()


def test_quoted_fields_may_hold_commas_and_quotes(tmp_path: Path) -> None:
    rows = ('"0","5","1","plain"', '1,6,2,"a, b"', '2,7,3,"say ""hi"", you"', '3,8,4,""')
    assert read(tmp_path, lines(*rows)).input_tokens.tolist() == [5, 6, 7, 8]


def test_blank_lines_count_as_lines_only(tmp_path: Path) -> None:
    trace = read(tmp_path, lines("0,5,1,a", "", "   ", "1,x,1,a"), skip=True)
    assert len(trace) == 1
    with pytest.raises(TraceError, match=r"a\.csv:5: num_prefill_tokens"):
        read(tmp_path, lines("0,5,1,a", "", "   ", "1,x,1,a"))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1,,1,a", "num_prefill_tokens: must be an integer from 1 to .*, is empty"),
        ("1,2.5,1,a", r"num_prefill_tokens: must be an integer .*, is 2\.5"),
        ("1,nan,1,a", "num_prefill_tokens: must be an integer .*, is nan"),
        ("1,inf,1,a", "num_prefill_tokens: must be an integer .*, is inf"),
        ("1,1e30,1,a", r"num_prefill_tokens: must be an integer .*, is 1e30"),
        ("1,99999999999999999999,1,a", "num_prefill_tokens: must be an integer .*, is 9999"),
        ("1,0,1,a", "num_prefill_tokens: must be an integer from 1 to .*, is 0"),
        ("1,5,-1,a", "num_decode_tokens: must be an integer from 0 to .*, is -1"),
        (f"1,{MAX_TOKENS + 1},1,a", "num_prefill_tokens: must be an integer"),
        ("1,True,1,a", "num_prefill_tokens: must be an integer .*, is True"),
        ("soon,5,1,a", "arrived_at: must be a number of seconds, is soon"),
        (",5,1,a", "arrived_at: must be a number of seconds, is empty"),
        ("1e300,5,1,a", "arrived_at: must be a number of seconds, is 1e300"),
        ("-1,5,1,a", "arrived_at: must be a time from 0 to .*, is -1 s"),
        ("1,5,1", "has 3 fields, the header has 4"),
        ("1,5,1,a,b", "has 5 fields, the header has 4"),
        ('1,5,1,"a', "has quotes that do not match"),
        ('1,5,1,"a"b', "has quotes that do not match"),
        ("1,5,1,\0", "has a NUL byte"),
        ("1,5\r,1,a", "has a carriage return"),
    ],
)
@pytest.mark.usefixtures("small_blocks")
def test_a_bad_line_is_named_with_its_field_and_the_others_survive(
    tmp_path: Path, row: str, words: str
) -> None:
    text = lines(*["0,5,1,a"] * 7, row, *["9,6,1,a"] * 5)
    with pytest.raises(TraceError, match=rf"a\.csv:9: {words}"):
        read(tmp_path, text)
    trace = read(tmp_path, text, skip=True)
    assert trace.input_tokens.tolist() == [5] * 7 + [6] * 5
    assert trace.meta.skipped_lines == 1


def test_a_line_that_is_no_utf_8_is_bad_and_one_that_is_may_be_foreign(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"a\.csv:3: is not valid UTF-8 \(byte 6\)"):
        read(tmp_path, lines("0,5,1,a").encode() + b"1,5,1,\xff\n")
    assert len(read(tmp_path, lines("0,5,1,é"))) == 1


def test_of_two_bad_cells_the_line_is_counted_once(tmp_path: Path) -> None:
    trace = read(tmp_path, lines("0,5,1,a", "x,y,z,a", "1,-5,0.5,a"), skip=True)
    assert (len(trace), trace.meta.skipped_lines) == (1, 2)


def test_bad_lines_are_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(TraceError) as error:
        read(tmp_path, lines("0,5,1,a", "0,x,1,a", "x,5,1,a", "0,5,1,a"))
    assert [line.split(":")[-4:-2] for line in str(error.value).splitlines()] == [
        [str(tmp_path / "a.csv"), "3"],
        [str(tmp_path / "a.csv"), "4"],
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "1: is empty"),
        (HEADER.encode(), "1: names columns, but no line with a request follows"),
        (HEADER.encode() + b"\n\n \n", "1: names columns, but no line with a request follows"),
        (b"\xef\xbb\xbf" + lines("0,5,1,a").encode(), "1: starts with a UTF-8 byte order mark"),
        (lines("0,5,1,a").encode("utf-16"), "1: is UTF-16 text"),
        (b"a,b\n1,2\n", "1: num_prefill_tokens: is missing; the fields are a, b"),
        (b"arrived_at,num_prefill_tokens\n1,2\n", "1: num_decode_tokens: is missing"),
        (b"num_decode_tokens,num_prefill_tokens,num_prefill_tokens\n1,2,3\n", "is there 2 times"),
        (b'"a,b\n1,2\n', "1: has quotes that do not match"),
        (b"\xff,b\n1,2\n", "1: is not valid UTF-8"),
    ],
)
def test_a_file_that_is_no_table_is_an_error_that_says_why(
    tmp_path: Path, data: bytes, words: str
) -> None:
    with pytest.raises(TraceError, match=words):
        read(tmp_path, data)


def test_damaged_gzip_data_is_an_error_with_the_line_it_begins_in(tmp_path: Path) -> None:
    packed = gzip.compress(lines(*["0,5,1,a"] * 1000).encode())
    (tmp_path / "a.csv.gz").write_bytes(packed[:-20])
    with pytest.raises(TraceError, match=r"a\.csv\.gz:1: gzip data ends too early"):
        read_trace(f"lengths:{tmp_path / 'a.csv.gz'}")


def test_a_count_may_be_written_as_a_float_without_a_fraction(tmp_path: Path) -> None:
    assert read(tmp_path, lines("0,5.0,1e2,a")).output_tokens.tolist() == [100]


NUMBERS = ["", "0", "7", "-3", "2.0", "2.5", "1e3", "nan", "inf", " 8 ", "99999999999999999999"]
CELLS = st.sampled_from([*NUMBERS, "x", '"', "a,b", 'a"b', "é", "\0", "True", "1_000", "0x10"])
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8)


def is_count(text: str, least: int) -> bool:
    """Whether a cell is a good count, by Python's own rules."""
    try:
        value = float(text) if "_" not in text and text.isascii() else float("nan")
    except ValueError:
        return False
    return value == value // 1 and least <= value <= MAX_TOKENS


@given(rows=ROWS, block=st.integers(1, 60))
@settings(deadline=None)
def test_exactly_the_lines_with_good_cells_survive(
    folder: Path, rows: list[tuple[str, str, str]], block: int
) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["num_prefill_tokens", "num_decode_tokens", "label"])
    writer.writerow(["17", "1", "good"])
    writer.writerows(rows)
    good = [
        int(float(prompt))
        for prompt, output, label in rows
        if is_count(prompt, 1) and is_count(output, 0) and "\0" not in prompt + output + label
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_lines, "BLOCK_BYTES", block)
        trace = read(folder, table.getvalue(), skip=True)
    assert trace.input_tokens.tolist() == [17, *good]
    assert trace.meta.skipped_lines == len(rows) - len(good)


@given(data=st.binary(max_size=200), header=st.booleans())
@settings(deadline=None)
def test_random_bytes_give_a_trace_or_a_trace_error(
    folder: Path, data: bytes, header: bool
) -> None:
    data = (HEADER.encode() + b"\n" if header else b"") + data
    found = attempt(lambda: read(folder, data, skip=True))
    assert "a.csv" in found if isinstance(found, str) else np.all(found.input_tokens >= 1)


@given(cut=st.integers(0, 200), flip=st.integers(0, 199), byte=st.binary(min_size=1, max_size=3))
@settings(deadline=None)
def test_a_damaged_file_gives_a_trace_or_a_trace_error(
    folder: Path, cut: int, flip: int, byte: bytes
) -> None:
    data = lines(*(f'{i}.25,{i + 1},1,"a, b"' for i in range(8))).encode()
    data = (data[:flip] + byte + data[flip + 1 :])[: cut or None]
    found = attempt(lambda: read(folder, data, skip=True))
    assert "a.csv" in found if isinstance(found, str) else 1 <= len(found) <= 10
