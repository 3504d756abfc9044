"""LLMServingSim's workloads: flat requests, agent sessions, token ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from tests.traces.formats.attempts import attempt


def flat(at_ns: int, tokens: int, **keys: Any) -> dict[str, Any]:
    return {"input_toks": tokens, "output_toks": 7, "arrival_time_ns": at_ns} | keys


def session(at_ns: int, *calls: tuple[int, int], name: str = "s0") -> dict[str, Any]:
    subs = [{"input_toks": t, "output_toks": 5, "tool_duration_ns": d} for t, d in calls]
    return {"session_id": name, "arrival_time_ns": at_ns, "sub_requests": subs}


def read(folder: Path, *rows: dict[str, Any], skip: bool = False) -> Trace:
    path = folder / "work.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_trace(path, on_bad_line="skip" if skip else "error")


def column(trace: Trace, name: str) -> list[int]:
    return getattr(trace, name).tolist()


def test_flat_requests_keep_their_nanoseconds(tmp_path: Path) -> None:
    trace = read(tmp_path, flat(46926808, 2358), flat(347938951, 1034))
    assert trace.meta.format == "llmservingsim"
    assert trace.arrival_ns.tolist() == [46926808, 347938951]
    assert trace.input_tokens.tolist() == [2358, 1034]
    assert not trace.has_hashes
    assert trace.session is None


def test_a_call_of_a_session_comes_after_the_one_before_and_its_tool(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        flat(0, 100),
        session(4059740, (1472, 127348767), (1582, 197295027), (1734, 0)),
        session(5, (10, 0), name="s1"),
    )
    order = [int(name) for name in trace.request_ids]
    assert order == [0, 4, 1, 2, 3]
    assert trace.after is not None
    assert [trace.after.rows(at)[:, 0].tolist() for at in range(5)] == [[], [], [], [2], [3]]
    assert column(trace, "untimed") == [0, 0, 0, 1, 1]
    assert column(trace, "delay_ns") == [-1, -1, -1, 127348767, 197295027]
    assert trace.arrival_ns.tolist()[2:] == [4059740, 4059740 + 127348767, 4059740 + 324643794]
    assert column(trace, "turn")[1:] == [0, 0, 1, 2]
    assert trace.session is not None
    assert [trace.session.word(at) for at in range(5)] == [None, "s1", "s0", "s0", "s0"]


def test_token_ids_become_ids_of_full_blocks_and_all_before_them(tmp_path: Path) -> None:
    first, second = list(range(40)), [*range(16), *range(100, 132)]
    trace = read(
        tmp_path,
        flat(0, 40, input_tok_ids=first),
        flat(1, 48, input_tok_ids=second, output_tok_ids=[1, 2]),
        flat(2, 15, input_tok_ids=list(range(15))),
        flat(3, 99),
        flat(4, 32, input_tok_ids=first[16:] + first[:8]),
    )
    assert [trace.hash_ids(at).tolist() for at in range(5)] == [[0, 1], [0, 2, 3], [], [], [4, 5]]
    assert (trace.meta.block_size, trace.meta.hash_tail) == (16, "floor")


def test_another_block_size_cuts_the_prompts_finer(tmp_path: Path) -> None:
    read(tmp_path, flat(0, 40, input_tok_ids=list(range(40))))
    trace = read_trace(tmp_path / "work.jsonl", block_size=4)
    assert len(trace.hash_ids(0)) == 10


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (flat(0, 0), "input_toks: must be `int` >= 1"),
        (flat(-1, 5), "arrival_time_ns: must be `int` >= 0"),
        (flat(0, 5, input_tok_ids=[1, 2]), "input_tok_ids: must hold input_toks = 5 ids, holds 2"),
        (
            {"arrival_time_ns": 5, "input_toks": 5},
            "output_toks: is missing; a line without",
        ),
        ({"input_toks": 5, "output_toks": 5}, "arrival_time_ns: is missing"),
        (session(0), "sub_requests: must hold at least one request"),
        (session(0, (5, -1)), r"sub_requests\[0\]\.tool_duration_ns: must be `int` >= 0"),
        (session(0, (5, 1), (0, 1)), r"sub_requests\[1\]\.input_toks: must be `int` >= 1"),
        (
            {"arrival_time_ns": 5, "sub_requests": [{"input_toks": 5}]},
            r"sub_requests\[0\]\.output_toks: is missing",
        ),
    ],
)
def test_a_bad_line_is_named_with_its_field_and_leaves_no_call_behind(
    tmp_path: Path, row: dict[str, Any], words: str
) -> None:
    with pytest.raises(TraceError, match=rf"work\.jsonl:2: {words}"):
        read(tmp_path, flat(0, 5), row)
    trace = read(tmp_path, flat(0, 5), row, flat(1, 6), skip=True)
    assert trace.input_tokens.tolist() == [5, 6]
    assert list(trace.request_ids) == ["0", "1"]
    assert trace.meta.skipped_lines == 1


@given(cut=st.integers(0, 400), at=st.integers(0, 399), byte=st.binary(min_size=1, max_size=3))
@settings(deadline=None)
def test_a_damaged_file_gives_a_trace_or_a_trace_error(
    tmp_path_factory: pytest.TempPathFactory, cut: int, at: int, byte: bytes
) -> None:
    rows = (flat(0, 16, input_tok_ids=[1] * 16), session(1, (5, 9), (6, 0)), flat(2, 9))
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = tmp_path_factory.mktemp("l") / "work.jsonl"
    path.write_bytes((data[:at] + byte + data[at + 1 :])[: cut or None])
    found = attempt(lambda: read_trace(f"llmservingsim:{path}", on_bad_line="skip"))
    assert "work.jsonl" in found if isinstance(found, str) else 1 <= len(found) <= 5
