"""Reader for a recorded run of vLLM, as the benchmark of LLMServingSim writes it.

``arrival_time`` is a time of day; the other stamps are of the engine's own clock. The request that
reached the engine fastest is taken to have needed no time for it: so the clocks are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta as Rule

from ..columns import NONE, IntColumn
from ..limits import MAX_TIMESTAMP_MS, MAX_TOKENS
from ..problems import Problems
from ..rows import Rows
from ..source import Source
from .format import Format
from .json_lines import decoded_blocks
from .moments import spans_ns

_Seconds = Annotated[float, Rule(ge=0, le=MAX_TIMESTAMP_MS / 1000)]


class Served(msgspec.Struct, gc=False):
    """One request as the file has it; a stamp is null where it never came to that."""

    request_id: str | int
    input_toks: Annotated[int, Rule(ge=1, le=MAX_TOKENS)]
    output_toks: Annotated[int, Rule(ge=0, le=MAX_TOKENS)]
    arrival_time: _Seconds
    queued_ts: _Seconds
    first_token_ts: _Seconds | None
    last_token_ts: _Seconds | None


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``; the whole file at once, as its clocks are compared."""
    lines: list[int] = []
    requests: list[Served] = []
    for numbers, block in decoded_blocks(source.path, Served, problems):
        lines += numbers
        requests += block
    if not requests:
        return
    arrival = _ns([request.arrival_time for request in requests])
    between_clocks = int((_ns([request.queued_ts for request in requests]) - arrival).min())
    yield Rows(
        path=source.path,
        columns={
            "arrival_ns": arrival,
            "input_tokens": np.array([r.input_toks for r in requests], dtype=np.int64),
            "output_tokens": np.array([r.output_toks for r in requests], dtype=np.int64),
            "recorded_ttft_ns": _since(
                arrival + between_clocks, [request.first_token_ts for request in requests]
            ),
            "recorded_e2e_ns": _since(
                arrival + between_clocks, [request.last_token_ts for request in requests]
            ),
        },
        numbers=np.array(lines, dtype=np.int64) - 1,
        keys={"recorded_ttft_ns": "first_token_ts", "recorded_e2e_ns": "last_token_ts"},
        request_ids=[str(request.request_id) for request in requests],
        is_time_of_day=True,
    )


FORMAT = Format(
    name="vllm-run",
    summary="JSONL of a run of vLLM recorded by LLMServingSim: arrival_time, first_token_ts, ...",
    rows=rows,
    json_keys=frozenset(
        ("request_id", "input_toks", "output_toks", "arrival_time", "queued_ts", "first_token_ts")
    ),
)


def _ns(seconds: list[float]) -> IntColumn:
    return spans_ns(np.array(seconds), 9)[0]


def _since(start_ns: IntColumn, stamps: list[float | None]) -> IntColumn:
    known = np.array([stamp is not None for stamp in stamps])
    return np.where(known, _ns([stamp or 0.0 for stamp in stamps]) - start_ns, NONE)
