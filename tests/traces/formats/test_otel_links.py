from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.traces.formats.otel_links import Link, predecessors_of

MARKS = st.frozensets(st.sampled_from("abc"), max_size=2)


@st.composite
def sessions(draw: st.DrawFn) -> list[Link]:
    return [
        Link(start, start + draw(st.integers(0, 8)), draw(MARKS), draw(MARKS))
        for start in sorted(draw(st.lists(st.integers(0, 20), max_size=10)))
    ]


@given(calls=sessions())
def test_a_call_comes_after_earlier_ones_that_had_ended(calls: list[Link]) -> None:
    for at, (before, _) in enumerate(predecessors_of(calls)):
        for other in before:
            assert other < at
            assert calls[other].end_ns <= calls[at].start_ns


@given(calls=sessions())
def test_every_answer_that_was_read_is_waited_for_by_way_of_others_or_not(
    calls: list[Link],
) -> None:
    found = predecessors_of(calls)
    waits: list[set[int]] = []
    for at, (before, causal) in enumerate(found):
        waits.append(set(before).union(*(waits[other] for other in before)))
        heard = {
            mark
            for mark in calls[at].heard
            if any(
                mark in other.said and other.end_ns <= calls[at].start_ns for other in calls[:at]
            )
        }
        assert causal == bool(heard)
        for mark in heard:
            assert any(mark in calls[other].said for other in waits[at])


@given(calls=sessions())
def test_nobody_is_waited_for_twice(calls: list[Link]) -> None:
    found = predecessors_of(calls)
    causes: list[set[int]] = []
    for before, causal in found:
        direct = before if causal else ()
        causes.append(set(direct).union(*(causes[other] for other in direct)))
        for other in direct:
            assert not any(other in causes[another] for another in direct)


@given(calls=sessions())
def test_without_an_answer_the_call_that_ended_last_is_waited_for(calls: list[Link]) -> None:
    for at, (before, causal) in enumerate(predecessors_of(calls)):
        ends = [other.end_ns for other in calls[:at] if other.end_ns <= calls[at].start_ns]
        if not causal:
            assert [calls[other].end_ns for other in before] == ([max(ends)] if ends else [])
