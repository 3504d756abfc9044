"""Agent sessions in the form of callanjfox/kv-cache-tester @94f6046."""

from __future__ import annotations

import gzip
import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from jenga_sim.traces.columns import NONE
from jenga_sim.traces.runs import block_counts
from tests.traces.data import real

HEAD = "weka-claude-code/sessions-head.rle.jsonl.gz"
FOLDER = "weka-claude-code/sessions"


def call(t: float, tokens: int, api_time: float | None = 2.0, **keys: Any) -> dict[str, Any]:
    row = {"t": t, "type": "n", "model": "big", "in": tokens, "out": 10} | keys
    row.setdefault("hash_ids", list(range(1, tokens // 64 + 1)))
    return row if api_time is None else row | {"api_time": api_time}


def agent(t: float, duration_s: float | None, *calls: dict[str, Any]) -> dict[str, Any]:
    status = "async_launched" if duration_s is None else "completed"
    duration = None if duration_s is None else duration_s * 1000
    return {
        "t": t,
        "type": "subagent",
        "agent_id": "a1",
        "duration_ms": duration,
        "status": status,
        "requests": list(calls),
    }


def session(*requests: dict[str, Any], name: str = "s1") -> dict[str, Any]:
    return {
        "id": name,
        "models": ["big"],
        "block_size": 64,
        "hash_id_scope": "local",
        "requests": list(requests),
    }


def read(tmp_path: Path, *sessions: dict[str, Any]) -> Trace:
    path = tmp_path / "sessions.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in sessions))
    return read_trace(path)


def before(trace: Trace, index: int) -> list[int]:
    assert trace.after is not None
    return trace.after.rows(index)[:, 0].tolist()


def pauses_s(trace: Trace) -> list[float]:
    assert trace.delay_ns is not None
    return [NONE if ns == NONE else ns / 1e9 for ns in trace.delay_ns.tolist()]


def test_a_turn_comes_after_the_turn_before_it_and_the_pause_between_them(tmp_path: Path) -> None:
    trace = read(tmp_path, session(call(0, 640), call(19, 700, think_time=16.0)))

    assert [before(trace, 0), before(trace, 1)] == [[], [0]]
    assert pauses_s(trace) == [NONE, 17.0]
    assert trace.arrival_ns.tolist() == [0, 19_000_000_000]


def test_a_duration_that_was_not_recorded_is_taken_to_be_the_usual_one(tmp_path: Path) -> None:
    # Its think time counts from the last end that was recorded: here from 2 s on.
    calls = (call(0, 640), call(20, 700, None), call(30, 700, 4.0, think_time=28.0))

    trace = read(tmp_path, session(*calls))

    assert pauses_s(trace) == [NONE, 18.0, 7.0]
    assert any("1 pauses are estimates" in note for note in trace.meta.notes)


def test_no_pause_of_the_real_half_is_longer_than_the_time_since_the_call_before() -> None:
    trace = read_trace(real(HEAD))
    assert trace.after is not None
    assert trace.delay_ns is not None
    latest = np.array([trace.arrival_ns[before(trace, i) or [i]].max() for i in range(len(trace))])

    assert np.all(trace.delay_ns <= trace.arrival_ns - latest)


def test_an_unknown_pause_stays_unknown(tmp_path: Path) -> None:
    assert pauses_s(read(tmp_path, session(call(0, 640, None), call(19, 700, None)))) == [NONE] * 2


def test_sub_agents_start_their_duration_before_their_entry_and_are_waited_for(
    tmp_path: Path,
) -> None:
    # The turn at 100 ended at 102; two sub-agents ran from 103: until 150, and until 160.
    rows = [
        call(100, 640),
        agent(150, 47, call(0, 128), call(10, 192)),
        agent(160, 57, call(0, 128, 3.0), call(50, 192, 5.0)),
        call(161, 6400, think_time=59.0),
    ]

    trace = read(tmp_path, session(*rows))

    assert (trace.arrival_ns // 10**9).tolist() == [100, 103, 103, 113, 153, 161]
    # In order of time: turn, both first calls, both second calls, the joining turn.
    assert [before(trace, i) for i in range(6)] == [[], [0], [0], [1], [2], [0, 3, 4]]
    # The joining turn came 3 s after the last end (153 + 5), not 59 s of "thinking" after its own.
    assert pauses_s(trace) == [NONE, 1.0, 1.0, 8.0, 47.0, 3.0]


def test_nobody_waits_for_an_agent_that_was_launched_on_its_own(tmp_path: Path) -> None:
    rows = [call(0, 640), agent(5, None, call(0, 128), call(300, 192)), call(10, 704)]

    trace = read(tmp_path, session(*rows))

    assert (trace.arrival_ns // 10**9).tolist() == [0, 5, 10, 305]
    assert [before(trace, i) for i in range(4)] == [[], [0], [0], [1]]


def test_ids_of_two_sessions_are_different_blocks(tmp_path: Path) -> None:
    trace = read(tmp_path, session(call(0, 640)), session(call(0, 640), name="s2"))

    assert not set(trace.hash_ids(0)) & set(trace.hash_ids(1))
    assert trace.session is not None
    assert list(trace.session.names) == ["s1", "s2"]


def test_ids_and_runs_are_the_same_session(tmp_path: Path) -> None:
    plain = session(call(0, 640, hash_ids=[1, 2, 3, 7, 8, 9, 10, 11, 12, 20]))
    coded = session(call(0, 640, hash_ids=[], hash_runs=[1, 3, 7, 6, 20, 1]))
    coded["requests"][0].pop("hash_ids")

    one, other = read(tmp_path, plain), read(tmp_path, coded)

    assert one.hash_runs.values.tolist() == other.hash_runs.values.tolist()
    assert one.hash_ids(0).tolist() == [1, 2, 3, 7, 8, 9, 10, 11, 12, 20]


def test_what_has_no_column_is_kept(tmp_path: Path) -> None:
    row = call(0, 640, stop="tool_use", input_types=["text"], think_time=0.0)

    trace = read(tmp_path, session(row))

    assert trace.unknown is not None
    assert json.loads(trace.unknown[0]) == {
        "type": "n",
        "think_time": 0.0,
        "stop": "tool_use",
        "input_types": ["text"],
    }


def test_sessions_that_begin_alike_are_named(tmp_path: Path) -> None:
    rows = [call(9.0 * i, 640 + 64 * i) for i in range(60)]
    other = [*rows[:55], *(call(9.0 * i + 1, 640 + 64 * i) for i in range(55, 60))]

    trace = read(tmp_path, session(*rows), session(*other, name="s2"))

    assert any("1 sessions begin like others" in note for note in trace.meta.notes)
    assert any("s2 of s1" in note for note in trace.meta.notes)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "x"', ":1: is not valid JSON"),
        ('{"id": "x", "block_size": 64}', ":1: session: object missing required field `requests`"),
        (json.dumps(session(call(-1, 640))), r":1: requests\[0\]\.t: expected `float` >= 0"),
        (json.dumps(session(call(0, 0, hash_ids=[]))), r":1: requests\[0\]: in: must be"),
        (
            json.dumps(session(call(0, 640, hash_ids=[1, 2]))),
            r":1: requests\[0\]: hash_ids: has 2 ids, but 640 tokens take 10 blocks",
        ),
        (
            json.dumps(session(call(0, 64, hash_ids=[], hash_runs=[1, 1, 2]))),
            r":1: requests\[0\]\.hash_runs: must be pairs",
        ),
        *(
            (json.dumps(session(*mixed)), r"\.hash_runs: must be .* in a session without hash_ids")
            for mixed in permutations([call(0, 64), call(9, 64, hash_ids=[], hash_runs=[1, 1])])
        ),
    ],
)
def test_errors_name_file_line_and_key(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "weka.jsonl"
    path.write_text(line + "\n")

    with pytest.raises(TraceError, match=message) as caught:
        read_trace(f"weka:{path}")
    assert str(caught.value).startswith(str(path))


def test_a_bad_session_is_skipped_whole(tmp_path: Path) -> None:
    path = tmp_path / "weka.jsonl"
    path.write_text(json.dumps(session(call(0, 640))) + "\n{}\n")

    trace = read_trace(path, on_bad_line="skip")

    assert (len(trace), trace.meta.skipped_lines) == (1, 1)


@given(st.data())
def test_damaged_sessions_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = bytearray(json.dumps(session(call(0, 640), agent(9, 5, call(0, 64)))).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 6))] = data.draw(
            st.sampled_from([b"null", b"-1", b"1e999", b"[", b'"', b"\xff", b"true", b""])
        )
    path = tmp_path_factory.mktemp("weka") / data.draw(st.sampled_from(["s.json", "s.jsonl"]))
    path.write_bytes(bytes(text))
    try:
        trace = read_trace(f"weka:{path}")
    except TraceError as error:
        message = str(error)
    else:
        assert len(trace)
        return
    assert message.startswith(str(path))


def test_the_real_half_has_its_sessions_and_its_sub_agents() -> None:
    trace = read_trace(real(HEAD))

    assert trace.meta.format == "weka"
    assert trace.session is not None
    assert (len(trace), len(trace.session.names)) == (20_447, 350)
    assert np.array_equal(block_counts(trace.hash_runs), trace.input_tokens // 64)
    assert trace.after is not None
    assert sum(len(before(trace, i)) > 1 for i in range(len(trace))) > 20


def test_sub_agents_start_when_the_turn_before_them_has_ended() -> None:
    # Trap: the entry of a sub-agent has the time of its end.
    path = real(HEAD)
    gaps: list[float] = []
    with gzip.open(path) as file:
        for line in file:
            turn: dict[str, Any] = {}
            for entry in json.loads(line)["requests"]:
                if entry["type"] == "subagent" and entry["duration_ms"] and turn.get("api_time"):
                    start = entry["t"] - entry["duration_ms"] / 1000
                    gaps.append(start - turn["t"] - turn["api_time"])
                elif entry["type"] != "subagent":
                    turn = entry
    # Two of one session were started a day and a half after its last turn.
    assert len(gaps) == 59
    assert sum(gap < 1.1 for gap in gaps) == 57
    assert min(gaps) > 0


def test_files_and_run_coded_lines_are_the_same_requests() -> None:
    folder, lines = read_trace(real(FOLDER)), read_trace(real(HEAD))
    assert folder.session is not None
    assert lines.session is not None

    for name in folder.session.names:
        if name not in lines.session.names:
            continue
        one = folder.select(folder.session.codes == list(folder.session.names).index(name))
        other = lines.select(lines.session.codes == list(lines.session.names).index(name))
        for column in ("arrival_ns", "input_tokens", "output_tokens", "delay_ns"):
            assert getattr(one, column).tolist() == getattr(other, column).tolist()
        assert block_counts(one.hash_runs).tolist() == block_counts(other.hash_runs).tolist()
