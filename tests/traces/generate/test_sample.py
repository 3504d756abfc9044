"""The embedded sample trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jenga_sim.traces import read_trace, sample_path
from jenga_sim.traces.generate.sample import sample_trace, write_sample
from jenga_sim.traces.meta import sidecar_path
from jenga_sim.traces.prefix_model.model import ideal_token_hit
from tests.traces.strategies import assert_same


def test_the_sample_file_is_what_the_code_writes(tmp_path: Path) -> None:
    again = write_sample(tmp_path / "chat.jsonl")

    assert sample_path().read_bytes() == again.path.read_bytes()
    assert sidecar_path(sample_path()).read_bytes() == again.sidecar.read_bytes()


def test_the_sample_is_read_as_it_was_generated() -> None:
    trace = read_trace(sample_path())

    assert_same(trace, sample_trace())
    assert trace.name == sample_trace().name == "chat.jsonl"


def test_the_sample_is_small_and_has_the_promised_shape() -> None:
    trace = sample_trace()

    assert len(trace) == 600
    assert 540e9 < trace.span_ns < 660e9
    assert sample_path().stat().st_size < 100_000
    assert 200 < np.median(trace.output_tokens) < 300
    assert 3_000 < np.mean(trace.input_tokens) < 4_000
    assert np.mean((trace.input_tokens >= 500) & (trace.input_tokens <= 4_000)) > 0.75
    assert 0.02 < np.mean(trace.input_tokens >= 16_000) < 0.15
    assert trace.input_tokens.max() < 65_536
    assert ideal_token_hit(trace) == pytest.approx(0.37, abs=0.005)
    assert np.all(trace.arrival_ns % 1_000_000 == 0)
