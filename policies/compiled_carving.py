"""Carvings that are written once, over arrays: the methods of ``Carving`` out of the batch form.

Such a class makes its arrays (``state``) and their bodies for the contracts of ``policies.batch``.
The compiled engine takes the arrays; everybody else calls the methods below, which call the same
functions.
"""

from abc import abstractmethod
from typing import Any, TypeVar

import numpy as np

from ..configs.errors import InvariantError
from . import batch
from .base import NO_MOVES, Carving, Moves, PageGroup, Pages, Slack
from .batch import IntArray
from .compiled import body_of, compiled, inner

State = TypeVar("State", bound=type[Any])

_METHODS = ("could_fit", "fits", "take", "give", "free", "slack", "tick", "due_ns")
_FIRST_HOLDERS = 8


class CompiledCarving(Carving):
    """A carving whose ``state`` is a NamedTuple of arrays with bodies for ``policies.batch``.

    A class that derives from this one makes ``state`` and implements ``grow``, ``free_pages`` and
    ``check``. Where a class overrides one of the methods here, compiled code calls its methods
    back, as those of any other Python class.
    """

    state: Any
    """Arrays, with room for ``holders`` holders."""
    holders: int = _FIRST_HOLDERS

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self._holder_of: dict[int, int] = {}
        """The holder of each slot that took pages and was not freed since."""
        self._spare = list(range(self.holders))[::-1]
        self._most = [pool_bytes // group.page_bytes + 1 for group in groups]
        self._need = np.zeros(len(groups), dtype=np.int64)
        self._nothing = np.full(len(groups), batch.NOTHING_REFUSED, dtype=np.int64)
        self._moved = np.zeros(2, dtype=np.int64)
        self._slack = np.zeros(batch.slack_size(len(groups)), dtype=np.int64)

    @abstractmethod
    def grow(self, holders: int) -> None:
        """Replace ``state`` by one with room for ``holders``, in which all is as it was."""

    @property
    def holders_are_slots(self) -> bool:
        """See Carving."""
        cls, own = type(self), vars(self)
        changed = [getattr(cls, name) is not getattr(CompiledCarving, name) for name in _METHODS]
        return any(changed) or any(name in own for name in _METHODS)

    def batch(self, holders: int) -> Any:
        """See Carving. Not while slots hold pages: holders would be taken for others."""
        if self.holders_are_slots:
            return super().batch(holders)
        if self._holder_of:
            raise InvariantError(f"{len(self._holder_of)} slots hold pages already")
        self._make_room(holders)
        return self.state

    def could_fit(self, need: Pages) -> bool:
        """See Carving. Asked once a request, if at all: not worth compiling."""
        return bool(batch.could_fit(self.state, self._bounded(need)))

    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        """See Carving."""
        return bool(_fits(self.state, self._bounded(need), float(watermark)))

    def take(self, slot: int, need: Pages) -> bool:
        """See Carving."""
        if not any(need):
            return True
        known = self._holder_of.get(slot)
        if known is None and not self._spare:
            self._make_room(2 * self.holders)
        holder = self._spare[-1] if known is None else known
        if not _take(self.state, holder, self._bounded(need)):
            return False
        if known is None:
            self._holder_of[slot] = self._spare.pop()
        return True

    def give(self, slot: int, group: int, count: int) -> None:
        """See Carving."""
        holder = self._holder_of.get(slot)
        if holder is not None:
            _give(self.state, holder, group, count)
        elif count:
            raise InvariantError(f"slot {slot} gives {count} pages of group {group}, holds none")

    def free(self, slot: int) -> None:
        """See Carving."""
        holder = self._holder_of.pop(slot, None)
        if holder is not None:
            _free(self.state, holder)
            self._spare.append(holder)

    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        """See Carving."""
        lacking = self._nothing if refused is None else self._bounded(refused)
        _slack(self.state, lacking, float(watermark), self._slack)
        parts, count = self._slack.tolist(), len(self.groups)
        return Slack(
            internal=tuple(parts[:count]),
            external=tuple(parts[count : 2 * count]),
            reserved=parts[-2],
            free=parts[-1],
            cached=tuple(parts[2 * count : 3 * count]),
        )

    def tick(self, now_ns: int) -> Moves:
        """See Carving."""
        self._moved[:] = 0
        _tick(self.state, now_ns, self._moved)
        return Moves(*self._moved.tolist()) if self._moved.any() else NO_MOVES

    def due_ns(self) -> int | None:
        """See Carving."""
        due = int(_due_ns(self.state))
        return None if due == batch.NEVER_DUE else due

    def _bounded(self, need: Pages) -> IntArray:
        """``need`` as an array. What no pool of this size can hold counts as a page too many.

        So sums of bytes stay within 64 bits whatever is asked.
        """
        self._need[:] = [min(pages, most) for pages, most in zip(need, self._most, strict=True)]
        return self._need

    def _make_room(self, holders: int) -> None:
        if holders > self.holders:
            self.grow(holders)
            self._spare[:0] = range(self.holders, holders)[::-1]
            self.holders = holders


def widened(array: IntArray, holders: int) -> IntArray:
    """A copy of an array whose first axis is holders, with zeros for more of them."""
    wider = np.zeros((holders, *array.shape[1:]), dtype=array.dtype)
    wider[: len(array)] = array
    return wider


def copies_nothing(state: State) -> State:
    """Class decorator: carvings with this state have no clock and move no pages."""
    body_of(batch.tick, state)(_no_tick)
    body_of(batch.due_ns, state)(_never_due)
    return state


@inner
def _no_tick(pool: Any, now_ns: int, moved: IntArray) -> None:
    pass


@inner
def _never_due(pool: Any) -> int:
    return batch.NEVER_DUE


# What Python calls.


@compiled
def _fits(pool: Any, need: IntArray, watermark: float) -> bool:
    return batch.fits(pool, need, watermark)


@compiled
def _take(pool: Any, holder: int, need: IntArray) -> bool:
    return batch.take(pool, holder, need)


@compiled
def _give(pool: Any, holder: int, group: int, count: int) -> None:
    batch.give(pool, holder, group, count)


@compiled
def _free(pool: Any, holder: int) -> None:
    batch.free(pool, holder)


@compiled
def _slack(pool: Any, refused: IntArray, watermark: float, out: IntArray) -> None:
    batch.slack(pool, refused, watermark, out)


@compiled
def _tick(pool: Any, now_ns: int, moved: IntArray) -> None:
    batch.tick(pool, now_ns, moved)


@compiled
def _due_ns(pool: Any) -> int:
    return batch.due_ns(pool)
