"""Readers for OpenTelemetry spans of model calls, in OTLP JSON or as agent traces are collected."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from ..columns import Ragged
from ..meta import Meta
from ..problems import Problems
from ..rows import Column, Rows
from ..source import Source
from .format import Format
from .json_tree import BadValueError, documents, good_values
from .lists import integers, nanoseconds, predecessors, words
from .otel_forms import DOCUMENT, raw_spans, span_of
from .otel_links import Link, predecessors_of
from .otel_messages import Message, messages, plain_text
from .otel_spans import Span
from .text_sizes import sizes
from .text_tokens import Encode, encoder, note_estimate
from .turns import pauses_ns

BLOCK_SIZE = 16


@dataclass(frozen=True)
class Call:
    """A span with its texts encoded."""

    span: Span
    prompt: bytes
    answer: bytes
    said: frozenset[str]
    heard: frozenset[str]
    media: int


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    calls = _calls(source, encoder(source), problems)
    if not calls:
        return
    yield Rows(
        path=source.path,
        columns=_columns(source, calls, problems),
        numbers=np.arange(len(calls), dtype=np.int64),
        where=lambda number: calls[number].span.place,
        keys={"request_ids": "span_id"},
        request_ids=_names([call.span for call in calls]),
    )


_META = Meta(block_size=BLOCK_SIZE, hash_tail="floor")

FORMAT = Format(
    name="otel",
    reads_folders=True,
    summary="OpenTelemetry GenAI spans of agents, {trace_id, spans: [...]}: a file or a folder",
    rows=rows,
    json_keys=frozenset(("spans",)),
    meta=_META,
)

OTLP_FORMAT = Format(
    name="otlp",
    reads_folders=True,
    summary="OpenTelemetry GenAI spans in OTLP JSON (resourceSpans): a file or a folder",
    rows=rows,
    json_keys=frozenset(("resourceSpans",)),
    meta=_META,
)


def _calls(source: Source, encode: Encode, problems: Problems) -> list[Call]:
    """The calls of language models in a source, by the time at which they began."""
    calls: list[Call] = []
    seen: set[bytes] = set()
    others = copies = 0
    for place, text, trace, otlp in _spans(source, problems):
        try:
            span = span_of(place, text, trace, otlp)
            if not span.is_call:
                others += 1
                continue
            call = _call(span, encode)
        except BadValueError as bad:
            problems.add(f"{source.path}:{place}", str(bad))
            continue
        digest = _digest(span)
        copies += digest in seen
        if digest not in seen:
            seen.add(digest)
            calls.append(call)
    media = sum(call.media for call in calls)
    failed = sum(call.span.failed for call in calls)
    for count, what in (
        (others, "spans are no calls of a language model; they are left out"),
        (copies, "spans are copies of others; they are left out"),
        (failed, "calls failed; they are kept as cancelled"),
        (media, "images and other media in messages are not counted as tokens"),
    ):
        if count:
            problems.notes.append(f"{count} {what}")
    return sorted(calls, key=lambda call: (call.span.start_ns, call.span.id))


def _spans(source: Source, problems: Problems) -> Iterator[tuple[str, msgspec.Raw, str, bool]]:
    """Place, text and trace of every span, and whether it is in OTLP."""
    for path in source.files("*.json*"):
        name = f" {path.relative_to(source.path)}:" if source.is_folder else ""
        texts = ((f"{name}{place}", text) for place, text in documents(path))
        for place, document in good_values(DOCUMENT, texts, source.path, problems):
            for inner, text, otlp in raw_spans(document):
                yield f"{place}: {inner}", text, document.trace_id, otlp


def _call(span: Span, encode: Encode) -> Call:
    facts = span.attributes
    asked = messages(facts.input_messages, "gen_ai.input.messages")
    if facts.output_text is not None or facts.completion is not None:
        text = facts.output_text if facts.output_text is not None else facts.completion
        said = [Message("assistant", text or "")]
    else:
        said = messages(facts.output_messages, "gen_ai.output.messages")
    parts = [plain_text(facts.instructions), plain_text(facts.tools)]
    parts += [f"{message.role}\n{message.text}" for message in asked]
    answers = [message for message in asked if message.role == "assistant"]
    return Call(
        span=span,
        prompt=b"".join(encode(part + "\n") for part in parts if part),
        answer=encode("\n".join(message.text for message in said)),
        said=frozenset[str]().union(*(message.marks for message in said)),
        heard=frozenset[str]().union(*(message.marks for message in answers)),
        media=sum(message.media for message in (*asked, *said)),
    )


def _digest(span: Span) -> bytes:
    """What is equal for a span that was exported twice."""
    facts: Any = msgspec.to_builtins(span.attributes)
    text = msgspec.json.encode((span.start_ns, span.end_ns, facts))
    return hashlib.blake2b(text, digest_size=16).digest()


def _columns(source: Source, calls: Sequence[Call], problems: Problems) -> dict[str, Column]:
    spans = [call.span for call in calls]
    first = spans[0].start_ns
    starts = [span.start_ns - first for span in spans]
    ends = [span.end_ns - first for span in spans]
    before, read = _links(calls)
    measured = sizes(
        [call.prompt for call in calls],
        [call.answer for call in calls],
        [span.prompt_tokens for span in spans],
        [span.generated_tokens for span in spans],
        source.block_size or BLOCK_SIZE,
    )
    if not all(span.prompt_tokens for span in spans):
        note_estimate(source, problems)
    good = [None if span.failed else span for span in spans]
    return (
        integers(
            arrival_ns=starts,
            input_tokens=measured.inputs,
            output_tokens=measured.outputs,
            delay_ns=pauses_ns(before, starts, ends),
            reuse_output=read,
            reasoning_tokens=[span.attributes.reasoning_tokens for span in spans],
            cancelled=[int(span.failed) for span in spans],
            recorded_ttft_ns=[nanoseconds(s and s.attributes.ttft_s) for s in good],
            recorded_e2e_ns=[s and s.end_ns - s.start_ns for s in good],
            recorded_cached_tokens=[s and s.attributes.cached_tokens for s in good],
        )
        | words(
            session=[span.session for span in spans],
            model=[s.attributes.request_model or s.attributes.response_model for s in spans],
        )
        | predecessors(before)
        | ({"hash_runs": Ragged.of(measured.runs, 2)} if any(measured.runs) else {})
    )


def _links(calls: Sequence[Call]) -> tuple[list[tuple[int, ...]], list[int]]:
    """Positions of the calls before each, and whether their answers are in its prompt."""
    sessions: dict[str, list[int]] = {}
    for at, call in enumerate(calls):
        sessions.setdefault(call.span.session, []).append(at)
    before: list[tuple[int, ...]] = [()] * len(calls)
    read = [0] * len(calls)
    for members in sessions.values():
        links = [
            Link(call.span.start_ns, call.span.end_ns, call.said, call.heard)
            for call in (calls[at] for at in members)
        ]
        for at, (positions, causal) in zip(members, predecessors_of(links), strict=True):
            before[at] = tuple(members[position] for position in positions)
            read[at] = int(causal)
    return before, read


def _names(spans: Sequence[Span]) -> list[str] | None:
    """Ids of spans if they are unique, with their traces if that makes them so."""
    ids = [span.id for span in spans]
    if len(set(ids)) < len(ids):
        ids = [f"{span.trace}:{span.id}" for span in spans]
    return ids if len(set(ids)) == len(ids) and all(ids) else None
