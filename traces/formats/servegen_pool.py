"""Client pools of ServeGen (github.com/alibaba/ServeGen): who asks how often, for how much.

A client is two files. ``chunk-N-trace.csv`` has a line per window (10 minutes): start in seconds,
requests per second, coefficient of variation of the gaps, the family that fits them and its shape
and scale; no family where the client is silent. ``chunk-N-dataset.json`` has, for longer windows,
how probable each value of each field is, as texts of Python dictionaries.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from ..generate.elementary import FloatColumn
from ..problems import Problems
from ..source import Source, line_blocks, read_bytes
from ..text import shown
from .json_tree import BadValueError, decoded

FAMILIES = ("Gamma", "Weibull")
MAX_RATE = 1e6
"""Largest accepted rate of a client in requests per second."""


@dataclass(frozen=True)
class Window:
    """Some minutes of a client; the rate is in requests per second."""

    start_s: int
    rate: float
    cv: float
    family: str
    shape: float


@dataclass(frozen=True)
class Values:
    """A distribution: values and their probabilities."""

    values: FloatColumn
    weights: FloatColumn


@dataclass(frozen=True)
class Client:
    """One client.

    Attributes:
        number: N in the names of its files.
        windows: Its windows by their start; silent ones have rate 0.
        starts_s: Starts of the windows that its lengths are known for, ascending.
        fields: The distribution of every field in each of them.
    """

    number: int
    windows: tuple[Window, ...]
    starts_s: tuple[int, ...]
    fields: tuple[Mapping[str, Values], ...]

    def fields_at(self, time_s: int) -> Mapping[str, Values]:
        """Return the distributions of the window around a time, or of the first one after it."""
        return self.fields[max(bisect_right(self.starts_s, time_s) - 1, 0)]


@dataclass(frozen=True)
class Pool:
    """The clients of a model, by number, and the folder that they come from."""

    path: Path
    clients: tuple[Client, ...]


_FIELDS = msgspec.json.Decoder(dict[str, dict[str, str]])


def read_pool(source: Source, problems: Problems) -> Pool:
    """Return the pool in a folder, or the client of one trace file of it."""
    paths = sorted(source.files("chunk-*-trace.csv"), key=_number)
    clients: list[Client] = []
    missing: list[tuple[int, float]] = []
    for path in paths:
        windows = _windows(path, problems)
        lengths = path.with_name(f"chunk-{_number(path)}-dataset.json")
        if lengths.is_file():
            fields = _lengths(lengths, problems)
            if fields and windows:
                starts = tuple(sorted(fields))
                client = Client(
                    _number(path), windows, starts, tuple(fields[start] for start in starts)
                )
                clients.append(client)
        else:
            missing.append((_number(path), math.fsum(window.rate for window in windows)))
    if missing:
        lost = math.fsum(rate for _, rate in missing)
        kept = math.fsum(window.rate for client in clients for window in client.windows)
        share = 100.0 * lost / (lost + kept) if lost else 0.0
        listed = shown(", ".join(str(number) for number, _ in missing), limit=60)
        problems.notes.append(
            f"clients without a file of lengths are left out: {listed}, {share:.1f} % of the load"
        )
    return Pool(source.path, tuple(clients))


def _number(path: Path) -> int:
    digits = re.search(r"chunk-(\d{1,9})-", path.name)
    return int(digits[1]) if digits else 0


def _windows(path: Path, problems: Problems) -> tuple[Window, ...]:
    windows: dict[int, Window] = {}
    for first, block in line_blocks(path, 1024):
        for number, line in enumerate(block, first):
            if line.isspace():
                continue
            try:
                window = _window(line.decode(errors="replace").strip().split(","))
                if window.start_s in windows:
                    raise ValueError("start must not come twice")
                windows[window.start_s] = window
            except ValueError as error:
                problems.add(f"{path}:{number}", f"{shown(str(error), limit=100)}")
    return tuple(windows[start] for start in sorted(windows))


def _window(cells: list[str]) -> Window:
    """A line as a window.

    Raises:
        ValueError: It is none.
    """
    if len(cells) != 6:
        raise ValueError(
            f"must have 6 fields (start, rate, cv, family, shape, scale), has {len(cells)}"
        )
    start, (rate, cv, shape) = int(cells[0]), (float(cells[at]) for at in (1, 2, 4))
    if not 0 <= start <= 2**33:
        raise ValueError(f"start must be seconds from 0 to {2**33}, is {start}")
    if not 0.0 <= rate <= MAX_RATE or not 0.0 <= cv < math.inf:
        raise ValueError(f"rate and cv must be numbers from 0, are {rate} and {cv}")
    if not cells[3] or rate == 0.0:
        return Window(start, 0.0, 0.0, "", 1.0)
    if cells[3] not in FAMILIES or not 0.0 < shape < math.inf:
        raise ValueError(f"family must be {' or '.join(FAMILIES)} with a shape above 0")
    return Window(start, rate, cv, cells[3], shape)


def _lengths(path: Path, problems: Problems) -> dict[int, Mapping[str, Values]]:
    """Distributions by the start of their window; windows without any are left out."""
    try:
        found = decoded(_FIELDS, read_bytes(path))
    except BadValueError as bad:
        problems.add(f"{path}:1", str(bad))
        return {}
    fields: dict[int, Mapping[str, Values]] = {}
    for start, texts in found.items():
        try:
            window = {name: _values(name, text) for name, text in texts.items()}
            if all(len(values.weights) for values in window.values()) and window:
                fields[int(start)] = window
        except ValueError as error:
            problems.add(str(path), f"{shown(start)}.{error}")
    return fields


def _values(name: str, text: str) -> Values:
    """A text such as ``{19: 0.25, 20: 0.75}`` as a distribution.

    Raises:
        ValueError: It is none.
    """
    words = text.strip().removeprefix("{").removesuffix("}").replace(":", ",")
    try:
        pairs = np.array(words.split(",") if words.strip() else [], dtype=np.float64)
        values, weights = pairs.reshape(-1, 2).T
    except ValueError:
        raise ValueError(f"{name}: must be values with probabilities, is {shown(text)}") from None
    most = 1.0 if name == "reason_ratio" else 2.0**31
    if not np.all((values >= 0.0) & (values <= most)) or not np.all(weights >= 0.0):
        raise ValueError(f"{name}: must have values from 0 to {most:g} and probabilities from 0")
    total = math.fsum(weights)
    if len(weights) and not 0.0 < total < math.inf:
        raise ValueError(f"{name}: must have probabilities that sum to 1, not {total:g}")
    return Values(values, weights)
