"""From rows of a file to a trace: checked, joined, linked, in order of time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..configs.errors import TraceError
from .columns import NONE, IntColumn, Labels, Numbered, Ragged, joined_names
from .links import linked
from .meta import Meta
from .names import Names
from .problems import Problems
from .record import Trace
from .rows import BoolColumn, Rows, good_rows
from .runs import block_counts
from .text import shown


class Assembler:
    """Checks rows batch by batch, and joins them if the whole trace is wanted."""

    def __init__(self, meta: Meta, problems: Problems, path: Path) -> None:
        """``meta``: what is known before reading; ``problems``: where bad rows are noted."""
        self._meta = meta
        self._problems = problems
        self._path = path
        self._names = Names()
        self._places: list[tuple[int, Callable[[int], str]]] = []
        self._after_names: dict[int, list[str]] = {}
        self._zero_ns: int | None = None

    def parts(self, batches: Iterable[Rows]) -> Iterator[Trace]:
        """Yield the good rows of each batch as a part of a trace, in the order of the file.

        ``after`` holds numbers of rows, not positions. Times of day count from the earliest one of
        the first part, so a later part may have times below 0. Afterwards bad rows are settled.

        Raises:
            TraceError: A row is bad and that is an error, or no good row is left.
        """
        zero_ns: int | None = None
        for part, _ in self._parts(batches):
            zero_ns = self._zero_ns if zero_ns is None else zero_ns
            yield part if zero_ns is None else _earlier(part, zero_ns)

    @property
    def links(self) -> bool:
        """Whether a row so far comes after a named request."""
        return bool(self._after_names)

    def whole(self, batches: Iterable[Rows]) -> Trace:
        """Return all good rows as one trace, in order of time; see ``parts``.

        Times of day count from the earliest one of all.
        """
        found = list(self._parts(batches))
        if not found:
            raise TraceError(f"{self._path}: has no requests")
        trace = joined([part for part, _ in found])
        if self._zero_ns is not None:
            trace = _earlier(trace, self._zero_ns)
        numbers = np.concatenate([rows for _, rows in found])
        trace = linked(
            trace, numbers, self._after_names, self._names.owner, self._place, str(self._path)
        )
        meta = msgspec.structs.replace(
            self._meta,
            hash_tail=self._meta.hash_tail or hash_tail(trace),
            skipped_lines=self._problems.count,
            sorted_lines=_disorder(trace),
        )
        return replace(trace, meta=meta).in_order()

    def _parts(self, batches: Iterable[Rows]) -> Iterator[tuple[Trace, IntColumn]]:
        """Good rows of each batch, and their numbers."""
        count = 0
        for rows in batches:
            if not len(rows):
                continue
            good = self._good(rows)
            part = self._part(rows)
            numbers = rows.numbers
            if not good.all():
                part, numbers = taken(part, np.flatnonzero(good)), numbers[good]
            count += len(part)
            yield part, numbers
        self._problems.settle(count)

    def _good(self, rows: Rows) -> BoolColumn:
        """Which rows are in range and have a name of their own; notes the earliest time of day."""
        good = good_rows(rows, self._meta.block_size, self._problems)
        arrival = rows.integers("arrival_ns")
        if rows.is_time_of_day and arrival is not None and good.any():
            earliest = int(arrival[good].min())
            self._zero_ns = earliest if self._zero_ns is None else min(self._zero_ns, earliest)
        self._places.append((int(rows.numbers[0]), rows.where))
        if rows.request_ids is not None or self._names.any_given:
            good &= self._unique(rows, good)
        else:
            self._names.number(rows.numbers[good])
        return good

    def _part(self, rows: Rows) -> Trace:
        count = len(rows)
        columns: dict[str, Any] = dict(rows.columns)
        for name in ("arrival_ns", "cross_tokens", "priority"):
            columns.setdefault(name, np.zeros(count, dtype=np.int64))
        columns.setdefault("hash_runs", Ragged.empty(count, 2))
        self._after_names |= rows.after_names
        return Trace(
            **columns,
            request_ids=Numbered(rows.numbers)
            if rows.request_ids is None
            else tuple(rows.request_ids),
            image_names=rows.image_names,
            unknown=rows.unknown,
            meta=self._meta,
        )

    def _unique(self, rows: Rows, good: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Which rows have a name that no row above them has."""
        names = rows.request_ids
        if names is None:
            names = Numbered(rows.numbers)
        owners: dict[int, int] = {}
        for at, (name, number) in enumerate(zip(names, rows.numbers.tolist(), strict=True)):
            owner = self._names.give(name, number) if good[at] else number
            if owner != number:
                owners[at] = owner
        unique = np.ones(len(rows), dtype=bool)
        unique[list(owners)] = False
        key = rows.keys.get("request_ids", "request_id")
        rows.complain(
            ~unique,
            self._problems,
            lambda at: (
                f"{key}: '{shown(names[at])}' is taken by {self._place(owners[at])}; "
                "ids must be unique"
            ),
        )
        return unique

    def _place(self, number: int) -> str:
        """Words for where a row is in its file."""
        index = bisect_right(self._places, number, key=lambda batch: batch[0]) - 1
        place = self._places[index][1](number)
        return f"line {place}" if place.isdigit() else place.strip()


def taken(part: Trace, index: IntColumn) -> Trace:
    """Return the requests ``index`` of a part; ``after`` keeps its numbers of rows."""
    after = part.after
    kept = replace(part, after=None).take(index)
    return kept if after is None else replace(kept, after=after.take(index))


_NEVER_UNKNOWN = ("untimed", "cancelled")


def _earlier(part: Trace, zero_ns: int) -> Trace:
    """A part with another zero of time."""
    return replace(part, arrival_ns=part.arrival_ns - zero_ns)


def _disorder(trace: Trace) -> int:
    """How many requests are earlier than one above them; sessions stand one after the other."""
    arrival = trace.arrival_ns
    if trace.session is not None or not np.any(arrival[1:] < arrival[:-1]):
        return 0
    return int(np.sum(arrival < np.maximum.accumulate(arrival)))


def joined(parts: list[Trace]) -> Trace:
    """Put parts of one trace one after the other; ``after`` is kept as it is."""
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {}
    for field in fields(Trace):
        values = [getattr(part, field.name) for part in parts]
        known = [value for value in values if value is not None]
        if not known or field.name in ("meta", "images", "image_names"):
            continue
        if field.name == "request_ids":
            columns[field.name] = joined_names(values)
        elif field.name == "unknown":
            filled = (v or (b"",) * len(part) for v, part in zip(values, parts, strict=True))
            columns[field.name] = tuple(item for value in filled for item in value)
        else:
            pairs = zip(values, parts, strict=True)
            none = 0 if field.name in _NEVER_UNKNOWN else NONE
            filled = [_filled(value, known[0], len(part), none) for value, part in pairs]
            columns[field.name] = _concatenated(filled)
    return Trace(**columns, **_joined_images(parts), meta=parts[0].meta)


def _filled(value: Any, like: Any, count: int, none: int) -> Any:
    """A column, or one of its kind without values."""
    if value is not None:
        return value
    if isinstance(like, Ragged):
        return Ragged.empty(count, like.values.shape[1])
    nothing = np.full(count, none, dtype=np.int64)
    return Labels(nothing, like.names) if isinstance(like, Labels) else nothing


def _concatenated(columns: list[Any]) -> Any:
    if isinstance(columns[0], Ragged):
        return Ragged.joined(columns)
    if isinstance(columns[0], Labels):
        return Labels.joined(columns)
    return np.concatenate(columns)


def _joined_images(parts: list[Trace]) -> dict[str, Any]:
    """The images of all parts, their names in one table."""
    if all(part.images is None for part in parts):
        return {}
    names: dict[str, int] = {}
    columns: list[Ragged] = []
    for part in parts:
        images = part.images or Ragged.empty(len(part), 5)
        new = [names.setdefault(name, len(names)) for name in part.image_names]
        values = images.values.copy()
        values[:, 0] = np.array([*new, NONE], dtype=np.int64)[values[:, 0]]
        columns.append(Ragged(images.offsets, values))
    return {"images": Ragged.joined(columns), "image_names": tuple(names)}


def hash_tail(trace: Trace) -> str:
    """Say whether partly filled last blocks have ids: ceil, floor; empty if unknown or mixed."""
    if not trace.has_hashes:
        return ""
    counts = block_counts(trace.hash_runs)
    partial = (trace.input_tokens % trace.block_size != 0) & (counts > 0)
    ceil = counts[partial] * trace.block_size > trace.input_tokens[partial]
    if not len(ceil) or (ceil.any() and not ceil.all()):
        return ""
    return "ceil" if ceil[0] else "floor"
