"""Times in files as whole nanoseconds: decimal numbers of some unit, and dates with a time."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..columns import IntColumn
from ..record import MAX_NS
from ..rows import BoolColumn

Texts = npt.NDArray[np.bytes_]

MOMENT_BYTES = 40
"""Room for a date, nine decimals and a zone; a longer text is no moment."""

MOMENT_RULE = "a date and time, as 2023-11-16 18:15:46.6805900 or 2023-11-16T18:15:46Z"

_FIRST_YEAR, _LAST_YEAR = b"1970", b"2247"
_ZONE = re.compile(rb"(?:Z|[+-]\d\d:?\d\d)?$")
_YEAR_BYTES, _DATE_BYTES = 4, 10


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

    Up to nine decimals count. A text without a zone is UTC.

    Args:
        texts: ISO 8601, with a space or a T in the middle; ``MOMENT_BYTES`` of room.

    Returns:
        The moments, and where there is one: well-formed and in the range of a trace.
    """
    known = _dated(texts)
    texts = np.where(known, texts, _FIRST_YEAR + b"-01-01")
    alike = _alike(texts)
    if alike is not None:
        return alike, known
    words = [text.decode("ascii", "replace") for text in texts.tolist()]
    parsed = pd.to_datetime(
        pd.Series(words, dtype=object), format="ISO8601", utc=True, errors="coerce"
    )
    known &= parsed.notna().to_numpy()
    moments = parsed.dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
    return np.where(known, moments.astype(np.int64), 0), known


def _dated(texts: Texts) -> BoolColumn:
    """Which texts begin with a date; without it words such as ``now`` would have a meaning."""
    years = texts.astype(f"S{_YEAR_BYTES}")
    width = texts.dtype.itemsize
    if width < _DATE_BYTES or not len(texts):
        return np.zeros(len(texts), dtype=bool)
    letters = np.ascontiguousarray(texts).view(np.uint8).reshape(-1, width)
    return (
        (years >= _FIRST_YEAR)
        & (years <= _LAST_YEAR)
        & (letters[:, _YEAR_BYTES] == ord("-"))
        & (letters[:, _DATE_BYTES - 1] != 0)
        & ((letters[:, -1] == 0) | (width < MOMENT_BYTES))
    )


def _alike(texts: Texts) -> IntColumn | None:
    """Moments whose texts have one width and zone; None if they have not, or one is malformed."""
    if not len(texts):
        return np.zeros(0, dtype=np.int64)
    first = bytes(texts[0])
    zone = _ZONE.search(first)
    assert zone is not None
    body, end = zone.start(), len(first)
    letters = np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), -1)
    zones = letters[:, body:end] == np.frombuffer(zone.group(), dtype=np.uint8)
    if not zones.all() or letters[:, end:].any() or not letters[:, end - 1].all():
        return None
    middle = letters[:, _DATE_BYTES:body]
    if any(bool((middle == letter).any()) for letter in b"+-Z"):
        return None
    try:
        moments = texts.astype(f"S{body}").astype("datetime64[ns]").astype(np.int64)
    except ValueError:
        return None
    return moments - _offset_ns(zone.group())


def _offset_ns(zone: bytes) -> int:
    """How far the clocks of a zone are ahead of UTC."""
    if zone in (b"", b"Z"):
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    sign = -1 if zone.startswith(b"-") else 1
    return sign * (hours * 60 + minutes) * 60 * 10**9
