"""Calls of agents as lmcache-agent-trace (LMCache, @16a14ad) has them: one JSON object per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from tests.traces.formats.damage import damaged_bytes, damaged_json, read_or_refuse

START_US = 1_760_428_258_635_837


def call(at_us: int, text: str, output: str = "yes", session: str = "s1") -> dict[str, Any]:
    return {
        "timestamp": START_US + at_us,
        "input": text,
        "output": output,
        "session_id": session,
    }


def read(tmp_path: Path, *calls: dict[str, Any], **options: Any) -> Trace:
    path = tmp_path / "session.jsonl"
    path.write_text("".join(json.dumps(call) + "\n" for call in calls))
    return read_trace(path, **options)


def test_calls_have_times_lengths_and_sessions(tmp_path: Path) -> None:
    trace = read(tmp_path, call(0, "x" * 40), call(1500, "y" * 41, "z" * 5))

    assert trace.meta.format == "lmcache"
    assert trace.arrival_ns.tolist() == [0, 1_500_000]
    assert trace.input_tokens.tolist() == [10, 10]
    assert trace.output_tokens.tolist() == [1, 1]
    assert any("estimated" in note for note in trace.meta.notes)


def test_a_call_comes_after_the_one_before_it_in_its_session(tmp_path: Path) -> None:
    trace = read(tmp_path, call(0, "a"), call(10, "b", session="s2"), call(20, "c"), call(30, "d"))

    assert trace.after is not None
    assert [trace.after.rows(at)[:, 0].tolist() for at in range(4)] == [[], [], [0], [2]]
    assert trace.delay_ns is None


def test_a_prompt_that_grows_keeps_its_blocks(tmp_path: Path) -> None:
    trace = read(tmp_path, call(0, "x" * 130), call(10, "x" * 130 + "y" * 130))

    first, second = trace.hash_ids(0).tolist(), trace.hash_ids(1).tolist()
    assert len(first) == 2
    assert len(second) == 4
    assert second[:2] == first


def test_a_folder_of_sessions_is_one_trace(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    for name, at_us in (("b", 0), ("a", 7)):
        (folder / f"{name}.jsonl").write_text(json.dumps(call(at_us, name, session=name)))

    trace = read_trace(f"lmcache:{folder}")

    assert trace.session is not None
    assert [trace.session.word(at) for at in range(2)] == ["b", "a"]
    assert trace.arrival_ns.tolist() == [0, 7000]


def test_calls_without_their_input_are_left_out_and_counted(tmp_path: Path) -> None:
    # 53 of the 746 published calls of magagent are such.
    trace = read(tmp_path, call(0, "a"), call(1, ""))

    assert len(trace) == 1
    assert any(note.startswith("1 calls were recorded without") for note in trace.meta.notes)


def test_a_bad_call_is_named_by_line_and_key(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"session.jsonl:2: output: is missing"):
        read(tmp_path, call(0, "a"), {"timestamp": 1, "input": "b", "session_id": "s"})


def test_a_bad_call_can_be_skipped_and_is_counted(tmp_path: Path) -> None:
    trace = read(tmp_path, call(0, "a"), call(-(2**60), "b"), on_bad_line="skip")

    assert len(trace) == 1
    assert trace.meta.skipped_lines == 1


@given(data=st.data())
def test_damaged_calls_are_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = call(0, "x" * 70)
    text = data.draw(damaged_json(good) | damaged_bytes(json.dumps(good).encode()))
    path = tmp_path_factory.mktemp("damage") / "session.jsonl"
    path.write_bytes(json.dumps(call(9, "x" * 99)).encode() + b"\n" + text)

    for on_bad_line in ("error", "skip"):
        read_or_refuse(path, "lmcache", on_bad_line)
