"""Bailian's traces: sessions by parents, ids of blocks made ids of prefixes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from tests.traces.data import real
from tests.traces.formats.attempts import attempt


def chat(name: int, parent: int = -1, at_s: float = 0.0, **keys: Any) -> dict[str, Any]:
    row = {"chat_id": name, "parent_chat_id": parent, "timestamp": at_s, "input_length": 40}
    return row | {"output_length": 5, "type": "text", "turn": 1, "hash_ids": [0, 1, 2]} | keys


def read(folder: Path, *rows: dict[str, Any], skip: bool = False) -> Trace:
    path = folder / "qwen.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_trace(path, on_bad_line="skip" if skip else "error")


def sessions(trace: Trace) -> list[str | None]:
    assert trace.session is not None
    return [trace.session.word(at) for at in range(len(trace))]


def after(trace: Trace) -> list[list[int]]:
    if trace.after is None:
        return [[]] * len(trace)
    return [trace.after.rows(at)[:, 0].tolist() for at in range(len(trace))]


def test_a_turn_comes_after_its_parent_and_belongs_to_the_session_of_the_first_one(
    tmp_path: Path,
) -> None:
    trace = read(
        tmp_path,
        chat(159, at_s=0.5),
        chat(7, at_s=1.0),
        chat(160, parent=159, at_s=61.114, turn=2),
        chat(161, parent=160, at_s=90.25, turn=3),
    )
    assert trace.meta.format == "bailian"
    assert trace.arrival_ns.tolist() == [500_000_000, 10**9, 61_114_000_000, 90_250_000_000]
    assert sessions(trace) == ["159", "7", "159", "159"]
    assert after(trace) == [[], [], [0], [2]]
    assert trace.delay_ns is None
    assert trace.turn is not None
    assert trace.turn.tolist() == [1, 1, 2, 3]
    assert trace.unknown == (b'{"type":"text"}',) * 4


def test_a_parent_that_is_not_in_the_file_is_not_waited_for(tmp_path: Path) -> None:
    trace = read(tmp_path, chat(5, parent=3), chat(6, parent=5))
    assert after(trace) == [[], [0]]
    assert sessions(trace) == ["5", "5"]


def test_a_parent_may_stand_below(tmp_path: Path) -> None:
    trace = read(tmp_path, chat(6, parent=5, at_s=1.0), chat(5, at_s=0.0))
    assert list(trace.request_ids) == ["5", "6"]
    assert after(trace) == [[], [0]]
    assert sessions(trace) == ["5", "5"]


def test_parents_in_a_circle_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="comes after itself"):
        read(tmp_path, chat(1, parent=2), chat(2, parent=1))


def test_an_id_under_two_parents_is_two_prefixes(tmp_path: Path) -> None:
    trace = read(tmp_path, chat(1), chat(2, hash_ids=[3, 1, 2]), chat(3))
    ids = [trace.hash_ids(at).tolist() for at in range(3)]
    assert ids[0] == ids[2] == [0, 1, 2]
    assert not set(ids[0]) & set(ids[1])


def test_trap_2_a_partly_filled_last_block_has_an_id_or_not(tmp_path: Path) -> None:
    assert read(tmp_path, chat(1)).meta.hash_tail == "ceil"
    assert read(tmp_path, chat(1, hash_ids=[0, 1])).meta.hash_tail == "floor"
    with pytest.raises(TraceError, match=r"qwen\.jsonl:1: hash_ids: has 4 ids, but 40 tokens"):
        read(tmp_path, chat(1, hash_ids=[0, 1, 2, 3]))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"hash_ids": [0, -1, 2]}, r"hash_ids\[1\]: must be `int` >= 0"),
        ({"hash_ids": 3}, "hash_ids: must be `array`, is `int`"),
        ({"input_length": 0}, "input_length: must be `int` >= 1"),
        ({"output_length": 2.5}, "output_length: must be `int`, is `float`"),
        ({"timestamp": -1}, r"timestamp: must be `float` >= 0\.0"),
        ({"timestamp": None}, "timestamp: must be `float`, is `null`"),
        ({"chat_id": 1}, "chat_id: '1' is taken by line 1"),
    ],
)
def test_a_bad_line_is_named_with_its_field(
    tmp_path: Path, keys: dict[str, Any], words: str
) -> None:
    rows = (chat(1), chat(2, parent=1) | keys, chat(3))
    with pytest.raises(TraceError, match=rf"qwen\.jsonl:2: {words}"):
        read(tmp_path, *rows)
    trace = read(tmp_path, *rows, skip=True)
    assert (len(trace), trace.meta.skipped_lines) == (2, 1)


def test_the_hand_made_sample_has_the_sessions_that_it_was_made_with() -> None:
    trace = read_trace(real("fixtures/bailian_handmade.jsonl"))
    assert sessions(trace) == ["0", "1", "0", "0"]
    assert after(trace) == [[], [], [0], [2]]
    assert trace.hash_ids(3).tolist() == [0, 1, 5, 6, 7, 8]
    assert trace.meta.hash_tail == "ceil"


@given(cut=st.integers(0, 400), at=st.integers(0, 399), byte=st.binary(min_size=1, max_size=3))
@settings(deadline=None)
def test_a_damaged_file_gives_a_trace_or_a_trace_error(
    tmp_path_factory: pytest.TempPathFactory, cut: int, at: int, byte: bytes
) -> None:
    rows = (chat(1), chat(2, parent=1, hash_ids=[4, 1, 2]), chat(3, parent=2))
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = tmp_path_factory.mktemp("b") / "qwen.jsonl"
    path.write_bytes((data[:at] + byte + data[at + 1 :])[: cut or None])
    found = attempt(lambda: read_trace(f"bailian:{path}", on_bad_line="skip"))
    assert "qwen.jsonl" in found if isinstance(found, str) else 1 <= len(found) <= 4
