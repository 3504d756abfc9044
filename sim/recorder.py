"""What a run remembers: exact time integrals, and a bounded sample of its steps.

Everything is an integer, and what is kept depends on step numbers alone, so that a run in leaps
records the same as one step by step.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..configs.errors import InvariantError
from ..policies.base import NO_MOVES, MemoryUsage, Moves, Slack
from .usage import PARTS, memory_usage

MAX_SAMPLES = 4096


class StepRecord(NamedTuple):
    """One step as it ran."""

    start_ns: int
    duration_ns: int
    running: int
    waiting: int
    served: int
    """Requests that computed tokens."""
    tokens: int
    prefill_tokens: int
    parts: list[list[int]]
    """Bytes per part (order of ``PARTS``) and layer kind."""
    slack: Slack
    moves: Moves = NO_MOVES
    """Copies within the pool that the step waited for."""
    copy_ns: int = 0
    """Part of ``duration_ns`` that they took."""


class Sample(NamedTuple):
    """A recorded step that is kept for ``steps.csv``; idle time counts to the step after it."""

    step: int
    record: StepRecord


class Recorder:
    """Sums over time, histograms and samples of one run."""

    def __init__(self, labels: Sequence[str], pool_bytes: int) -> None:
        self.labels = tuple(labels)
        self.pool_bytes = pool_bytes
        self.kind_byte_ns = [[0] * len(self.labels) for _ in PARTS]
        self.reserved_byte_ns = 0
        self.free_byte_ns = 0
        self.observed_ns = 0
        self.busy_ns = 0
        self.num_steps = 0
        self.num_tokens = 0
        self.num_prefill_tokens = 0
        self.batch_sizes: Counter[int] = Counter()
        self.itl_ns: Counter[int] = Counter()
        """Gaps between consecutive tokens of a request, pooled over all requests."""
        self.moves = NO_MOVES
        self.copy_ns = 0
        self.peak_needed = 0
        self.samples: list[Sample] = []
        self._stride = 1

    def step(self, record: StepRecord) -> None:
        """Add one step."""
        self._hold(record.parts, record.slack, record.duration_ns)
        self.busy_ns += record.duration_ns
        if record.moves.launches:
            self.moves = self.moves.plus(record.moves)
            self.copy_ns += record.copy_ns
        self.num_tokens += record.tokens
        self.num_prefill_tokens += record.prefill_tokens
        self.batch_sizes[record.served] += 1
        self.peak_needed = max(self.peak_needed, sum(record.parts[0]))
        self._keep(record)
        self.num_steps += 1

    def idle(
        self,
        start_ns: int,
        duration_ns: int,
        waiting: int,
        parts: list[list[int]],
        slack: Slack,
    ) -> None:
        """Add a time in which nothing ran and nothing was held; pages may be cached."""
        self._hold(parts, slack, duration_ns)
        self._keep(StepRecord(start_ns, duration_ns, 0, waiting, 0, 0, 0, parts, slack))

    def _hold(self, parts: list[list[int]], slack: Slack, duration_ns: int) -> None:
        usage = memory_usage(self.pool_bytes, parts, slack)
        check_usage(usage)
        for sums, row in zip(self.kind_byte_ns, parts, strict=True):
            for label, value in enumerate(row):
                sums[label] += value * duration_ns
        self.reserved_byte_ns += slack.reserved * duration_ns
        self.free_byte_ns += slack.free * duration_ns
        self.observed_ns += duration_ns

    def _keep(self, record: StepRecord) -> None:
        """Keep every ``_stride``-th step, and the idle time before it."""
        if self.num_steps % self._stride:
            return
        self.samples.append(Sample(self.num_steps, record))
        if len(self.samples) > MAX_SAMPLES:
            self._stride *= 2
            self.samples = [kept for kept in self.samples if kept.step % self._stride == 0]


def check_usage(usage: MemoryUsage) -> None:
    """Law 1: the parts sum to the pool and none is negative; raises InvariantError."""
    parts = {name: getattr(usage, name) for name in (*PARTS, "reserved", "free")}
    if usage.total != usage.pool or min(parts.values()) < 0:
        raise InvariantError(f"memory parts {parts} sum to {usage.total}, the pool is {usage.pool}")
