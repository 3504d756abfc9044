"""Names of requests: their own, or the number of their row where they have none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import read_trace
from jenga_sim.traces.columns import Numbered
from jenga_sim.traces.formats import canonical
from jenga_sim.traces.names import Names

NAMES = st.sampled_from([None, "0", "1", "2", "3", "5", "01", "x", "\u0664", "9" * 30])


def write(path: Path, names: list[str | None]) -> Path:
    rows = [{"timestamp": at, "input_length": 5, "output_length": 1} for at in range(len(names))]
    named = [
        row if name is None else row | {"request_id": name}
        for row, name in zip(rows, names, strict=True)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in named))
    return path


def expected(names: list[str | None]) -> list[str]:
    """Whoever has a name first keeps it, and who has none is called by his number."""
    kept: dict[str, None] = {}
    for at, name in enumerate(names):
        kept.setdefault(str(at) if name is None else name)
    return list(kept)


@given(st.lists(NAMES, min_size=1, max_size=8), st.sampled_from([1, 2, 3, 4096]))
def test_no_name_is_given_twice_however_the_file_is_cut_into_blocks(
    tmp_path_factory: pytest.TempPathFactory, names: list[str | None], lines: int
) -> None:
    path = write(tmp_path_factory.mktemp("names") / "t.jsonl", names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canonical, "_LINES", lines)
        trace = read_trace(path, on_bad_line="skip")

    assert list(trace.request_ids) == expected(names)
    assert trace.meta.skipped_lines == len(names) - len(trace)


def test_a_name_that_is_the_number_of_a_line_in_an_earlier_block_is_taken(tmp_path: Path) -> None:
    count = canonical._LINES + 1
    path = write(tmp_path / "t.jsonl", [*[None] * (count - 1), "17"])

    with pytest.raises(TraceError, match=rf":{count}: request_id: '17' is taken by line 18; ids"):
        read_trace(path)


def test_numbers_with_gaps_are_kept_as_ranges() -> None:
    names = Names()
    names.number(np.array([2, 3, 4, 8]))
    names.number(np.array([9, 11]))

    assert [number for number in range(14) if names.owner(str(number)) == number] == [
        *(2, 3, 4, 8, 9, 11)
    ]
    assert names.give("9", 12) == 9
    assert names.give("10", 12) == 12
    assert names.owner("10") == 12


@pytest.mark.parametrize("later", [False, True])
def test_others_may_come_after_a_request_by_the_number_of_its_line(
    tmp_path: Path, later: bool
) -> None:
    rows: list[dict[str, Any]] = [
        {"timestamp": at, "input_length": 5, "output_length": 1} for at in range(3)
    ]
    rows[2] |= {"after": ["1"]} | ({"request_id": "x"} if later else {})
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canonical, "_LINES", 2)
        trace = read_trace(path)

    assert trace.after is not None
    assert trace.after.rows(2).tolist() == [[1]]


def test_names_that_are_the_numbers_of_their_lines_are_not_kept(tmp_path: Path) -> None:
    plain = read_trace(write(tmp_path / "plain.jsonl", [None] * 5))
    named = read_trace(write(tmp_path / "named.jsonl", list(map(str, range(5)))))

    assert isinstance(named.request_ids, Numbered)
    assert named.request_ids == plain.request_ids
