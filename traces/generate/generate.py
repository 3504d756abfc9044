"""Traffic that was never recorded: a workload, arrivals and a seed give a trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import cast

import msgspec
import numpy as np

from ...configs.errors import TraceError
from ..assemble import joined, taken
from ..columns import IntColumn, Labels, Numbered
from ..meta import Meta
from ..record import Trace
from ..words import described, parse
from .arrivals import Arrivals, AtOnce, Constant, Gamma, Poisson, Weibull, refuse_late, with_rate
from .changing import Diurnal, OnOff
from .clients import Clients
from .draw import Draw
from .merge import in_time_order
from .workload import Workload
from .workloads import WORKLOADS

ARRIVALS: dict[str, type[Arrivals]] = {
    kind.NAME: cast("type[Arrivals]", kind)
    for kind in (Poisson, Constant, Gamma, Weibull, OnOff, Diurnal, Clients, AtOnce)
}
"""Arrival processes by name."""


def parse_workload(text: str) -> Workload:
    """Read a workload such as ``chat`` or ``agent:turns=44,shared=15000``.

    Raises:
        TraceError: The name or a key is unknown, or a value is out of range.
    """
    return parse(text, WORKLOADS, "workload")


def parse_arrivals(text: str, rate_per_s: float | None = None) -> Arrivals:
    """Read an arrival process such as ``poisson`` or ``gamma:cv=2.5,rate=4``.

    Args:
        text: The words; the rate is 1 per second if they do not say.
        rate_per_s: The rate, if the words do not say.

    Raises:
        TraceError: The name or a key is unknown, a value is out of range, or there are two rates.
    """
    found = parse(text, ARRIVALS, "arrivals")
    if rate_per_s is None:
        return found
    if isinstance(found, AtOnce):
        raise TraceError("--rate: at-once has none; name arrivals that do, such as poisson")
    if "rate=" in text:
        raise TraceError(f"--rate: arrivals {text} have a rate already; give one of them")
    return with_rate(found, rate_per_s)


def generate(
    workload: Workload,
    arrivals: Arrivals | None = None,
    *,
    requests: int | None = None,
    duration_s: float | None = None,
    seed: int = 0,
) -> Iterator[Trace]:
    """Yield a trace part by part, in order of arrival.

    Args:
        workload: What arrives.
        arrivals: When; those that go with the workload, once per second, if left out. The rate
            counts requests: where a session has several, sessions start less often. As sessions
            start at time 0, there are fewer requests than that until the first of them end.
        requests: Number of requests.
        duration_s: Time after which nothing arrives, in seconds.
        seed: Seed of all random numbers.

    Yields:
        Requests that are named by their number; ``after`` holds such numbers. A trace with fewer
        requests or a shorter duration is the beginning of one with more.

    Raises:
        TraceError: There is no end, or it is not within reach.
    """
    if arrivals is None:
        arrivals = parse_arrivals(workload.ARRIVALS)
    left = _checked(requests, duration_s, arrivals)
    end_ns = None if duration_s is None else round(duration_s * 1e9)
    meta = _meta(workload, arrivals, seed)
    for part in in_time_order(_sessions(workload, arrivals, Draw(seed))):
        count = len(part) if left is None else min(len(part), left)
        if end_ns is not None:
            count = min(count, int(np.searchsorted(part.arrival_ns, end_ns, side="left")))
        if count:
            refuse_late(int(part.arrival_ns[count - 1]))
            kept = part if count == len(part) else taken(part, np.arange(count))
            yield replace(kept, session=_named(kept.session), meta=meta)
        left = None if left is None else left - count
        if count < len(part) or left == 0:
            return


def generate_trace(
    workload: Workload,
    arrivals: Arrivals | None = None,
    *,
    requests: int | None = None,
    duration_s: float | None = None,
    seed: int = 0,
) -> Trace:
    """Return a whole trace; see ``generate``.

    Raises:
        TraceError: Nothing arrives before the end, or as in ``generate``.
    """
    parts = list(generate(workload, arrivals, requests=requests, duration_s=duration_s, seed=seed))
    if not parts:
        raise TraceError(f"{workload.NAME}: nothing arrives within {duration_s:g} s; take longer")
    return joined(parts)


def _checked(requests: int | None, duration_s: float | None, arrivals: Arrivals) -> int | None:
    if requests is None and duration_s is None:
        raise TraceError("generate: has no end; give a number of requests or a duration")
    if requests is None and isinstance(arrivals, AtOnce):
        raise TraceError("generate: at-once has no end in time; give a number of requests")
    if requests is not None and requests < 1:
        raise TraceError(f"generate: requests: must be at least 1, is {requests}")
    if duration_s is not None and not 0 < duration_s < 1e10:
        raise TraceError(f"generate: duration: must be above 0 and below 1e10 s, is {duration_s}")
    return requests


def _sessions(workload: Workload, arrivals: Arrivals, draw: Draw) -> Iterator[tuple[Trace, int]]:
    starts = with_rate(arrivals, arrivals.rate_per_s / workload.requests_per_arrival)
    make = workload.maker(draw.child(workload.NAME))
    for start_ns in _fixed(starts.chunks(draw.child("arrivals")), workload.batch):
        yield make(start_ns), int(start_ns[-1])


def _fixed(chunks: Iterable[IntColumn], size: int) -> Iterator[IntColumn]:
    """Cut chunks of any size anew."""
    held: list[IntColumn] = []
    count = 0
    for chunk in chunks:
        held.append(chunk)
        count += len(chunk)
        if count >= size:
            whole = np.concatenate(held)
            pieces = count // size
            yield from np.split(whole[: pieces * size], pieces)
            held = [whole[pieces * size :]]
            count -= pieces * size


def _named(session: Labels | None) -> Labels | None:
    """Session numbers as names, those of this part only."""
    if session is None:
        return None
    numbers, codes = np.unique(session.codes, return_inverse=True)
    return Labels(codes.astype(np.int64), Numbered(numbers))


def _meta(workload: Workload, arrivals: Arrivals, seed: int) -> Meta:
    words = f"{described(workload)} {described(arrivals)} seed {seed}"
    meta = Meta(name=workload.NAME, format="generated", source=f"generated: {words}")
    blocks = workload.blocks
    if blocks is None:
        return meta
    return msgspec.structs.replace(meta, block_size=blocks.size, hash_tail=blocks.hash_tail)
