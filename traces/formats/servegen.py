"""Sampling of ServeGen's client pools: a pool is no trace, but describes many.

Within a window every client sends as many requests as its rate says, at gaps of its family and
shape. Each field of a request is drawn by itself. (ServeGen 1.0 draws all fields of a request with
one number, which makes long prompts come with long answers; a client's lengths do not say so.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ...configs.errors import TraceError
from ..columns import NONE, IntColumn, Labels, Ragged, offsets_of
from ..generate.draw import Draw, Stream
from ..generate.elementary import FloatColumn
from ..problems import Problems
from ..record import IMAGE_COLUMNS
from ..rows import Column, Rows
from ..source import Source
from .format import Format
from .servegen_pool import Client, Pool, Values, Window, read_pool

DEFAULT_DURATION_S = 3600
"""A pool is read as the trace of its first hour in which there are requests."""
DEFAULT_SEED = 0
WINDOW_S = 600
"""Length of the last window of a client that has only one."""
MAX_REQUESTS = 2**26
"""Most requests of a sample."""

_KINDS = ("image", "audio", "video")


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    pool = read_pool(source, problems)
    busy = [w.start_s for client in pool.clients for w in client.windows if w.rate]
    if not busy:
        return
    start = min(busy)
    problems.notes.append(
        f"a pool of {len(pool.clients)} clients, sampled from second {start} for "
        f"{DEFAULT_DURATION_S} s with seed {DEFAULT_SEED}"
    )
    yield sample(pool, start, DEFAULT_DURATION_S, None, DEFAULT_SEED)


FORMAT = Format(
    name="servegen",
    summary="A folder of ServeGen's client pools (chunk-N-trace.csv), sampled for an hour",
    rows=rows,
    folder="chunk-*-trace.csv",
)


def sample(pool: Pool, start_s: float, duration_s: float, rate: float | None, seed: int) -> Rows:
    """Return requests of a pool in order of time; arrivals count from ``start_s``.

    Args:
        pool: The clients.
        start_s: Where in the pool's time it begins.
        duration_s: How long it lasts; what is not in the pool's time is silent.
        rate: Requests per second of all clients, averaged over that time; as recorded if None.
            Clients keep their shares, and the load its shape.
        seed: An integer from 0; other seeds give other requests.

    Raises:
        TraceError: There would be too many requests.
    """
    spans = {
        client.number: _spans(client, start_s, start_s + duration_s) for client in pool.clients
    }
    expected = math.fsum(w.rate * (hi - lo) for found in spans.values() for w, lo, hi in found)
    scale = 1.0 if rate is None or not expected else rate * duration_s / expected
    if not expected * scale <= MAX_REQUESTS:
        raise TraceError(
            f"{pool.path}: would be {expected * scale:.3g} requests, more than {MAX_REQUESTS}; "
            "take a shorter time or a lower rate"
        )
    parts = [_client(client, spans[client.number], start_s, scale, seed) for client in pool.clients]
    return _rows(pool, [part for part in parts if len(part.arrivals)])


@dataclass(frozen=True)
class _Part:
    """Requests of one client in order of time; ``images`` are the tokens of each image."""

    number: int
    arrivals: IntColumn
    inputs: IntColumn
    outputs: IntColumn
    reasoning: IntColumn | None
    image_counts: IntColumn
    images: IntColumn


def _spans(client: Client, start_s: float, end_s: float) -> list[tuple[Window, float, float]]:
    """The windows of a client in a time, with the part of each that is in it."""
    starts = [window.start_s for window in client.windows]
    last = starts[-1] + (starts[-1] - starts[-2] if len(starts) > 1 else WINDOW_S)
    spans: list[tuple[Window, float, float]] = []
    for window, end in zip(client.windows, [*starts[1:], last], strict=True):
        low, high = max(float(window.start_s), start_s), min(float(end), end_s)
        if low < high and window.rate:
            spans.append((window, low, high))
    return spans


def _client(
    client: Client,
    spans: list[tuple[Window, float, float]],
    start_s: float,
    scale: float,
    seed: int,
) -> _Part:
    number = client.number
    draw = Draw(seed).child(f"servegen/{number}")
    moments = draw.stream("times")
    times = [_times(moments, window, low, high, scale) for window, low, high in spans]
    fields = [client.fields_at(window.start_s) for window, _, _ in spans]
    counts = [len(window) for window in times]
    seconds = np.concatenate([np.zeros(0), *times]) - start_s
    inputs = _ints(draw.stream("text"), fields, counts, ("input_tokens", "text_tokens"))
    outputs = _ints(draw.stream("output"), fields, counts, ("output_tokens",))
    image_counts = images = np.zeros(0, dtype=np.int64)
    for kind in _KINDS:
        items = _ints(draw.stream(f"{kind} count"), fields, counts, (f"{kind}_count",))
        inside = np.split(items, np.cumsum(counts)[:-1]) if counts else []
        totals = [int(window.sum()) for window in inside]
        tokens = _ints(draw.stream(f"{kind} tokens"), fields, totals, (f"{kind}_tokens",))
        inputs = inputs + np.diff(offsets_of(tokens)[offsets_of(items)])
        if kind == "image":
            image_counts, images = items, tokens
    ratios = _draw(draw.stream("reason"), fields, counts, ("reason_ratio",))
    return _Part(
        number=number,
        arrivals=np.rint(seconds * 1e9).astype(np.int64),
        inputs=np.maximum(inputs, 1),
        outputs=outputs,
        reasoning=None if ratios is None else np.rint(outputs * ratios).astype(np.int64),
        image_counts=image_counts,
        images=images,
    )


def _times(moments: Stream, window: Window, low: float, high: float, scale: float) -> FloatColumn:
    """Moments in a window: gaps of its family fill it, in a circle from a random moment on."""
    expected = window.rate * scale * (high - low)
    rest, offset = moments.uniform(2)
    count = int(expected) + int(rest < expected - int(expected))
    family = moments.gamma if window.family == "Gamma" else moments.weibull
    ends = np.cumsum(family(window.shape, count))
    if not count or not ends[-1] > 0.0:
        return np.full(count, low)
    return low + np.sort((offset + ends / ends[-1]) % 1.0) * (high - low)


def _draw(
    draws: Stream, fields: list[Mapping[str, Values]], counts: list[int], names: tuple[str, ...]
) -> FloatColumn | None:
    """Values of a field, some for each window; None if no window has the field."""
    parts: list[FloatColumn] = []
    known = False
    for window, count in zip(fields, counts, strict=True):
        values = next((window[name] for name in names if name in window), None)
        known |= values is not None
        if values is None:
            parts.append(np.zeros(count))
        else:
            parts.append(values.values[draws.choice(values.weights, count)])
    return np.concatenate(parts) if known else None


def _ints(
    draws: Stream, fields: list[Mapping[str, Values]], counts: list[int], names: tuple[str, ...]
) -> IntColumn:
    """The same in whole numbers; zeros if no window has the field."""
    values = _draw(draws, fields, counts, names)
    return np.zeros(sum(counts), np.int64) if values is None else np.rint(values).astype(np.int64)


def _rows(pool: Pool, parts: list[_Part]) -> Rows:
    """All clients' requests in order of time."""
    none = np.zeros(0, dtype=np.int64)
    arrivals = np.concatenate([none, *(part.arrivals for part in parts)])
    order = np.argsort(arrivals, kind="stable")
    owners = np.repeat(np.arange(len(parts)), [len(part.arrivals) for part in parts])
    columns: dict[str, Column] = {
        "arrival_ns": arrivals[order],
        "input_tokens": np.concatenate([none, *(part.inputs for part in parts)])[order],
        "output_tokens": np.concatenate([none, *(part.outputs for part in parts)])[order],
        "tenant": Labels(owners[order], tuple(f"chunk-{part.number}" for part in parts)),
    }
    if any(part.reasoning is not None for part in parts):
        reasoning = [
            np.full(len(part.arrivals), NONE) if part.reasoning is None else part.reasoning
            for part in parts
        ]
        columns["reasoning_tokens"] = np.concatenate(reasoning)[order]
    images = Ragged(
        offsets_of(np.concatenate([none, *(part.image_counts for part in parts)])),
        np.concatenate([none, *(part.images for part in parts)])[:, None],
    ).take(order)
    if len(images.values):
        table = np.full((len(images.values), len(IMAGE_COLUMNS)), NONE, dtype=np.int64)
        table[:, 0] = np.arange(len(table))
        table[:, 1] = images.values[:, 0]
        columns["images"] = Ragged(images.offsets, table)
    return Rows(
        path=pool.path,
        columns=columns,
        numbers=np.arange(len(order), dtype=np.int64),
        image_names=tuple(map(str, range(len(images.values)))),
    )
