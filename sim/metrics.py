"""Figures of a run, with the names of ``vllm bench serve`` where it has one.

TTFT: first output token - arrival, queueing included. TPOT: (E2E - TTFT) / (output tokens - 1) per
request. ITL: gaps between a request's tokens, pooled over all requests. E2E: last token - arrival.
Percentiles interpolate linearly between the nearest ranks, as numpy does.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .gaps import Gaps
from .recorder import Recorder
from .requests import NEVER, Requests, Status
from .table_contract import Tables
from .usage import PARTS

FloatArray = npt.NDArray[np.float64]
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
    """The same figures of gaps; mean and std are those of the gaps before any rounding to units."""
    values_ns, counts = gaps.sorted()
    figures = _figures(name, values_ns / NS_PER_MS, counts)
    if gaps.unit_ns > 1:
        figures[f"mean_{name}_ms"] = gaps.mean_ns / NS_PER_MS
        figures[f"std_{name}_ms"] = gaps.std_ns / NS_PER_MS
    return figures


def _figures(
    name: str, values: FloatArray, weights: npt.NDArray[np.int64]
) -> dict[str, float | None]:
    """Figures of ascending ``values`` repeated ``weights`` times.

    Sums are exactly rounded (fsum), so that they are the same on every machine.
    """
    keys = [f"mean_{name}_ms", f"median_{name}_ms", f"std_{name}_ms"]
    keys += [f"p{percent}_{name}_ms" for percent in PERCENTILES]
    if not len(values):
        return dict.fromkeys(keys)
    total = int(weights.sum())
    pairs = list(zip(values.tolist(), weights.tolist(), strict=True))
    mean = math.fsum(value * count for value, count in pairs) / total
    variance = math.fsum((value - mean) ** 2 * count for value, count in pairs) / total
    percentiles = [weighted_percentile(values, weights, percent) for percent in PERCENTILES]
    figures = [mean, weighted_percentile(values, weights, 50), math.sqrt(variance), *percentiles]
    return dict(zip(keys, figures, strict=True))


def weighted_percentile(
    values: FloatArray, weights: npt.NDArray[np.int64], percent: float
) -> float:
    """``np.percentile`` of ascending ``values`` repeated ``weights`` times, without repeating."""
    ends = np.cumsum(weights)
    rank = percent / 100 * (int(ends[-1]) - 1)
    low = int(rank)
    at_low, at_high = np.searchsorted(ends, [low, min(low + 1, int(ends[-1]) - 1)], side="right")
    below, above = float(values[at_low]), float(values[at_high])
    return below + (above - below) * (rank - low)


def summarize(requests: Requests, recorder: Recorder, num_gpus: int) -> dict[str, Any]:
    """Requests, throughput, latency, batch sizes and memory of one run."""
    status = np.frombuffer(requests.status, dtype=np.int64)
    done = status == Status.FINISHED
    arrival = np.frombuffer(requests.arrival_ns, dtype=np.int64)
    first = np.frombuffer(requests.first_token_ns, dtype=np.int64)
    last = np.frombuffer(requests.last_token_ns, dtype=np.int64)
    output = np.frombuffer(requests.output, dtype=np.int64)
    prompt = np.frombuffer(requests.prompt, dtype=np.int64)
    unread = np.frombuffer(requests.unread, dtype=np.int64)
    output = output - output * unread
    preemptions = np.frombuffer(requests.preemptions, dtype=np.int64)
    span_ns = int(last[done].max() - arrival[arrival != NEVER].min()) if done.any() else 0
    seconds = span_ns / 1e9
    ttft = (first - arrival)[done & (unread == 0)] / NS_PER_MS
    e2e = (last - arrival)[done] / NS_PER_MS
    several = done & (output > 1)
    tpot = (last - first)[several] / NS_PER_MS / (output[several] - 1)
    input_total, output_total = int(prompt[done].sum()), int(output[done].sum())

    def per_second(count: int) -> float:
        return count / seconds if seconds else 0.0

    return {
        "num_prompts": len(requests),
        "completed": int(done.sum()),
        "failed": int((status == Status.REJECTED).sum()),
        "rejected": int((status == Status.REJECTED).sum()),
        "unfinished": int((~done & (status != Status.REJECTED)).sum()),
        "preempted": int((preemptions > 0).sum()),
        "num_preemptions": int(preemptions.sum()),
        "recomputed_tokens": int(np.frombuffer(requests.recomputed, dtype=np.int64).sum()),
        "duration": seconds,
        "total_input_tokens": input_total,
        "total_output_tokens": output_total,
        "request_throughput": per_second(int(done.sum())),
        "output_throughput": per_second(output_total),
        "total_token_throughput": per_second(input_total + output_total),
        "request_throughput_per_gpu": per_second(int(done.sum())) / num_gpus,
        "output_throughput_per_gpu": per_second(output_total) / num_gpus,
        **latency_figures("ttft", ttft),
        **latency_figures("tpot", tpot),
        **gap_figures("itl", recorder.itl_ns),
        **latency_figures("e2el", e2e),
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


def prefix_cache_figures(requests: Requests, tables: Tables) -> dict[str, Any]:
    """Hit rate of first admissions, and which kind shortened the hits."""
    admitted = [slot for slot in range(len(requests)) if requests.hit[slot] >= 0]
    queried = sum(requests.prompt[slot] for slot in admitted)
    hit = sum(requests.hit[slot] for slot in admitted)
    limits: dict[str, dict[str, int]] = {}
    for slot in admitted:
        label, tokens = tables.limit(slot)
        if label:
            entry = limits.setdefault(label, {"requests": 0, "tokens": 0})
            entry["requests"] += 1
            entry["tokens"] += tokens
    return {
        "prefix_caching": bool(tables.keyed),
        "prefix_hit_rate": hit / queried if queried else 0.0,
        "prefix_hit_tokens": hit,
        "prefix_queried_tokens": queried,
        "requests_with_hit": sum(requests.hit[slot] > 0 for slot in admitted),
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
