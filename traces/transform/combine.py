"""More requests from traces: copies of one, several together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...configs.errors import TraceError
from ..assemble import joined
from ..columns import IntColumn, Labels, Numbered, Ragged
from ..limits import NS_PER_MS
from ..record import Trace
from ..runs import dense_starts
from .times import seen_quantum_ms


def copies(trace: Trace, count: int) -> Trace:
    """Return ``count`` times the load: the same requests, with prefixes and sessions of their own.

    Copy k arrives k/count of a mean gap later, so that copies do not come in step; by whole ticks
    where arrivals are in coarse quanta.

    Raises:
        TraceError: ``count`` is below 1.
    """
    if count < 1:
        raise TraceError(f"--copies {count}: give 1 or more")
    gap_ns = trace.span_ns / max(len(trace), 1)
    tick_ns = round((seen_quantum_ms(trace.arrival_ns) or 0.0) * NS_PER_MS) or 1
    later = [round(gap_ns * k / count) // tick_ns * tick_ns for k in range(count)]
    parts = [replace(trace, arrival_ns=trace.arrival_ns + shift) for shift in later]
    return _together(parts, [f"copy{k}" for k in range(count)])


def merged(traces: Sequence[Trace], *, same_ids: bool = False) -> Trace:
    """Return the requests of several traces, each with its own times.

    Args:
        traces: The traces; their hash blocks must have one size.
        same_ids: Whether equal hash ids in two of them are equal blocks; else they are kept apart.

    Raises:
        TraceError: There is none, or block sizes differ.
    """
    if not traces:
        raise TraceError("merge: give at least one trace")
    sizes = sorted({trace.block_size for trace in traces if trace.has_hashes})
    if len(sizes) > 1:
        raise TraceError(
            f"merge: hash blocks of {' and '.join(map(str, sizes))} tokens cannot be mixed; "
            "convert one of the traces with --prefix-model none"
        )
    prefixes = [f"{number}:{trace.name}" for number, trace in enumerate(traces)]
    whole = _together(list(traces), prefixes, same_ids=same_ids)
    return whole.with_meta(
        name="+".join(trace.name for trace in traces),
        sha256="",
        block_size=sizes[0] if sizes else traces[0].block_size,
        notes=tuple(note for trace in traces for note in trace.meta.notes),
    )


def _together(traces: list[Trace], prefixes: list[str], *, same_ids: bool = False) -> Trace:
    ids = [trace.hash_runs for trace in traces] if same_ids else _kept_apart(traces)
    parts: list[Trace] = []
    before = 0
    for trace, prefix, runs in zip(traces, prefixes, ids, strict=True):
        after = trace.after
        if after is not None:
            after = Ragged(after.offsets, after.values + before)
        session = trace.session
        if session is not None:
            session = Labels(session.codes, tuple(f"{prefix}/{name}" for name in session.names))
        parts.append(replace(trace, hash_runs=runs, after=after, session=session))
        before += len(trace)
    whole = joined(parts)
    names = _names(traces, prefixes)
    return replace(whole, request_ids=names, meta=traces[0].meta).in_order()


def _kept_apart(traces: list[Trace]) -> list[Ragged]:
    """Hash ids without an id in common."""
    columns: list[Ragged] = []
    base = 0
    for trace in traces:
        runs = trace.hash_runs
        starts, total = dense_starts(runs.values)
        values = np.stack([starts + base, runs.values[:, 1]], axis=1)
        columns.append(Ragged(runs.offsets, values))
        base += total
    return columns


def _names(traces: list[Trace], prefixes: list[str]) -> Sequence[str]:
    """Names of all requests; with their trace in front unless all are plain numbers."""
    if all(isinstance(trace.request_ids, Numbered) for trace in traces):
        numbers: IntColumn = np.arange(sum(map(len, traces)), dtype=np.int64)
        return Numbered(numbers)
    pairs = zip(traces, prefixes, strict=True)
    return tuple(f"{prefix}/{name}" for trace, prefix in pairs for name in trace.request_ids)
