"""Parameters on one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces.words import check, described, key_of, number, parse, word


@dataclass(frozen=True)
class Tea:
    NAME: ClassVar[str] = "tea"
    cups: int = number(2, least=1, most=9)
    steep_s: float = number(180.0)
    steep_p90_s: float = number(240.0)
    rate_per_s: float = number(1.0)
    kind: str = word("green", "green", "black")

    def __post_init__(self) -> None:
        check(self)


def read(text: str) -> Tea:
    return parse(text, {"tea": Tea}, "drink")


def test_a_name_alone_is_the_default() -> None:
    assert read("tea") == Tea()
    assert read("tea:") == Tea()


def test_keys_are_fields_without_their_unit() -> None:
    assert [key_of(name) for name in ("steep_s", "rate_per_s", "in_tokens", "cups")] == [
        "steep",
        "rate",
        "in",
        "cups",
    ]
    assert read("tea:cups=3, steep=60.5 ,kind=black") == Tea(3, 60.5, kind="black")


def test_words_of_parameters_are_read_back() -> None:
    for tea in (Tea(), Tea(cups=5), Tea(steep_s=0.1, kind="black"), Tea(steep_s=60.0)):
        assert read(described(tea)) == tea
    assert described(Tea()) == "tea"
    everything = "tea:cups=2,steep=180,steep_p90=240,rate=1,kind=green"
    assert described(Tea(), defaults=True) == everything
    assert described(Tea(cups=5, steep_s=60.0)) == "tea:cups=5,steep=60"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("coffee", "drink 'coffee': is unknown; known are tea"),
        ("tea:cup=1", "tea: cup: is no parameter; there are: cups, steep, steep_p90, rate, kind"),
        ("tea:cups", "tea: 'cups': must have the form KEY=VALUE"),
        ("tea:cups=1,cups=2", "tea: cups: is given twice; give it once"),
        ("tea:cups=two", "tea: cups: must be an integer, is 'two'"),
        ("tea:steep=long", "tea: steep: must be a number, is 'long'"),
        ("tea:cups=10", "tea: cups: must be an integer from 1 to 9, is 10"),
        ("tea:steep=inf", "tea: steep: must be a number from 0 to 1099511627776, is inf"),
        ("tea:steep_p90=100", "tea: steep_p90: must be a number from 180 to 1099511627776, is 100"),
        ("tea:kind=mint", "tea: kind: must be green or black, is mint"),
    ],
)
def test_errors_name_word_key_and_way_out(text: str, message: str) -> None:
    with pytest.raises(TraceError) as error:
        read(text)
    assert str(error.value).startswith(message)
