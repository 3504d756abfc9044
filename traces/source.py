"""Trace files as numbered lines: opening, decompression, digest and file-level errors."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..configs.errors import TraceError

MAX_LINE_BYTES = 2**26
"""Longest accepted line; a longer one is no request but some other kind of file."""

_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Lines:
    """The lines of an open file.

    Attributes:
        sha256: Digest of the file's raw bytes.
        numbered: Line numbers from 1, each with the line's bytes and its line end, if any.
    """

    sha256: str
    numbered: Iterator[tuple[int, bytes]]


@contextmanager
def open_lines(path: Path) -> Generator[Lines]:
    """Open a text file, unpacked on the way if its name ends in ``.gz``.

    Problems of the file itself surface as ``TraceError`` on opening or while lines are read.
    """
    try:
        with _open_regular(path) as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
            raw.seek(0)
            yield Lines(digest, _numbered(path, _unpacked(path, raw)))
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from None


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
        raise TraceError(f"{path!r}: is no file name ({error})") from None
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
    while line := _read_line(path, number + 1, stream):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            limit = f"{MAX_LINE_BYTES >> 20} MiB"
            raise TraceError(f"{path}:{number}: is longer than {limit}; write one request per line")
        yield number, line


def _read_line(path: Path, number: int, stream: io.BufferedReader) -> bytes:
    try:
        return stream.readline(MAX_LINE_BYTES + 1)
    except EOFError:
        raise TraceError(
            f"{path}:{number}: gzip data ends too early; fetch the file again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise TraceError(f"{path}:{number}: gzip data is damaged ({error})") from None
