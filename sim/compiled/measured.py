"""Steps as dense tables have them, which ``sim.measured`` makes of a profile."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...policies.compiled import body_of, by_reference, compiled, inner
from ...policies.demand_kernels import live_tokens
from ..kernels.knots import knot_below
from . import contract
from .roofline import KIND, NEW, TEXT, WINDOW, FloatArray
from .state import IntArray


@by_reference
class Measured(NamedTuple):
    """One tensor-parallel rank. Tables of a class hold microseconds of all its layers."""

    kinds: IntArray
    """KIND and WINDOW, one column per attention class; see ``roofline``."""
    per_tokens: FloatArray
    """By evidence and number of tokens."""
    per_samples: FloatArray
    """By evidence and number of samples."""
    decode: FloatArray
    """By class, requests and place of the tokens that one of them reads; see ``knots``."""
    decode_evidence: npt.NDArray[np.int8]
    prefill: FloatArray
    """By class, place of new tokens and place of those before them."""
    prefill_evidence: npt.NDArray[np.int8]
    spent_us: FloatArray
    """Microseconds of all steps so far, by evidence."""
    bytes_per_us: float
    """That a kernel moves."""
    copy_start_us: float


@inner
def _decode_us(latency: Measured, index: int, rows: int, reads: int) -> float:
    """Attention of ``rows`` requests that read so many tokens together; notes the evidence."""
    mean = reads / rows
    place, low, step = knot_below(int(mean))
    weight = (mean - low) / step
    table, known = latency.decode[index, rows], latency.decode_evidence[index, rows]
    us = table[place] * (1.0 - weight) + table[place + 1] * weight
    latency.spent_us[max(known[place], known[place + 1])] += us
    return us


@inner
def _prefill_us(latency: Measured, index: int, new: int, before: int) -> float:
    """Attention of a chunk behind ``before`` tokens; notes the evidence."""
    row, low, step = knot_below(new)
    down = (new - low) / step
    column, low, step = knot_below(before)
    right = (before - low) / step
    table, known = latency.prefill[index], latency.prefill_evidence[index]
    upper = table[row, column] * (1.0 - right) + table[row, column + 1] * right
    lower = table[row + 1, column] * (1.0 - right) + table[row + 1, column + 1] * right
    us = upper * (1.0 - down) + lower * down
    latency.spent_us[max(known[row, column], known[row + 1, column + 1])] += us
    return us


@body_of(contract.step_ns, Measured)
@compiled
def step_ns(
    latency: Measured,
    num_tokens: int,
    num_samples: int,
    decode_rows: int,
    reads: IntArray,
    prefills: IntArray,
    num_prefills: int,
) -> int:
    """See LatencyModel.step_ns."""
    total = 0.0
    for evidence in range(len(latency.spent_us)):
        us = latency.per_tokens[evidence, num_tokens] + latency.per_samples[evidence, num_samples]
        latency.spent_us[evidence] += us
        total += us
    for index in range(latency.kinds.shape[1]):
        if decode_rows:
            total += _decode_us(latency, index, decode_rows, reads[index])
        for chunk in range(num_prefills):
            new, text = prefills[NEW, chunk], prefills[TEXT, chunk]
            total += _prefill_us(latency, index, new, text - new)
    return int(total * 1e3 + 0.5)


@body_of(contract.copy_ns, Measured)
@compiled
def copy_ns(latency: Measured, moved_bytes: int, launches: int) -> int:
    """See LatencyModel.copy_ns. Every byte is read and written."""
    return int((2 * moved_bytes / latency.bytes_per_us + launches * latency.copy_start_us) * 1e3)


@body_of(contract.decode_reads, Measured)
@inner
def decode_reads(latency: Measured, text: int, cross: int, reads: IntArray) -> None:
    """See the contract."""
    for index in range(latency.kinds.shape[1]):
        kind, window = latency.kinds[KIND, index], latency.kinds[WINDOW, index]
        reads[index] += live_tokens(kind, window, text, cross, 1, 0)
