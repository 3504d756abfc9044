"""Reader for ``benchmarks.json`` of guidellm: one or more benchmarks with all their requests."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from ..problems import Problems
from ..rows import Column, Rows
from ..source import Source
from .format import Format
from .json_tree import Index, Milliseconds, Seconds, Tokens, document, good_values
from .lists import integers, nanoseconds, predecessors, words
from .several import chosen_run
from .turns import pauses_ns, previous_turns


class Timings(msgspec.Struct):
    """Unix times in seconds."""

    request_start: Seconds | None = None
    resolve_start: Seconds | None = None
    request_end: Seconds | None = None


class Info(msgspec.Struct):
    """Which turn of which conversation a request is, and when it was under way."""

    timings: Timings
    conversation_id: str | None = None
    turn_index: Index = 0
    node_id: str | None = None
    parent_node_ids: list[str] = []


class Request(msgspec.Struct):
    """What is known of one request."""

    request_id: str
    info: Info
    prompt_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cached_tokens: Tokens | None = None
    request_latency: Seconds | None = None
    time_to_first_token_ms: Milliseconds | None = None

    @property
    def start_s(self) -> float | None:
        """Unix time at which it was sent; None if it never was."""
        timings = self.info.timings
        return timings.resolve_start if timings.request_start is None else timings.request_start


class Requests(msgspec.Struct):
    """The requests of a benchmark by how they ended."""

    successful: list[msgspec.Raw] | None = None
    incomplete: list[msgspec.Raw] | None = None
    errored: list[msgspec.Raw] | None = None


class Strategy(msgspec.Struct):
    """How the requests were sent."""

    type_: str = ""
    rate: float | None = None
    streams: int | None = None


class Config(msgspec.Struct):
    """Settings of a benchmark."""

    strategy: Strategy = msgspec.field(default_factory=Strategy)


class Totals(msgspec.Struct):
    """How many requests there were."""

    total: int | None = None


class Metrics(msgspec.Struct):
    """Figures of the whole benchmark."""

    request_totals: Totals = msgspec.field(default_factory=Totals)


class Benchmark(msgspec.Struct):
    """One run at one rate."""

    requests: Requests
    config: Config = msgspec.field(default_factory=Config)
    metrics: Metrics = msgspec.field(default_factory=Metrics)

    @property
    def name(self) -> str:
        """What its strategy was."""
        strategy = self.config.strategy
        load = strategy.rate if strategy.rate is not None else strategy.streams
        return strategy.type_ if load is None else f"{strategy.type_} {load:g}"


class Report(msgspec.Struct):
    """The file."""

    benchmarks: list[Benchmark]


_REPORT = msgspec.json.Decoder(Report)
_REQUEST = msgspec.json.Decoder(Request)
_ENDINGS = ("successful", "incomplete", "errored")


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    benchmarks = document(source.path, _REPORT).benchmarks
    run = chosen_run(source, [benchmark.name for benchmark in benchmarks], problems)
    places, requests = _requests(source, run, benchmarks[run], problems)
    if not requests:
        return
    yield Rows(
        path=source.path,
        columns=_columns(requests, ["successful" in place for place in places]),
        numbers=np.arange(len(requests), dtype=np.int64),
        where=places.__getitem__,
        keys={
            "input_tokens": "prompt_tokens",
            "turn": "info.turn_index",
            "request_ids": "request_id",
        },
        request_ids=[request.request_id for request in requests],
    )


FORMAT = Format(
    name="guidellm",
    summary="Report of guidellm: benchmarks.json",
    rows=rows,
    json_keys=frozenset(("metadata", "benchmarks")),
)


def _requests(
    source: Source, run: int, benchmark: Benchmark, problems: Problems
) -> tuple[list[str], list[Request]]:
    """The requests of a benchmark with their places in the file."""
    texts = [
        (f" benchmarks[{run}].requests.{ending}[{index}]", text)
        for ending in _ENDINGS
        for index, text in enumerate(getattr(benchmark.requests, ending) or ())
    ]
    places: list[str] = []
    requests: list[Request] = []
    unknown = cut = 0
    for place, request in good_values(_REQUEST, texts, source.path, problems):
        if request.start_s is not None and request.prompt_tokens:
            places.append(place)
            requests.append(request)
            cut += ".successful[" not in place
        elif ".successful[" in place:
            key = "prompt_tokens" if request.start_s is not None else "info.timings.request_start"
            problems.add(f"{source.path}:{place}", f"{key}: is missing")
        else:
            unknown += 1
    total = benchmark.metrics.request_totals.total or 0
    for count, what in (
        (cut, "requests failed or did not finish; they are kept as cancelled"),
        (unknown, "requests failed without a start or a prompt length; they are left out"),
        (total - len(texts), f"requests of {total} are not in the file, which keeps a sample"),
    ):
        if count > 0:
            problems.notes.append(f"{count} {what}")
    return places, requests


def _columns(requests: list[Request], good: list[bool]) -> dict[str, Column]:
    starts = [request.start_s or 0.0 for request in requests]
    first = min(starts)
    arrivals = [round((start - first) * 1e9) for start in starts]
    ends = [
        None if (end := request.info.timings.request_end) is None else round((end - first) * 1e9)
        for request in requests
    ]
    infos = [request.info for request in requests]
    sessions = [info.conversation_id for info in infos]
    before = _before(infos)
    done = [request if ok else None for request, ok in zip(requests, good, strict=True)]
    return (
        integers(
            arrival_ns=arrivals,
            input_tokens=[request.prompt_tokens for request in requests],
            output_tokens=[request.output_tokens or 0 for request in requests],
            turn=[info.turn_index if info.conversation_id else None for info in infos],
            delay_ns=pauses_ns(before, arrivals, ends),
            cancelled=[int(not ok) for ok in good],
            recorded_ttft_ns=[_ttft_ns(request) for request in done],
            recorded_e2e_ns=[nanoseconds(request and request.request_latency) for request in done],
            recorded_cached_tokens=[request and request.cached_tokens for request in done],
        )
        | words(session=sessions)
        | predecessors(before)
    )


def _before(infos: list[Info]) -> list[tuple[int, ...]]:
    """Positions of the requests before each: its parents in the graph, or the turn before."""
    nodes = {(info.conversation_id, info.node_id): at for at, info in enumerate(infos)}
    by_turn = previous_turns(
        [info.conversation_id for info in infos], [info.turn_index for info in infos]
    )
    before: list[tuple[int, ...]] = []
    for info, turn in zip(infos, by_turn, strict=True):
        parents = [nodes.get((info.conversation_id, parent)) for parent in info.parent_node_ids]
        known = tuple(at for at in parents if at is not None)
        before.append(known if info.node_id is not None else turn)
    return before


def _ttft_ns(request: Request | None) -> int | None:
    time = request and request.time_to_first_token_ms
    return None if time is None else round(time * 1e6)
