"""Traps in block ids and sessions of published traces: what is read of them.

Figures of real files are those of the files themselves; a test of them is skipped without a copy.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jenga_sim.traces import Trace, read_trace
from jenga_sim.traces.inspection import sharing_of
from jenga_sim.traces.runs import expand
from tests.traces.data import real

S = 10**9

CONVERSATION = "mooncake/conversation_trace.jsonl"
WEKA_HEAD = "weka-claude-code/sessions-head.rle.jsonl.gz"
WEKA_FILES = "weka-claude-code/sessions"


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def request(at_ms: float, tokens: int, ids: list[int] | None = None, **keys: Any) -> dict[str, Any]:
    row = {"timestamp": at_ms, "input_length": tokens, "output_length": 5} | keys
    return row if ids is None else row | {"hash_ids": ids}


def before(trace: Trace, index: int) -> list[int]:
    return [] if trace.after is None else trace.after.rows(index)[:, 0].tolist()


# Trap 2: Whether a partly filled last block has an id.


@pytest.mark.parametrize(("ids", "tail"), [([1, 2], "ceil"), ([1], "floor")])
def test_trap_2_a_last_block_has_an_id_or_not_and_both_are_read(
    tmp_path: Path, ids: list[int], tail: str
) -> None:
    trace = read_trace(written(tmp_path / "a.jsonl", request(0, 600, ids)))

    assert trace.meta.hash_tail == tail
    assert trace.hash_ids(0).tolist() == ids


def test_trap_2_a_file_may_mix_both(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", request(0, 600, [1, 2]), request(1, 600, [1]))

    assert read_trace(path).meta.hash_tail == ""


@pytest.mark.parametrize(("name", "tail"), [(CONVERSATION, "ceil"), (WEKA_HEAD, "floor")])
def test_trap_2_published_files_have_either(name: str, tail: str) -> None:
    trace = read_trace(real(name))
    blocks = np.diff(trace.hash_runs.offsets)
    totals = np.concatenate([[0], np.cumsum(trace.hash_runs.values[:, 1])])
    counts = np.diff(totals[trace.hash_runs.offsets])
    full = trace.input_tokens // trace.block_size

    assert blocks.min() >= 0
    assert trace.meta.hash_tail == tail
    assert np.array_equal(counts, full if tail == "floor" else -(-trace.input_tokens // 512))


# Trap 3: The id of a partial tail names just that many tokens, so a longer prompt has another one.


def test_trap_3_a_follow_up_turn_shares_full_blocks_only(tmp_path: Path) -> None:
    rows = [request(0, 1000, [1, 2]), request(9000, 1600, [1, 3, 4, 5])]

    shared = sharing_of(read_trace(written(tmp_path / "a.jsonl", *rows)))

    assert shared is not None
    # The second prompt begins with all 1,000 tokens of the first; 488 of them do not show.
    assert shared.token_hit == 512 / 2600


def test_trap_3_few_partial_tails_of_mooncake_are_ever_seen_again() -> None:
    trace = read_trace(real(CONVERSATION))

    uses = np.bincount(expand(trace.hash_runs.values))
    last = trace.hash_runs.values[trace.hash_runs.offsets[1:] - 1].sum(axis=1) - 1
    tails = last[trace.input_tokens % 512 != 0]

    assert (len(tails), int(np.sum(uses[tails] > 1))) == (12_009, 206)


# Trap 4: Sessions that were recorded twice.


def weka_call(t: float, tokens: int, **keys: Any) -> dict[str, Any]:
    row = {"t": t, "type": "n", "model": "big", "in": tokens, "out": 10, "api_time": 2.0}
    return row | {"hash_ids": list(range(1, tokens // 64 + 1))} | keys


def weka_session(name: str, *calls: dict[str, Any]) -> dict[str, Any]:
    facts = {"id": name, "models": ["big"], "block_size": 64, "hash_id_scope": "local"}
    return facts | {"requests": list(calls)}


def test_trap_4_sessions_that_begin_alike_are_named_and_kept(tmp_path: Path) -> None:
    calls = [weka_call(9.0 * at, 640 + 64 * at) for at in range(52)]
    others = [weka_call(7.0 * at, 640 + 64 * at) for at in range(52)]
    path = written(
        tmp_path / "a.jsonl",
        weka_session("first", *calls),
        weka_session("again", *calls[:51]),
        weka_session("other", *others),
    )

    trace = read_trace(path)

    assert len(trace) == 52 + 51 + 52
    copies = [note for note in trace.meta.notes if "begin like others" in note]
    assert len(copies) == 1
    assert copies[0].startswith("1 sessions")
    assert "again of first" in copies[0]


# Trap 5: The clock of sub-agents, and think times that contain their runs.


def test_trap_5_sub_agents_have_a_clock_of_their_own_and_joins_wait_for_their_end(
    tmp_path: Path,
) -> None:
    agent = {"t": 150.0, "type": "subagent", "agent_id": "a", "duration_ms": 40_000}
    agent |= {"status": "completed", "requests": [weka_call(0, 128), weka_call(30, 192)]}
    joining = weka_call(155, 704, think_time=43.0)
    path = written(tmp_path / "a.jsonl", weka_session("s", weka_call(107, 640), agent, joining))

    trace = read_trace(path)

    # The agent began at 110, where 0.0 of its own clock is; its last call ended at 142.
    assert (trace.arrival_ns // S).tolist() == [107, 110, 140, 155]
    assert [before(trace, at) for at in range(4)] == [[], [0], [1], [0, 2]]
    assert trace.delay_ns is not None
    assert trace.delay_ns[3] == 13 * S


def test_trap_5_think_time_is_the_pause_except_where_sub_agents_ran() -> None:
    trace = read_trace(real(WEKA_FILES))
    assert trace.after is not None
    assert trace.delay_ns is not None
    assert trace.unknown is not None
    think_s = np.array([json.loads(text).get("think_time", -1.0) for text in trace.unknown])
    pause_s = trace.delay_ns / S
    known = (think_s >= 0) & (pause_s >= 0)
    joins = known & (trace.after.counts > 1)
    plain = known & (trace.after.counts == 1)

    assert (int(joins.sum()), int(plain.sum())) == (3, 124)
    # Both are recorded in whole seconds.
    assert np.abs(think_s - pause_s)[plain].max() < 1
    assert np.all(think_s[joins] > 3 * pause_s[joins])


# Trap 7: Ids that stand for the content of one block, whatever is before it.


def test_trap_7_ids_of_contents_are_detected(tmp_path: Path) -> None:
    rows = [request(0, 1024, [1, 2]), request(1, 1024, [3, 2]), request(2, 1024, [1, 2])]

    shared = sharing_of(read_trace(written(tmp_path / "a.jsonl", *rows)))

    assert shared is not None
    # Block 2 stands behind 1 and behind 3: of six references, two hit in a prefix.
    assert shared.conflicts == 1
    assert (shared.block_hit, shared.any_hit) == (2 / 6, 3 / 6)


def test_trap_7_ids_of_mooncake_are_chained() -> None:
    shared = sharing_of(read_trace(real(CONVERSATION)))

    assert shared is not None
    assert shared.conflicts == 0
    assert shared.any_hit == shared.block_hit == pytest.approx(0.366, abs=0.0005)


# Trap 11: Ids are those of inputs.


def mooncake_turn(tmp_path: Path) -> Path:
    rows = [
        request(0, 1024, [1, 2], output_length=1024),
        request(9000, 2560, [1, 2, 3, 4, 5]),
    ]
    return written(tmp_path / "a.jsonl", *rows)


def weka_turn(tmp_path: Path) -> Path:
    first = weka_call(0, 1024, out=1024)
    return written(tmp_path / "a.jsonl", weka_session("s", first, weka_call(9, 2560)))


@pytest.mark.parametrize("write", [mooncake_turn, weka_turn])
def test_trap_11_an_answer_that_comes_back_in_the_next_prompt_is_no_hit(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    shared = sharing_of(read_trace(write(tmp_path)))

    assert shared is not None
    # 2,048 tokens of the second prompt were in the engine; ids know of the first 1,024.
    assert shared.token_hit == 1024 / (1024 + 2560)
