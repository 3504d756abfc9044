"""Reader for ``profile_export.jsonl`` of aiperf: one record per request, in order of completion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta as Rule

from ..limits import MAX_NS
from ..problems import Problems
from ..rows import Column, Rows
from ..source import Source, line_blocks
from .format import Format
from .json_tree import Index, Nanoseconds, Tokens, good_values
from .lists import integers, predecessors, words
from .turns import pauses_ns, previous_turns

_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "sec": 1e9}


class Count(msgspec.Struct):
    """A number of tokens."""

    value: Tokens


class Duration(msgspec.Struct):
    """A time with its unit."""

    value: Annotated[float, Rule(ge=0.0, le=MAX_NS / 1e9)]
    unit: Literal["ns", "us", "ms", "sec"] = "ms"

    @property
    def ns(self) -> int:
        """The same in nanoseconds."""
        return round(self.value * _NS[self.unit])


class Metrics(msgspec.Struct):
    """What was measured of one request; a failed one has few of them.

    Sequence lengths are counted by the client, ``usage`` by the server, which knows its template.
    """

    usage_prompt_tokens: Count | None = None
    usage_completion_tokens: Count | None = None
    input_sequence_length: Count | None = None
    error_isl: Count | None = None
    output_sequence_length: Count | None = None
    reasoning_token_count: Count | None = None
    usage_prompt_cache_read_tokens: Count | None = None
    time_to_first_token: Duration | None = None
    request_latency: Duration | None = None


class Facts(msgspec.Struct):
    """Who asked, when, and in which phase of the benchmark."""

    request_start_ns: Nanoseconds
    request_end_ns: Nanoseconds
    benchmark_phase: str = "profiling"
    x_request_id: str | None = None
    x_correlation_id: str | None = None
    turn_index: Index | None = None
    was_cancelled: bool = False


class Record(msgspec.Struct):
    """One line."""

    metadata: Facts
    metrics: Metrics
    error: dict[str, msgspec.Raw] | None = None

    @property
    def failed(self) -> bool:
        """Whether there is an error, or the client went away."""
        return self.metadata.was_cancelled or self.error is not None

    @property
    def input_tokens(self) -> int:
        """Prompt length; 0 if nobody counted it."""
        metrics = self.metrics
        counted = metrics.usage_prompt_tokens or metrics.input_sequence_length
        return _count(counted or metrics.error_isl) or 0

    @property
    def output_tokens(self) -> int:
        """Generated length, reasoning included."""
        metrics = self.metrics
        return _count(metrics.usage_completion_tokens or metrics.output_sequence_length) or 0


_RECORD = msgspec.json.Decoder(Record)


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    numbers, records = _profiled(source, problems)
    if not records:
        return
    names = [record.metadata.x_request_id for record in records]
    yield Rows(
        path=source.path,
        columns=_columns(records, numbers),
        numbers=np.array(numbers, dtype=np.int64),
        keys={
            "input_tokens": "metrics.input_sequence_length",
            "output_tokens": "metrics.output_sequence_length",
            "turn": "metadata.turn_index",
            "request_ids": "metadata.x_request_id",
        },
        request_ids=[name for name in names if name is not None] if all(names) else None,
    )


FORMAT = Format(
    name="aiperf",
    summary="Records of aiperf: profile_export.jsonl",
    rows=rows,
    json_keys=frozenset(("metadata", "metrics")),
)


def _profiled(source: Source, problems: Problems) -> tuple[list[int], list[Record]]:
    """The records of the measured phase with their numbers."""
    lines = (
        (str(number), line)
        for first, block in line_blocks(source.path, 1024)
        for number, line in enumerate(block, first)
        if not line.isspace()
    )
    numbers: list[int] = []
    records: list[Record] = []
    warmup = failed = unknown = 0
    for place, record in good_values(_RECORD, lines, source.path, problems):
        if record.metadata.benchmark_phase.lower() == "warmup":
            warmup += 1
        elif not record.input_tokens and not record.failed:
            problems.add(f"{source.path}:{place}", "metrics.input_sequence_length: is missing")
        elif not record.input_tokens:
            unknown += 1
        else:
            failed += record.failed
            numbers.append(int(place) - 1)
            records.append(record)
    for count, what in (
        (warmup, "records are of the warm-up; they are left out"),
        (failed, "requests failed or were cancelled; they are kept as cancelled"),
        (unknown, "requests failed without a prompt length; they are left out"),
    ):
        if count:
            problems.notes.append(f"{count} {what}")
    return numbers, records


def _columns(records: list[Record], numbers: list[int]) -> dict[str, Column]:
    facts = [record.metadata for record in records]
    good = [record.metrics if not record.failed else Metrics() for record in records]
    first = min(fact.request_start_ns for fact in facts)
    starts = [fact.request_start_ns - first for fact in facts]
    sessions = [fact.x_correlation_id for fact in facts]
    turns = [fact.turn_index for fact in facts]
    before = previous_turns(sessions, turns)
    ends = [fact.request_end_ns - first for fact in facts]
    return (
        integers(
            arrival_ns=starts,
            input_tokens=[record.input_tokens for record in records],
            output_tokens=[record.output_tokens for record in records],
            turn=turns,
            delay_ns=pauses_ns(before, starts, ends),
            reasoning_tokens=[_count(record.metrics.reasoning_token_count) for record in records],
            cancelled=[int(record.failed) for record in records],
            recorded_ttft_ns=[_ns(metrics.time_to_first_token) for metrics in good],
            recorded_e2e_ns=[_ns(metrics.request_latency) for metrics in good],
            recorded_cached_tokens=[_count(m.usage_prompt_cache_read_tokens) for m in good],
        )
        | words(session=sessions)
        | predecessors([[numbers[at] for at in positions] for positions in before])
    )


def _count(count: Count | None) -> int | None:
    return None if count is None else count.value


def _ns(duration: Duration | None) -> int | None:
    return None if duration is None else duration.ns
