"""TraceV2 of BLIS (inference-sim, @f90a1e3): the columns of sim/workload/tracev2.go.

The accumulating sessions are those of its cmd/replay tests: prompts grow 100, 180, 245 and 60, 95.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from tests.traces.formats.damage import damaged_bytes, read_or_refuse

HEADER = "trace_version: 3\ntime_unit: microseconds\nmode: generated\nwarm_up_requests: 0\n"
COLUMNS = (
    "request_id,client_id,tenant_id,slo_class,session_id,round_index,prefix_group,prefix_length,"
    "streaming,input_tokens,output_tokens,text_tokens,image_tokens,audio_tokens,video_tokens,"
    "reason_ratio,model,deadline_us,server_input_tokens,arrival_time_us,send_time_us,"
    "first_chunk_time_us,last_chunk_time_us,num_chunks,status,error_message,finish_reason"
)
DEFAULTS = {
    "client_id": "c1",
    "tenant_id": "t1",
    "slo_class": "standard",
    "streaming": "false",
    "reason_ratio": "0.0",
    "status": "ok",
}
ZEROS = ("round_index", "prefix_length", "output_tokens", "text_tokens", "image_tokens")


def line(number: int, /, *extra: str, **cells: object) -> str:
    """A row: empty words, zeros for numbers, and ``cells``; ``extra`` columns come last."""
    known = {name: "0" for name in COLUMNS.split(",") if name in ZEROS or name.endswith("_us")}
    known |= {"audio_tokens": "0", "video_tokens": "0", "num_chunks": "0"}
    known |= {"server_input_tokens": "0", "input_tokens": "10"} | DEFAULTS
    known |= {"request_id": str(number)} | {name: str(value) for name, value in cells.items()}
    return ",".join(known.get(name, "") for name in (*COLUMNS.split(","), *extra))


def read(
    tmp_path: Path,
    *lines: str,
    header: str | None = HEADER,
    columns: str = COLUMNS,
    skip: bool = False,
) -> Trace:
    path = tmp_path / "trace.csv"
    path.write_text("\n".join((columns, *lines)) + "\n")
    if header is not None:
        (tmp_path / "trace.yaml").write_text(header)
    return read_trace(path, on_bad_line="skip" if skip else "error")


def test_rows_have_lengths_times_and_names(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        line(0, input_tokens=10, output_tokens=5, model="m"),
        line(1, input_tokens=20, output_tokens=6, arrival_time_us=100_000, model="m"),
    )

    assert trace.meta.format == "blis"
    assert trace.arrival_ns.tolist() == [0, 100_000_000]
    assert trace.input_tokens.tolist() == [10, 20]
    assert trace.output_tokens.tolist() == [5, 6]
    assert trace.model is not None
    assert trace.model.word(1) == "m"
    assert trace.tenant is not None
    assert trace.tenant.word(0) == "t1"
    assert not trace.has_hashes
    assert any("mode generated" in note for note in trace.meta.notes)
    assert any("slo_class" in note for note in trace.meta.notes)


def test_an_observed_request_arrives_when_it_was_sent_and_has_latencies(tmp_path: Path) -> None:
    # Real runs store Unix time in microseconds; the due time counts from the start of the run.
    unix_us = 1_760_000_000_000_000
    times = {"send_time_us": unix_us, "first_chunk_time_us": unix_us + 4000}
    late = {"send_time_us": unix_us + 101_000, "arrival_time_us": 100_000, "status": "timeout"}
    trace = read(
        tmp_path,
        line(0, **times, last_chunk_time_us=unix_us + 9000),
        line(1, **late),
    )

    assert trace.arrival_ns.tolist() == [0, 101_000_000]
    assert trace.recorded_ttft_ns is not None
    assert trace.recorded_ttft_ns.tolist() == [4_000_000, -1]
    assert trace.recorded_e2e_ns is not None
    assert trace.recorded_e2e_ns.tolist() == [9_000_000, -1]
    assert trace.cancelled is not None
    assert trace.cancelled.tolist() == [0, 1]
    assert any(note.startswith("1 requests failed") for note in trace.meta.notes)


def test_what_the_server_counted_is_the_whole_prompt(tmp_path: Path) -> None:
    group = {"prefix_group": "g", "prefix_length": 32}

    trace = read(
        tmp_path,
        line(0, **group, input_tokens=10, server_input_tokens=57),
        line(1, **group, input_tokens=10),
    )

    assert trace.input_tokens.tolist() == [57, 42]


def test_a_group_shares_the_full_blocks_of_its_prefix(tmp_path: Path) -> None:
    group = {"prefix_group": "g", "prefix_length": 40}
    other = {"prefix_group": "h", "prefix_length": 40}

    trace = read(
        tmp_path,
        line(0, **group, input_tokens=60),
        line(1, **group, input_tokens=25),
        line(2, **other, input_tokens=60),
        line(3, input_tokens=35),
    )

    ids = [trace.hash_ids(at).tolist() for at in range(4)]
    assert [len(row) for row in ids] == [6, 4, 6, 2]
    assert ids[0][:2] == ids[1][:2]
    assert not set(ids[0][2:]) & set(ids[1][2:])
    assert len(set(ids[0]) | set(ids[1]) | set(ids[2]) | set(ids[3])) == 6 + 2 + 6 + 2
    assert trace.meta.hash_tail == "floor"


ROUNDS = (
    line(0, session_id="s1", round_index=0, input_tokens=100, output_tokens=50),
    line(
        1,
        session_id="s1",
        round_index=1,
        input_tokens=30,
        output_tokens=40,
        arrival_time_us=1_000_000,
    ),
    line(
        2,
        session_id="s1",
        round_index=2,
        input_tokens=25,
        output_tokens=20,
        arrival_time_us=2_000_000,
    ),
    line(3, session_id="s2", round_index=0, input_tokens=60, output_tokens=15, arrival_time_us=500),
    line(
        4,
        session_id="s2",
        round_index=1,
        input_tokens=20,
        output_tokens=10,
        arrival_time_us=2_500_000,
    ),
)


def test_rounds_of_accumulating_sessions_contain_the_rounds_before(tmp_path: Path) -> None:
    trace = read(tmp_path, *ROUNDS, header=HEADER + "session_context_growth: accumulate\n")

    assert trace.request_ids == ("0", "3", "1", "2", "4")
    assert trace.input_tokens.tolist() == [100, 60, 180, 245, 95]
    assert trace.after is not None
    assert [trace.after.rows(at)[:, 0].tolist() for at in range(5)] == [[], [], [0], [2], [1]]
    assert trace.reuse_output is not None
    assert trace.reuse_output.tolist() == [0, 0, 1, 1, 1]
    first, second, third = (trace.hash_ids(at).tolist() for at in (0, 2, 3))
    assert second[: len(first)] == first
    assert third[: len(second)] == second
    assert len(third) == 245 // 16


def test_without_accumulation_rounds_are_prompts_of_their_own(tmp_path: Path) -> None:
    trace = read(tmp_path, *ROUNDS)

    assert trace.input_tokens.tolist() == [100, 60, 30, 25, 20]
    assert trace.turn is not None
    assert trace.turn.tolist() == [0, 0, 1, 2, 1]
    assert not trace.has_hashes


def test_without_a_header_a_note_says_what_is_assumed(tmp_path: Path) -> None:
    trace = read(tmp_path, *ROUNDS, header=None)

    assert any("there is no header trace.yaml" in note for note in trace.meta.notes)


def test_recorded_think_times_are_the_pauses(tmp_path: Path) -> None:
    columns = f"{COLUMNS},think_time_us"
    rounds = [
        line(n, "think_time_us", session_id="s", round_index=n, think_time_us=think)
        for n, think in enumerate((0, 700, 0))
    ]

    trace = read(tmp_path, *rounds, columns=columns)

    assert trace.delay_ns is not None
    assert trace.delay_ns.tolist() == [-1, 700_000, 0]


def test_without_think_times_pauses_are_what_lies_between_rounds(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        line(0, session_id="s", send_time_us=10, last_chunk_time_us=500),
        line(1, session_id="s", round_index=1, send_time_us=800, last_chunk_time_us=900),
    )

    assert trace.delay_ns is not None
    assert trace.delay_ns.tolist() == [-1, 300_000]


def test_optional_columns_become_priority_adapter_and_promise(tmp_path: Path) -> None:
    extra = ("vllm_priority", "slo_target_us", "adapter")
    cells = {"vllm_priority": 3, "slo_target_us": 250_000, "adapter": "lora-1"}

    trace = read(tmp_path, line(0, *extra, **cells), columns=",".join((COLUMNS, *extra)))

    assert trace.priority.tolist() == [3]
    assert trace.slo_ttft_ns is not None
    assert trace.slo_ttft_ns.tolist() == [250_000_000]
    assert trace.lora is not None
    assert trace.lora.word(0) == "lora-1"


def test_reasoning_is_a_share_of_the_output_and_images_have_their_tokens(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        line(0, output_tokens=10, reason_ratio=0.7),
        line(1, input_tokens=600, image_tokens=576),
    )

    assert trace.reasoning_tokens is not None
    assert trace.reasoning_tokens.tolist() == [7, 0]
    assert trace.images is not None
    assert trace.images.counts.tolist() == [0, 1]
    assert trace.images.rows(1)[0, 1] == 576


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"input_tokens": "x"}, "input_tokens: must be an integer .*, is x"),
        ({"input_tokens": -1}, "input_tokens: must not be negative"),
        ({"input_tokens": 0}, "input_tokens: must be an integer from 1"),
        ({"send_time_us": "soon"}, "send_time_us: must be a number of microseconds, is soon"),
        ({"reason_ratio": "1.5"}, "reason_ratio: must be a number from 0 to 1"),
        ({"request_id": "0"}, "request_id: '0' is taken by line 2"),
    ],
)
def test_a_bad_cell_is_named_by_line_and_column(
    tmp_path: Path, cells: dict[str, object], message: str
) -> None:
    with pytest.raises(TraceError, match=rf"trace.csv:3: {message}"):
        read(tmp_path, line(0), line(1, **cells))


def test_bad_lines_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    trace = read(tmp_path, line(0), line(1, input_tokens=-1), line(2, reason_ratio=2), skip=True)

    assert trace.request_ids == ("0",)
    assert trace.meta.skipped_lines == 2


def test_an_unknown_growth_of_sessions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"trace.yaml: session_context_growth: must be accumulate"):
        read(tmp_path, line(0), header=HEADER + "session_context_growth: Accumulate\n")


def test_a_header_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"trace.yaml:1"):
        read(tmp_path, line(0), header="{")


@given(data=st.data())
def test_damaged_traces_are_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    header = (HEADER + "session_context_growth: accumulate\n").encode()
    rows = "\n".join((COLUMNS, *ROUNDS[:2])).encode()
    if data.draw(st.booleans()):
        rows = data.draw(damaged_bytes(rows))
    else:
        header = data.draw(damaged_bytes(header))
    folder = tmp_path_factory.mktemp("damage")
    (folder / "trace.yaml").write_bytes(header)
    path = folder / "trace.csv"
    path.write_bytes(rows)

    for on_bad_line in ("error", "skip"):
        try:
            read_or_refuse(path, "blis", on_bad_line)
        except AssertionError:
            # An error of the header names the header.
            with pytest.raises(TraceError, match=r"trace\.yaml"):
                read_trace(f"blis:{path}", on_bad_line=on_bad_line)


@given(
    groups=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 100), st.integers(1, 100)), min_size=1
    )
)
def test_two_prompts_share_exactly_the_blocks_of_their_group(
    groups: list[tuple[int, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lengths = {group: length for group, length, _ in groups}
    lines = [
        line(n, prefix_group=f"g{group}", prefix_length=lengths[group], input_tokens=tokens)
        for n, (group, _, tokens) in enumerate(groups)
    ]

    trace = read(tmp_path_factory.mktemp("groups"), *lines)

    ids = [set(trace.hash_ids(at).tolist()) for at in range(len(trace))]
    for at, (group, _, _) in enumerate(groups):
        for other, (other_group, _, _) in enumerate(groups[:at]):
            shared = lengths[group] // 16 if group == other_group else 0
            assert len(ids[at] & ids[other]) == shared
    assert np.all([len(row) for row in ids] == trace.input_tokens // 16)
