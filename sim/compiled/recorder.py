"""``sim.recorder.Recorder`` for the compiled engine: what it remembers, as arrays."""

from array import array
from typing import NamedTuple

import numpy as np

from ...configs.errors import InvariantError
from ...policies.base import Moves
from ...policies.batch import BYTES, LAUNCHES
from ...policies.compiled import by_reference, inner
from ..recorder import (
    DURATION_NS,
    MOST_IDLE,
    PREFILL_TOKENS,
    RUNNING,
    SAMPLE_FACTS,
    SERVED,
    START_NS,
    STEP,
    TOKENS,
    WAITING,
    Recorder,
)
from ..usage import PARTS
from .gaps import GapArrays, add_gap, make_gaps, pour_gaps
from .state import IntArray

(
    POOL,
    OBSERVED_NS,
    BUSY_NS,
    STEPS,
    ALL_TOKENS,
    ALL_PREFILL_TOKENS,
    MOVED_BYTES,
    MOVED_LAUNCHES,
    COPY_NS,
    PEAK_NEEDED,
    SAMPLES,
    STRIDE,
    UNCARRIED_NS,
) = range(13)
"""Entries of ``totals``: bytes of the pool, then what ``Recorder`` calls so; samples that are kept,
and of every how many steps (a power of two); time since ``byte_ns`` was carried."""

SMALL, MIDDLE, LARGE = range(3)
"""Rows of ``byte_ns``: units of 1, 2^20 and 2^40 byte ns. A product of 40 bits (bytes) and 62 bits
(time) is split so that no sum of less than CARRY_NS leaves 64 bits."""
HALF, WHOLE = 20, 40
HALF_MASK, WHOLE_MASK = (1 << HALF) - 1, (1 << WHOLE) - 1
CARRY_NS = 1 << 41
MAX_POOL_BYTES = 1 << WHOLE
"""Larger pools are for the plain recorder."""


@by_reference
class RecorderArrays(NamedTuple):
    """Sums over time, histograms and samples of one run."""

    totals: IntArray
    byte_ns: IntArray
    """One column per part and label, then reserved and free bytes."""
    batch_sizes: IntArray
    """Steps by the number of requests that they served."""
    samples: IntArray
    """See ``Recorder.samples``; there is room for one more than it may keep."""
    gaps: GapArrays


def make_recorder(recorder: Recorder, max_num_seqs: int) -> RecorderArrays:
    """Nothing recorded yet; labels, pool and bounds are those of ``recorder``."""
    parts = len(PARTS) * len(recorder.labels)
    totals = np.zeros(13, dtype=np.int64)
    totals[POOL], totals[STRIDE] = recorder.pool_bytes, 1
    width = len(SAMPLE_FACTS) + parts + 2
    return RecorderArrays(
        totals=totals,
        byte_ns=np.zeros((3, parts + 2), dtype=np.int64),
        batch_sizes=np.zeros(max_num_seqs + 1, dtype=np.int64),
        samples=np.zeros((recorder.max_samples + 1, width), dtype=np.int64),
        gaps=make_gaps(recorder.gaps.limit),
    )


@inner
def record_step(
    recorder: RecorderArrays,
    start_ns: int,
    duration_ns: int,
    running: int,
    waiting: int,
    served: int,
    tokens: int,
    prefill_tokens: int,
    parts: IntArray,
    slack: IntArray,
    moved: IntArray,
    copy_ns: int,
) -> None:
    """See ``Recorder.step``."""
    totals = recorder.totals
    _hold(recorder, parts, slack, duration_ns)
    totals[BUSY_NS] += duration_ns
    if moved[LAUNCHES]:
        totals[MOVED_BYTES] += moved[BYTES]
        totals[MOVED_LAUNCHES] += moved[LAUNCHES]
        totals[COPY_NS] += copy_ns
    totals[ALL_TOKENS] += tokens
    totals[ALL_PREFILL_TOKENS] += prefill_tokens
    recorder.batch_sizes[served] += 1
    needed = 0
    for label in range(parts.shape[1]):
        needed += parts[0, label]
    totals[PEAK_NEEDED] = max(totals[PEAK_NEEDED], needed)
    if totals[STEPS] & (totals[STRIDE] - 1) == 0:
        row = recorder.samples[totals[SAMPLES]]
        row[START_NS], row[DURATION_NS] = start_ns, duration_ns
        row[RUNNING], row[WAITING], row[SERVED] = running, waiting, served
        row[TOKENS], row[PREFILL_TOKENS] = tokens, prefill_tokens
        _keep(recorder, parts, slack)
    totals[STEPS] += 1


@inner
def record_idle(
    recorder: RecorderArrays,
    start_ns: int,
    duration_ns: int,
    waiting: int,
    parts: IntArray,
    slack: IntArray,
) -> None:
    """See ``Recorder.idle``."""
    totals = recorder.totals
    _hold(recorder, parts, slack, duration_ns)
    if totals[STEPS] & (totals[STRIDE] - 1):
        return
    if _goes_on(recorder, parts, slack):
        recorder.samples[totals[SAMPLES] - 1, DURATION_NS] += duration_ns
        recorder.samples[totals[SAMPLES] - 1, WAITING] = waiting
        return
    row = recorder.samples[totals[SAMPLES]]
    for entry in range(len(SAMPLE_FACTS)):
        row[entry] = 0
    row[START_NS], row[DURATION_NS], row[WAITING] = start_ns, duration_ns, waiting
    _keep(recorder, parts, slack)


@inner
def record_gap(recorder: RecorderArrays, gap_ns: int, count: int) -> None:
    """See ``Gaps.add``."""
    add_gap(recorder.gaps, gap_ns, count)


@inner
def _hold(recorder: RecorderArrays, parts: IntArray, slack: IntArray, duration_ns: int) -> None:
    """Check law 1, and add bytes times time."""
    totals, byte_ns = recorder.totals, recorder.byte_ns
    reserved, free = slack[-2], slack[-1]
    least, total = min(reserved, free), reserved + free
    for part in range(parts.shape[0]):
        for label in range(parts.shape[1]):
            least = min(least, parts[part, label])
            total += parts[part, label]
    if least < 0 or total != totals[POOL]:
        raise InvariantError("the parts of the memory do not sum to the pool, or one is negative")
    totals[OBSERVED_NS] += duration_ns
    whole, rest = duration_ns >> WHOLE, duration_ns & WHOLE_MASK
    totals[UNCARRIED_NS] += rest
    if totals[UNCARRIED_NS] >= CARRY_NS:
        _carry(byte_ns)
        totals[UNCARRIED_NS] = rest
    column = 0
    for part in range(parts.shape[0]):
        for label in range(parts.shape[1]):
            _add_product(byte_ns, column, parts[part, label], whole, rest)
            column += 1
    _add_product(byte_ns, column, reserved, whole, rest)
    _add_product(byte_ns, column + 1, free, whole, rest)


@inner
def _add_product(byte_ns: IntArray, column: int, size: int, whole: int, rest: int) -> None:
    byte_ns[SMALL, column] += (size & HALF_MASK) * rest
    byte_ns[MIDDLE, column] += (size >> HALF) * rest
    byte_ns[LARGE, column] += size * whole


@inner
def _carry(byte_ns: IntArray) -> None:
    for column in range(byte_ns.shape[1]):
        small, middle = byte_ns[SMALL, column], byte_ns[MIDDLE, column]
        byte_ns[LARGE, column] += (small >> WHOLE) + (middle >> HALF)
        byte_ns[SMALL, column] = small & WHOLE_MASK
        byte_ns[MIDDLE, column] = middle & HALF_MASK


@inner
def _keep(recorder: RecorderArrays, parts: IntArray, slack: IntArray) -> None:
    """Complete the sample behind the last one; where there is no room, keep every other step."""
    samples, totals = recorder.samples, recorder.totals
    row = samples[totals[SAMPLES]]
    row[STEP] = totals[STEPS]
    place = len(SAMPLE_FACTS)
    for part in range(parts.shape[0]):
        for label in range(parts.shape[1]):
            row[place] = parts[part, label]
            place += 1
    row[place], row[place + 1] = slack[-2], slack[-1]
    totals[SAMPLES] += 1
    if totals[SAMPLES] == len(samples):
        totals[STRIDE] *= 2
        kept = 0
        for sample in range(len(samples)):
            if samples[sample, STEP] & (totals[STRIDE] - 1) == 0:
                for entry in range(samples.shape[1]):
                    samples[kept, entry] = samples[sample, entry]
                kept += 1
        totals[SAMPLES] = kept


@inner
def _goes_on(recorder: RecorderArrays, parts: IntArray, slack: IntArray) -> bool:
    """Whether idle time belongs to the last sample; see ``Recorder``."""
    samples, last = recorder.samples, recorder.totals[SAMPLES] - 1
    step = recorder.totals[STEPS]
    if last < 0 or samples[last, STEP] != step:
        return False
    earlier = last + 1 - MOST_IDLE
    if earlier >= 0 and samples[earlier, STEP] == step:
        return True
    row, place = samples[last], len(SAMPLE_FACTS)
    is_same = row[-2] == slack[-2] and row[-1] == slack[-1]
    for part in range(parts.shape[0]):
        for label in range(parts.shape[1]):
            is_same &= row[place] == parts[part, label]
            place += 1
    return is_same


def pour(arrays: RecorderArrays, recorder: Recorder) -> None:
    """Let ``recorder``, which is empty, remember all that the arrays do."""
    labels, totals = len(recorder.labels), arrays.totals.tolist()
    small, middle, large = (row.astype(object) for row in arrays.byte_ns)
    byte_ns: list[int] = (small + (middle << HALF) + (large << WHOLE)).tolist()
    recorder.kind_byte_ns = [
        byte_ns[part * labels : (part + 1) * labels] for part in range(len(PARTS))
    ]
    recorder.reserved_byte_ns, recorder.free_byte_ns = byte_ns[-2:]
    recorder.observed_ns, recorder.busy_ns = totals[OBSERVED_NS], totals[BUSY_NS]
    recorder.num_steps, recorder.num_tokens = totals[STEPS], totals[ALL_TOKENS]
    recorder.num_prefill_tokens = totals[ALL_PREFILL_TOKENS]
    recorder.batch_sizes.update(
        {size: count for size, count in enumerate(arrays.batch_sizes.tolist()) if count}
    )
    recorder.gaps = pour_gaps(arrays.gaps)
    recorder.moves = Moves(totals[MOVED_BYTES], totals[MOVED_LAUNCHES])
    recorder.copy_ns, recorder.peak_needed = totals[COPY_NS], totals[PEAK_NEEDED]
    recorder.stride = totals[STRIDE]
    recorder.sample_values = array("q", arrays.samples[: totals[SAMPLES]].tobytes())
