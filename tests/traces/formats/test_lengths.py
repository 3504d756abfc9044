"""Lengths with or without times, as vidur and etalon publish them."""

from __future__ import annotations

from pathlib import Path

from jenga_sim.traces import read_trace
from tests.traces.data import real

ARXIV = "vidur/arxiv_summarization_stats_llama2_tokenizer_filtered_v2.csv"
BWB = "etalon/bwb_stats_llama2_tokenizer_filtered_v2.csv"
NO_TIMES = "no arrival times: all requests arrive at once; give --rate"


def test_without_times_all_requests_arrive_at_once_and_the_user_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("num_prefill_tokens,num_decode_tokens\n3772,54\n2015,156\n")
    trace = read_trace(path)
    assert trace.meta.format == "lengths"
    assert trace.arrival_ns.tolist() == [0, 0]
    assert trace.meta.notes == (NO_TIMES,)


def test_times_are_seconds_from_the_start_of_the_trace(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,374,44\n5.8926549999999995,396,109\n"
    )
    trace = read_trace(path)
    assert trace.arrival_ns.tolist() == [500_000_000, 5_892_655_000]
    assert not trace.meta.notes


def test_the_published_files_have_their_published_statistics() -> None:
    arxiv, bwb = read_trace(real(ARXIV)), read_trace(real(BWB))
    assert (len(arxiv), len(bwb)) == (28_257, 33_768)
    assert (round(arxiv.input_tokens.mean()), round(arxiv.output_tokens.mean())) == (2_588, 291)
    assert (round(bwb.input_tokens.mean()), round(bwb.output_tokens.mean())) == (1_067, 1_613)
    assert NO_TIMES in arxiv.meta.notes
