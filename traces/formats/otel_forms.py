"""The forms in which OpenTelemetry spans are stored.

One is OTLP JSON: ``resourceSpans``, with attributes as lists of keys and values. The other is what
collectors of agent traces write: ``{trace_id, spans: [...]}``, with attributes as an object.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from ..limits import MAX_NS
from ..text import shown
from .json_tree import BadValueError, converted, decoded
from .otel_spans import Attributes, Span

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Status(msgspec.Struct):
    """How a span ended."""

    code: int | str = 0


class PlainSpan(msgspec.Struct):
    """A span as collectors write it."""

    start_time: str
    end_time: str
    trace_id: str = ""
    span_id: str = ""
    name: str = ""
    status: Status | None = None
    attributes: dict[str, Any] | None = None


class KeyValue(msgspec.Struct):
    """An attribute in OTLP."""

    key: str
    value: dict[str, Any] | None = None


class OtlpSpan(msgspec.Struct, rename="camel"):
    """A span in OTLP JSON, where 64-bit integers may be texts."""

    start_time_unix_nano: str | int
    end_time_unix_nano: str | int
    trace_id: str = ""
    span_id: str = ""
    name: str = ""
    status: Status | None = None
    attributes: list[KeyValue] = []


class OtlpScope(msgspec.Struct, rename="camel"):
    """Spans of one library."""

    spans: list[msgspec.Raw] = []


class OtlpResource(msgspec.Struct, rename="camel"):
    """Spans of one process."""

    scope_spans: list[OtlpScope] = []


class Document(msgspec.Struct, rename={"resource_spans": "resourceSpans"}):
    """A file, or one line of it."""

    spans: list[msgspec.Raw] | None = None
    trace_id: str = ""
    resource_spans: list[OtlpResource] | None = None


DOCUMENT = msgspec.json.Decoder(Document)
_PLAIN = msgspec.json.Decoder(PlainSpan)
_OTLP = msgspec.json.Decoder(OtlpSpan)


def raw_spans(document: Document) -> Iterator[tuple[str, msgspec.Raw, bool]]:
    """Yield the place and text of each span of a document, and whether it is in OTLP."""
    for index, text in enumerate(document.spans or ()):
        yield f"spans[{index}]", text, False
    for r, resource in enumerate(document.resource_spans or ()):
        for s, scope in enumerate(resource.scope_spans):
            for index, text in enumerate(scope.spans):
                yield f"resourceSpans[{r}].scopeSpans[{s}].spans[{index}]", text, True


def span_of(place: str, text: msgspec.Raw, trace: str, otlp: bool) -> Span:
    """Return a span.

    Args:
        place: Where it is.
        text: What is there.
        trace: Its trace, if the span does not say.
        otlp: In which form.

    Raises:
        BadValueError: It, a time or an attribute in it is not what it must be.
    """
    try:
        found = decoded(_OTLP, text) if otlp else decoded(_PLAIN, text)
        start, end, attributes = _otlp(found) if isinstance(found, OtlpSpan) else _plain(found)
    except RecursionError:
        raise BadValueError("is nested too deeply") from None
    if "exgentic.session.id" in attributes:
        attributes = {"session.id": attributes["exgentic.session.id"]} | attributes
    return Span(
        place=place,
        name=found.name,
        trace=found.trace_id or trace,
        id=found.span_id,
        start_ns=start,
        end_ns=max(start, end),
        failed=found.status is not None and found.status.code in (2, "STATUS_CODE_ERROR"),
        attributes=converted(attributes, Attributes, "attributes"),
    )


def _plain(span: PlainSpan) -> tuple[int, int, dict[str, Any]]:
    start, end = _iso_ns("start_time", span.start_time), _iso_ns("end_time", span.end_time)
    return start, end, span.attributes or {}


def _otlp(span: OtlpSpan) -> tuple[int, int, dict[str, Any]]:
    start = _unix_ns("startTimeUnixNano", span.start_time_unix_nano)
    end = _unix_ns("endTimeUnixNano", span.end_time_unix_nano)
    return start, end, {item.key: _otlp_value(item.value) for item in span.attributes}


def _otlp_value(value: dict[str, Any] | None) -> Any:
    """The value of an OTLP attribute; None for what is no value."""
    match value:
        case {"intValue": str() as digits}:
            try:
                return int(digits)
            except ValueError:
                raise BadValueError(
                    f"attributes: intValue: must be an integer, is {shown(digits)}"
                ) from None
        case {"arrayValue": {"values": [*items]}}:
            return [_otlp_value(item) for item in items if isinstance(item, dict)]
        case {"kvlistValue": {"values": [*items]}}:
            return {
                str(item.get("key")): _otlp_value(item.get("value"))
                for item in items
                if isinstance(item, dict)
            }
        case {"stringValue": found} | {"boolValue": found} | {"doubleValue": found}:
            return found
        case {"intValue": found}:
            return found
        case _:
            return None


def _unix_ns(key: str, value: str | int) -> int:
    try:
        return _in_range(key, int(value), value)
    except ValueError:
        raise BadValueError(f"{key}: must be nanoseconds, is {shown(str(value))}") from None


def _iso_ns(key: str, value: str) -> int:
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is None:
            time = time.replace(tzinfo=UTC)
        return _in_range(key, (time - _EPOCH) // _MICROSECOND * 1000, value)
    except (ValueError, OverflowError):
        raise BadValueError(f"{key}: must be an ISO 8601 time, is {shown(value)}") from None


def _in_range(key: str, time_ns: int, value: str | int) -> int:
    if not 0 <= time_ns <= MAX_NS:
        raise BadValueError(f"{key}: must be a time from 1970 to 2248, is {shown(str(value))}")
    return time_ns
