"""Figures of a run, with the names of ``vllm bench serve`` where it has one.

TTFT: first output token - arrival, queueing included. TPOT: (E2E - TTFT) / (output tokens - 1) per
request. ITL: gaps between a request's tokens, pooled over all requests. E2E: last token - arrival.
Percentiles interpolate linearly between the nearest ranks, as numpy does.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import requests as facts
from .gaps import Gaps
from .recorder import Recorder
from .requests import FINISHED, NEVER, REJECTED, Requests
from .sums import fsum
from .table_contract import Tables
from .usage import PARTS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
NS_PER_MS = 1e6
PERCENTILES = (50, 95, 99)

FORMULAS = {
    "TTFT": "first output token - arrival (queueing included)",
    "TPOT": "(E2E - TTFT) / (output tokens - 1), per request",
    "ITL": "gaps between the tokens of a request, pooled over all requests",
    "E2E": "last output token - arrival",
    "throughput": "finished requests, or tokens, / (last token - first arrival)",
    "batch size": "requests served in a step, over all steps",
    "memory": "share of the KV pool, weighted by time, idle time included",
    "copies": "pages moved within the pool; a step that needs their place waits for them",
    "waste": "(dead + padding + internal + external) / bytes held",
}


def latency_figures(name: str, values_ms: FloatArray) -> dict[str, float | None]:
    """Mean, median, std and percentiles under vLLM's keys; None where there are no values."""
    unique, counts = np.unique(values_ms, return_counts=True)
    return _figures(name, unique, counts)


def gap_figures(name: str, gaps: Gaps) -> dict[str, float | None]:
    """The same figures of gaps; mean and std are exact even where gaps are rounded to units."""
    values_ns, counts = gaps.sorted()
    figures = _figures(name, values_ns / NS_PER_MS, counts)
    if gaps.unit_ns > 1:
        figures[f"mean_{name}_ms"] = gaps.mean_ns / NS_PER_MS
        figures[f"std_{name}_ms"] = gaps.std_ns / NS_PER_MS
    return figures


def _figures(name: str, values: FloatArray, weights: IntArray) -> dict[str, float | None]:
    """Figures of ascending ``values`` repeated ``weights`` times.

    Sums are exactly rounded (fsum), so that they are the same on every machine.
    """
    keys = [f"mean_{name}_ms", f"median_{name}_ms", f"std_{name}_ms"]
    keys += [f"p{percent}_{name}_ms" for percent in PERCENTILES]
    if not len(values):
        return dict.fromkeys(keys)
    ends = np.cumsum(weights)
    total = int(ends[-1])
    mean = fsum(values * weights) / total
    variance = fsum((values - mean) ** 2 * weights) / total
    percentiles = [_percentile(values, ends, percent) for percent in PERCENTILES]
    figures = [mean, _percentile(values, ends, 50), math.sqrt(variance), *percentiles]
    return dict(zip(keys, figures, strict=True))


def weighted_percentile(values: FloatArray, weights: IntArray, percent: float) -> float:
    """``np.percentile`` of ascending ``values`` repeated ``weights`` times, without repeating."""
    return _percentile(values, np.cumsum(weights), percent)


def _percentile(values: FloatArray, ends: IntArray, percent: float) -> float:
    """``weighted_percentile`` by the running sums of the weights."""
    last = int(ends[-1]) - 1
    rank = percent / 100 * last
    low = int(rank)
    at_low, at_high = np.searchsorted(ends, [low, min(low + 1, last)], side="right")
    below, above = float(values[at_low]), float(values[at_high])
    return below + (above - below) * (rank - low)


def summarize(requests: Requests, recorder: Recorder, num_gpus: int) -> dict[str, Any]:
    """Requests, throughput, latency, batch sizes and memory of one run."""
    table = requests.table
    rejected = int(np.count_nonzero(table[facts.STATUS] == REJECTED))
    served = _Served.of(table)
    seconds = _span_ns(table, served) / 1e9
    input_total, output_total = int(served.prompt.sum()), int(served.output.sum())

    def per_second(count: int) -> float:
        return count / seconds if seconds else 0.0

    return {
        "num_prompts": len(requests),
        "completed": len(served.prompt),
        "failed": rejected,
        "rejected": rejected,
        "unfinished": len(requests) - len(served.prompt) - rejected,
        "preempted": int(np.count_nonzero(table[facts.PREEMPTIONS])),
        "num_preemptions": int(table[facts.PREEMPTIONS].sum()),
        "recomputed_tokens": int(table[facts.RECOMPUTED].sum()),
        "duration": seconds,
        "total_input_tokens": input_total,
        "total_output_tokens": output_total,
        "request_throughput": per_second(len(served.prompt)),
        "output_throughput": per_second(output_total),
        "total_token_throughput": per_second(input_total + output_total),
        "request_throughput_per_gpu": per_second(len(served.prompt)) / num_gpus,
        "output_throughput_per_gpu": per_second(output_total) / num_gpus,
        **latency_figures("ttft", served.ttft_ms()),
        **latency_figures("tpot", served.tpot_ms()),
        **gap_figures("itl", recorder.gaps),
        **latency_figures("e2el", served.e2e_ms()),
        "batch_size": _batch_size(recorder),
        "num_steps": recorder.num_steps,
        "busy_share": _ratio(recorder.busy_ns, recorder.observed_ns),
        "copies": {
            "bytes": recorder.moves.bytes,
            "launches": recorder.moves.launches,
            "seconds": recorder.copy_ns / 1e9,
            "share_of_busy_time": _ratio(recorder.copy_ns, recorder.busy_ns),
        },
        **memory_figures(recorder),
    }


class _Served(NamedTuple):
    """Facts of the finished requests, and the latencies that follow from them."""

    prompt: IntArray
    output: IntArray
    """Tokens that were read: a prompt that was only computed has none."""
    arrival: IntArray
    first: IntArray
    last: IntArray

    @classmethod
    def of(cls, table: IntArray) -> "_Served":
        done = table[facts.STATUS] == FINISHED
        # Mostly all are, and nothing need be copied.
        kept = slice(None) if done.all() else done
        return cls(
            prompt=table[facts.PROMPT][kept],
            output=table[facts.OUTPUT][kept] * (1 - table[facts.UNREAD][kept]),
            arrival=table[facts.ARRIVAL_NS][kept],
            first=table[facts.FIRST_TOKEN_NS][kept],
            last=table[facts.LAST_TOKEN_NS][kept],
        )

    def ttft_ms(self) -> FloatArray:
        read = self.output > 0
        return (self.first - self.arrival)[read] / NS_PER_MS

    def tpot_ms(self) -> FloatArray:
        several = self.output > 1
        return (self.last - self.first)[several] / NS_PER_MS / (self.output[several] - 1)

    def e2e_ms(self) -> FloatArray:
        return (self.last - self.arrival) / NS_PER_MS


def _span_ns(table: IntArray, served: _Served) -> int:
    """From the first arrival to the last token; 0 if nothing was finished."""
    if not len(served.last):
        return 0
    arrival = table[facts.ARRIVAL_NS]
    return int(served.last.max()) - int(arrival[arrival != NEVER].min())


def prefix_cache_figures(requests: Requests, tables: Tables) -> dict[str, Any]:
    """Hit rate of first admissions, and which kind shortened the hits."""
    hit = requests.table[facts.HIT]
    admitted = hit >= 0
    queried = int(requests.table[facts.PROMPT][admitted].sum())
    found = int(hit[admitted].sum())
    caches = bool(tables.keyed)
    limits: dict[str, dict[str, int]] = {}
    for label, tokens in map(tables.limit, np.flatnonzero(admitted).tolist() if caches else ()):
        if label:
            entry = limits.setdefault(label, {"requests": 0, "tokens": 0})
            entry["requests"] += 1
            entry["tokens"] += tokens
    return {
        "prefix_caching": caches,
        "prefix_hit_rate": found / queried if queried else 0.0,
        "prefix_hit_tokens": found,
        "prefix_queried_tokens": queried,
        "requests_with_hit": int(np.count_nonzero(hit > 0)),
        "hit_limiter": dict(sorted(limits.items(), key=lambda item: -item[1]["tokens"])),
    }


def memory_figures(recorder: Recorder) -> dict[str, Any]:
    """Time-weighted shares of the pool: in total, per layer kind, and the waste of what is held."""
    whole = recorder.observed_ns * recorder.pool_bytes
    sums = {part: sum(row) for part, row in zip(PARTS, recorder.kind_byte_ns, strict=True)}
    sums |= {"reserved": recorder.reserved_byte_ns, "free": recorder.free_byte_ns}
    if not whole:
        # Nothing was ever observed: the pool was free for no time at all.
        whole = sums["free"] = 1
    wasted = sums["dead"] + sums["padding"] + sums["internal"] + sums["external"]
    held = wasted + sums["needed"] + sums["cached"]
    return {
        "memory": {part: _ratio(value, whole) for part, value in sums.items()},
        "memory_by_kind": {
            label: {
                part: _ratio(row[index], whole)
                for part, row in zip(PARTS, recorder.kind_byte_ns, strict=True)
            }
            for index, label in enumerate(recorder.labels)
        },
        "waste": _ratio(wasted, held),
        "peak_needed": _ratio(recorder.peak_needed, recorder.pool_bytes),
    }


def _batch_size(recorder: Recorder) -> dict[str, float]:
    sizes = sorted(recorder.batch_sizes)
    if not sizes:
        return {"mean": 0.0, "p50": 0.0, "p95": 0.0, "max": 0.0}
    weights = np.array([recorder.batch_sizes[size] for size in sizes], dtype=np.int64)
    values = np.array(sizes, dtype=np.float64)
    return {
        "mean": sum(size * recorder.batch_sizes[size] for size in sizes) / int(weights.sum()),
        "p50": weighted_percentile(values, weights, 50),
        "p95": weighted_percentile(values, weights, 95),
        "max": float(sizes[-1]),
    }


def _ratio(part: int, whole: int) -> float:
    """Exact quotient of two integers, rounded once."""
    return part / whole if whole else 0.0


def quantile_row(summary: dict[str, Any], name: str) -> Sequence[float | None]:
    """The percentiles of one latency, in the order of ``PERCENTILES``."""
    return [summary[f"p{percent}_{name}_ms"] for percent in PERCENTILES]
