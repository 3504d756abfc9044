"""The compiled recorder remembers what the plain one does, and no more."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import InvariantError
from jenga_sim.policies.base import NO_MOVES, Moves, Slack
from jenga_sim.policies.batch import slack_size
from jenga_sim.policies.compiled import compiled
from jenga_sim.sim.compiled.recorder import (
    MAX_POOL_BYTES,
    RecorderArrays,
    make_recorder,
    pour,
    record_gap,
    record_idle,
    record_step,
)
from jenga_sim.sim.compiled.state import IntArray
from jenga_sim.sim.recorder import DURATION_NS, MAX_SAMPLES, START_NS, Recorder, StepRecord
from jenga_sim.sim.usage import PARTS
from tests.sim.strategies import examples

SEATS = 8


class Event(NamedTuple):
    """A step, or idle time, in a pool."""

    is_idle: bool
    duration_ns: int
    facts: tuple[int, int, int, int, int]
    """Running, waiting, served, tokens, tokens of prefills."""
    moves: Moves
    copy_ns: int
    parts: tuple[tuple[int, ...], ...]
    slack: Slack
    gap: tuple[int, int]


@st.composite
def memories(draw: st.DrawFn, pool: int, labels: int) -> tuple[tuple[tuple[int, ...], ...], Slack]:
    """Parts that sum to the pool, and a slack of two groups."""
    cuts = sorted(
        draw(st.lists(st.integers(0, pool), min_size=6 * labels + 1, max_size=6 * labels + 1))
    )
    sizes = [end - start for start, end in zip([0, *cuts], [*cuts, pool], strict=True)]
    parts = tuple(tuple(sizes[part * labels : (part + 1) * labels]) for part in range(len(PARTS)))
    pair = st.tuples(st.integers(0, 5), st.integers(0, 5))
    slack = Slack(draw(pair), draw(pair), sizes[-2], sizes[-1], draw(pair))
    return parts, slack


NUMBERS = st.integers(0, 1 << 30)
EVENTS = st.builds(
    Event,
    is_idle=st.booleans(),
    duration_ns=st.one_of(st.integers(1, 10**9), st.integers(1, 1 << 56)),
    facts=st.tuples(NUMBERS, NUMBERS, st.integers(0, SEATS), NUMBERS, NUMBERS),
    moves=st.sampled_from([NO_MOVES, Moves(100, 2), Moves(7, 1)]),
    copy_ns=st.integers(0, 1000),
    parts=st.just(()),
    slack=st.just(Slack((), (), 0, 0)),
    gap=st.tuples(st.integers(0, 1 << 40), st.integers(1, SEATS)),
)


@st.composite
def runs(draw: st.DrawFn) -> tuple[int, int, list[Event]]:
    """The pool, the number of labels, and what happens; the memory is in few states."""
    pool, labels = draw(st.integers(1, MAX_POOL_BYTES)), draw(st.integers(1, 3))
    states = draw(st.lists(memories(pool, labels), min_size=1, max_size=3))
    events: list[Event] = []
    for event in draw(st.lists(EVENTS, max_size=60)):
        parts, slack = draw(st.sampled_from(states))
        events.append(event._replace(parts=parts, slack=slack))
    return pool, labels, events


def play_plain(recorder: Recorder, events: list[Event]) -> None:
    now = 0
    for event in events:
        parts = [list(row) for row in event.parts]
        if event.is_idle:
            recorder.idle(now, event.duration_ns, event.facts[1], parts, event.slack)
        else:
            copy_ns = event.copy_ns if event.moves.launches else 0
            recorder.step(
                StepRecord(
                    now, event.duration_ns, *event.facts, parts, event.slack, event.moves, copy_ns
                )
            )
            recorder.gaps.add(*event.gap)
        now += event.duration_ns


@compiled
def play(recorder: RecorderArrays, facts: IntArray, parts: IntArray, slack: IntArray) -> None:
    now = 0
    for row in range(len(facts)):
        idle, duration, running, waiting, served, tokens, prefill = facts[row, :7]
        moved, copy_ns, gap, count = facts[row, 7:9], facts[row, 9], facts[row, 10], facts[row, 11]
        if idle:
            record_idle(recorder, now, duration, waiting, parts[row], slack[row])
        else:
            record_step(
                recorder,
                now,
                duration,
                running,
                waiting,
                served,
                tokens,
                prefill,
                parts[row],
                slack[row],
                moved,
                copy_ns,
            )
            record_gap(recorder, gap, count)
        now += duration


def played(recorder: Recorder, events: list[Event]) -> Recorder:
    """What the compiled recorder made of the events, as the plain one says it."""
    facts = np.zeros((len(events), 12), dtype=np.int64)
    parts = np.zeros((len(events), len(PARTS), len(recorder.labels)), dtype=np.int64)
    slack = np.zeros((len(events), slack_size(2)), dtype=np.int64)
    for row, event in enumerate(events):
        copy_ns = event.copy_ns if event.moves.launches else 0
        facts[row] = (
            event.is_idle,
            event.duration_ns,
            *event.facts,
            *event.moves,
            copy_ns,
            *event.gap,
        )
        parts[row] = event.parts
        internal, external, reserved, free, cached = event.slack
        slack[row] = (*internal, *external, *cached, reserved, free)
    arrays = make_recorder(recorder, SEATS)
    play(arrays, facts, parts, slack)
    pour(arrays, recorder)
    return recorder


@examples(150)
@given(runs())
def test_the_compiled_recorder_remembers_what_the_plain_one_does(
    run: tuple[int, int, list[Event]],
) -> None:
    pool, labels, events = run
    names = [str(label) for label in range(labels)]
    plain = Recorder(names, pool, max_samples=16)
    play_plain(plain, events)
    found = played(Recorder(names, pool, max_samples=16), events)
    assert vars(found) == vars(plain)
    assert len(plain.samples) <= 16


MEMORY = tuple((0,) for _ in PARTS)
EMPTY = Slack((0, 0), (0, 0), 10, 90, (0, 0))
NO_FACTS = (0, 3, 0, 0, 0)


def idle(duration_ns: int, slack: Slack = EMPTY) -> Event:
    return Event(True, duration_ns, NO_FACTS, NO_MOVES, 0, MEMORY, slack, (0, 1))


def step(duration_ns: int) -> Event:
    return Event(False, duration_ns, (1, 0, 1, 1, 0), NO_MOVES, 0, MEMORY, EMPTY, (5, 1))


@pytest.mark.parametrize("max_samples", [16, MAX_SAMPLES])
def test_idle_time_in_an_unchanged_pool_is_one_sample(max_samples: int) -> None:
    events = [step(5), *[idle(2)] * 30, step(5), idle(3), step(1)]
    plain = Recorder(["x"], 100, max_samples)
    play_plain(plain, events)
    assert plain.samples[:, DURATION_NS].tolist() == [5, 60, 5, 3, 1]
    assert plain.samples[:, START_NS].tolist() == [0, 5, 65, 70, 73]
    assert plain.observed_ns == 74
    assert vars(played(Recorder(["x"], 100, max_samples), events)) == vars(plain)


def test_idle_time_without_an_end_takes_no_more_samples() -> None:
    slacks = [EMPTY._replace(reserved=reserved, free=100 - reserved) for reserved in range(100)]
    events = [idle(1, slack) for slack in slacks]
    plain = Recorder(["x"], 100, max_samples=16)
    play_plain(plain, events)
    assert plain.samples[:, DURATION_NS].tolist() == [1, 1, 1, 97]
    assert plain.stride == 1
    assert vars(played(Recorder(["x"], 100, max_samples=16), events)) == vars(plain)


@pytest.mark.parametrize(("reserved", "free"), [(10, 91), (10, 89), (-1, 101)])
def test_parts_that_do_not_make_up_the_pool_are_an_error(reserved: int, free: int) -> None:
    for event in (step(1), idle(1)):
        wrong = event._replace(slack=EMPTY._replace(reserved=reserved, free=free))
        with pytest.raises(InvariantError):
            play_plain(Recorder(["x"], 100), [wrong])
        with pytest.raises(InvariantError):
            played(Recorder(["x"], 100), [wrong])
