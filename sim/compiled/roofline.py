"""The arithmetic of ``sim.latency.AnalyticalLatency``: steps as the roofline has them.

Sums of floats are made in one order, so that the plain engine and the compiled one agree to the
last bit.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...policies.caching.layout import CHUNKED, SLIDING
from ...policies.compiled import body_of, by_reference, compiled, inner
from ...policies.demand_kernels import CROSS, live_tokens
from . import contract
from .state import IntArray

FloatArray = npt.NDArray[np.float64]

PER_TOKENS, PER_SAMPLES = range(2)
"""Rows of ``tables``: microseconds of all that depends on the number of tokens, or of samples."""
KIND, WINDOW, LAYERS = range(3)
"""Rows of ``kinds``, one column per attention class; kinds as in ``policies.demand_kernels``."""
FLOPS_PER_PAIR, BYTES_PER_TOKEN = range(2)
"""Rows of ``rates``, one column per attention class: of one layer on one rank."""
NEW, TEXT, ENCODER = range(3)
"""Rows of ``prefills``."""


@by_reference
class Roofline(NamedTuple):
    """One tensor-parallel rank."""

    tables: FloatArray
    kinds: IntArray
    rates: FloatArray
    flops_per_us: float
    bytes_per_us: float
    state_layers: int
    state_bytes: int
    """Of all their layers, for one request."""
    compute_factor: float
    memory_factor: float
    start_us: float
    copy_start_us: float


@inner
def _limit_us(roofline: Roofline, flops: float, moved: float) -> float:
    """Smooth maximum of compute and memory time, exponent 2 (exactly rounded everywhere)."""
    compute = roofline.compute_factor * flops / roofline.flops_per_us
    memory = roofline.memory_factor * moved / roofline.bytes_per_us
    return math.sqrt(compute * compute + memory * memory)


@inner
def _decode_us(roofline: Roofline, rows: int, reads: IntArray) -> float:
    total = 0.0
    for index in range(roofline.kinds.shape[1]):
        tokens = float(reads[index])
        each = _limit_us(
            roofline,
            roofline.rates[FLOPS_PER_PAIR, index] * tokens,
            roofline.rates[BYTES_PER_TOKEN, index] * tokens,
        )
        total = total + roofline.kinds[LAYERS, index] * (roofline.start_us + each)
    if roofline.state_layers:
        moved = 2.0 * rows * roofline.state_bytes
        total = total + (
            roofline.state_layers * roofline.start_us
            + roofline.memory_factor * moved / roofline.bytes_per_us
        )
    return total


@inner
def _prefill_us(roofline: Roofline, new: int, text: int, cross: int) -> float:
    total = 0.0
    for index in range(roofline.kinds.shape[1]):
        kind, window = roofline.kinds[KIND, index], roofline.kinds[WINDOW, index]
        pairs = attention_pairs(kind, window, new, text, cross)
        read = cross if kind == CROSS else text
        each = _limit_us(
            roofline,
            roofline.rates[FLOPS_PER_PAIR, index] * pairs,
            roofline.rates[BYTES_PER_TOKEN, index] * read,
        )
        total = total + roofline.kinds[LAYERS, index] * (roofline.start_us + each)
    if roofline.state_layers:
        # A chunked scan multiplies each token into the state about three times.
        flops = 6.0 * (roofline.state_bytes / 2.0) * new
        total = total + roofline.state_layers * roofline.start_us
        total = total + _limit_us(roofline, flops, 2.0 * roofline.state_bytes)
    return total


@compiled
def attention_pairs(kind: int, window: int, new: int, text: int, cross: int) -> int:
    """(query, key) pairs that a chunk of ``new`` tokens computes which ends at ``text``."""
    if kind == CROSS:
        return new * cross
    if kind == SLIDING:
        return _window_pairs(text, window) - _window_pairs(text - new, window)
    if kind == CHUNKED:
        return _chunk_pairs(text, window) - _chunk_pairs(text - new, window)
    return _triangle(text) - _triangle(text - new)


@inner
def _triangle(n: int) -> int:
    return n * (n + 1) // 2


@inner
def _window_pairs(n: int, window: int) -> int:
    inside = min(n, window)
    return _triangle(inside) + (n - inside) * window


@inner
def _chunk_pairs(n: int, chunk: int) -> int:
    return n // chunk * _triangle(chunk) + _triangle(n % chunk)


@body_of(contract.step_ns, Roofline)
@compiled
def step_ns(
    latency: Roofline,
    num_tokens: int,
    num_samples: int,
    decode_rows: int,
    reads: IntArray,
    prefills: IntArray,
    num_prefills: int,
) -> int:
    """See LatencyModel.step_ns."""
    total = latency.tables[PER_TOKENS, num_tokens] + latency.tables[PER_SAMPLES, num_samples]
    if decode_rows:
        total = total + _decode_us(latency, decode_rows, reads)
    for chunk in range(num_prefills):
        total = total + _prefill_us(
            latency, prefills[NEW, chunk], prefills[TEXT, chunk], prefills[ENCODER, chunk]
        )
    return int(total * 1e3 + 0.5)


@body_of(contract.copy_ns, Roofline)
@compiled
def copy_ns(latency: Roofline, moved_bytes: int, launches: int) -> int:
    """See LatencyModel.copy_ns."""
    total = (
        latency.memory_factor * 2 * moved_bytes / latency.bytes_per_us
        + launches * latency.copy_start_us
    )
    return int(total * 1e3 + 0.5)


@body_of(contract.decode_reads, Roofline)
@inner
def decode_reads(latency: Roofline, text: int, cross: int, reads: IntArray) -> None:
    """See the contract."""
    for index in range(latency.kinds.shape[1]):
        kind, window = latency.kinds[KIND, index], latency.kinds[WINDOW, index]
        reads[index] += live_tokens(kind, window, text, cross, 1, 0)
