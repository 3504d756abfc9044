"""What a field of a file may mean, and which field of one file means what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from ...configs.errors import TraceError
from ..columns import NONE
from ..text import shown
from .cells import Field

_UNITS = {"_s": 9, "_ms": 6, "_us": 3, "_ns": 0}
_SECONDS, _MILLISECONDS = 9, 6


class Meaning(NamedTuple):
    """A column of a trace under the name that users write.

    Attributes:
        name: As in docs/traces.md.
        column: The column of ``Trace``.
        kind: See ``Field.kind``; a span takes a unit.
        blank: See ``Field.blank``.
    """

    name: str
    column: str
    kind: Literal["count", "span", "word"]
    blank: int | None = None


_ALL = (
    Meaning("timestamp", "arrival_ns", "span"),
    Meaning("input_length", "input_tokens", "count"),
    Meaning("output_length", "output_tokens", "count"),
    Meaning("session_id", "session", "word", NONE),
    Meaning("request_id", "request_ids", "word"),
    Meaning("turn", "turn", "count", NONE),
    Meaning("delay", "delay_ns", "span", NONE),
    Meaning("priority", "priority", "count", 0),
    Meaning("model", "model", "word", NONE),
    Meaning("tenant", "tenant", "word", NONE),
    Meaning("lora", "lora", "word", NONE),
    Meaning("cross_tokens", "cross_tokens", "count", 0),
    Meaning("reasoning_length", "reasoning_tokens", "count", NONE),
)
_BY_NAME = {meaning.name: meaning for meaning in _ALL}

_ALIASES = {
    "arrived_at": "timestamp",
    "arrival_time": "timestamp",
    "num_prefill_tokens": "input_length",
    "prompt_tokens": "input_length",
    "input_tokens": "input_length",
    "num_decode_tokens": "output_length",
    "completion_tokens": "output_length",
    "output_tokens": "output_length",
    "reasoning_tokens": "reasoning_length",
}

_COUNTED_IN_SECONDS = ("arrived_at", "arrival_time")

_LISTED = (
    "timestamp (a date with a time, or ms), timestamp_s, _ms, _us, _ns, delay (ms), delay_s, "
    f"{', '.join(name for name in _BY_NAME if name not in ('timestamp', 'delay'))}; "
    f"also {', '.join(_ALIASES)}"
)

REQUIRED = ("input_length", "output_length")


class Use(NamedTuple):
    """What a field of the file is read as.

    Attributes:
        key: The field.
        meaning: What it means.
        digits: Power of ten from nanoseconds to its unit; None if no name says it.
    """

    key: str
    meaning: Meaning
    digits: int | None

    def field(self, *, moment: bool) -> Field:
        """Return it as a field of a table; ``moment``: whether cells are dates."""
        kind = "moment" if moment else self.meaning.kind
        digits = _MILLISECONDS if self.digits is None else self.digits
        blank = self.meaning.blank
        return Field(
            key=self.key, column=self.meaning.column, kind=kind, digits=digits, blank=blank
        )

    @property
    def may_be_moment(self) -> bool:
        """Whether its cells may be dates: arrivals of which no name says a unit."""
        return self.meaning.name == "timestamp" and self.digits is None


def uses_of(path: Path, names: Sequence[str], columns: Mapping[str, str]) -> list[Use]:
    """Return which fields of a file are read, and as what.

    Args:
        path: The file.
        names: Its fields.
        columns: From fields to meanings, or the other way round, as the user says. Fields that
            are called like a meaning need not be named.

    Raises:
        TraceError: A field is not there, a meaning is not known or given twice, or no field means
            a length.
    """
    uses: dict[str, Use] = {}
    for left, right in columns.items():
        use = _use(left, right, names) or _use(right, left, names)
        where = f"{path}: --column {shown(left)}={shown(right)}"
        if use is None and not {left, right} & set(names):
            raise TraceError(f"{where}: the file has no such field; {_fields(names)}")
        if use is None:
            raise TraceError(f"{where}: says no known meaning; known are {_LISTED}")
        other = uses.setdefault(use.meaning.name, use)
        if other is not use:
            raise TraceError(f"{where}: {shown(other.key)} means {use.meaning.name} already")
    explained = {use.key for use in uses.values()}
    for name in names:
        use = None if name in explained else _use(name, name, names)
        if use is not None:
            uses.setdefault(use.meaning.name, use)
    for required in REQUIRED:
        if required not in uses:
            raise TraceError(
                f"{path}:1: {required}: no field has this meaning; give --column "
                f"NAME={required}; {_fields(names)}"
            )
    return list(uses.values())


def _use(key: str, word: str, names: Sequence[str]) -> Use | None:
    """The field ``key`` read as ``word``, if there is such a field and such a meaning."""
    if key not in names:
        return None
    base, digits = _parted(word)
    name = _ALIASES.get(base, base)
    if name not in _BY_NAME:
        return None
    meaning = _BY_NAME[name]
    if meaning.kind != "span":
        return Use(key, meaning, None) if digits is None else None
    if digits is None:
        digits = _parted(key)[1]
    if digits is None and base in _COUNTED_IN_SECONDS:
        digits = _SECONDS
    return Use(key, meaning, digits)


def _parted(word: str) -> tuple[str, int | None]:
    """A name of a time without its unit, and the unit; other names as they are."""
    lower = word.lower()
    base, mark, unit = lower.rpartition("_")
    digits = _UNITS.get(mark + unit)
    return (lower, None) if digits is None else (base, digits)


def _fields(names: Sequence[str]) -> str:
    return f"its fields are {shown(', '.join(names), limit=400)}"
