"""Replay settings: which go together, and what is said of those that do not."""

from typing import Any

import pytest

from jenga_sim import ConfigError, ReplayConfig


def test_without_a_word_a_trace_is_replayed_by_its_clock() -> None:
    assert ReplayConfig() == ReplayConfig("open", None)


@pytest.mark.parametrize("given", [("open",), ("session",), ("closed", 1), ("closed", 10**6)])
def test_what_goes_together_is_taken(given: tuple[Any, ...]) -> None:
    assert (ReplayConfig(*given).mode, *given[1:]) == given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("close", 3), r"replay\.mode: 'close' is none of open, session, closed$"),
        ((None,), r"replay\.mode: None is none of"),
        (("closed",), r"replay\.concurrency: closed needs the number of sessions in flight"),
        (("open", 3), r"replay\.concurrency: 3 was given, but open has no such limit"),
        (("session", 0), r"replay\.concurrency: 0 was given, but session has no such limit"),
        (("closed", 0), r"replay\.concurrency: must be a positive whole number, is 0$"),
        (("closed", -2), r"must be a positive whole number, is -2$"),
        (("closed", 2.0), r"must be a positive whole number, is 2\.0$"),
        (("closed", True), r"must be a positive whole number, is True$"),
        (("closed", "4"), r"must be a positive whole number, is '4'$"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReplayConfig(*given)
