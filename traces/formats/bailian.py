"""Reader for the traces of Alibaba's Bailian (alibaba-edu/qwen-bailian-usagetraces-anon).

Each 16 tokens are hashed for themselves (paper: arXiv 2506.02634; a salt per trace), so an id says
what is in a block, not what is before it. The last block of a prompt may be partly filled. A turn
names the turn before it; the pause between them is not recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta as Rule

from ..columns import NONE, Labels, Ragged, offsets_of
from ..limits import MAX_HASH_ID, MAX_TIMESTAMP_MS, MAX_TOKENS
from ..meta import Meta
from ..problems import Problems
from ..rows import Rows
from ..runs import encode_runs
from ..source import Source
from .chains import chained
from .format import Format
from .json_lines import decoded_blocks
from .moments import spans_ns

BLOCK_SIZE = 16

_Tokens = Annotated[int, Rule(ge=0, le=MAX_TOKENS)]
_Seconds = Annotated[float, Rule(ge=0, le=MAX_TIMESTAMP_MS / 1000)]


class Chat(msgspec.Struct, gc=False):
    """One request as the file has it."""

    chat_id: int | str
    parent_chat_id: int | str
    timestamp: _Seconds
    input_length: Annotated[int, Rule(ge=1, le=MAX_TOKENS)]
    output_length: _Tokens
    hash_ids: list[Annotated[int, Rule(ge=0, le=MAX_HASH_ID)]]
    turn: _Tokens | None = None
    type: str | None = None


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``; the whole file at once, as blocks are compared with all before them."""
    lines: list[int] = []
    chats: list[Chat] = []
    ids: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    for numbers, block in decoded_blocks(source.path, Chat, problems):
        lines += numbers
        chats += block
        ids += [np.array(chat.hash_ids, dtype=np.int64) for chat in block]
        for chat in block:
            chat.hash_ids = []
    if not chats:
        return
    numbers = np.array(lines, dtype=np.int64) - 1
    offsets = offsets_of([len(row) for row in ids])
    arrivals, _ = spans_ns(np.array([chat.timestamp for chat in chats]), 9)
    row_of = _first_rows(chats)
    yield Rows(
        path=source.path,
        columns={
            "arrival_ns": arrivals,
            "input_tokens": np.array([chat.input_length for chat in chats], dtype=np.int64),
            "output_tokens": np.array([chat.output_length for chat in chats], dtype=np.int64),
            "hash_runs": encode_runs(offsets, chained(offsets, np.concatenate(ids))),
            "session": Labels.of(_roots(chats, row_of)),
            "turn": np.array(
                [NONE if chat.turn is None else chat.turn for chat in chats], dtype=np.int64
            ),
            "after": _parents(chats, row_of, numbers.tolist()),
        },
        numbers=numbers,
        keys={"request_ids": "chat_id"},
        request_ids=[str(chat.chat_id) for chat in chats],
        unknown=tuple(msgspec.json.encode({"type": c.type}) if c.type else b"" for c in chats),
    )


FORMAT = Format(
    name="bailian",
    summary="JSONL of Bailian: chat_id, parent_chat_id, timestamp (s), hash_ids (16 tokens each)",
    rows=rows,
    json_keys=frozenset(
        ("chat_id", "parent_chat_id", "timestamp", "input_length", "output_length", "hash_ids")
    ),
    meta=Meta(block_size=BLOCK_SIZE),
)


def _first_rows(chats: list[Chat]) -> dict[str, int]:
    row_of: dict[str, int] = {}
    for row, chat in enumerate(chats):
        row_of.setdefault(str(chat.chat_id), row)
    return row_of


def _parents(chats: list[Chat], row_of: Mapping[str, int], numbers: list[int]) -> Ragged:
    """The turn before each, if the file has it."""
    found = [row_of.get(str(chat.parent_chat_id)) for chat in chats]
    return Ragged.of([[] if row is None else [(numbers[row],)] for row in found], 1)


def _roots(chats: list[Chat], row_of: Mapping[str, int]) -> list[str]:
    """The first turn of each one's session, as far up as the file goes."""
    roots: dict[str, str] = {}
    for chat in chats:
        path: list[str] = []
        name = str(chat.chat_id)
        while name not in roots:
            roots[name] = name
            path.append(name)
            parent = str(chats[row_of[name]].parent_chat_id)
            name = parent if parent in row_of else name
        for passed in path:
            roots[passed] = roots[name]
    return [roots[str(chat.chat_id)] for chat in chats]
