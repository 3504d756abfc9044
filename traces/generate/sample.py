"""The sample trace that comes with the package, and the code that it comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..columns import NONE, IntColumn
from ..limits import NS_PER_MS
from ..record import Trace
from ..sample import sample_path
from ..write import Written, write_trace
from .arrivals import Poisson
from .generate import generate_trace
from .workloads.chat import Chat

# Short questions, some of which come with a document; turns follow each other quickly, so that ten
# minutes show sessions that grow.
_CHAT = Chat(
    turns=1.6,
    first_tokens=1_400.0,
    first_p90_tokens=2_833.0,
    documents=0.06,
    document_tokens=30_000.0,
    document_p90_tokens=50_000.0,
    next_tokens=120.0,
    next_p90_tokens=432.0,
    pastes=0.0,
    output_tokens=250.0,
    output_p99_tokens=1_600.0,
    gap_s=30.0,
    gap_p90_s=90.0,
    shared_tokens=0,
    longest_tokens=65_536,
)
_REQUESTS = 600
# One of those whose ten minutes are near the means above.
_SEED = 20_334


def sample_trace() -> Trace:
    """Return the embedded sample: 600 chat requests in about ten minutes, in whole milliseconds."""
    trace = generate_trace(_CHAT, Poisson(), requests=_REQUESTS, seed=_SEED)
    assert trace.delay_ns is not None
    delays = np.where(trace.delay_ns == NONE, NONE, _whole_ms(trace.delay_ns))
    trace = replace(trace, arrival_ns=_whole_ms(trace.arrival_ns), delay_ns=delays)
    return trace.with_meta(name=sample_path().name)


def write_sample(path: Path | None = None) -> Written:
    """Write the sample trace, by default to where the package has it."""
    return write_trace(sample_trace(), path or sample_path())


def _whole_ms(ns: IntColumn) -> IntColumn:
    return ns // NS_PER_MS * NS_PER_MS
