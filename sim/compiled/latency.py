"""Latency models as the compiled engine asks them: arrays, or Python that is called back."""

from typing import Any, NamedTuple

import numpy as np

from ...policies.callback import FAILED, Callback, CallbackError
from ...policies.compiled import body_of, by_reference, inner
from ...policies.demand_kernels import kind_code, live_tokens
from ..latency import AnalyticalLatency, LatencyModel, Prefill, StepShape
from ..measured import MeasuredLatency
from . import contract
from .state import IntArray

STEP, COPY = range(2)
"""The functions of ``call``."""
KIND, WINDOW = range(2)
"""Rows of ``kinds``, one column per attention class."""
TOKENS, SAMPLES, ROWS, READS = range(4)
"""Entries of ``shape``: those of ``StepShape``; from READS on the tokens read per class."""


@by_reference
class CalledLatency(NamedTuple):
    """A LatencyModel in Python."""

    call: Callback
    kinds: IntArray
    shape: IntArray
    prefills: IntArray


def latency_state(model: LatencyModel, max_num_seqs: int) -> Any:
    """``model`` as compiled code asks it."""
    if type(model) is AnalyticalLatency:
        return model.roofline
    if type(model) is MeasuredLatency:
        return model.state
    kinds = [(kind_code(c.spec.kind), c.spec.window) for c in model.classes]
    shape = np.zeros(READS + len(kinds), dtype=np.int64)
    prefills = np.zeros((3, max_num_seqs), dtype=np.int64)

    def step(count: int, _b: int, _c: int) -> int:
        tokens, samples, rows, *reads = shape.tolist()
        chunks = tuple(Prefill(*column) for column in prefills[:, :count].T.tolist())
        return model.step_ns(StepShape(tokens, samples, rows, tuple(reads), chunks))

    def copy(moved_bytes: int, launches: int, _c: int) -> int:
        return model.copy_ns(moved_bytes, launches)

    columns = np.array(kinds, dtype=np.int64).reshape(-1, 2).T.copy()
    return CalledLatency(Callback((step, copy)), columns, shape, prefills)


@body_of(contract.decode_reads, CalledLatency)
@inner
def decode_reads(latency: CalledLatency, text: int, cross: int, reads: IntArray) -> None:
    """See the contract."""
    for index in range(latency.kinds.shape[1]):
        kind, window = latency.kinds[KIND, index], latency.kinds[WINDOW, index]
        reads[index] += live_tokens(kind, window, text, cross, 1, 0)


@body_of(contract.step_ns, CalledLatency)
@inner
def step_ns(
    latency: CalledLatency,
    num_tokens: int,
    num_samples: int,
    decode_rows: int,
    reads: IntArray,
    prefills: IntArray,
    num_prefills: int,
) -> int:
    """See LatencyModel."""
    shape = latency.shape
    shape[TOKENS], shape[SAMPLES], shape[ROWS] = num_tokens, num_samples, decode_rows
    for index in range(latency.kinds.shape[1]):
        shape[READS + index] = reads[index]
    for chunk in range(num_prefills):
        for row in range(3):
            latency.prefills[row, chunk] = prefills[row, chunk]
    duration = latency.call(STEP, num_prefills, 0, 0)
    if duration == FAILED:
        raise CallbackError("the latency model failed")
    return duration


@body_of(contract.copy_ns, CalledLatency)
@inner
def copy_ns(latency: CalledLatency, moved_bytes: int, launches: int) -> int:
    """See LatencyModel."""
    duration = latency.call(COPY, moved_bytes, launches, 0)
    if duration == FAILED:
        raise CallbackError("the latency model failed")
    return duration
