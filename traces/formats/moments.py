"""Times in files as whole nanoseconds: decimal numbers of some unit, and dates with a time."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ..columns import IntColumn
from ..limits import MAX_NS
from ..rows import BoolColumn

Texts = npt.NDArray[np.bytes_]

MOMENT_BYTES = 40
"""Room for a date, nine decimals and a zone; a longer text is no moment."""

MOMENT_RULE = "a date and time, as 2023-11-16 18:15:46.6805900 or 2023-11-16T18:15:46Z"

_FIRST_YEAR, _LAST_YEAR = 1970, 2247
_DATE = r"\d{4}-[01]\d-[0-3]\d"
_CLOCK = r"[0-2]\d:[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"
_ZONE = r"(?:Z|[+-][0-2]\d(?::?[0-5]\d)?)"
_FORM = re.compile(f"({_DATE})|({_DATE}[T ]{_CLOCK})({_ZONE})?", re.ASCII)
_FIRST_DIGIT, _LAST_DIGIT = ord("0"), ord("9")


def spans_ns(values: npt.NDArray[Any], digits: int) -> tuple[IntColumn, BoolColumn]:
    """Return times in nanoseconds.

    Integers are exact. A float is taken for the decimal that it stands for: seconds with six
    decimals are exact until the year 2041 of Unix time, with nine below 2**22 s (48 days).

    Args:
        values: Times as int64 or float64, of any sign.
        digits: Power of ten from nanoseconds to the unit: 9 for seconds.

    Returns:
        The times, and where there is one: finite and in the range of a trace.
    """
    limit = MAX_NS // 10**digits
    known: BoolColumn = (values >= -limit) & (values <= limit)
    values = np.where(known, values, 0)
    if values.dtype.kind == "i":
        return values * 10**digits, known
    coarse = max(digits - 3, 0)
    shifted = np.rint(values * 10.0**coarse)
    near = np.abs(shifted / 10.0**coarse - values) <= np.spacing(np.abs(values))
    whole = np.floor(values)
    rest = np.rint((values - whole) * 10.0**digits).astype(np.int64)
    fine = whole.astype(np.int64) * 10**digits + rest
    return np.where(near, shifted.astype(np.int64) * 10 ** (digits - coarse), fine), known


def moments_ns(texts: Texts) -> tuple[IntColumn, BoolColumn]:
    """Return dates with times of day as nanoseconds of Unix time.

    Args:
        texts: ISO 8601, with a space or a T in the middle, up to nine decimals and perhaps a zone
            (UTC without one); ``MOMENT_BYTES`` of room.

    Returns:
        The moments, and where there is one: well-formed and in the range of a trace.
    """
    import pandas as pd

    alike = _alike(texts)
    if alike is not None:
        return alike, np.ones(len(texts), dtype=bool)
    words = [text.decode("ascii", "replace") for text in texts.tolist()]
    formed = [word if _in_form(word) else None for word in words]
    parsed = pd.to_datetime(
        pd.Series(formed, dtype=object), format="ISO8601", utc=True, errors="coerce"
    )
    moments = parsed.dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
    known: BoolColumn = ~np.isnat(moments)
    return np.where(known, moments.astype(np.int64), 0), known


def _in_form(word: str) -> re.Match[str] | None:
    """A date of a year that a trace can have; without it words such as ``now`` have a meaning."""
    match = _FORM.fullmatch(word)
    return match if match and _FIRST_YEAR <= int(word[:4]) <= _LAST_YEAR else None


def _alike(texts: Texts) -> IntColumn | None:
    """Moments, if digits and signs are at the same places in all texts, in one zone; else None."""
    form = _in_form(bytes(texts[0]).decode("ascii", "replace")) if len(texts) else None
    if form is None:
        return None
    date, clock, zone = form.groups(default="")
    width = len(date or clock)
    letters = np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), -1)
    first = letters[0]
    is_digit = (first >= _FIRST_DIGIT) & (first <= _LAST_DIGIT)
    is_digit[width:] = False
    least, most = np.where(is_digit, _FIRST_DIGIT, first), np.where(is_digit, _LAST_DIGIT, first)
    if (letters < least.astype(np.uint8)).any() or (letters > most.astype(np.uint8)).any():
        return None
    years = texts.astype("S4")
    if (years < b"%d" % _FIRST_YEAR).any() or (years > b"%d" % _LAST_YEAR).any():
        return None
    try:
        moments = texts.astype(f"S{width}").astype("datetime64[ns]").astype(np.int64)
    except ValueError:
        return None
    return moments - _offset_ns(zone)


def _offset_ns(zone: str) -> int:
    """How far the clocks of a zone are ahead of UTC."""
    if zone in ("", "Z"):
        return 0
    sign = -1 if zone.startswith("-") else 1
    hours, minutes = int(zone[1:3]), int(zone[3:].removeprefix(":") or 0)
    return sign * (hours * 60 + minutes) * 60 * 10**9
