"""What is in a trace: all figures of ``jenga-sim trace inspect``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..configs.errors import TraceError
from .columns import NONE, IntColumn
from .meta import Meta
from .read import Reading
from .record import Trace
from .stats import (
    ArrivalCounts,
    ArrivalFigures,
    Correlation,
    Distribution,
    PrefixFigures,
    PromptFigures,
    Prompts,
    ValueCounts,
    prefix_figures,
    prompt_figures,
)
from .stats.timeline import Timeline
from .transform.shaping import Shaping

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Inspection:
    """Figures of a trace, and the tables that its picture is drawn from.

    Attributes:
        meta: Where the trace comes from.
        arrivals: How requests arrive.
        lengths: Distribution per column of lengths; None where no request has a value.
        correlation: Of input and output lengths (Pearson); None if one of them does not vary.
        no_output: Requests without an output.
        untimed: Requests without an arrival of their own.
        without_hashes: Requests of a block or more without hash ids; they share nothing.
        prompts: What prompts share, and sessions; empty where a trace says nothing of them.
        timeline: Arrivals over time.
        tables: Ascending values of a column and how often each occurs.
        streamed: Whether the trace was read part by part, and never held as a whole.
    """

    meta: Meta
    arrivals: ArrivalFigures
    lengths: dict[str, Distribution | None]
    correlation: float | None
    no_output: int
    untimed: int
    without_hashes: int
    prompts: PromptFigures
    timeline: Timeline
    tables: dict[str, tuple[IntColumn, IntColumn]]
    streamed: bool

    def summary(self) -> dict[str, Any]:
        """All figures as plain values for JSON."""
        meta, prompts = self.meta, self.prompts
        prefixes = None if prompts.prefixes is None else asdict(prompts.prefixes)
        return {
            "schema": "jenga-sim/trace/1",
            "trace": meta.name,
            "format": meta.format,
            "sha256": meta.sha256,
            "block_size": meta.block_size,
            "hash_tail": meta.hash_tail,
            "hash_scope": meta.hash_scope,
            **asdict(self.arrivals),
            "no_output": self.no_output,
            "untimed": self.untimed,
            "skipped_lines": meta.skipped_lines,
            "sorted_lines": meta.sorted_lines,
            "lengths": {
                name: None if figures is None else asdict(figures)
                for name, figures in self.lengths.items()
            },
            "length_correlation": self.correlation,
            "without_hashes": self.without_hashes,
            "ideal_token_hit": None if prompts.prefixes is None else prompts.prefixes.token_hit,
            "prefixes": prefixes,
            "lru": None if prompts.lru is None else asdict(prompts.lru),
            "sessions": None if prompts.sessions is None else asdict(prompts.sessions),
            "streamed": self.streamed,
            "notes": list(meta.notes),
        }


def inspect_trace(trace: Trace, progress: Progress | None = None) -> Inspection:
    """Return the figures of a trace in memory."""
    counts = _Counts()
    counts.add(trace)
    if progress is not None:
        progress(len(trace))
    prompts = prompt_figures(prompts_of(trace), _codes(trace), trace.delay_ns)
    return counts.result(trace.meta, prompts, streamed=False)


def inspect_file(
    open_again: Callable[[], Reading], shaping: Shaping, progress: Progress | None = None
) -> Inspection:
    """Return the figures of a file; in constant memory if it is in order and has lengths only.

    Args:
        open_again: Opens the file from its start.
        shaping: What is changed before it is looked at.
        progress: Told how many requests were read.

    Raises:
        TraceError: The file cannot be read.
    """
    if shaping.changes_nothing:
        reading = open_again()
        counts = _streamed(reading, progress)
        if counts is not None:
            if not counts.requests:
                raise TraceError(f"{reading.source.path}: has no requests")
            return counts.result(reading.meta, PromptFigures(None, None, None), streamed=True)
    return inspect_trace(shaping.apply(open_again().whole()), progress)


def _streamed(reading: Reading, progress: Progress | None) -> _Counts | None:
    """Count part by part; None if what is between requests matters, or their order."""
    counts = _Counts()
    latest = 0
    for part in reading.parts():
        linked = part.has_hashes or part.session is not None or part.after is not None
        linked = linked or reading.links
        arrivals = part.arrival_ns
        if linked or part.untimed is not None or not len(part):
            return None
        if arrivals[0] < latest or np.any(np.diff(arrivals) < 0):
            return None
        latest = int(arrivals[-1])
        counts.add(part)
        if progress is not None:
            progress(counts.requests)
    return counts


_COLUMNS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cross": "cross_tokens",
    "reasoning": "reasoning_tokens",
    "recorded_cached": "recorded_cached_tokens",
}


class _Counts:
    """Everything that is counted request by request."""

    def __init__(self) -> None:
        self._arrivals = ArrivalCounts()
        self._lengths = {name: ValueCounts() for name in (*_COLUMNS, "images", "image_tokens")}
        self._correlation = Correlation()
        self._timeline = Timeline()
        self._no_output = self._untimed = self._without_hashes = self.requests = 0

    def add(self, part: Trace) -> None:
        """Count some requests, later than all before."""
        self.requests += len(part)
        self._arrivals.add(part.arrival_ns)
        self._timeline.add(part.arrival_ns)
        self._correlation.add(part.input_tokens, part.output_tokens)
        self._no_output += int((part.output_tokens == 0).sum())
        self._untimed += 0 if part.untimed is None else int(part.untimed.sum())
        self._without_hashes += int(part.lacks_hashes.sum())
        for name, column in _COLUMNS.items():
            values = getattr(part, column)
            if values is not None:
                self._lengths[name].add(values[values != NONE])
        if part.images is not None:
            tokens = part.images.values[:, 1]
            self._lengths["images"].add(part.images.counts)
            self._lengths["image_tokens"].add(tokens[tokens != NONE])

    def result(self, meta: Meta, prompts: PromptFigures, *, streamed: bool) -> Inspection:
        """Return the figures of all that was counted."""
        lengths = {name: counts.result() for name, counts in self._lengths.items()}
        cross = lengths["cross"]
        if cross is not None and not cross.max:
            lengths["cross"] = None
        return Inspection(
            meta=meta,
            arrivals=self._arrivals.result(),
            lengths=lengths,
            correlation=self._correlation.result(),
            no_output=self._no_output,
            untimed=self._untimed,
            without_hashes=self._without_hashes,
            prompts=prompts,
            timeline=self._timeline,
            tables={name: self._lengths[name].table() for name in ("input", "output")},
            streamed=streamed,
        )


def prompts_of(trace: Trace) -> Prompts:
    """Return the prompts of a trace, as the statistics take them."""
    return Prompts(
        arrival_ns=trace.arrival_ns,
        input_tokens=trace.input_tokens,
        offsets=trace.hash_runs.offsets,
        runs=trace.hash_runs.values,
        block_size=trace.block_size,
    )


def sharing_of(trace: Trace) -> PrefixFigures | None:
    """Return what the prompts of a trace share; None if it has no hash ids."""
    return prefix_figures(prompts_of(trace), _codes(trace))


def _codes(trace: Trace) -> IntColumn | None:
    return None if trace.session is None else trace.session.codes
