"""Azure's inference traces: CSV with dates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Reading, Trace, read_trace
from jenga_sim.traces.formats import csv_lines
from jenga_sim.traces.record import IMAGE_COLUMNS
from tests.traces.data import real

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
CODE, CONV = (f"azure-llm-2023/AzureLLMInferenceTrace_{name}.csv" for name in ("code", "conv"))


def read(folder: Path, *rows: str, header: str = HEADER, skip: bool = False) -> Trace:
    path = folder / "a.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return read_trace(path, on_bad_line="skip" if skip else "error")


def test_dates_count_from_the_earliest_wherever_it_stands(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        "2023-11-16 18:15:46.6805900,374,44",
        "2023-11-16 18:15:50.9951690,396,109",
        "2023-11-16 18:15:45.6805899,7,1",
    )
    assert trace.meta.format == "azure"
    assert trace.arrival_ns.tolist() == [0, 1_000_000_100, 5_314_579_100]
    assert trace.input_tokens.tolist() == [7, 374, 396]
    assert list(trace.request_ids) == ["2", "0", "1"]
    assert trace.meta.sorted_lines == 1


def test_dates_of_2024_have_a_zone_and_no_fraction_where_it_is_zero(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        "2024-05-10 00:00:00.009930+00:00,2162,5",
        "2024-05-10 00:00:01+00:00,2399,6",
        "2024-05-10T00:00:02.269Z,76,15",
    )
    assert trace.arrival_ns.tolist() == [0, 990_070_000, 2_259_070_000]


def test_images_of_2025_are_different_ones_of_unknown_size(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        "2024-10-15T12:00:00.269Z,0,770,491",
        "2024-10-15T12:00:05.819Z,2,949,126",
        "2024-10-15T12:00:06.513Z,1,964,79",
        header="TIMESTAMP,NumImages,ContextTokens,GeneratedTokens",
    )
    assert trace.images is not None
    assert trace.images.counts.tolist() == [0, 2, 1]
    assert trace.images.rows(1).tolist() == [[0, -1, -1, -1, -1], [1, -1, -1, -1, -1]]
    assert trace.images.values.shape == (3, len(IMAGE_COLUMNS))
    assert len(set(trace.image_names)) == 3
    assert trace.input_tokens.tolist() == [770, 949, 964]
    assert "the data set does not say whether ContextTokens counts" in trace.meta.notes[0]


def test_a_number_of_images_out_of_range_is_a_bad_line(tmp_path: Path) -> None:
    header = "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens"
    rows = [f"2024-10-15T12:00:00Z,{images},770,1" for images in ("1", "-1", "1e9", "x", "3")]
    with pytest.raises(TraceError, match=r"a\.csv:3: NumImages: must be an integer from 0 to 1024"):
        read(tmp_path, *rows[:2], header=header)
    trace = read(tmp_path, *rows, header=header, skip=True)
    assert trace.images is not None
    assert trace.images.counts.tolist() == [1, 3]
    assert trace.meta.skipped_lines == 3


def test_a_bad_date_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"a\.csv:3: TIMESTAMP: must be a date .*, is now"):
        read(tmp_path, "2023-11-16 18:15:46,1,1", "now,1,1")


def test_part_by_part_times_count_from_the_first_part_and_may_be_negative_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_lines, "BLOCK_BYTES", 80)
    rows = [f"2024-05-10 00:00:{second:02d},{second + 1},1" for second in (3, 2, 5, 4, 1, 6)]
    (tmp_path / "a.csv").write_text("\n".join((HEADER, *rows)))
    parts = [part.arrival_ns // 10**9 for part in Reading(tmp_path / "a.csv").parts()]
    assert [part.tolist() for part in parts] == [[1, 0], [3, 2, -1, 4]]
    whole = read(tmp_path, *rows)
    assert (whole.arrival_ns // 10**9).tolist() == [0, 1, 2, 3, 4, 5]
    assert whole.input_tokens.tolist() == [2, 3, 4, 5, 6, 7]


def test_the_published_files_have_their_published_statistics() -> None:
    code, conv = read_trace(real(CODE)), read_trace(real(CONV))
    assert (len(code), len(conv)) == (8_819, 19_366)
    assert (round(code.input_tokens.mean()), round(code.output_tokens.mean())) == (2_048, 28)
    assert (round(conv.input_tokens.mean()), round(conv.output_tokens.mean())) == (1_155, 211)
    assert (code.span_ns // 10**9, conv.span_ns // 10**9) == (3_435, 3_501)
    gaps = np.diff(code.arrival_ns)
    assert round(float(gaps.std() / gaps.mean()), 2) == 13.15


def test_trap_10_the_rows_of_2023_are_of_16_november_whatever_their_description_says() -> None:
    days = {line[:10] for line in real(CODE).read_text().splitlines()[1:]}
    assert days == {"2023-11-16"}


def test_trap_10_the_splitwise_file_of_vidur_is_the_same_trace() -> None:
    azure, vidur = read_trace(real(CONV)), read_trace(real("vidur/splitwise_conv.csv"))
    assert np.array_equal(azure.input_tokens, vidur.input_tokens)
    assert np.array_equal(azure.output_tokens, vidur.output_tokens)
    assert np.array_equal(azure.arrival_ns, vidur.arrival_ns)
