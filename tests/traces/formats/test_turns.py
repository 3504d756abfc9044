from __future__ import annotations

from jenga_sim.traces.formats.turns import pauses_ns, previous_turns


def test_a_turn_comes_after_the_next_lower_one_of_its_session() -> None:
    before = previous_turns(["a", "b", "a", "a", None, "b"], [0, 7, 5, 2, 1, None])

    assert before == [(), (), (3,), (0,), (), ()]


def test_a_turn_comes_after_all_requests_of_the_turn_before() -> None:
    assert previous_turns(["a"] * 4, [0, 1, 1, 2]) == [(), (0,), (0,), (1, 2)]


def test_a_pause_lasts_from_the_last_end_and_is_never_negative() -> None:
    before = [(), (0,), (0, 1), (1,), (2,)]

    assert pauses_ns(before, [0, 50, 100, 60, 300], [20, 70, None, 1, 2]) == [
        None,
        30,
        30,
        0,
        None,
    ]
