"""Reader for results of ``vllm bench serve --save-result --save-detailed``.

A result is one JSON object in which each quantity is a list with one entry per request, in the
order in which they were sent. ``--append-result`` puts one object on each line, a sweep writes a
list of them. ``sglang.bench_serving --output-details`` writes the same lists without start times.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from ...configs.errors import TraceError
from ..limits import MAX_NS
from ..problems import Problems
from ..rows import Rows
from ..source import Source
from .format import Format
from .json_tree import BadValueError, Seconds, Tokens, decoded, documents
from .lists import integers, nanoseconds, words
from .several import chosen_run

_Raws = list[msgspec.Raw] | None


class Run(msgspec.Struct):
    """One result: lists with an entry per request, and how the requests were sent."""

    input_lens: _Raws = None
    output_lens: _Raws = None
    ttfts: _Raws = None
    itls: _Raws = None
    latencies: _Raws = None
    start_times: _Raws = None
    errors: _Raws = None
    model_id: str | None = None
    request_rate: float | str | None = None
    max_concurrency: int | None = None


class Sent(msgspec.Struct):
    """One request of a run, times in seconds."""

    input_lens: int
    output_lens: int
    ttfts: float | None = None
    itls: list[float] | None = None
    latencies: float | None = None
    start_times: float | None = None
    errors: str | None = None

    @property
    def failed(self) -> bool:
        """Whether nothing came out."""
        return bool(self.errors) or not self.output_lens

    @property
    def e2e_s(self) -> float | None:
        """Time to the last token."""
        if self.failed:
            return None
        if self.latencies is not None:
            return self.latencies
        return None if self.ttfts is None else math.fsum((self.ttfts, *(self.itls or ())))


_ENTRIES: dict[str, msgspec.json.Decoder[Any]] = {
    "input_lens": msgspec.json.Decoder(Tokens),
    "output_lens": msgspec.json.Decoder(Tokens),
    "ttfts": msgspec.json.Decoder(Seconds | None),
    "itls": msgspec.json.Decoder(list[Seconds] | None),
    "latencies": msgspec.json.Decoder(Seconds | None),
    "start_times": msgspec.json.Decoder(Seconds | None),
    "errors": msgspec.json.Decoder(str | None),
}
_LATEST_S = MAX_NS / 1e9
_RUN = msgspec.json.Decoder(Run)


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    runs = [_run(source, place, text) for place, text in documents(source.path)]
    names = [f"{run.request_rate} requests/s" for run in runs]
    run = runs[chosen_run(source, names, problems)]
    numbers, sent = _requests(source, run, problems)
    if not sent:
        return
    failed = sum(request.failed for request in sent)
    if failed:
        problems.notes.append(f"{failed} requests failed; they are kept as cancelled")
    arrivals = _recorded_arrivals(sent) or _likely_arrivals(run, sent, problems)
    good = [request if not request.failed else None for request in sent]
    yield Rows(
        path=source.path,
        columns=integers(
            arrival_ns=arrivals,
            input_tokens=[request.input_lens for request in sent],
            output_tokens=[request.output_lens for request in sent],
            cancelled=[int(request.failed) for request in sent],
            recorded_ttft_ns=[nanoseconds(request and request.ttfts) for request in good],
            recorded_e2e_ns=[nanoseconds(request.e2e_s) for request in sent],
        )
        | words(model=[run.model_id] * len(sent)),
        numbers=np.array(numbers, dtype=np.int64),
        where=lambda number: f" request {number}",
        keys={"input_tokens": "input_lens", "output_tokens": "output_lens"},
    )


FORMAT = Format(
    name="vllm-bench",
    summary="Result JSON of vllm bench serve --save-detailed (or sglang.bench_serving)",
    rows=rows,
    json_keys=frozenset(("duration", "completed", "total_input_tokens", "request_throughput")),
)


def _run(source: Source, place: str, text: bytes | msgspec.Raw) -> Run:
    try:
        return decoded(_RUN, text)
    except BadValueError as bad:
        raise TraceError(f"{source.path}:{place}: {bad}") from None


def _requests(source: Source, run: Run, problems: Problems) -> tuple[list[int], list[Sent]]:
    """The requests of a run with their numbers; one without a prompt length is left out."""
    lists = {name: entries for name in _ENTRIES if (entries := getattr(run, name)) is not None}
    count = len(lists.get("input_lens", ()))
    for name in ("input_lens", "output_lens"):
        if name not in lists:
            raise TraceError(
                f"{source.path}: {name}: is missing; write the result with --save-detailed"
            )
    for name, entries in lists.items():
        if len(entries) != count:
            raise TraceError(
                f"{source.path}: {name}: must have {count} entries as input_lens, has "
                f"{len(entries)}"
            )
    numbers: list[int] = []
    sent: list[Sent] = []
    unknown = 0
    for number in range(count):
        request = _request(source, number, lists, problems)
        if request is not None and request.failed and not request.input_lens:
            unknown += 1
        elif request is not None:
            numbers.append(number)
            sent.append(request)
    if unknown:
        problems.notes.append(f"{unknown} requests failed without a prompt length; left out")
    return numbers, sent


def _request(
    source: Source, number: int, lists: dict[str, list[msgspec.Raw]], problems: Problems
) -> Sent | None:
    entries: dict[str, Any] = {}
    for name, values in lists.items():
        try:
            entries[name] = decoded(_ENTRIES[name], values[number])
        except BadValueError as bad:
            problems.add(f"{source.path}: {name}[{number}]", str(bad))
            return None
    return Sent(**entries)


def _recorded_arrivals(sent: list[Sent]) -> list[int] | None:
    """Arrivals after the first one; a request without a start has that of the one before it."""
    starts = [request.start_times or 0.0 for request in sent]
    known = [start for start in starts if start]
    if not known:
        return None
    first = latest = min(known)
    arrivals: list[int] = []
    for start in starts:
        latest = start or latest
        arrivals.append(round((latest - first) * 1e9))
    return arrivals


def _likely_arrivals(run: Run, sent: list[Sent], problems: Problems) -> list[int]:
    """Arrivals from the rate and the limit of requests under way, whose ends free places."""
    rate = run.request_rate if isinstance(run.request_rate, float) else 0.0
    limit = run.max_concurrency or 0
    spacing = f"spaced evenly at {rate:g} requests/s" if rate > 0 else "all sent at once"
    limited = f", at most {limit} under way" if limit > 0 else ""
    problems.notes.append(f"the file has no start times; requests are taken as {spacing}{limited}")
    ends: list[float] = []
    arrivals: list[int] = []
    for number, request in enumerate(sent):
        start = number / rate if rate > 0 else 0.0
        if limit > 0 and len(ends) >= limit:
            start = max(start, heapq.heappop(ends))
        heapq.heappush(ends, start + (request.e2e_s or 0.0))
        arrivals.append(round(min(start, _LATEST_S) * 1e9))
    return arrivals
