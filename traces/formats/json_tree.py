"""JSON of a known shape: typed values, and plain words where one is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta as Rule

from ...configs.errors import TraceError
from ..limits import MAX_NS, MAX_TOKENS
from ..problems import Problems
from ..schema import DECODE_ERRORS, explain_syntax
from ..source import read_bytes
from ..text import shown

Tokens = Annotated[int, Rule(ge=0, le=MAX_TOKENS)]
Index = Annotated[int, Rule(ge=0, le=MAX_TOKENS)]
Nanoseconds = Annotated[int, Rule(ge=0, le=MAX_NS)]
Seconds = Annotated[float, Rule(ge=0.0, le=MAX_NS / 1e9)]
Milliseconds = Annotated[float, Rule(ge=0.0, le=MAX_NS / 1e6)]

T = TypeVar("T")

_KINDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
}


_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder(msgspec.Raw)


class BadValueError(Exception):
    """A value that is not what it must be; the text names the key, the rule and the value."""


def decoded(decoder: msgspec.json.Decoder[T], text: bytes | msgspec.Raw) -> T:
    """Return a value of a known shape.

    Raises:
        BadValueError: It has another shape, or is no JSON.
    """
    try:
        return decoder.decode(bytes(text))
    except RecursionError:
        raise BadValueError("is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise BadValueError(_explain(bytes(text), str(error))) from None
    except DECODE_ERRORS as error:
        raise BadValueError(explain_syntax(bytes(text), error)) from None


def converted(value: Any, kind: type[T], key: str) -> T:
    """Return a value that was decoded before as one of a known shape.

    Args:
        value: Plain objects, lists, texts and numbers.
        kind: The shape.
        key: Where the value stands, for messages.

    Raises:
        BadValueError: It has another shape.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BadValueError(f"{key}.{_explain(msgspec.json.encode(value), str(error))}") from None


def good_values(
    decoder: msgspec.json.Decoder[T],
    texts: Iterable[tuple[str, bytes | msgspec.Raw]],
    path: Path,
    problems: Problems,
) -> Iterator[tuple[str, T]]:
    """Yield the place and value of each text of a known shape, and note the others.

    Args:
        decoder: The shape.
        texts: Places, a line number or `` requests[3]``, and what stands there.
        path: The file.
        problems: Where bad texts are noted.
    """
    for place, text in texts:
        try:
            yield place, decoded(decoder, text)
        except BadValueError as bad:
            problems.add(f"{path}:{place}", str(bad))


def document(path: Path, decoder: msgspec.json.Decoder[T]) -> T:
    """Return a whole file as a value of a known shape.

    Raises:
        TraceError: It cannot be read or has another shape.
    """
    try:
        return decoded(decoder, plain(read_bytes(path)))
    except BadValueError as bad:
        raise TraceError(f"{path}:1: {bad}") from None


def documents(path: Path) -> list[tuple[str, bytes | msgspec.Raw]]:
    """Return the values in a file with their places: one value, the items of a list, or lines.

    Raises:
        TraceError: It cannot be read, or its beginning is no JSON.
    """
    text = plain(read_bytes(path))
    try:
        if text.lstrip()[:1] == b"[":
            return [(f" [{index}]", item) for index, item in enumerate(decoded(_ITEMS, text))]
        return [("1", decoded(_ANY, text))]
    except BadValueError as bad:
        whole = bad
    lines = [(str(n), line) for n, line in enumerate(text.split(b"\n"), 1) if line.strip()]
    try:
        decoded(_ANY, plain(lines[0][1]) if len(lines) > 1 else b"")
    except BadValueError:
        raise TraceError(f"{path}:1: {whole}") from None
    return [(place, plain(line)) for place, line in lines]


def plain(text: bytes) -> bytes:
    """Return JSON as it is; where Python wrote NaN and Infinity into it, with null instead."""
    if b"NaN" not in text and b"Infinity" not in text:
        return text
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except DECODE_ERRORS:
        try:
            return msgspec.json.encode(json.loads(text))
        except (*DECODE_ERRORS, TypeError):
            return text
    return text


def _explain(text: bytes, error: str) -> str:
    """Words for a validation error of msgspec, which says where but not what is there."""
    message, _, place = error.partition(" - at `$")
    key = place.rstrip("`").lstrip(".")
    missing = re.fullmatch(r"Object missing required field `(.*)`", message)
    if missing:
        return f"{key}.{missing[1]}: is missing".lstrip(".")
    rule = re.fullmatch(r"Expected `([^`]*)`(.*?)(, got `.*`)?", message)
    if rule:
        kinds = " or ".join(_KINDS.get(kind, kind) for kind in rule[1].split(" | "))
        message = f"must be {kinds}{rule[2]}{_value_at(text, key)}"
    else:
        message = f"{message[:1].lower()}{message[1:]}{_value_at(text, key)}"
    return f"{shown(key, 100)}: {message}" if key else message


def _value_at(text: bytes, key: str) -> str:
    """The value at a key such as ``a.b[3]``, as far as that can be found."""
    try:
        value: Any = msgspec.json.decode(text)
        while key:
            index = re.match(r"\[(\d+)\]", key)
            # A name may hold dots itself, and the longest that is there is meant.
            part = index[0] if index else max((k for k in value if _leads(k, key)), key=len)
            value = value[int(index[1]) if index else part]
            key = key[len(part) :].lstrip(".")
    except (*DECODE_ERRORS, LookupError, TypeError):
        return ""
    return f", is {shown(msgspec.json.encode(value).decode())}"


def _leads(name: str, key: str) -> bool:
    return key.startswith(name) and key[len(name) : len(name) + 1] in ("", ".", "[")
