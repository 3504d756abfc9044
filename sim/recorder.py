"""What a run remembers: exact time integrals, and a bounded sample of its steps.

Everything is an integer, and what is kept depends on step numbers alone, so that a run in leaps
records the same as one step by step.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..configs.errors import InvariantError
from ..policies.base import NO_MOVES, MemoryUsage, Moves, Slack
from .gaps import Gaps
from .usage import PARTS, memory_usage

IntArray = npt.NDArray[np.int64]

MAX_SAMPLES = 4096
MOST_IDLE = 4
"""Samples of idle time before one step; more are told as one with the last of them."""
SAMPLE_FACTS = (
    "step",
    "start_ns",
    "duration_ns",
    "running",
    "waiting",
    "served",
    "tokens",
    "prefill_tokens",
)
"""What a sample begins with: its step, and facts of it as in ``StepRecord``."""
STEP, START_NS, DURATION_NS, RUNNING, WAITING, SERVED, TOKENS, PREFILL_TOKENS = range(
    len(SAMPLE_FACTS)
)


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
        self.gaps = Gaps()
        """Gaps between consecutive tokens of a request, pooled over all requests."""
        self.moves = NO_MOVES
        self.copy_ns = 0
        self.peak_needed = 0
        self.sample_values: array[int] = array("q")
        """``samples``, one after the other."""
        self.stride = 1
        """Every how many steps one is kept: a power of two."""

    @property
    def samples(self) -> IntArray:
        """Steps that are kept for ``steps.csv``, one per row; idle time is before its next step.

        Its entries are those of SAMPLE_FACTS, then the bytes of every part by label, then reserved
        and free bytes.
        """
        return self._rows().copy()

    def _rows(self) -> IntArray:
        """The same, not copied; no sample can be added while somebody has it."""
        width = len(SAMPLE_FACTS) + len(PARTS) * len(self.labels) + 2
        return np.frombuffer(self.sample_values, dtype=np.int64).reshape(-1, width)

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
        # Start, duration and the five counts are the first fields.
        self._keep([self.num_steps, *record[:7], *_sizes(record.parts, record.slack)])
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
        sizes = _sizes(parts, slack)
        if self._goes_on(sizes):
            last = self._rows()[-1]
            last[DURATION_NS] += duration_ns
            last[WAITING] = waiting
        else:
            self._keep([self.num_steps, start_ns, duration_ns, 0, waiting, 0, 0, 0, *sizes])

    def _goes_on(self, sizes: list[int]) -> bool:
        """Whether idle time with such a memory belongs to the last sample."""
        samples = self._rows()
        if not len(samples) or samples[-1, STEP] != self.num_steps:
            return False
        if len(samples) >= MOST_IDLE and samples[-MOST_IDLE, STEP] == self.num_steps:
            return True
        return bool((samples[-1, len(SAMPLE_FACTS) :] == sizes).all())

    def _hold(self, parts: list[list[int]], slack: Slack, duration_ns: int) -> None:
        usage = memory_usage(self.pool_bytes, parts, slack)
        check_usage(usage)
        for sums, row in zip(self.kind_byte_ns, parts, strict=True):
            for label, value in enumerate(row):
                sums[label] += value * duration_ns
        self.reserved_byte_ns += slack.reserved * duration_ns
        self.free_byte_ns += slack.free * duration_ns
        self.observed_ns += duration_ns

    def _keep(self, sample: list[int]) -> None:
        """Keep every ``stride``-th step, and the idle time before it."""
        if self.num_steps % self.stride:
            return
        self.sample_values.extend(sample)
        samples = self._rows()
        if len(samples) > self.max_samples:
            self.stride *= 2
            kept = samples[samples[:, STEP] % self.stride == 0]
            self.sample_values = array("q", kept.tobytes())


def _sizes(parts: list[list[int]], slack: Slack) -> list[int]:
    return [*chain.from_iterable(parts), slack.reserved, slack.free]


def check_usage(usage: MemoryUsage) -> None:
    """Law 1: the parts sum to the pool and none is negative; raises InvariantError."""
    parts = {name: getattr(usage, name) for name in (*PARTS, "reserved", "free")}
    if usage.total != usage.pool or min(parts.values()) < 0:
        raise InvariantError(f"memory parts {parts} sum to {usage.total}, the pool is {usage.pool}")
