"""Compiled code sees the same arrivals as Python does, whoever ended before."""

import heapq
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim import ReplayConfig
from jenga_sim.policies.callback import reraising
from jenga_sim.policies.compiled import compiled
from jenga_sim.sim.arrivals import Arrivals, OpenArrivals, make_arrivals
from jenga_sim.sim.compiled.arrivals import CalledArrivals, OpenArrivalArrays, arrival_state
from jenga_sim.sim.compiled.contract import has_ended, next_ns, next_slot
from jenga_sim.sim.requests import IntArray
from tests.sim.strategies import Turn, dependencies_of, examples, turns

MS = 1_000_000
TICK = 7 * MS


@compiled
def compiled_next_ns(arrivals: Any) -> int:
    return next_ns(arrivals)


@compiled
def compiled_next_slot(arrivals: Any) -> int:
    return next_slot(arrivals)


@compiled
def compiled_ended(arrivals: Any, slot: int, now_ns: int) -> None:
    has_ended(arrivals, slot, now_ns)


@compiled
def arrive_all(arrivals: Any, out: IntArray) -> None:
    """Arrivals and slots of requests of which each ends as it arrives."""
    for row in range(len(out)):
        out[row, 0] = next_ns(arrivals)
        out[row, 1] = next_slot(arrivals)
        has_ended(arrivals, out[row, 1], out[row, 0])


class Compiled:
    """Arrivals as compiled code sees them."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.state = arrival_state(arrivals)

    def peek(self) -> int | None:
        at = compiled_next_ns(self.state)
        return None if at == -1 else at

    def pop(self) -> int:
        return compiled_next_slot(self.state)

    def ended(self, slot: int, now_ns: int) -> None:
        compiled_ended(self.state, slot, now_ns)


def served(arrivals: Arrivals, serving_ns: list[int]) -> list[tuple[int, int, int]]:
    """Slots in the order in which they arrive, served one beside the other; ends out of order."""
    found: list[tuple[int, int, int]] = []
    ends: list[tuple[int, int]] = []
    while ends or arrivals.peek() is not None:
        now = arrivals.peek()
        if now is not None and (not ends or now <= ends[0][0]):
            slot = arrivals.pop()
            end = now + serving_ns[slot]
            found.append((now, slot, end))
            heapq.heappush(ends, (end // TICK * TICK, slot))
        else:
            # Some that end in the same step are told in the order of their slots.
            moment = ends[0][0]
            while ends and ends[0][0] == moment:
                arrivals.ended(heapq.heappop(ends)[1], moment + TICK)
    return found


@examples(60)
@given(
    turns=st.integers(1, 12).flatmap(turns),
    mode=st.sampled_from(["open", "session", "closed"]),
    data=st.data(),
)
def test_compiled_arrivals_are_those_of_python(
    turns: tuple[Turn, ...], mode: str, data: st.DataObject
) -> None:
    numbers = st.lists(st.integers(0, 40).map(MS.__mul__), min_size=len(turns), max_size=len(turns))
    times, serving = np.array(sorted(data.draw(numbers)), np.int64), data.draw(numbers)
    concurrency = data.draw(st.integers(1, 3)) if mode == "closed" else None
    replay = ReplayConfig(mode, concurrency=concurrency)  # type: ignore[arg-type]

    def arrivals() -> Arrivals:
        return make_arrivals(times, replay, dependencies_of(turns))

    assert served(Compiled(arrivals()), serving) == served(arrivals(), serving)


def test_a_loop_in_compiled_code_sees_them_too() -> None:
    times = np.array([3, 3, 8, 20], np.int64)
    session = ReplayConfig("closed", concurrency=1)
    for replay, state in ((ReplayConfig(), OpenArrivalArrays), (session, CalledArrivals)):
        found, arrivals = np.zeros((4, 2), np.int64), make_arrivals(times, replay)
        assert type(arrival_state(arrivals)) is state
        arrive_all(arrival_state(arrivals), found)
        expected = [(3, 0), (3, 1), (8, 2), (20, 3)] if not replay.concurrency else None
        assert expected in (None, [tuple(row) for row in found.tolist()])
        assert found[:, 1].tolist() == [0, 1, 2, 3]


def test_nobody_is_asked_twice_when_nothing_happened() -> None:
    class Counting(OpenArrivals):
        asked = 0

        def peek(self) -> int | None:
            self.asked += 1
            return super().peek()

    arrivals = Counting(np.array([5, 6], np.int64))
    seen = Compiled(arrivals)
    assert [seen.peek(), seen.peek(), seen.pop(), seen.peek(), seen.peek()] == [5, 5, 0, 6, 6]
    assert arrivals.asked == 2


def test_what_arrivals_raise_comes_through() -> None:
    class Broken(OpenArrivals):
        def pop(self) -> int:
            raise LookupError("no more")

    seen = Compiled(Broken(np.array([5], np.int64)))
    with pytest.raises(LookupError, match="no more"), reraising(seen.state):
        seen.pop()


def test_arrivals_that_began_in_python_go_on_from_there() -> None:
    arrivals = OpenArrivals(np.array([5, 6], np.int64))
    arrivals.pop()
    assert Compiled(arrivals).peek() == 6
    assert Compiled(OpenArrivals(np.zeros(0, np.int64))).peek() is None
