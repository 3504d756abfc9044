"""A plain Python carving as compiled code sees it: its methods are called back.

Numbers beyond the three of a callback go through arrays that both sides know. A carving without a
clock of its own is not asked for the time, nor is one that has not changed for its slack again.
"""

import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import batch
from .base import Carving
from .batch import IntArray
from .callback import FAILED, Callback, CallbackError
from .callback import reraising as reraising
from .compiled import body_of, by_reference, inner

COULD_FIT, FITS, TAKE, GIVE, FREE, SLACK, TICK, DUE = range(8)
"""The functions of ``call``."""
CLOCKED, KNOWN, FIRST, SECOND = range(4)
"""Entries of ``marks``: whether it has a clock; whether it would give the same slack again; the
answer of ``tick`` and ``due_ns``."""
OF_FITS, OF_SLACK = range(2)
"""Entries of ``watermark``."""


@by_reference
class CalledCarving(NamedTuple):
    """The callback, and the arrays through which it and compiled code talk."""

    call: Callback
    need: IntArray
    refused: IntArray
    slack: IntArray
    marks: IntArray
    watermark: npt.NDArray[np.float64]


def called_carving(carving: Carving) -> CalledCarving:
    """The state with which compiled code asks ``carving``; holders are slots."""
    return _Methods(carving).state


class _Methods:
    """The methods of a carving as functions of three numbers, of which most need fewer."""

    def __init__(self, carving: Carving) -> None:
        groups, size = len(carving.groups), batch.slack_size(len(carving.groups))
        need, refused = np.zeros(groups, dtype=np.int64), np.zeros(groups, dtype=np.int64)
        slack, marks = np.zeros(size, dtype=np.int64), np.zeros(4, dtype=np.int64)
        watermark = np.zeros(2)
        self.carving = carving
        # Views are read and written one by one much faster than arrays.
        self.need, self.refused, self.slack = need.data, refused.data, slack.data
        self.marks, self.watermark = marks.data, watermark.data
        self.pages = struct.Struct(f"={groups}q").unpack
        self.pack = struct.Struct(f"={size}q").pack_into
        self.none = (0,) * groups
        self.marks[CLOCKED] = any(
            name in vars(carving) or getattr(type(carving), name) is not getattr(Carving, name)
            for name in ("tick", "due_ns")
        )
        functions = (self.could_fit, self.fits, self.take, self.give, self.free)
        call = Callback((*functions, self.ask_slack, self.tick, self.due_ns))
        self.state = CalledCarving(call, need, refused, slack, marks, watermark)

    def could_fit(self, _a: int, _b: int, _c: int) -> int:
        return 1 if self.carving.could_fit(self.pages(self.need)) else 0

    def fits(self, _a: int, _b: int, _c: int) -> int:
        return 1 if self.carving.fits(self.pages(self.need), self.watermark[OF_FITS]) else 0

    def take(self, slot: int, _b: int, _c: int) -> int:
        return 1 if self.carving.take(slot, self.pages(self.need)) else 0

    def give(self, slot: int, group: int, count: int) -> int:
        self.carving.give(slot, group, count)
        return 0

    def free(self, slot: int, _b: int, _c: int) -> int:
        self.carving.free(slot)
        return 0

    def ask_slack(self, is_refused: int, _b: int, _c: int) -> int:
        refused = self.pages(self.refused) if is_refused else None
        found = self.carving.slack(refused, self.watermark[OF_SLACK])
        apart = (*found.internal, *found.external, *(found.cached or self.none))
        self.pack(self.slack, 0, *apart, found.reserved, found.free)
        return 0

    def tick(self, now_ns: int, _b: int, _c: int) -> int:
        self.marks[FIRST], self.marks[SECOND] = self.carving.tick(now_ns)
        return 0

    def due_ns(self, _a: int, _b: int, _c: int) -> int:
        due = self.carving.due_ns()
        self.marks[FIRST] = batch.NEVER_DUE if due is None else due
        return 0


@inner
def _call(pool: CalledCarving, number: int, a: int, b: int, c: int) -> int:
    answer = pool.call(number, a, b, c)
    if answer == FAILED:
        raise CallbackError("the carving raised an exception")
    return answer


@body_of(batch.could_fit, CalledCarving)
@inner
def _could_fit(pool: CalledCarving, need: IntArray) -> bool:
    _copy(need, pool.need)
    return _call(pool, COULD_FIT, 0, 0, 0) == 1


@body_of(batch.fits, CalledCarving)
@inner
def _fits(pool: CalledCarving, need: IntArray, watermark: float) -> bool:
    _copy(need, pool.need)
    pool.watermark[OF_FITS] = watermark
    return _call(pool, FITS, 0, 0, 0) == 1


@body_of(batch.take, CalledCarving)
@inner
def _take(pool: CalledCarving, holder: int, need: IntArray) -> bool:
    _copy(need, pool.need)
    pool.marks[KNOWN] = 0
    return _call(pool, TAKE, holder, 0, 0) == 1


@body_of(batch.give, CalledCarving)
@inner
def _give(pool: CalledCarving, holder: int, group: int, count: int) -> None:
    pool.marks[KNOWN] = 0
    _call(pool, GIVE, holder, group, count)


@body_of(batch.free, CalledCarving)
@inner
def _free(pool: CalledCarving, holder: int) -> None:
    pool.marks[KNOWN] = 0
    _call(pool, FREE, holder, 0, 0)


@body_of(batch.slack, CalledCarving)
@inner
def _slack(pool: CalledCarving, refused: IntArray, watermark: float, out: IntArray) -> None:
    known = pool.marks[KNOWN] == 1 and pool.watermark[OF_SLACK] == watermark
    for group in range(len(refused)):
        known = known and pool.refused[group] == refused[group]
    if not known:
        _copy(refused, pool.refused)
        pool.watermark[OF_SLACK] = watermark
        _call(pool, SLACK, 1 if refused[0] != batch.NOTHING_REFUSED else 0, 0, 0)
        pool.marks[KNOWN] = 1
    _copy(pool.slack, out)


@body_of(batch.tick, CalledCarving)
@inner
def _tick(pool: CalledCarving, now_ns: int, moved: IntArray) -> None:
    if pool.marks[CLOCKED]:
        pool.marks[KNOWN] = 0
        _call(pool, TICK, now_ns, 0, 0)
        moved[batch.BYTES] += pool.marks[FIRST]
        moved[batch.LAUNCHES] += pool.marks[SECOND]


@body_of(batch.due_ns, CalledCarving)
@inner
def _due_ns(pool: CalledCarving) -> int:
    if not pool.marks[CLOCKED]:
        return batch.NEVER_DUE
    _call(pool, DUE, 0, 0, 0)
    return pool.marks[FIRST]


@inner
def _copy(source: IntArray, target: IntArray) -> None:
    for entry in range(len(source)):
        target[entry] = source[entry]
