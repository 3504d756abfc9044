"""Trace files as lines, bytes or tables: opening, decompression, digest and file-level errors."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ..configs.errors import TraceError
from .text import shown

MAX_LINE_BYTES = 2**26
"""Longest accepted line; a longer one is no request but some other kind of file."""

MAX_FILE_BYTES = 2**31
"""Largest file that is read as one JSON text."""

HEAD_BYTES = 2**16
"""As much as is looked at to find out the format."""

_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Source:
    """A file or folder that a trace is read from.

    Attributes:
        path: Where it is.
        block_size: Tokens per hash id, if the user or the sidecar says so; None for what the format
            says.
        columns: Names of fields in the file, by what they mean here, if the user says so.
        tokenizer: Path of a ``tokenizer.json`` that counts the tokens of texts; an estimate does if
            left out.
        run: Which run of a file that holds several, from 1; the last one if left out.
    """

    path: Path
    block_size: int | None = None
    columns: dict[str, str] = field(default_factory=dict[str, str])
    tokenizer: str | None = None
    run: int | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of files."""
        # Unlike Path.is_dir, it has an answer for names that are too long or have odd characters.
        return os.path.isdir(self.path)

    def files(self, pattern: str) -> list[Path]:
        """Return a folder's files that match ``pattern``, by name; a file itself if it is one."""
        return sorted(self.path.glob(pattern)) if self.is_folder else [self.path]

    @cached_property
    def sha256(self) -> str:
        """Digest of the file's raw bytes; of the names and digests of a folder's files."""
        if not self.is_folder:
            with _opened(self.path) as raw:
                return hashlib.file_digest(raw, "sha256").hexdigest()
        digest = hashlib.sha256()
        for path in sorted(path for path in self.path.rglob("*") if path.is_file()):
            with _opened(path) as raw:
                inner = hashlib.file_digest(raw, "sha256").hexdigest()
            digest.update(f"{inner}  {path.relative_to(self.path).as_posix()}\n".encode())
        return digest.hexdigest()

    def head(self) -> bytes:
        """Return the first bytes of the file, unpacked."""
        with opened(self.path) as stream:
            return _guarded(self.path, 1, lambda: stream.read(HEAD_BYTES))


@contextmanager
def opened(path: Path) -> Generator[io.BufferedReader]:
    """Open a file for reading, unpacked on the way if its name ends in ``.gz``.

    Raises:
        TraceError: It cannot be read, is no regular file, or is not what its name says.
    """
    with _opened(path) as raw:
        yield _unpacked(path, raw)


@contextmanager
def _opened(path: Path) -> Generator[io.BufferedReader]:
    try:
        with _open_regular(path) as raw:
            yield raw
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_bytes(path: Path) -> bytes:
    """Return a whole file, unpacked.

    Raises:
        TraceError: It cannot be read, or is larger than ``MAX_FILE_BYTES``.
    """
    with opened(path) as stream:
        data = _guarded(path, 1, lambda: stream.read(MAX_FILE_BYTES + 1))
    if len(data) > MAX_FILE_BYTES:
        raise TraceError(f"{path}: is larger than {MAX_FILE_BYTES >> 30} GiB; split it")
    problem = text_problem(1, data) if not data.isascii() else None
    if problem:
        raise TraceError(f"{path}:1: {problem}")
    return data


def line_blocks(path: Path, lines: int) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the lines of a file in blocks, each with the number of its first line (from 1).

    Args:
        path: The file.
        lines: Lines per block, at most.
    """
    with opened(path) as stream:
        first, block = 1, list[bytes]()
        for number, line in _numbered(path, stream):
            block.append(line)
            if len(block) == lines:
                yield first, block
                first, block = number + 1, []
        if block:
            yield first, block


def byte_blocks(path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield a file in blocks of whole lines, each with the number of its first line (from 1).

    Args:
        path: The file.
        size: Bytes per block; the rest of its last line is added.
    """
    with opened(path) as stream:
        first = 1
        while block := _guarded(path, first, lambda: stream.read(size)):
            lines = count_lines(block)
            if not block.endswith(b"\n"):
                rest = _line(path, first + lines, stream)
                block, lines = block + rest, lines + rest.count(b"\n")
            yield first, block
            first += lines


def count_lines(block: bytes) -> int:
    """Return the number of line ends; several times faster than ``bytes.count`` on short lines."""
    return int(np.count_nonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n")))


def text_problem(number: int, line: bytes) -> str | None:
    """Say why a line is not plain UTF-8 text with Unix line ends, or return None if it is.

    Args:
        number: Line number from 1; a byte order mark is looked for in line 1.
        line: The line's bytes.
    """
    if number == 1 and line.startswith(_UTF8_BOM):
        return "starts with a UTF-8 byte order mark; remove it with: tail -c +4 OLD > NEW"
    if number == 1 and line.startswith(_UTF16_BOMS):
        return "is UTF-16 text; convert the file with: iconv -f UTF-16 -t UTF-8 OLD > NEW"
    if b"\r" in line:
        return "has a carriage return (CRLF line end?); remove it with: tr -d '\\r' < OLD > NEW"
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"is not valid UTF-8 (byte {error.start}); convert the file to UTF-8"
    return None


def _open_regular(path: Path) -> io.BufferedReader:
    try:
        mode = path.stat().st_mode
    except ValueError as error:
        raise TraceError(f"{shown(str(path), limit=200)}: is no file name ({error})") from None
    if stat.S_ISDIR(mode):
        raise TraceError(f"{path}: is a directory; name the trace file in it")
    if not stat.S_ISREG(mode):
        raise TraceError(f"{path}: is no regular file; write the trace to a file first")
    return path.open("rb")


def _unpacked(path: Path, raw: io.BufferedReader) -> io.BufferedReader:
    magic = raw.read(2)
    raw.seek(0)
    if path.suffix.lower() != ".gz":
        if magic == _GZIP_MAGIC:
            raise TraceError(f"{path}: is gzip data; rename it to {path.name}.gz")
        return raw
    if magic and magic != _GZIP_MAGIC:
        raise TraceError(f"{path}: is no gzip data despite its name; rename it to {path.stem}")
    # GzipFile.readline runs in Python; a buffer around it makes reading lines several times faster.
    return io.BufferedReader(gzip.GzipFile(fileobj=raw), buffer_size=2**18)


def _numbered(path: Path, stream: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := _line(path, number + 1, stream):
        number += 1
        yield number, line


def _line(path: Path, number: int, stream: io.BufferedReader) -> bytes:
    """The next line, or the rest of one; empty at the end of the file."""
    line = _guarded(path, number, lambda: stream.readline(MAX_LINE_BYTES + 1))
    if len(line) > MAX_LINE_BYTES:
        limit = f"{MAX_LINE_BYTES >> 20} MiB"
        raise TraceError(f"{path}:{number}: is longer than {limit}; write one request per line")
    return line


def _guarded(path: Path, number: int, read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except EOFError:
        raise TraceError(
            f"{path}:{number}: gzip data ends too early; fetch the file again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise TraceError(f"{path}:{number}: gzip data is damaged ({error})") from None
