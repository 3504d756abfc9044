"""The arrays of the compiled engine: who runs, who waits, what is on the GPU."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...policies.batch import NOTHING_REFUSED
from ...policies.compiled import by_reference
from ..requests import NEVER
from ..scheduler import SchedulerConfig

IntArray = npt.NDArray[np.int64]

# Entries of ``scalars`` that change.
(
    NOW,
    GPU_FREE,
    NUM_RUNNING,
    NUM_WAITING,
    HEAD,
    NUM_IN_FLIGHT,
    OLDEST,
    STEADY,
    ALONE,
    BLOCKED_HEAD,
    NUM_SEATS,
    NUM_STEPS,
) = range(12)
"""Time; when the GPU is done with what was launched; requests that run and wait; where the queue
begins; batches in flight and which is the older; whether the next steps may be alike; the request
that nobody is admitted beside; the head of the queue after the last step; free seats; steps so
far."""

# Entries of ``scalars`` that do not: the settings of ``SchedulerConfig`` under their names.
(
    MAX_SEQS,
    MAX_TOKENS_PER_STEP,
    MAX_MODEL_LEN,
    BY_PRIORITY,
    RESERVE_WHOLE,
    THRESHOLD,
    CHUNKED_PREFILL,
    DEPTH,
    STATE_BLOCK,
    STATE_UNIT,
    RESTART_ALONE,
    MAY_LEAP,
) = range(12, 24)
"""Among them BY_PRIORITY (policy), DEPTH (batches in flight at once) and MAY_LEAP (whether decode
steps of an unchanged batch are alike)."""
NUM_SCALARS = 24

# Rows of ``lists``.
RUNNING_LIST, SEATS, PASSED_OVER, BATCH = range(4)
"""Slots that run, in order; free seats; slots that stand aside while a step admits others; from
BATCH on the rows of both batches."""
SLOTS, NEW, SAMPLED = range(3)
"""Rows of a batch: slots in the order they were scheduled, their tokens, and whether each gets one;
once it has settled SAMPLED begins with the slots that are done."""
BATCH_ROWS = 3

# Rows of ``counts``: one column per batch.
NUM_SERVED, NUM_SAMPLED, NUM_ADMITTED, NUM_PREEMPTED, MOST_NEW, DURATION, OWED, NO_COPIES = range(8)
"""Of the last two rows the columns are bytes and launches of copies: those that the next step waits
for, and none."""


# Rows of ``queue``, which has room for every request.
QUEUE, REASON = range(2)
"""Slots that wait, as a ring or a heap by priority; why each request was rejected."""
NOT_REJECTED, TOO_LONG, TOO_LARGE = range(3)
REASONS = ("", "max_model_len", "pool")
"""What REASON means."""

# Rows of ``needs``: pages per group.
REFUSED, ASKED = range(2)
"""Of the head of the queue that the last step refused, see ``policies.batch.slack``; of a question
that changes nothing."""


@by_reference
class EngineArrays(NamedTuple):
    """The state of one replica beside its requests, tables and clocked parts.

    Few arrays: each is a dozen arguments of every compiled function that it is passed to.
    """

    scalars: IntArray
    lists: IntArray
    counts: IntArray
    queue: IntArray
    needs: IntArray
    watermark: float

    @property
    def seats(self) -> int:
        """Requests that can run at once."""
        return (self.lists.shape[1] - 1) // 2


def make_engine(config: SchedulerConfig, requests: int, groups: int, start_ns: int) -> EngineArrays:
    """Nobody has arrived yet; the clock stands at ``start_ns``."""
    seats = max(1, min(config.max_num_seqs, requests))
    scalars = np.zeros(NUM_SCALARS, dtype=np.int64)
    scalars[NOW] = start_ns
    scalars[ALONE] = scalars[BLOCKED_HEAD] = NEVER
    scalars[NUM_SEATS] = seats
    scalars[MAX_SEQS:] = (
        config.max_num_seqs,
        config.max_num_batched_tokens,
        config.max_model_len,
        config.policy == "priority",
        config.scheduler_reserve_full_isl,
        config.long_prefill_token_threshold,
        config.enable_chunked_prefill,
        config.concurrent_batches,
        config.state_block_size,
        config.state_hash_size,
        config.restart_alone,
        0,
    )
    # Twice as many may have tokens in flight that were preempted since.
    lists = np.zeros((BATCH + 2 * BATCH_ROWS, 2 * seats + 1), dtype=np.int64)
    # Popped from the end: the first request gets seat 0.
    lists[SEATS, :seats] = np.arange(seats)[::-1]
    needs = np.zeros((2, groups), dtype=np.int64)
    needs[REFUSED, 0] = needs[ASKED, 0] = NOTHING_REFUSED
    return EngineArrays(
        scalars=scalars,
        lists=lists,
        counts=np.zeros((8, 2), dtype=np.int64),
        queue=np.zeros((2, max(1, requests)), dtype=np.int64),
        needs=needs,
        watermark=config.watermark,
    )
