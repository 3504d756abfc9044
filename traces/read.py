"""The front door for reading: which format a file has, and the trace that is in it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from ..configs.errors import TraceError
from .assemble import Assembler
from .catalogue import FORMATS, MAPPED
from .formats import canonical
from .formats.format import Format, Head
from .limits import check_block_size
from .meta import Meta, Sidecar, read_sidecar, with_sidecar
from .problems import OnBadLine, Problems
from .record import Trace
from .schema import REQUIRED
from .source import Source, text_problem
from .text import shown

PathLike = str | os.PathLike[str]


def read_trace(
    path: PathLike,
    *,
    block_size: int | None = None,
    columns: Mapping[str, str] | None = None,
    tokenizer: str | None = None,
    run: int | None = None,
    on_bad_line: OnBadLine = "error",
) -> Trace:
    """Read a trace of any known format, plain or gzip-compressed (``.gz``), or a folder of files.

    Args:
        path: The file or folder; ``FORMAT:path`` forces a format.
        block_size: Tokens that one hash id stands for; what the sidecar or the format says if left
            out.
        columns: From fields in the file to what they mean, for files with other names.
        tokenizer: Path of a ``tokenizer.json``, for files with texts; their tokens are estimated if
            left out.
        run: Which run of a file that holds several (from 1); the last one if left out.
        on_bad_line: Whether bad lines make reading fail or are left out and counted.

    Raises:
        TraceError: The file is missing, damaged, empty or of no known format, or a line is bad.
        ValueError: ``on_bad_line`` is neither ``"error"`` nor ``"skip"``.
    """
    reading = Reading(
        path,
        block_size=block_size,
        columns=columns,
        tokenizer=tokenizer,
        run=run,
        on_bad_line=on_bad_line,
    )
    return reading.whole()


class Reading:
    """A trace that is about to be read, whole or part by part."""

    def __init__(
        self,
        path: PathLike,
        *,
        block_size: int | None = None,
        columns: Mapping[str, str] | None = None,
        tokenizer: str | None = None,
        run: int | None = None,
        on_bad_line: OnBadLine = "error",
    ) -> None:
        """Find out the format; see ``read_trace``."""
        if block_size is not None:
            check_block_size(block_size)
        self._problems = Problems(on_bad_line)
        name, place = split_format(path)
        sidecar = read_sidecar(place)
        if block_size is None and sidecar is not None:
            block_size = sidecar.block_size
        self.source = Source(place, block_size, dict(columns or {}), tokenizer, run)
        self.format = find_format(self.source, name)
        self._before = self._first_meta(sidecar)
        self._assembler = Assembler(self._before, self._problems, place)

    def whole(self) -> Trace:
        """Return the trace, in order of time."""
        trace = self._assembler.whole(self.format.rows(self.source, self._problems))
        return replace(trace, meta=self._finished(trace.meta))

    def parts(self) -> Iterator[Trace]:
        """Yield the trace piece by piece in the order of the file, for files larger than memory.

        ``after`` holds numbers of rows. Errors surface while parts are taken.
        """
        return self._assembler.parts(self.format.rows(self.source, self._problems))

    @property
    def links(self) -> bool:
        """Whether a request that was read so far comes after another."""
        return self._assembler.links

    @property
    def meta(self) -> Meta:
        """Facts about the trace, as far as it was read."""
        return self._finished(self._before)

    def _first_meta(self, sidecar: Sidecar | None) -> Meta:
        meta = with_sidecar(self.format.meta, sidecar)
        changes: dict[str, object] = {"name": self.source.path.name, "format": self.format.name}
        if self.source.block_size is not None:
            changes["block_size"] = self.source.block_size
        return msgspec.structs.replace(meta, **changes)

    def _finished(self, meta: Meta) -> Meta:
        return msgspec.structs.replace(
            meta,
            sha256=self.source.sha256,
            skipped_lines=self._problems.count,
            notes=(*meta.notes, *self._problems.notes),
        )


def split_format(path: PathLike) -> tuple[str | None, Path]:
    """Return the format that ``FORMAT:path`` names, if it does and there is no such file."""
    text = os.fspath(path)
    name, colon, rest = text.partition(":")
    if not (colon and rest) or os.path.exists(text):
        return None, Path(text)
    if name in FORMATS:
        return name, Path(rest)
    if os.path.exists(rest):
        raise TraceError(f"{text}: {shown(name)} is no format; known are {', '.join(FORMATS)}")
    return None, Path(text)


def find_format(source: Source, name: str | None = None) -> Format:
    """Return the format of a file or folder.

    Raises:
        TraceError: It is empty, looks like no format, or is forced and has columns given.
    """
    if name is not None:
        if source.columns and FORMATS[name] is not MAPPED:
            raise TraceError(
                f"{source.path}: {name}: says what its fields mean, and so do the columns given "
                f"(--column); leave one of them out"
            )
        return FORMATS[name]
    if source.columns:
        return MAPPED
    if source.is_folder:
        return _format_of_folder(source)
    head = Head(source.head())
    if not head.text.strip():
        raise TraceError(
            f"{source.path}:1: {'has only blank lines' if head.text else 'is empty'}; a trace has "
            "one request per line"
        )
    best = _best(head)
    if best is not None:
        return best
    if head.json_keys & set(REQUIRED):
        # Most likely ours with a bad first line: its reader says what is wrong with it.
        return canonical.FORMAT
    # A table may have lines of another system; what is wrong with it is its columns.
    problem = text_problem(1, head.text.split(b"\n", 1)[0].rstrip(b"\r"))
    raise TraceError(f"{source.path}:1: {problem}" if problem else _unknown(source.path, head))


def _best(head: Head) -> Format | None:
    best = max(FORMATS.values(), key=lambda format: format.fit(head))
    return best if best.fit(head) else None


def _format_of_folder(source: Source) -> Format:
    for found in FORMATS.values():
        if found.folder and source.files(found.folder):
            return found
    for path in source.files("*.json*"):
        found = _best(Head(Source(path).head()))
        if found is not None and found.reads_folders:
            return found
    patterns = ", ".join(f"{f.folder} ({f.name})" for f in FORMATS.values() if f.folder)
    raise TraceError(
        f"{source.path}: is a folder without trace files; known are folders of {patterns}"
    )


def _unknown(path: Path, head: Head) -> str:
    keys = sorted(head.json_keys or head.csv_columns)
    seen = shown(", ".join(keys), limit=200)
    what = "keys" if head.json_keys else "columns"
    return (
        f"{path}:1: is of no known format (its {what}: {seen}). Force one with FORMAT:{path.name} "
        f"({', '.join(FORMATS)}), or say what its fields mean with --column NAME=MEANING"
    )
