"""Reader for ShareGPT: conversations as texts, ``[{id, conversations: [{from, value}]}]`` or JSONL.

Each answer is a request whose prompt is everything before it. Nobody knows when they were asked:
all conversations start at 0, and each turn comes after the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np

from ..columns import Ragged
from ..meta import Meta
from ..problems import Problems
from ..rows import Rows
from ..source import Source
from .format import Format
from .json_tree import documents, good_values
from .lists import integers, predecessors, words
from .text_blocks import Chain, TextBlocks
from .text_tokens import BYTES_PER_TOKEN, Encode, count_tokens, encoder, note_estimate

BLOCK_SIZE = 16
_BATCH = 4096
"""Requests that are checked together."""
_ANSWERS = frozenset(("gpt", "assistant", "chatgpt", "bard", "bing", "model"))


class Message(msgspec.Struct, rename={"sender": "from"}):
    """Who said what, by ShareGPT's names or OpenAI's."""

    sender: str | None = None
    value: str | None = None
    role: str | None = None
    content: str | None = None


class Conversation(msgspec.Struct):
    """One entry."""

    conversations: list[Message]
    id: str | int | None = None


@dataclass
class Found:
    """Requests as lists, in the order of the file."""

    first: int
    places: list[str] = field(default_factory=list[str])
    sessions: list[str] = field(default_factory=list[str])
    turns: list[int] = field(default_factory=list[int])
    inputs: list[int] = field(default_factory=list[int])
    outputs: list[int] = field(default_factory=list[int])
    runs: list[list[tuple[int, int]]] = field(default_factory=list[list[tuple[int, int]]])


_CONVERSATION = msgspec.json.Decoder(Conversation)


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    encode = encoder(source)
    note_estimate(source, problems)
    blocks = TextBlocks(BYTES_PER_TOKEN * (source.block_size or BLOCK_SIZE))
    problems.notes.append("arrivals are not known: all conversations start at 0")
    texts = documents(source.path)
    found = Found(0)
    silent = unasked = 0
    names: set[str] = set()
    for place, talk in good_values(_CONVERSATION, texts, source.path, problems):
        name = "" if talk.id is None else str(talk.id)
        name = f"{name}{place}" if not name or name in names else name
        names.add(name)
        before = len(found.inputs)
        unasked += _add(found, place, name, talk, encode, Chain(blocks))
        silent += len(found.inputs) == before
        if len(found.inputs) >= _BATCH:
            yield _rows(source, found)
            found = Found(found.first + len(found.inputs))
    if found.inputs:
        yield _rows(source, found)
    for count, what in (
        (silent, "conversations have no answered question; they are left out"),
        (unasked, "answers stand at the beginning of a conversation; they are only context"),
    ):
        if count:
            problems.notes.append(f"{count} {what}")


FORMAT = Format(
    name="sharegpt",
    summary="Conversations as texts: ShareGPT JSON, tokens estimated or by --tokenizer",
    rows=rows,
    json_keys=frozenset(("conversations",)),
    meta=Meta(block_size=BLOCK_SIZE, hash_tail="floor"),
)


def _add(
    found: Found, place: str, name: str, talk: Conversation, encode: Encode, prompt: Chain
) -> int:
    """Add the answers of a conversation; return how many have no question before them."""
    turn = unasked = 0
    for message in talk.conversations:
        role = message.sender or message.role or ""
        text = message.value or message.content or ""
        answer = role.lower() in _ANSWERS
        unasked += answer and not prompt.bytes
        if answer and prompt.bytes:
            found.places.append(place)
            found.sessions.append(name)
            found.turns.append(turn)
            found.inputs.append(count_tokens(prompt.bytes))
            found.outputs.append(count_tokens(encode(text)))
            found.runs.append(list(prompt.runs))
            turn += 1
        prompt.extend(encode(f"{role}\n{text}\n"))
    return unasked


def _rows(source: Source, found: Found) -> Rows:
    count = len(found.inputs)
    later = [int(turn > 0) for turn in found.turns]
    return Rows(
        path=source.path,
        columns=integers(
            arrival_ns=[0] * count,
            input_tokens=found.inputs,
            output_tokens=found.outputs,
            turn=found.turns,
            untimed=later,
            reuse_output=later,
        )
        | words(session=found.sessions)
        | predecessors(
            [(number - 1,) if turn else () for number, turn in enumerate(found.turns, found.first)]
        )
        | {"hash_runs": Ragged.of(found.runs, 2)},
        numbers=np.arange(found.first, found.first + count, dtype=np.int64),
        where=lambda number: found.places[number - found.first],
    )
