"""Columns of a trace: lists of different lengths, words from a small set, names by number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

IntColumn = npt.NDArray[np.int64]

NONE = -1
"""Where a request has no value in an optional column of integers."""


@dataclass(frozen=True, eq=False)
class Ragged:
    """One list of rows per request, all lists in one array.

    Attributes:
        offsets: Shape (requests + 1,): where each list starts, with the total at the end.
        values: Shape (rows, width): the lists one after the other.
    """

    offsets: IntColumn
    values: IntColumn

    def __post_init__(self) -> None:
        self.offsets.setflags(write=False)
        self.values.setflags(write=False)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def empty(cls, count: int, width: int) -> Ragged:
        """Return ``count`` empty lists."""
        return cls(np.zeros(count + 1, dtype=np.int64), np.zeros((0, width), dtype=np.int64))

    @classmethod
    def of(cls, lists: Sequence[Sequence[Sequence[int]]], width: int) -> Ragged:
        """Build from one list of rows per request, each row of ``width`` integers."""
        flat = [row for rows in lists for row in rows]
        values = np.array(flat, dtype=np.int64).reshape(len(flat), width)
        return cls(offsets_of([len(rows) for rows in lists]), values)

    @property
    def counts(self) -> IntColumn:
        """Rows of each request."""
        return np.diff(self.offsets)

    def rows(self, index: int) -> IntColumn:
        """Rows of one request, shape (rows, width)."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def take(self, index: IntColumn) -> Ragged:
        """Return the lists of the requests ``index``, in that order."""
        counts = self.counts[index]
        offsets = offsets_of(counts)
        source = np.repeat(self.offsets[:-1][index] - offsets[:-1], counts)
        return Ragged(offsets, self.values[source + np.arange(len(source))])

    @staticmethod
    def joined(parts: Sequence[Ragged]) -> Ragged:
        """Put the lists of several columns one after the other."""
        counts = np.concatenate([part.counts for part in parts])
        return Ragged(offsets_of(counts), np.concatenate([part.values for part in parts]))


def offsets_of(counts: Sequence[int] | IntColumn) -> IntColumn:
    """Return where lists of these lengths start, and the total."""
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


@dataclass(frozen=True, eq=False)
class Labels:
    """A column of words that repeat: the model, the session, the tenant.

    Attributes:
        codes: Position of each request's word in ``names``; ``NONE`` where it has none.
        names: The words, each once.
    """

    codes: IntColumn
    names: Sequence[str]

    def __post_init__(self) -> None:
        self.codes.setflags(write=False)

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, words: Iterable[str | None]) -> Labels:
        """Number words in the order in which they come."""
        numbers: dict[str | None, int] = {None: NONE}
        codes = [numbers.setdefault(word, len(numbers) - 1) for word in words]
        return cls(np.array(codes, dtype=np.int64), tuple(numbers)[1:])  # type: ignore[arg-type]

    def word(self, index: int) -> str | None:
        """Return one request's word."""
        code = int(self.codes[index])
        return None if code == NONE else self.names[code]

    def take(self, index: IntColumn) -> Labels:
        """Return the words of the requests ``index``, in that order."""
        return Labels(self.codes[index], self.names)

    @staticmethod
    def joined(parts: Sequence[Labels]) -> Labels:
        """Put the words of several columns one after the other."""
        if all(part.names is parts[0].names for part in parts):
            return Labels(np.concatenate([part.codes for part in parts]), parts[0].names)
        numbers: dict[str, int] = {}
        codes: list[IntColumn] = []
        for part in parts:
            new = [numbers.setdefault(name, len(numbers)) for name in part.names]
            codes.append(np.array([*new, NONE], dtype=np.int64)[part.codes])
        return Labels(np.concatenate(codes), tuple(numbers))


class Numbered(Sequence[str]):
    """Names that are the decimal digits of integers: ``"0"``, ``"1"``, ... made when asked for."""

    def __init__(self, numbers: IntColumn) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return Numbered(self.numbers[index])
        return str(self.numbers[index])

    def __iter__(self) -> Iterator[str]:
        return map(str, self.numbers.tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Numbered):
            return bool(np.array_equal(self.numbers, other.numbers))
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


def take_names(names: Sequence[str], index: IntColumn) -> Sequence[str]:
    """Return the names at ``index``, in that order."""
    if isinstance(names, Numbered):
        return Numbered(names.numbers[index])
    return tuple(names[int(position)] for position in index)


def joined_names(parts: Sequence[Sequence[str]]) -> Sequence[str]:
    """Put names one after the other."""
    numbers = [part.numbers for part in parts if isinstance(part, Numbered)]
    if len(numbers) == len(parts):
        return Numbered(np.concatenate(numbers))
    return tuple(name for part in parts for name in part)
