"""When requests arrive, without an engine: a stand-in that serves each for a given time."""

import heapq
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim import ReplayConfig, TraceError
from jenga_sim.sim.arrivals import Arrivals, OpenArrivals, make_arrivals
from jenga_sim.sim.dependencies import Dependencies, sessions_of
from tests.sim.replay_laws import (
    Turn,
    expected_arrivals,
    expected_sessions,
    sessions_in_flight_are_as_many_as_there_may_be,
)
from tests.sim.strategies import dependencies_of, examples, turns

SESSION = ReplayConfig("session")


Served = dict[int, tuple[int, int]]
"""Arrival and end by slot, in the order in which requests arrived."""


def serve(arrivals: Arrivals, serving_ns: Sequence[int], tick_ns: int) -> Served:
    """Let everybody arrive, be served and end.

    Like the engine it looks at the clock now and then only: whoever is served ends at a tick, and
    whoever arrived since the last one is let in. A request of 0 ns is rejected when it arrives.
    """
    found: Served = {}
    ends: list[tuple[int, int]] = []
    now = 0
    while ends or arrivals.peek() is not None:
        while ends and ends[0][0] <= now:
            arrivals.ended(heapq.heappop(ends)[1], now)
        while (at := arrivals.peek()) is not None and at <= now:
            slot = arrivals.pop()
            serving = serving_ns[slot]
            end = at if not serving else -(-(now + serving) // tick_ns) * tick_ns
            found[slot] = (at, end)
            if serving:
                heapq.heappush(ends, (end, slot))
            else:
                arrivals.ended(slot, at)
        now += tick_ns
    return found


def columns(turns: Sequence[Turn], arrival_ns: Sequence[int], replay: ReplayConfig) -> Arrivals:
    return make_arrivals(np.array(arrival_ns, np.int64), replay, dependencies_of(turns))


# --- by hand -------------------------------------------------------------------------------------


def test_in_open_loop_nobody_waits_for_anybody() -> None:
    arrivals = OpenArrivals(np.array([3, 3, 8]))

    seen: list[tuple[int | None, int]] = []
    for _ in range(3):
        seen.append((arrivals.peek(), arrivals.pop()))
        arrivals.ended(seen[-1][1], 100)

    assert seen == [(3, 0), (3, 1), (8, 2)]
    assert arrivals.peek() is None


def test_a_turn_arrives_its_think_time_after_the_last_end_that_it_waits_for() -> None:
    turns = [Turn(), Turn(), Turn((0, 1), 5), Turn((2,), 0), Turn((0,), -1), Turn((1,), -1)]

    found = serve(columns(turns, [0, 10, 20, 30, 40, 50], SESSION), [40, 20, 7, 1, 1, 1], 1)

    assert found == {
        0: (0, 40),
        1: (10, 30),
        # After 40, though 30 was known before.
        2: (45, 52),
        3: (52, 53),
        # An unknown think time: as recorded, but not before the end.
        4: (40, 41),
        5: (50, 51),
    }


def test_in_closed_loop_a_session_begins_when_another_one_has_ended() -> None:
    # Three sessions of two requests: 0 and 3, 1 and 4, 2 and 5; the last follows at once.
    turns = [Turn(session=7), Turn(session=2), Turn(session=9)]
    turns += [Turn((0,), 5, 7), Turn(session=2), Turn((2,), -1, 9)]

    found = serve(
        columns(turns, [100, 110, 120, 130, 140, 150], ReplayConfig("closed", 1)),
        [10, 40, 7, 10, 4, 1],
        1,
    )

    assert found == {
        0: (100, 110),
        3: (115, 125),
        # 30 ns after the first request of its session, as recorded, though that one still runs.
        1: (125, 165),
        4: (155, 159),
        2: (165, 172),
        # 30 ns after the begin of its session, too: it ended before.
        5: (195, 196),
    }


def test_a_closed_loop_without_sessions_has_so_many_requests_in_flight() -> None:
    arrivals = make_arrivals(np.array([5, 6, 7, 8, 9]), ReplayConfig("closed", 2))

    found = serve(arrivals, [10, 30, 10, 0, 10], 1)

    # The fourth is rejected when it arrives, and the fifth takes its place at once.
    assert found == {0: (5, 15), 1: (5, 35), 2: (15, 25), 3: (25, 25), 4: (25, 35)}


def test_requests_that_arrive_at_one_moment_do_so_in_the_order_of_the_trace() -> None:
    turns = [Turn(), Turn((0,), 10), Turn((0,), 0), Turn(), Turn((0,), -1)]

    found = serve(columns(turns, [0, 1, 2, 20, 20], SESSION), [10, 1, 1, 1, 1], 1)

    assert list(found) == [0, 2, 1, 3, 4]
    assert [found[slot][0] for slot in (1, 3, 4)] == [20, 20, 20]


def test_ends_count_by_their_time_not_by_when_they_are_told() -> None:
    arrivals = columns([Turn(), Turn(), Turn((0, 1), 3)], [0, 0, 0], SESSION)
    assert [arrivals.pop(), arrivals.pop()] == [0, 1]

    arrivals.ended(0, 10)
    assert arrivals.peek() is None
    # Rejected at 8, which an engine notices after the step that ended at 10.
    arrivals.ended(1, 8)

    assert arrivals.peek() == 13


def test_a_session_has_ended_with_the_last_of_its_requests() -> None:
    """Not with the one that is told last: that was rejected while the other was served."""
    arrivals = columns(
        [Turn(session=0), Turn(session=0), Turn()], [0, 1, 2], ReplayConfig("closed", 1)
    )
    assert [(arrivals.peek(), arrivals.pop()) for _ in range(2)] == [(0, 0), (1, 1)]

    arrivals.ended(0, 10)
    arrivals.ended(1, 1)

    assert arrivals.peek() == 10


def test_sessions_begin_in_their_order_though_ends_are_told_in_another() -> None:
    """The second one ends at 8, when its other request is rejected, within a step up to 10."""
    turns = [Turn(session=0), Turn(session=1), Turn(session=1), Turn(), Turn()]
    arrivals = columns(turns, [0, 0, 8, 9, 9], ReplayConfig("closed", 2))
    assert [(arrivals.peek(), arrivals.pop()) for _ in range(2)] == [(0, 0), (0, 1)]

    arrivals.ended(1, 5)
    arrivals.ended(0, 10)
    assert (arrivals.peek(), arrivals.pop()) == (8, 2)
    arrivals.ended(2, 8)

    assert [(arrivals.peek(), arrivals.pop()) for _ in range(2)] == [(8, 3), (10, 4)]
    assert arrivals.peek() is None


def test_an_empty_trace_has_no_arrivals() -> None:
    for replay in (ReplayConfig(), SESSION, ReplayConfig("closed", 3)):
        assert make_arrivals(np.zeros(0, np.int64), replay).peek() is None


# --- laws ----------------------------------------------------------------------------------------


class Graph(NamedTuple):
    """Requests that come after one another, and how long each is served."""

    turns: tuple[Turn, ...]
    arrival_ns: list[int]
    serving_ns: list[int]
    tick_ns: int


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 9))
    gaps = st.sampled_from([0, 0, 1, 4, 30])
    arrival_ns = np.cumsum([draw(gaps) for _ in range(count)]).tolist()
    after = [turn._replace(delay_ns=min(turn.delay_ns, 50)) for turn in draw(turns(count))]
    serving = [draw(st.sampled_from([0, 1, 3, 3, 20])) for _ in after]
    return Graph(tuple(after), arrival_ns, serving, draw(st.sampled_from([1, 7])))


@pytest.mark.parametrize("mode", ["session", "closed"])
def test_every_request_arrives_exactly_when_its_turn_has_come(mode: str) -> None:
    seen: Counter[str] = Counter()

    @examples(400)
    @given(graph=graphs(), concurrency=st.integers(1, 4))
    def holds(graph: Graph, concurrency: int) -> None:
        replay = ReplayConfig("closed", concurrency) if mode == "closed" else SESSION
        arrivals = columns(graph.turns, graph.arrival_ns, replay)
        found = serve(arrivals, graph.serving_ns, graph.tick_ns)

        assert sorted(found) == list(range(len(graph.turns)))
        arrival, end = ([found[slot][which] for slot in sorted(found)] for which in (0, 1))
        assert arrival == expected_arrivals(graph.turns, graph.arrival_ns, end, replay)
        if replay.concurrency is not None:
            sessions = expected_sessions(graph.turns)
            sessions_in_flight_are_as_many_as_there_may_be(sessions, arrival, end, concurrency)
            seen["full"] += len(sessions) > concurrency
        seen["runs"] += 1
        seen["joins"] += any(len(set(turn.after)) > 1 for turn in graph.turns)
        seen["rejected first"] += any(
            not graph.serving_ns[before] for turn in graph.turns for before in turn.after
        )
        seen["upwards"] += any(
            before > slot for slot, turn in enumerate(graph.turns) for before in turn.after
        )

    holds()
    print(dict(seen))
    assert seen["joins"] >= 0.05 * seen["runs"]
    assert seen["rejected first"] >= 0.1 * seen["runs"]
    assert seen["upwards"] >= 0.05 * seen["runs"]
    assert seen["full"] >= (0.2 * seen["runs"] if mode == "closed" else 0)


@examples(200)
@given(graph=graphs())
def test_sessions_are_what_is_connected_in_the_order_of_who_can_begin(graph: Graph) -> None:
    found = sessions_of(dependencies_of(graph.turns)).tolist()

    sessions = expected_sessions(graph.turns)
    assert found == [
        next(number for number, slots in enumerate(sessions) if slot in slots)
        for slot in range(len(graph.turns))
    ]


def test_a_long_chain_is_one_session() -> None:
    count = 5000
    numbers = np.random.default_rng(0).permutation(count).tolist()
    turns: list[Turn] = [Turn()] * count
    for before, slot in pairwise(numbers):
        turns[slot] = Turn((before,))

    assert set(sessions_of(dependencies_of(turns)).tolist()) == {0}


# --- what is refused -----------------------------------------------------------------------------


def ancestors(turns: Sequence[Turn], slot: int) -> set[int]:
    """``slot`` and everybody who must end before it arrives."""
    found: set[int] = set()
    unseen = [slot]
    while unseen:
        slot = unseen.pop()
        if slot not in found:
            found.add(slot)
            unseen += turns[slot].after
    return found


@examples(200)
@given(graph=graphs(), data=st.data())
def test_requests_that_wait_for_one_another_are_refused(graph: Graph, data: st.DataObject) -> None:
    turns = list(graph.turns)
    last = data.draw(st.integers(0, len(turns) - 1))
    first = data.draw(st.sampled_from(sorted(ancestors(turns, last))))
    turns[first] = turns[first]._replace(after=(*turns[first].after, last))
    stuck = [slot for slot in range(len(turns)) if first in ancestors(turns, slot)]

    with pytest.raises(TraceError, match=r"^after: ") as error:
        dependencies_of(turns)

    assert f"{len(stuck)} requests can never arrive" in str(error.value)
    assert f"the first is request {stuck[0]}, counted from 0" in str(error.value)


GOOD: dict[str, list[int]] = {
    "after_offsets": [0, 0, 1],
    "after": [0],
    "delay_ns": [-1, 5],
    "session": [0, 0],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"delay_ns": [-1]}, "3 offsets and 1 delays were given for 2 requests"),
        ({"after_offsets": [0, 1]}, "2 offsets and 2 delays were given for 2 requests"),
        ({"after_offsets": [0, 0, 2]}, "offsets must ascend from 0 to 1"),
        ({"after_offsets": [1, 1, 1]}, "offsets must ascend from 0 to 1"),
        ({"after_offsets": [0, 2, 1]}, "offsets must ascend from 0 to 1"),
        ({"after": [2]}, r"slots must be in 0\.\.1"),
        ({"after": [-1]}, r"slots must be in 0\.\.1"),
        ({"after": [1]}, "1 requests can never arrive"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, list[int]], message: str) -> None:
    given_ = {name: np.array(values, np.int64) for name, values in (GOOD | change).items()}

    with pytest.raises(TraceError, match=f"^after: {message}"):
        Dependencies(**given_)


def test_columns_cannot_be_changed_afterwards() -> None:
    known = Dependencies(**{name: np.array(values, np.int64) for name, values in GOOD.items()})

    for column in vars(known).values():
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1


@pytest.mark.parametrize("replay", [SESSION, ReplayConfig("closed", 2)])
def test_dependencies_of_another_trace_are_refused(replay: Any) -> None:
    with pytest.raises(TraceError, match=r"^after: dependencies of 2 requests were given for 3$"):
        make_arrivals(np.array([0, 1, 2]), replay, Dependencies.none(2))
