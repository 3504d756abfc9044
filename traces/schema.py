"""What one line of a JSONL trace may hold, and plain words for a line that does not."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .record import MAX_HASH_ID, MAX_TIMESTAMP_MS, MAX_TOKENS

_Milliseconds = (
    Annotated[int, Meta(ge=0, le=MAX_TIMESTAMP_MS)]
    | Annotated[float, Meta(ge=0.0, le=float(MAX_TIMESTAMP_MS))]
)
_Length = Annotated[int, Meta(ge=1, le=MAX_TOKENS)]
_Tokens = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
_Priority = Annotated[int, Meta(ge=-MAX_TOKENS, le=MAX_TOKENS)]
_HashIds = list[Annotated[int, Meta(ge=0, le=MAX_HASH_ID)]]
_Name = Annotated[str, Meta(min_length=1)] | int

_SHOWN_CHARACTERS = 40


class Line(msgspec.Struct, gc=False):
    """One request as the file has it; unknown keys are ignored."""

    timestamp: _Milliseconds
    input_length: _Length
    output_length: _Length
    hash_ids: _HashIds | UnsetType = UNSET
    cross_tokens: _Tokens = 0
    priority: _Priority = 0
    request_id: _Name | UnsetType = UNSET


DECODE_ERRORS = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
"""All that decoding may raise; older msgspec releases do not derive theirs from ValueError."""

decode_line = msgspec.json.Decoder(Line).decode
"""Decode one line; raises one of ``DECODE_ERRORS`` for a bad one."""

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_REQUIRED = ("timestamp", "input_length", "output_length")

_LENGTH_RULE = f"an integer from 1 to {MAX_TOKENS}"

_RULES: dict[str, tuple[msgspec.json.Decoder[object], str]] = {
    "timestamp": (
        msgspec.json.Decoder(_Milliseconds),
        f"a number of milliseconds from 0 to {MAX_TIMESTAMP_MS}",
    ),
    "input_length": (msgspec.json.Decoder(_Length), _LENGTH_RULE),
    "output_length": (msgspec.json.Decoder(_Length), _LENGTH_RULE),
    "hash_ids": (
        msgspec.json.Decoder(_HashIds),
        f"a list of integers from 0 to {MAX_HASH_ID}",
    ),
    "cross_tokens": (msgspec.json.Decoder(_Tokens), f"an integer from 0 to {MAX_TOKENS}"),
    "priority": (
        msgspec.json.Decoder(_Priority),
        f"an integer from {-MAX_TOKENS} to {MAX_TOKENS}",
    ),
    "request_id": (msgspec.json.Decoder(_Name), "a non-empty string or an integer"),
}


def explain(line: bytes, error: Exception) -> str:
    """Say what is wrong with a line that did not decode.

    Args:
        line: The line's bytes.
        error: What ``decode_line`` raised, used where no field stands out.
    """
    try:
        fields = _decode_object(line)
    except msgspec.ValidationError:
        return f"must be a JSON object with the keys {', '.join(_REQUIRED)}"
    except RecursionError:
        return "is nested too deeply; a request is one flat JSON object"
    except DECODE_ERRORS as syntax:
        return _explain_syntax(line, syntax)
    for name, (decoder, rule) in _RULES.items():
        if name in fields:
            problem = _explain_value(name, bytes(fields[name]), decoder, rule)
        else:
            problem = f"{name}: is missing" if name in _REQUIRED else None
        if problem:
            return problem
    return shown(str(error), limit=200)


def shown(text: str, limit: int = _SHOWN_CHARACTERS) -> str:
    """Shorten text from a file and replace what could disturb a terminal.

    Args:
        text: Text of any length.
        limit: Most characters to keep.
    """
    kept = text if len(text) <= limit else text[:limit] + "..."
    return "".join(character if character.isprintable() else "?" for character in kept)


def _explain_syntax(line: bytes, syntax: Exception) -> str:
    reason = shown(str(syntax).removeprefix("JSON is malformed: "), limit=200)
    hint = ""
    if b"NaN" in line or b"Infinity" in line:
        hint = "; NaN and Infinity are not JSON, write a number or drop the line"
    return f"is not valid JSON: {reason}{hint}"


def _explain_value(
    name: str, raw: bytes, decoder: msgspec.json.Decoder[object], rule: str
) -> str | None:
    try:
        decoder.decode(raw)
    except DECODE_ERRORS:
        value = raw.decode(errors="replace")
    else:
        return None
    hint = ""
    if name == "output_length" and value == "0":
        hint = "; every request generates a token: correct it, or pass --on-bad-line skip"
    elif name not in _REQUIRED and value == "null":
        hint = "; leave the key out"
    return f"{name}: must be {rule}, is {shown(value)}{hint}"
