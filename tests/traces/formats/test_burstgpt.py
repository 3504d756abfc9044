"""BurstGPT: fields by name, failed calls, sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace

OLD = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
NEW = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"


def read(folder: Path, header: str, *rows: str, skip: bool = False) -> Trace:
    path = folder / "BurstGPT.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return read_trace(path, on_bad_line="skip" if skip else "error")


def test_trap_9_fields_are_found_by_name_and_all_models_are_kept(tmp_path: Path) -> None:
    old = read(
        tmp_path,
        OLD,
        "5,ChatGPT,472,18,490,Conversation log",
        "45,GPT-4,1087,230,1317,API log",
    )
    new = read(
        tmp_path,
        NEW,
        "5,,3.2,ChatGPT,472,18,490,Conversation log",
        "45,,12.5,GPT-4,1087,230,1317,API log",
    )
    for trace in (old, new):
        assert trace.meta.format == "burstgpt"
        assert trace.input_tokens.tolist() == [472, 1087]
        assert trace.output_tokens.tolist() == [18, 230]
        assert trace.model is not None
        assert [trace.model.word(at) for at in range(2)] == ["ChatGPT", "GPT-4"]


def test_sessions_and_latencies_are_kept_where_they_are_known(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        NEW,
        "19440110.0,1722ac82-0a46,43,GPT-4,906,446,1352,Conversation log",
        "19440161.5,,,ChatGPT,36,29,65,API log",
        "19440192.0,1722ac82-0a46,0.3,,1779,123,1902,Conversation log",
    )
    assert trace.arrival_ns.tolist() == [0, 51_500_000_000, 82_000_000_000]
    assert trace.session is not None
    assert [trace.session.word(at) for at in range(3)] == ["1722ac82-0a46", None, "1722ac82-0a46"]
    assert trace.recorded_e2e_ns is not None
    assert trace.recorded_e2e_ns.tolist() == [43_000_000_000, -1, 300_000_000]
    assert trace.model is not None
    assert trace.model.word(2) is None
    assert trace.meta.notes == ("fields that are not used: Total tokens, Log Type",)


def test_a_failed_call_is_kept_and_one_without_any_token_is_counted(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        OLD,
        "5,GPT-4,0,0,0,API log",
        "9,GPT-4,360,0,360,API log",
        "11,GPT-4,1,1,2,API log",
    )
    assert trace.output_tokens.tolist() == [0, 1]
    assert list(trace.request_ids) == ["1", "2"]
    assert trace.meta.skipped_lines == 0
    assert trace.meta.notes[1] == (
        "1 calls failed without any token, prompt included, and are left out"
    )


def test_a_response_without_a_prompt_is_a_bad_line(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"BurstGPT\.csv:3: Request tokens: must be an integer"):
        read(tmp_path, OLD, "5,GPT-4,0,0,0,API log", "9,GPT-4,0,7,7,API log")


def test_a_file_of_nothing_but_failures_has_no_requests(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="has no requests"):
        read(tmp_path, OLD, "5,GPT-4,0,0,0,API log")
