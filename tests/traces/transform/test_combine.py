from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace
from jenga_sim.traces.transform.combine import copies, merged
from jenga_sim.traces.transform.cuts import first_sessions, window
from jenga_sim.traces.transform.outputs import with_outputs
from jenga_sim.traces.transform.sessions import chained
from tests.traces.strategies import assert_same, traces

S = 10**9


def small(**columns: object) -> Trace:
    return Trace.from_columns([0, 2 * S], [40, 40], [3, 0], **columns, block_size=16)  # type: ignore[arg-type]


def sharing(trace: Trace) -> list[tuple[int, int, int]]:
    """Which requests share how many leading blocks."""
    pairs: list[tuple[int, int, int]] = []
    for one in range(len(trace)):
        for other in range(one):
            left, right = trace.hash_ids(one).tolist(), trace.hash_ids(other).tolist()
            same = 0
            while same < min(len(left), len(right)) and left[same] == right[same]:
                same += 1
            if same:
                pairs.append((other, one, same))
    return pairs


@given(traces(), st.integers(1, 4))
def test_copies_share_nothing_with_each_other_and_all_among_themselves(
    trace: Trace, count: int
) -> None:
    many = copies(trace, count)

    assert len(many) == count * len(trace)
    assert many.input_tokens.sum() == count * trace.input_tokens.sum()
    assert len(set(many.request_ids)) == len(many)
    assert len(sharing(many)) == count * len(sharing(trace))
    assert np.all(np.diff(many.arrival_ns) >= 0)
    if trace.after is not None:
        assert many.after is not None
        assert len(many.after.values) == count * len(trace.after.values)


@given(traces())
def test_one_copy_is_the_trace(trace: Trace) -> None:
    one = copies(trace, 1)
    assert one.arrival_ns.tolist() == trace.arrival_ns.tolist()
    assert sharing(one) == sharing(trace)


@given(traces(), traces())
def test_merged_traces_keep_their_requests_and_share_nothing(one: Trace, other: Trace) -> None:
    whole = merged([one, other])

    assert len(whole) == len(one) + len(other)
    assert sorted(whole.input_tokens.tolist()) == sorted(
        [*one.input_tokens.tolist(), *other.input_tokens.tolist()]
    )
    assert len(sharing(whole)) == len(sharing(one)) + len(sharing(other))


def test_equal_ids_are_equal_blocks_if_one_says_so() -> None:
    part = small(hash_ids=[[1, 2], [1, 3]])

    assert len(sharing(merged([part, part], same_ids=True))) == 6
    assert len(sharing(merged([part, part]))) == 2


def test_blocks_of_two_sizes_are_not_mixed() -> None:
    other = Trace.from_columns([0], [40], [3], hash_ids=[[1]], block_size=32)
    with pytest.raises(TraceError, match="blocks of 16 and 32 tokens cannot be mixed"):
        merged([small(hash_ids=[[1, 2], [1, 3]]), other])


def test_a_window_counts_from_the_first_arrival() -> None:
    trace = Trace.from_columns([5 * S, 6 * S, 9 * S], [1, 2, 3], [1, 1, 1])

    assert window(trace, S, 2 * S).input_tokens.tolist() == [2]
    assert window(trace, S).input_tokens.tolist() == [2, 3]
    with pytest.raises(TraceError, match="no request arrives there; the trace spans 4 s"):
        window(trace, 10 * S)


def test_sessions_are_cut_whole() -> None:
    trace = Trace.from_columns(
        [0, 1, 2, 3], [1, 2, 3, 4], [1] * 4, session_ids=["x", "y", None, "x"]
    )

    assert first_sessions(trace, 1).input_tokens.tolist() == [1, 4]
    assert first_sessions(trace, 2).input_tokens.tolist() == [1, 2, 4]
    assert first_sessions(trace, 3).input_tokens.tolist() == [1, 2, 3, 4]


def test_who_came_after_a_request_that_was_cut_waits_no_longer() -> None:
    trace = Trace.from_columns(
        [0, S, 2 * S], [1, 2, 3], [1] * 3, after=[[], [0], [0, 1]], delay_ns=[-1, 5, 7]
    )

    cut = window(trace, S)

    assert cut.after is not None
    assert [cut.after.rows(i)[:, 0].tolist() for i in range(2)] == [[], [0]]
    assert cut.delay_ns is not None
    assert cut.delay_ns.tolist() == [-1, 7]


def test_pauses_are_counted_from_recorded_ends_and_are_never_negative() -> None:
    trace = Trace.from_columns([0, 4, 6], [1] * 3, [1] * 3, session_ids=["x", "x", "x"])
    trace = replace(trace, recorded_e2e_ns=np.array([3, 9, -1], dtype=np.int64))

    linked = chained(trace)

    assert linked.delay_ns is not None
    assert linked.delay_ns.tolist() == [-1, 1, 0]


def test_requests_without_output_are_decided_about_and_counted() -> None:
    trace = small()

    one, prefill, skip = (with_outputs(trace, policy) for policy in ("one", "prefill", "skip"))

    assert one.output_tokens.tolist() == [3, 1]
    assert prefill.output_tokens.tolist() == [3, 0]
    assert skip.output_tokens.tolist() == [3]
    for changed in (one, prefill, skip):
        assert any(note.startswith("1 of 2 requests have no output") for note in changed.meta.notes)


def test_turns_come_after_the_turn_before_them() -> None:
    trace = Trace.from_columns([0, 1, 2, 3], [1] * 4, [1] * 4, session_ids=["x", "y", "x", "x"])

    linked = chained(trace)

    assert linked.after is not None
    assert [linked.after.rows(i)[:, 0].tolist() for i in range(4)] == [[], [], [0], [2]]
    assert linked.delay_ns is not None
    assert linked.delay_ns.tolist() == [-1] * 4


@given(traces())
def test_a_trace_that_knows_its_order_is_left_alone(trace: Trace) -> None:
    if trace.after is not None or trace.session is None:
        assert_same(chained(trace), trace)
