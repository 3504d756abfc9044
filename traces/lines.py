"""Requests as lines of our JSONL: the reverse of ``formats.canonical``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from ..configs.errors import TraceError
from .columns import NONE, IntColumn, Labels, Numbered
from .limits import NS_PER_MS
from .record import IMAGE_COLUMNS, Trace
from .rows import BoolColumn
from .runs import block_counts, expand
from .schema import Line, fields_of

Texts = list[str]
"""One piece of every line; empty where a request has no value."""

_WORDS = {"session": "session_id", "model": "model", "lora": "lora", "tenant": "tenant"}
_COUNTS = {"turn": "turn", "reasoning_tokens": "reasoning_length"}
_SLO = {"ttft_ms": "slo_ttft_ns", "tpot_ms": "slo_tpot_ns"}
_RECORDED = {
    "ttft": "recorded_ttft_ns",
    "e2e": "recorded_e2e_ns",
    "api_time": "recorded_api_ns",
    "cached_tokens": "recorded_cached_tokens",
}
_KNOWN = frozenset(Line.__struct_fields__)


class JengaLines:
    """Makes lines part by part and remembers what requests are called."""

    notes: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._count = 0
        self._names: list[str] | None = None

    def of(self, part: Trace) -> Iterator[str]:
        """Yield the lines of the next requests with all that is known of them.

        Raises:
            TraceError: A request comes after one that is not among these or those before them.
        """
        first = self._count
        self._remember(part.request_ids)
        pieces = (
            heads(part, _untimed(part)),
            _hashes(part),
            _own_names(part.request_ids, first, told=part.after is not None),
            *(_labels(part, column, key) for column, key in _WORDS.items()),
            *(_counts(part, column, key) for column, key in _COUNTS.items()),
            self._after(part),
            _delays(part),
            *(_flags(part, column) for column in ("reuse_output", "cancelled")),
            *(_numbers(part, column) for column in ("cross_tokens", "priority")),
            _images(part),
            _nested(part, "slo", _SLO),
            _nested(part, "recorded", _RECORDED),
            _unknown(part),
        )
        return joined_texts([texts for texts in pieces if texts is not None])

    def _remember(self, names: Sequence[str]) -> None:
        if self._names is None and not _are_lines(names, self._count):
            self._names = [str(line) for line in range(self._count)]
        if self._names is not None:
            self._names.extend(names)
        self._count += len(names)

    def _after(self, part: Trace) -> Texts | None:
        if part.after is None:
            return None
        lists = (part.after.rows(at)[:, 0].tolist() for at in range(len(part)))
        named = (json.dumps([self._name(line) for line in lines]) for lines in lists)
        return _given("after", named, part.after.counts > 0)

    def _name(self, line: int) -> str:
        if not 0 <= line < self._count:
            raise TraceError(
                f"after: comes after request {line}, which is not written yet; write the trace as "
                "a whole, not in parts"
            )
        return str(line) if self._names is None else self._names[line]


def milliseconds(ns: IntColumn) -> Texts:
    """Return times as milliseconds: integers where they are whole, else exact decimals."""
    whole, rest = (column.tolist() for column in np.divmod(ns, NS_PER_MS))
    return [
        f"{ms}.{part:06d}".rstrip("0") if part else str(ms)
        for ms, part in zip(whole, rest, strict=True)
    ]


def joined_texts(pieces: list[Texts]) -> Iterator[str]:
    """Yield lines of which these are the pieces, from left to right."""
    return (f"{''.join(row)}}}\n" for row in zip(*pieces, strict=True))


def heads(part: Trace, untimed: Sequence[int] = ()) -> Texts:
    """Return the beginnings of lines: arrival, unless ``untimed`` has the row, and lengths."""
    stamps = [f'"timestamp": {text}, ' for text in milliseconds(part.arrival_ns)]
    for at in untimed:
        stamps[at] = ""
    columns = zip(stamps, part.input_tokens.tolist(), part.output_tokens.tolist(), strict=True)
    return [f'{{{stamp}"input_length": {i}, "output_length": {o}' for stamp, i, o in columns]


def _untimed(part: Trace) -> list[int]:
    """Rows without an arrival of their own; without ``after`` too they would be no requests."""
    if part.untimed is None or part.after is None:
        return []
    return np.flatnonzero((part.untimed == 1) & (part.after.counts > 0)).tolist()


def _are_lines(names: Sequence[str], first: int) -> bool:
    """Whether requests are called by the numbers of their lines."""
    lines = np.arange(first, first + len(names))
    return isinstance(names, Numbered) and np.array_equal(names.numbers, lines)


def _given(key: str, values: Iterable[str], there: BoolColumn) -> Texts:
    return [
        f', "{key}": {value}' if known else "" for value, known in zip(values, there, strict=True)
    ]


def _hashes(part: Trace) -> Texts | None:
    """Runs of ids where they are shorter than the ids themselves."""
    if not part.has_hashes:
        return None
    runs = part.hash_runs
    coded = (2 * runs.counts < block_counts(runs)).tolist()
    flat, bounds = runs.values.ravel().tolist(), runs.offsets.tolist()
    texts: Texts = []
    for at, (start, end) in enumerate(pairwise(bounds)):
        if start == end:
            texts.append("")
        elif coded[at]:
            texts.append(f', "hash_runs": {flat[2 * start : 2 * end]}')
        else:
            texts.append(f', "hash_ids": {expand(runs.values[start:end]).tolist()}')
    return texts


def _own_names(names: Sequence[str], first: int, *, told: bool) -> Texts | None:
    """Names that are not the number of the line; all if others are said to come after them.

    So a line can be taken out of a file without changing whom the others wait for.
    """
    if _are_lines(names, first) and not told:
        return None
    pairs = enumerate(names, first)
    return [
        "" if name == str(at) and not told else f', "request_id": {json.dumps(name)}'
        for at, name in pairs
    ]


def _labels(part: Trace, column: str, key: str) -> Texts | None:
    labels: Labels | None = getattr(part, column)
    if labels is None:
        return None
    # The code of no word is -1, so its text stands last.
    texts = [*(f', "{key}": {json.dumps(name)}' for name in labels.names), ""]
    return [texts[code] for code in labels.codes.tolist()]


def _counts(part: Trace, column: str, key: str) -> Texts | None:
    counts: IntColumn | None = getattr(part, column)
    if counts is None:
        return None
    return _given(key, map(str, counts.tolist()), counts != NONE)


def _delays(part: Trace) -> Texts | None:
    if part.delay_ns is None:
        return None
    texts = milliseconds(np.maximum(part.delay_ns, 0))
    return _given("delay", texts, part.delay_ns != NONE)


def _flags(part: Trace, column: str) -> Texts | None:
    flags: IntColumn | None = getattr(part, column)
    if flags is None:
        return None
    # Whether the client went away is never unknown, so that false need not be said.
    there = flags == 1 if column == "cancelled" else flags != NONE
    return _given(column, ("true" if flag == 1 else "false" for flag in flags.tolist()), there)


def _numbers(part: Trace, column: str) -> Texts | None:
    """A column that every trace has and whose zeros say nothing."""
    values: IntColumn = getattr(part, column)
    return _given(column, map(str, values.tolist()), values != 0) if values.any() else None


def _images(part: Trace) -> Texts | None:
    if part.images is None:
        return None
    hashes = [json.dumps(name) for name in part.image_names]
    texts: Texts = []
    for at in range(len(part)):
        items: Texts = []
        for name, *sizes in part.images.rows(at).tolist():
            known = zip(IMAGE_COLUMNS[1:], sizes, strict=True)
            more = "".join(f', "{key}": {size}' for key, size in known if size != NONE)
            items.append(f'{{"hash": {hashes[name]}{more}}}')
        texts.append(f', "images": [{", ".join(items)}]' if items else "")
    return texts


def _nested(part: Trace, key: str, columns: dict[str, str]) -> Texts | None:
    """An object of those of its keys that have a value."""
    inner: list[Texts] = []
    for name, column in columns.items():
        values: IntColumn | None = getattr(part, column)
        if values is not None:
            in_ns = column.endswith("_ns")
            texts = milliseconds(np.maximum(values, 0)) if in_ns else map(str, values.tolist())
            inner.append(_given(name, texts, values != NONE))
    if not inner:
        return None
    rows = ("".join(row) for row in zip(*inner, strict=True))
    return [f', "{key}": {{{row[2:]}}}' if row else "" for row in rows]


def _unknown(part: Trace) -> Texts | None:
    """What reading kept without a meaning; a key that has one here is left out."""
    if part.unknown is None:
        return None
    return [
        "".join(
            f", {json.dumps(key)}: {value.decode()}"
            for key, value in fields_of(fields).items()
            if key not in _KNOWN
        )
        for fields in part.unknown
    ]
