"""JSONL files whose lines have one shape, decoded in blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from ..problems import Problems
from ..schema import DECODE_ERRORS, explain_syntax
from ..source import line_blocks, text_problem
from ..text import shown

_LINES = 4096

Shape = TypeVar("Shape")

_EXPECTED = re.compile(r"Expected (.*?)(?:, got (.*))?")
_MISSING = re.compile(r"Object missing required field `(.*)`")


def decoded_blocks(
    path: Path, shape: type[Shape], problems: Problems
) -> Iterator[tuple[list[int], list[Shape]]]:
    """Yield the good lines of a file, some thousand at a time.

    Args:
        path: The file, plain or ``.gz``.
        shape: What a line must be.
        problems: Where other lines are noted; blank ones are passed over.

    Yields:
        The numbers of lines from 1, and what they hold.
    """
    decoder = msgspec.json.Decoder(shape)
    for first, block in line_blocks(path, _LINES):
        text = b"".join(block)
        if text.isascii() and b"\r" not in text:
            try:
                lines = decoder.decode_lines(text)
            except DECODE_ERRORS:
                lines = []
            if len(lines) == len(block):
                yield list(range(first, first + len(block))), lines
                continue
        yield _one_by_one(path, first, block, decoder, problems)


def _one_by_one(
    path: Path,
    first: int,
    block: list[bytes],
    decoder: msgspec.json.Decoder[Shape],
    problems: Problems,
) -> tuple[list[int], list[Shape]]:
    numbers: list[int] = []
    lines: list[Shape] = []
    for number, line in enumerate(block, first):
        if line.isspace() and b"\r" not in line:
            continue
        problem = None if line.isascii() and b"\r" not in line else text_problem(number, line)
        try:
            decoded = decoder.decode(line)
        except DECODE_ERRORS as error:
            problem = problem or explained(line, error)
        else:
            if problem is None:
                numbers.append(number)
                lines.append(decoded)
        if problem:
            problems.add(f"{path}:{number}", problem)
    return numbers, lines


def explained(line: bytes, error: Exception) -> str:
    """Say what is wrong with a line that did not decode.

    Args:
        line: The line's bytes.
        error: What decoding raised.
    """
    if not isinstance(error, msgspec.ValidationError):
        return explain_syntax(line, error)
    words, _, place = str(error).partition(" - at `$")
    field = place.strip(".`")
    missing = _MISSING.fullmatch(words)
    if missing:
        return shown(f"{field}{'.' if field else ''}{missing[1]}: is missing", limit=200)
    expected = _EXPECTED.fullmatch(words)
    if expected:
        words = f"must be {expected[1]}" + (f", is {expected[2]}" if expected[2] else "")
    return shown(f"{field or 'line'}: {words}", limit=200)
