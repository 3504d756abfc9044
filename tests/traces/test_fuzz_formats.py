"""Every format on files that no writer of it would write: a trace, or one plain error.

Warnings are errors in all tests, so a reader that lets one pass fails here too.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace
from jenga_sim.traces.problems import OnBadLine
from tests.traces.formats.damage import damaged_bytes, damaged_json
from tests.traces.samples import SAMPLES, Sample
from tests.traces.test_fuzz import assert_consistent

FACTOR = int(os.environ.get("JENGA_SIM_EXAMPLES_FACTOR", "1"))
MODES: st.SearchStrategy[OnBadLine] = st.sampled_from(["error", "skip"])
FILES = [name for name, sample in SAMPLES.items() if not sample.is_folder]
LINES = [name for name, sample in SAMPLES.items() if sample.head_lines is not None]
CELLS = st.sampled_from(
    [
        *(b"", b" ", b"-1", b"0", b"1.5", b"1e5", b"1e400", b"inf", b"nan", b"NaN", b"NA", b"0x10"),
        *(b"9223372036854775807", b"9223372036854775808", b"1099511627777", b"True", b"1_0"),
        *(b"+5", b"5 ", b'"5"', b'"5', b"\xc2\xa05", b"\xd9\xa4", b"2023-02-30 00:00:00", b"#"),
        *(b"1969-12-31T23:59:59.999999999Z", b"2023-11-16 18:15:46+02:00", b"9999-12-31"),
    ]
)


def examples(count: int) -> settings:
    return settings(
        max_examples=count * FACTOR,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def read_or_refuse(sample: Sample, name: str, path: Path, mode: OnBadLine) -> Trace | None:
    """Read a file as a format; what is refused is refused by its path, in few plain words."""
    try:
        trace = sample.open(path, name, on_bad_line=mode).whole()
    except TraceError as error:
        message = str(error)
    else:
        assert_consistent(trace)
        return trace
    beside = path if sample.beside is None else path.with_name(sample.beside[0])
    assert message.startswith((f"{path}", f"{beside}:"))
    assert len(message.splitlines()) <= 4
    assert message.replace("\n", "").isprintable()
    return None


@st.composite
def damaged_cells(draw: st.DrawFn, line: bytes) -> bytes:
    cells = line.split(b",")
    at = draw(st.integers(0, len(cells) - 1))
    cells[at] = draw(CELLS) if draw(st.booleans()) else draw(damaged_bytes(cells[at]))
    return b",".join(cells)


def damaged_line(name: str, line: bytes) -> st.SearchStrategy[bytes]:
    """A line of a file with this name, in which bytes or values are others."""
    if name.endswith(".csv"):
        return damaged_bytes(line) | damaged_cells(line)
    return damaged_bytes(line) | damaged_json(json.loads(line))


@st.composite
def damaged_content(draw: st.DrawFn, name: str, content: bytes) -> bytes:
    """A file of which bytes are others, or values."""
    if draw(st.booleans()) or name.endswith(".yaml"):
        return draw(damaged_bytes(content))
    lines = content.splitlines()
    at = draw(st.integers(0, len(lines) - 1))
    lines[at] = draw(damaged_line(name, lines[at]))
    return b"\n".join(lines)


@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.data(), mode=MODES)
@examples(50)
def test_damaged_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject, mode: OnBadLine
) -> None:
    sample = SAMPLES[name]
    folder = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    folder.mkdir(exist_ok=True)
    path = sample.write(folder)
    broken, content = sample.name, sample.content
    if sample.beside is not None and data.draw(st.booleans()):
        broken, content = sample.beside
    (folder / broken).write_bytes(data.draw(damaged_content(broken, content)))

    read_or_refuse(sample, name, path, mode)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data(), mode=MODES, inside=st.booleans())
@examples(20)
def test_damaged_packed_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    data: st.DataObject,
    mode: OnBadLine,
    inside: bool,
) -> None:
    sample = SAMPLES[name]
    path = tmp_path_factory.getbasetemp() / f"{name}-{sample.name}.gz"
    if inside:
        packed = gzip.compress(data.draw(damaged_bytes(sample.content)), mtime=0)
    else:
        packed = data.draw(damaged_bytes(gzip.compress(sample.content, mtime=0)))
    path.write_bytes(packed)

    read_or_refuse(sample, name, path, mode)


@pytest.mark.parametrize("name", SAMPLES)
@given(other=st.sampled_from(sorted(SAMPLES)), mode=MODES)
@examples(15)
def test_a_file_of_another_format_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, other: str, mode: OnBadLine
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"as-{name}"
    folder.mkdir(exist_ok=True)
    path = folder / SAMPLES[other].name
    path.write_bytes(SAMPLES[other].content)

    read_or_refuse(SAMPLES[name], name, path, mode)


@st.composite
def damaged_lines(draw: st.DrawFn, sample: Sample) -> bytes:
    """A file of which some lines are damaged, and no line is split or joined with another."""
    assert sample.head_lines is not None
    lines = sample.content.splitlines(keepends=False)
    head, rows = lines[: sample.head_lines], lines[sample.head_lines :] * draw(st.integers(1, 2))
    for at in draw(st.sets(st.integers(0, len(rows) - 1), min_size=1)):
        rows[at] = draw(damaged_line(sample.name, rows[at])).replace(b"\n", b" ")
    return b"\n".join([*head, *rows]) + b"\n"


def requests_there(sample: Sample, content: bytes) -> int:
    """How many lines must be read, or counted as bad ones: those that are not blank."""
    is_csv = sample.name.endswith(".csv")
    lines = content.split(b"\n")[sample.head_lines :]
    return sum(bool(line.strip()) or (b"\r" in line and not is_csv) for line in lines)


def left_out_by_rule(trace: Trace) -> int:
    """Requests that a format leaves out though nothing is wrong with them, as a note says."""
    found = [re.match(r"(\d+) .* left out$", note) for note in trace.meta.notes]
    return sum(int(match[1]) for match in found if match)


@pytest.mark.parametrize("name", LINES)
@given(data=st.data())
@examples(80)
def test_every_line_is_read_or_counted_as_a_bad_one(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    sample = SAMPLES[name]
    path = tmp_path_factory.getbasetemp() / f"lines-{name}-{sample.name}"
    content = data.draw(damaged_lines(sample))
    path.write_bytes(content)

    trace = read_or_refuse(sample, name, path, "skip")

    if trace is not None:
        counted = len(trace) + trace.meta.skipped_lines + left_out_by_rule(trace)
        assert counted == requests_there(sample, content)
