"""Writing traces: our JSONL or Mooncake's, plain or compressed, with the facts in a sidecar."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal, cast

import msgspec
import numpy as np

from ..configs.errors import TraceError
from .assemble import taken
from .lines import JengaLines
from .meta import Meta, sidecar_of, sidecar_path
from .mooncake import MooncakeLines
from .record import Trace

_SUFFIXES = (".jsonl", ".jsonl.gz")

_LINES = 65_536
"""Lines that are made together."""


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        path: The trace.
        sidecar: The file with its facts.
        requests: Number of lines.
        bytes: Size of the trace.
        sha256: Digest of the trace's bytes.
        notes: What is not in the file though it was in the trace.
    """

    path: Path
    sidecar: Path
    requests: int
    bytes: int
    sha256: str
    notes: tuple[str, ...] = ()


def write_trace(
    trace: Trace | Iterable[Trace],
    path: str | os.PathLike[str],
    *,
    to: Literal["jenga", "mooncake"] = "jenga",
) -> Written:
    """Write a trace and its sidecar. Both appear whole or not at all; equal traces, equal bytes.

    What is written is read back as it was. Times beyond 99 days that are no whole milliseconds are
    the exception: no JSON number that is read as a 64-bit float holds them to the nanosecond.

    Args:
        trace: The requests, or parts of them in order, ``after`` in numbers of requests.
        path: A name that ends in ``.jsonl`` or ``.jsonl.gz``.
        to: ``jenga`` for all that is known; ``mooncake`` for its four keys, with every hash id.

    Raises:
        TraceError: The name has another end, there are no requests, a part waits for one behind it,
            or the file cannot be written.
    """
    target = Path(path)
    if not target.name.endswith(_SUFFIXES):
        raise TraceError(f"{target}: must end in {' or '.join(_SUFFIXES)}")
    parts = iter([trace] if isinstance(trace, Trace) else trace)
    first = next(parts, None)
    if first is None or not len(first):
        raise TraceError(f"{target}: the trace has no requests; there is nothing to write")
    lines = MooncakeLines() if to == "mooncake" else JengaLines()
    count = 0
    try:
        with _replaced(target) as staging:
            with _opened(staging, target.suffix == ".gz") as file:
                for piece in _pieces(chain([first], parts)):
                    file.write("".join(lines.of(piece)).encode())
                    count += len(piece)
            with staging.open("rb") as raw:
                sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
                size = raw.tell()
        sidecar = _write_sidecar(target, first.meta, sha256)
    except OSError as error:
        raise TraceError(f"{target}: cannot be written: {error.strerror or error}") from None
    return Written(target, sidecar, count, size, sha256, lines.notes)


def _write_sidecar(target: Path, meta: Meta, sha256: str) -> Path:
    facts = {"jenga_trace": 1, **msgspec.to_builtins(sidecar_of(meta, sha256))}
    path = sidecar_path(target)
    with _replaced(path) as staging:
        staging.write_bytes(msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n")
    return path


@contextmanager
def _replaced(target: Path) -> Generator[Path]:
    """A name to write to, which becomes ``target`` if all goes well and is gone otherwise."""
    staging = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield staging
        os.replace(staging, target)
    finally:
        staging.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path, packed: bool) -> Generator[BinaryIO]:
    with path.open("wb") as raw:
        if not packed:
            yield raw
            return
        # Without a name and a time in its header the file depends on the trace alone.
        with gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
            yield cast("BinaryIO", file)


def _pieces(parts: Iterable[Trace]) -> Iterator[Trace]:
    """Cut large parts, so that not all of their lines are in memory at once."""
    for part in parts:
        if len(part) <= _LINES:
            yield part
            continue
        for start in range(0, len(part), _LINES):
            yield taken(part, np.arange(start, min(start + _LINES, len(part))))
