"""Messages of a model call as OpenTelemetry has them: their text, and what marks an answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from .json_tree import BadValueError

_MEDIA = frozenset(("blob", "uri", "file", "image", "image_url", "input_audio", "audio", "video"))


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        role: Who speaks.
        text: All texts in it, calls of tools and their results included.
        calls: Ids of the calls of tools that it asks for.
        media: Parts that are no text.
    """

    role: str
    text: str
    calls: frozenset[str] = frozenset()
    media: int = 0

    @property
    def marks(self) -> frozenset[str]:
        """What tells that a message is the same answer, however it was written down."""
        text = self.text.strip()
        return frozenset(f"call {call}" for call in self.calls) or frozenset(
            (f"text {text}",) if text else ()
        )


def messages(value: Any, key: str) -> list[Message]:
    """Return the messages in an attribute: a list, or such a list as JSON.

    Args:
        value: The attribute; None has no messages.
        key: Its name, for messages.

    Raises:
        BadValueError: It is neither.
    """
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise BadValueError(f"attributes.{key}: must be a list of messages as JSON") from None
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadValueError(f"attributes.{key}: must be a list of messages")
    items: list[Any] = value
    return [_message(item) for item in items]


def plain_text(value: Any) -> str:
    """Return an attribute as text: what is no text becomes JSON, nothing becomes nothing."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _message(item: Any) -> Message:
    match item:
        case {"role": str() as role}:
            pass
        case _:
            role = ""
    texts: list[str] = []
    calls: set[str] = set()
    media = 0
    for part in _parts(item):
        match part:
            case {"type": "tool_call", **call}:
                _add_call(call, texts, calls)
            case {"type": str() as kind} if kind in _MEDIA:
                media += 1
            case (
                {"text": str() as text}
                | {"content": str() as text}
                | {"response": str() as text}
                | {"result": str() as text}
            ):
                texts.append(text)
            case _:
                texts.append(plain_text(part))
    return Message(role, "\n".join(texts), frozenset(calls), media)


def _parts(item: Any) -> Iterator[Any]:
    """The parts of a message in any of its forms."""
    if not isinstance(item, dict):
        yield item
        return
    message: dict[str, Any] = item
    for key in ("content", "parts"):
        content = message.get(key)
        if isinstance(content, list):
            yield from content
        elif content is not None:
            yield content
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        yield call | {"type": "tool_call"} if isinstance(call, dict) else call


def _add_call(call: dict[str, Any], texts: list[str], calls: set[str]) -> None:
    """Add a call of a tool in OpenAI's form, ``{id, function: {name, arguments}}``, or flat."""
    function = call.get("function")
    named: dict[str, Any] = function if isinstance(function, dict) else call
    texts.append(f"{plain_text(named.get('name'))} {plain_text(named.get('arguments'))}")
    if isinstance(call.get("id"), str):
        calls.add(call["id"])
