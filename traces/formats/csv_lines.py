"""Lines of a CSV file of which each has all its fields, with their numbers."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...configs.errors import TraceError
from ..columns import IntColumn
from ..problems import Problems
from ..source import byte_blocks, count_lines, text_problem

BLOCK_BYTES = 2**23
"""As much is parsed together: some 10**5 lines."""

_QUOTED_FIELD = re.compile(rb'(?<![^,\n])"([^",\n]*)"(?![^,\n])')
_COMMA, _LINE_END = ord(","), ord("\n")


def read_header(path: Path) -> tuple[str, ...]:
    """Return the names in line 1.

    Raises:
        TraceError: There is no line 1, or it is no line of a CSV file.
    """
    for _, block in byte_blocks(path, 1):
        line = block.removesuffix(b"\n").removesuffix(b"\r")
        problem = text_problem(1, line) or _broken_quotes(line)
        if problem:
            raise TraceError(f"{path}:1: {problem}")
        return tuple(name.strip() for name in _split(line))
    raise TraceError(f"{path}:1: is empty; line 1 must name the columns")


def sound_blocks(path: Path, fields: int, problems: Problems) -> Iterator[tuple[IntColumn, bytes]]:
    """Yield the lines below the header in blocks; each line has ``fields`` fields.

    Args:
        path: The file; line ends may be those of Unix or Windows.
        fields: Fields of every line.
        problems: Where other lines are noted; blank ones are passed over.

    Yields:
        The number of each line from 1, and the lines: UTF-8 without NUL bytes, quotes closed.
    """
    for first, block in byte_blocks(path, BLOCK_BYTES):
        if first == 1:
            first, block = 2, block.partition(b"\n")[2]
        if not block:
            continue
        if not block.endswith(b"\n"):
            block += b"\n"
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        block = _unquoted(block)
        if _is_sound(block, fields):
            yield np.arange(first, first + count_lines(block), dtype=np.int64), block
        else:
            yield _sifted(path, first, block, fields, problems)


def _unquoted(block: bytes) -> bytes:
    """The block without quotes, if they are around whole fields that need none."""
    if b'"' not in block:
        return block
    plain, count = _QUOTED_FIELD.subn(rb"\1", block)
    return plain if 2 * count == block.count(b'"') else block


def _is_sound(block: bytes, fields: int) -> bool:
    """Whether every line has all its fields and nothing needs a closer look."""
    if not block.isascii() or any(letter in block for letter in (b'"', b"\r", b"\0")):
        return False
    letters = np.frombuffer(block, dtype=np.uint8)
    marks = letters[(letters == _COMMA) | (letters == _LINE_END)]
    if len(marks) % fields:
        return False
    ends = marks.reshape(-1, fields) == _LINE_END
    return bool(ends[:, -1].all() and not ends[:, :-1].any())


def _sifted(
    path: Path, first: int, block: bytes, fields: int, problems: Problems
) -> tuple[IntColumn, bytes]:
    """The sound lines of a block; what is wrong with the others is noted."""
    numbers: list[int] = []
    lines: list[bytes] = []
    for number, line in enumerate(block[:-1].split(b"\n"), first):
        if not line.strip():
            continue
        problem = _problem(number, line, fields)
        if problem:
            problems.add(f"{path}:{number}", problem)
        else:
            numbers.append(number)
            lines.append(line + b"\n")
    return np.array(numbers, dtype=np.int64), b"".join(lines)


def _problem(number: int, line: bytes, fields: int) -> str | None:
    if not line.isascii() or b"\r" in line:
        problem = text_problem(number, line)
        if problem:
            return problem
    if b"\0" in line:
        return "has a NUL byte; fetch the file again"
    count = line.count(b",") + 1
    if b'"' in line:
        problem = _broken_quotes(line)
        if problem:
            return problem
        count = len(_split(line))
    if count != fields:
        return f"has {count} fields, the header has {fields}"
    return None


def _broken_quotes(line: bytes) -> str | None:
    try:
        _split(line)
    except csv.Error as error:
        return f"has quotes that do not match ({error}); a quoted field must end in its line"
    return None


def _split(line: bytes) -> list[str]:
    return next(csv.reader([line.decode()], strict=True), [])
