"""What a run remembers: exact time integrals, and a bounded sample of its steps.

Everything is an integer, and what is kept depends on step numbers alone, so that a run in leaps
records the same as one step by step.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..configs.errors import InvariantError
from ..policies.base import NO_MOVES, MemoryUsage, Moves, Slack
from .gaps import Gaps
from .usage import PARTS, memory_usage

MAX_SAMPLES = 4096
MOST_IDLE = 4
"""Samples of idle time before one step; more are told as one with the last of them."""


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

    def __init__(
        self, labels: Sequence[str], pool_bytes: int, max_samples: int = MAX_SAMPLES
    ) -> None:
        self.labels = tuple(labels)
        self.pool_bytes = pool_bytes
        self.max_samples = max_samples
        self.kind_byte_ns = [[0] * len(self.labels) for _ in PARTS]
        self.reserved_byte_ns = 0
        self.free_byte_ns = 0
        self.observed_ns = 0
        self.busy_ns = 0
        self.num_steps = 0
        self.num_tokens = 0
        self.num_prefill_tokens = 0
        self.batch_sizes: Counter[int] = Counter()
        self.itl_ns = Gaps()
        """Gaps between consecutive tokens of a request, pooled over all requests."""
        self.moves = NO_MOVES
        self.copy_ns = 0
        self.peak_needed = 0
        self.samples: list[Sample] = []
        self.stride = 1
        """Every how many steps one is kept: a power of two."""

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
        """Add a time in which nothing ran and nothing was held; pages may be cached.

        Where the memory did not change since the last such time, and no step ran between, both are
        one sample: requests that are rejected one after the other leave no trace.
        """
        self._hold(parts, slack, duration_ns)
        record = StepRecord(start_ns, duration_ns, 0, waiting, 0, 0, 0, parts, slack)
        if self._goes_on(record):
            before = self.samples[-1].record
            whole = before._replace(duration_ns=before.duration_ns + duration_ns, waiting=waiting)
            self.samples[-1] = Sample(self.num_steps, whole)
        else:
            self._keep(record)

    def _goes_on(self, idle: StepRecord) -> bool:
        """Whether idle time belongs to the last sample."""
        if not self.samples or self.samples[-1].step != self.num_steps:
            return False
        if len(self.samples) >= MOST_IDLE and self.samples[-MOST_IDLE].step == self.num_steps:
            return True
        before = self.samples[-1].record
        return before.parts == idle.parts and before.slack == idle.slack

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
        """Keep every ``stride``-th step, and the idle time before it."""
        if self.num_steps % self.stride:
            return
        self.samples.append(Sample(self.num_steps, record))
        if len(self.samples) > self.max_samples:
            self.stride *= 2
            self.samples = [kept for kept in self.samples if kept.step % self.stride == 0]


def check_usage(usage: MemoryUsage) -> None:
    """Law 1: the parts sum to the pool and none is negative; raises InvariantError."""
    parts = {name: getattr(usage, name) for name in (*PARTS, "reserved", "free")}
    if usage.total != usage.pool or min(parts.values()) < 0:
        raise InvariantError(f"memory parts {parts} sum to {usage.total}, the pool is {usage.pool}")
