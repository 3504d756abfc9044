"""A call of a language model as OpenTelemetry describes it: a span with typed attributes.

The names of attributes are those of the GenAI semantic conventions, older ones and vLLM's included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from .json_tree import Seconds, Tokens

_CALLS = frozenset(("chat", "text_completion", "generate_content"))


class Attributes(
    msgspec.Struct,
    rename={
        "operation": "gen_ai.operation.name",
        "request_model": "gen_ai.request.model",
        "response_model": "gen_ai.response.model",
        "input_tokens": "gen_ai.usage.input_tokens",
        "prompt_tokens": "gen_ai.usage.prompt_tokens",
        "output_tokens": "gen_ai.usage.output_tokens",
        "completion_tokens": "gen_ai.usage.completion_tokens",
        "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
        "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
        "conversation": "gen_ai.conversation.id",
        "session": "session.id",
        "input_messages": "gen_ai.input.messages",
        "output_messages": "gen_ai.output.messages",
        "instructions": "gen_ai.system_instructions",
        "tools": "gen_ai.tool.definitions",
        "output_text": "gen_ai.output.text",
        "completion": "gen_ai.completion",
        "ttft_s": "gen_ai.latency.time_to_first_token",
    },
):
    """What a span says about a call; texts may be JSON, as text or as values."""

    operation: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    input_tokens: Tokens | None = None
    prompt_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    cached_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None
    conversation: str | int | None = None
    session: str | int | None = None
    input_messages: Any = None
    output_messages: Any = None
    instructions: Any = None
    tools: Any = None
    output_text: str | None = None
    completion: str | None = None
    ttft_s: Seconds | None = None


@dataclass(frozen=True)
class Span:
    """One call of a model, times in nanoseconds of Unix time."""

    place: str
    name: str
    trace: str
    id: str
    start_ns: int
    end_ns: int
    failed: bool
    attributes: Attributes

    @property
    def prompt_tokens(self) -> int | None:
        """Prompt length, if the span has it."""
        facts = self.attributes
        return facts.prompt_tokens if facts.input_tokens is None else facts.input_tokens

    @property
    def generated_tokens(self) -> int | None:
        """Generated length, if the span has it."""
        facts = self.attributes
        return facts.completion_tokens if facts.output_tokens is None else facts.output_tokens

    @property
    def session(self) -> str:
        """Conversation, session or, if it has none of these, the trace."""
        return str(self.attributes.conversation or self.attributes.session or self.trace)

    @property
    def is_call(self) -> bool:
        """Whether it is a call of a language model, of which the prompt or its length is known."""
        facts = self.attributes
        named = facts.operation in _CALLS or self.name.startswith("chat ")
        measured = facts.operation is None and bool(self.prompt_tokens)
        return (named or measured) and bool(facts.input_messages or self.prompt_tokens)
