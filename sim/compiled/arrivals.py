"""Arrivals for the compiled engine: a column of times, or Python that is called back."""

from typing import NamedTuple

import numpy as np

from ...policies.callback import FAILED, Callback, CallbackError
from ...policies.compiled import body_of, by_reference, inner
from ..arrivals import Arrivals, OpenArrivals
from ..requests import NEVER, IntArray
from . import contract

PEEK, POP, ENDED = range(3)
"""The functions of ``call``."""
NEXT_NS, KNOWN = range(2)
"""Entries of ``cell``: what ``peek`` said last, and whether it would say so again."""


@by_reference
class OpenArrivalArrays(NamedTuple):
    """Every request at its recorded time."""

    arrival_ns: IntArray
    cursor: IntArray
    """One entry: the request that arrives next."""


@by_reference
class CalledArrivals(NamedTuple):
    """Arrivals that depend on who ended."""

    call: Callback
    cell: IntArray


def arrival_state(arrivals: Arrivals) -> OpenArrivalArrays | CalledArrivals:
    """``arrivals`` as compiled code asks them, which must be the only one to do so."""
    if type(arrivals) is OpenArrivals:
        return OpenArrivalArrays(arrivals.column, np.array([arrivals.arrived]))

    def peek(_a: int, _b: int, _c: int) -> int:
        at_ns = arrivals.peek()
        cell[NEXT_NS] = NEVER if at_ns is None else at_ns
        return 0

    def pop(_a: int, _b: int, _c: int) -> int:
        return arrivals.pop()

    def ended(slot: int, now_ns: int, _c: int) -> int:
        arrivals.ended(slot, now_ns)
        return 0

    cell = np.zeros(2, dtype=np.int64)
    return CalledArrivals(Callback((peek, pop, ended)), cell)


@body_of(contract.next_ns, OpenArrivalArrays)
@inner
def _next_ns(arrivals: OpenArrivalArrays) -> int:
    slot = arrivals.cursor[0]
    return int(arrivals.arrival_ns[slot]) if slot < len(arrivals.arrival_ns) else NEVER


@body_of(contract.next_slot, OpenArrivalArrays)
@inner
def _next_slot(arrivals: OpenArrivalArrays) -> int:
    arrivals.cursor[0] += 1
    return arrivals.cursor[0] - 1


@body_of(contract.has_ended, OpenArrivalArrays)
@inner
def _nobody_waits(arrivals: OpenArrivalArrays, slot: int, now_ns: int) -> None:
    pass


@body_of(contract.next_ns, CalledArrivals)
@inner
def _peek(arrivals: CalledArrivals) -> int:
    # Asked when the engine asks, not when somebody ended: ends come in any order.
    if not arrivals.cell[KNOWN]:
        _call(arrivals, PEEK, 0, 0)
        arrivals.cell[KNOWN] = 1
    return arrivals.cell[NEXT_NS]


@body_of(contract.next_slot, CalledArrivals)
@inner
def _pop(arrivals: CalledArrivals) -> int:
    arrivals.cell[KNOWN] = 0
    return _call(arrivals, POP, 0, 0)


@body_of(contract.has_ended, CalledArrivals)
@inner
def _ended(arrivals: CalledArrivals, slot: int, now_ns: int) -> None:
    arrivals.cell[KNOWN] = 0
    _call(arrivals, ENDED, slot, now_ns)


@inner
def _call(arrivals: CalledArrivals, number: int, a: int, b: int) -> int:
    answer = arrivals.call(number, a, b, 0)
    if answer == FAILED:
        raise CallbackError("the arrivals raised an exception")
    return answer
