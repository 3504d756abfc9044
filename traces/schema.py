"""What one line of a JSONL trace may hold, and plain words for a line that does not.

A superset of the Mooncake format: a plain Mooncake file is a trace. The fields are listed in
docs/traces.md.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .limits import MAX_HASH_ID, MAX_TIMESTAMP_MS, MAX_TOKENS
from .text import shown

_Milliseconds = (
    Annotated[int, Meta(ge=0, le=MAX_TIMESTAMP_MS)]
    | Annotated[float, Meta(ge=0.0, le=float(MAX_TIMESTAMP_MS))]
)
_Length = Annotated[int, Meta(ge=1, le=MAX_TOKENS)]
_Tokens = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
_Priority = Annotated[int, Meta(ge=-MAX_TOKENS, le=MAX_TOKENS)]
_HashIds = list[Annotated[int, Meta(ge=0, le=MAX_HASH_ID)]]
_Name = Annotated[str, Meta(min_length=1)] | int


class Image(msgspec.Struct, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """A vision item; equal hashes are equal images."""

    hash: _Name
    tokens: _Tokens | None = None
    width: _Length | None = None
    height: _Length | None = None
    pos: _Tokens | None = None


class Slo(msgspec.Struct, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """Latencies that were promised, in milliseconds."""

    ttft_ms: _Milliseconds | None = None
    tpot_ms: _Milliseconds | None = None


class Recorded(msgspec.Struct, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """What happened where the trace was recorded: milliseconds, and tokens."""

    ttft: _Milliseconds | None = None
    e2e: _Milliseconds | None = None
    api_time: _Milliseconds | None = None
    cached_tokens: _Tokens | None = None


class Line(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """One request as the file has it."""

    input_length: _Length
    output_length: _Tokens
    timestamp: _Milliseconds | UnsetType = UNSET
    hash_ids: _HashIds | UnsetType = UNSET
    hash_runs: _HashIds | UnsetType = UNSET
    request_id: _Name | UnsetType = UNSET
    session_id: _Name | UnsetType = UNSET
    turn: _Tokens | UnsetType = UNSET
    after: list[_Name] | UnsetType = UNSET
    delay: _Milliseconds | UnsetType = UNSET
    reuse_output: bool | UnsetType = UNSET
    images: list[Image] | UnsetType = UNSET
    cross_tokens: _Tokens = 0
    reasoning_length: _Tokens | UnsetType = UNSET
    model: str | UnsetType = UNSET
    lora: _Name | UnsetType = UNSET
    tenant: _Name | UnsetType = UNSET
    priority: _Priority = 0
    slo: Slo | UnsetType = UNSET
    cancelled: bool | UnsetType = UNSET
    recorded: Recorded | UnsetType = UNSET


class OpenLine(Line, gc=False, forbid_unknown_fields=False):
    """The same, other keys allowed."""


DECODE_ERRORS = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
"""All that decoding may raise; older msgspec releases do not derive theirs from ValueError."""

decode_lines = msgspec.json.Decoder(Line).decode_lines
"""Decode lines of known keys only; raises one of ``DECODE_ERRORS`` for a bad one."""

decode_line = msgspec.json.Decoder(OpenLine).decode
"""Decode one line with any keys; raises one of ``DECODE_ERRORS`` for a bad one."""

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_KNOWN = frozenset(Line.__struct_fields__)

REQUIRED = ("timestamp", "input_length", "output_length")

_NAME_RULE = "a non-empty string or an integer"
_MS_RULE = f"a number of milliseconds from 0 to {MAX_TIMESTAMP_MS}"
_TOKENS_RULE = f"an integer from 0 to {MAX_TOKENS}"
_IDS_RULE = f"a list of integers from 0 to {MAX_HASH_ID}"

_RULES: dict[str, tuple[Any, str]] = {
    "timestamp": (_Milliseconds, _MS_RULE),
    "input_length": (_Length, f"an integer from 1 to {MAX_TOKENS}"),
    "output_length": (_Tokens, _TOKENS_RULE),
    "hash_ids": (_HashIds, _IDS_RULE),
    "hash_runs": (_HashIds, f"{_IDS_RULE}, first id and length in turn"),
    "request_id": (_Name, _NAME_RULE),
    "session_id": (_Name, _NAME_RULE),
    "turn": (_Tokens, _TOKENS_RULE),
    "after": (list[_Name], "a list of request ids"),
    "delay": (_Milliseconds, _MS_RULE),
    "reuse_output": (bool, "true or false"),
    "images": (
        list[Image],
        "a list of objects with hash and, if known, tokens, width, height, pos",
    ),
    "cross_tokens": (_Tokens, _TOKENS_RULE),
    "reasoning_length": (_Tokens, _TOKENS_RULE),
    "model": (str, "a string"),
    "lora": (_Name, _NAME_RULE),
    "tenant": (_Name, _NAME_RULE),
    "priority": (_Priority, f"an integer from {-MAX_TOKENS} to {MAX_TOKENS}"),
    "slo": (Slo, "an object with ttft_ms and tpot_ms in milliseconds"),
    "cancelled": (bool, "true or false"),
    "recorded": (Recorded, "an object with ttft, e2e, api_time (ms) and cached_tokens"),
}


def fields_of(text: bytes) -> dict[str, bytes]:
    """Return the keys of a JSON object, each with its value on one line; none of an empty text."""
    fields = _decode_object(text) if text else {}
    return {key: _on_one_line(bytes(value)) for key, value in fields.items()}


def _on_one_line(text: bytes) -> bytes:
    return msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text


def unknown_fields(line: bytes) -> bytes:
    """Return a JSON object with the keys of a good line that have no meaning here."""
    fields = {key: raw for key, raw in _decode_object(line).items() if key not in _KNOWN}
    return msgspec.json.encode(fields) if fields else b""


def explain(line: bytes, error: Exception) -> str:
    """Say what is wrong with a line that did not decode.

    Args:
        line: The line's bytes.
        error: What ``decode_line`` raised, used where no field stands out.
    """
    try:
        fields = _decode_object(line)
    except msgspec.ValidationError:
        return f"must be a JSON object with the keys {', '.join(REQUIRED)}"
    except RecursionError:
        return "is nested too deeply; a request is one flat JSON object"
    except DECODE_ERRORS as syntax:
        return explain_syntax(line, syntax)
    for name, (rule, words) in _RULES.items():
        if name in fields:
            problem = _explain_value(name, bytes(fields[name]), rule, words)
        else:
            missing = name in REQUIRED and not (name == "timestamp" and "after" in fields)
            problem = f"{name}: is missing" if missing else None
        if problem:
            return problem
    return shown(str(error), limit=200)


def explain_syntax(text: bytes, syntax: Exception) -> str:
    """Say what is wrong with a text that is no JSON.

    Args:
        text: The text.
        syntax: What the decoder raised.
    """
    reason = shown(str(syntax).removeprefix("JSON is malformed: "), limit=200)
    hint = ""
    if b"NaN" in text or b"Infinity" in text:
        hint = "; NaN and Infinity are not JSON, write a number or drop the line"
    return f"is not valid JSON: {reason}{hint}"


def _explain_value(name: str, raw: bytes, rule: Any, words: str) -> str | None:
    try:
        msgspec.json.decode(raw, type=rule)
    except DECODE_ERRORS:
        value = raw.decode(errors="replace")
    else:
        return None
    hint = "; leave the key out" if name not in REQUIRED and value == "null" else ""
    return f"{name}: must be {words}, is {shown(value)}{hint}"
