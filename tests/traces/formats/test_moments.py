"""Decimal numbers and dates as nanoseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.traces.formats.moments import MOMENT_BYTES, moments_ns, spans_ns
from jenga_sim.traces.limits import MAX_NS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

decimals = st.integers(0, 9).flatmap(
    lambda places: st.integers(0, 10**places - 1).map(lambda digits: f"{digits:0{places}d}")
)
moments = st.datetimes(datetime(1970, 1, 2), datetime(2247, 12, 30), timezones=st.just(UTC))
zones = st.sampled_from([("", 0), ("Z", 0), ("+00:00", 0), ("+05:30", 330), ("-0800", -480)])
dates = st.tuples(moments, decimals, st.sampled_from(" T"), zones)
Date = tuple[datetime, str, str, tuple[str, int]]


def texts(*words: str) -> np.ndarray:
    return np.array([word.encode() for word in words], dtype=f"S{MOMENT_BYTES}")


def written(moment: datetime, digits: str, between: str, zone: tuple[str, int]) -> tuple[str, int]:
    """A date as text, and what it is in nanoseconds."""
    word, minutes = zone
    whole = moment.replace(microsecond=0)
    local = whole.astimezone(timezone(timedelta(minutes=minutes))).replace(tzinfo=None)
    text = f"{local:%Y-%m-%d}{between}{local:%H:%M:%S}" + (f".{digits}" if digits else "") + word
    return text, round((whole - EPOCH).total_seconds()) * 10**9 + int(f"{digits:0<9}")


@given(whole=st.integers(0, 2**22 - 1), digits=decimals)
def test_seconds_below_48_days_are_exact_to_the_nanosecond(whole: int, digits: str) -> None:
    text = f"{whole}.{digits or 0}"
    column, known = spans_ns(np.array([float(text)]), 9)
    assert known.all()
    assert int(column[0]) == int(Decimal(text) * 10**9)


@given(whole=st.integers(0, 2_240_000_000), digits=decimals.filter(lambda text: len(text) <= 6))
def test_unix_seconds_are_exact_to_the_microsecond(whole: int, digits: str) -> None:
    text = f"{whole}.{digits or 0}"
    column, _ = spans_ns(np.array([float(text)]), 9)
    assert int(column[0]) == int(Decimal(text) * 10**9)


@given(
    value=st.integers(0, MAX_NS),
    sign=st.sampled_from([1, -1]),
    digits=st.sampled_from([0, 3, 6, 9]),
)
def test_whole_numbers_are_exact_in_every_unit(value: int, sign: int, digits: int) -> None:
    value = sign * (value // 10**digits)
    column, known = spans_ns(np.array([value]), digits)
    assert known.all()
    assert int(column[0]) == value * 10**digits


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, MAX_NS / 1e9 * 1.01])
def test_what_is_no_time_of_a_trace_is_not_known(value: float) -> None:
    assert not spans_ns(np.array([value]), 9)[1].any()


def test_seven_decimals_of_azure_and_twelve_digits_of_a_float_artefact() -> None:
    column, _ = spans_ns(np.array([5.8926549999999995, 1787267980.123456, 28943983.3]), 9)
    assert column.tolist() == [5_892_655_000, 1787267980_123456_000, 28943983_300_000_000]
    column, _ = moments_ns(texts("1970-01-01 00:00:03.9799601"))
    assert column.tolist() == [3_979_960_100]


@given(rows=st.lists(dates, min_size=1, max_size=4))
def test_a_date_is_what_datetime_says(rows: list[Date]) -> None:
    expected = [written(*row) for row in rows]
    column, known = moments_ns(texts(*[text for text, _ in expected]))
    assert known.all()
    assert column.tolist() == [value for _, value in expected]


@given(moment=moments, digits=decimals, zone=zones, other=moments)
def test_a_date_does_not_depend_on_how_the_others_are_written(
    moment: datetime, digits: str, zone: tuple[str, int], other: datetime
) -> None:
    text, value = written(moment, digits, " ", zone)
    alone, _ = moments_ns(texts(text, text))
    mixed, _ = moments_ns(texts(text, other.isoformat(), "nonsense"))
    assert alone[0] == mixed[0] == value


@pytest.mark.parametrize(
    "word",
    [
        *("", "now", "today", "NaT", "0", "2023", "20231116", "2023-11", "16/11/2023"),
        *("2023-13-01 00:00:00", "2023-11-16 25:00", "1969-12-31 23:59:59", "2300-01-01"),
        *("2023-11-16" + "0" * 40, "2023-11-16 1 :15:46", "2023-11-16+18:15:46", "2023-11-16X"),
    ],
)
def test_other_words_are_no_dates(word: str) -> None:
    column, known = moments_ns(texts("2023-11-16 00:00:00", word))
    assert known.tolist() == [True, False]
    assert column[1] == 0


@given(word=st.text("0129-:.TZ+ ", max_size=20).map("2023-11-1".__add__))
def test_whether_a_text_is_a_date_does_not_depend_on_the_others(word: str) -> None:
    alone, among = moments_ns(texts(word)), moments_ns(texts("2023-11-16T00:00:00.5", word))
    assert alone[1][0] == among[1][1]
    assert alone[0][0] == among[0][1]
