"""A small seeded generator of chat traffic, and the sample trace that is made with it."""

from __future__ import annotations

import heapq
import json
import math
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import TypedDict

from .record import DEFAULT_BLOCK_SIZE

_FIRST_PROMPT = (1_400, 0.55, 64, 8_192)
_DOCUMENT_PROMPT = (30_000, 0.4, 16_384, 65_536)
_FOLLOW_UP = (120, 1.0, 8, 4_096)
_OUTPUT = (250, 0.8, 1, 4_096)

_READING_S_PER_TOKEN = 0.03


class Row(TypedDict):
    """One request in the keys of the JSONL format (milliseconds, tokens, block ids)."""

    timestamp: int
    input_length: int
    output_length: int
    hash_ids: list[int]


def chat_trace(
    *,
    requests: int,
    rate_per_s: float,
    seed: int,
    turns_mean: float = 1.6,
    document_share: float = 0.06,
    think_s: float = 30.0,
    block_size: int = DEFAULT_BLOCK_SIZE,
) -> list[Row]:
    """Generate chat sessions whose context grows from turn to turn.

    Sessions arrive as a Poisson process. A session has a geometric number of turns; each turn's
    prompt is the whole conversation so far plus a new message, so it shares its full blocks with
    the turn before. Some sessions open with a long document. Equal arguments give equal rows.

    Args:
        requests: Number of requests (turns) to generate.
        rate_per_s: Mean arrival rate of requests per second, over all sessions.
        seed: Seed of the random numbers.
        turns_mean: Mean number of turns per session, at least 1.
        document_share: Part of the sessions that open with 16k to 64k tokens.
        think_s: Mean pause before a further turn in seconds, on top of the time to read the answer.
        block_size: Tokens per hash id.

    Raises:
        ValueError: An argument is out of range.
    """
    if requests < 1 or rate_per_s <= 0 or turns_mean < 1 or block_size < 1:
        raise ValueError("requests, rate_per_s, turns_mean and block_size must be positive")
    draw = _Draw(seed)
    fresh_ids, numbers = count(), count()
    session_gap_s = turns_mean / rate_per_s
    next_session_s = draw.exponential(session_gap_s)
    # Ties in time are settled by the session's number, so that sessions are never compared.
    waiting: list[tuple[float, int, _Session]] = []
    rows: list[Row] = []
    while len(rows) < requests:
        if not waiting or next_session_s <= waiting[0][0]:
            heapq.heappush(waiting, (next_session_s, next(numbers), _Session()))
            next_session_s += draw.exponential(session_gap_s)
        now_s, number, session = heapq.heappop(waiting)
        rows.append(session.turn(now_s, draw, fresh_ids, document_share, block_size))
        if draw.uniform() >= 1 / turns_mean:
            pause_s = _READING_S_PER_TOKEN * rows[-1]["output_length"] + draw.exponential(think_s)
            heapq.heappush(waiting, (now_s + pause_s, number, session))
    return rows


def sample_rows() -> list[Row]:
    """Return the rows of the embedded sample: 600 requests in about ten minutes."""
    return chat_trace(requests=600, rate_per_s=1.0, seed=20_250)


def sample_path() -> Path:
    """Return the path of the embedded sample trace."""
    return Path(str(files("jenga_sim.traces").joinpath("samples", "chat.jsonl")))


def write_jsonl(rows: Iterable[Row], path: str | os.PathLike[str]) -> None:
    """Write rows as JSONL with Unix line ends, replacing the file if there is one."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    Path(path).write_bytes(text.encode("ascii"))


class _Draw:
    """Random numbers that are the same under every Python version.

    Only ``Random.random`` is documented to keep its sequence, so the distributions are made here.
    """

    def __init__(self, seed: int) -> None:
        self.uniform = random.Random(seed).random

    def exponential(self, mean: float) -> float:
        return -mean * math.log(1.0 - self.uniform())

    def length(self, median: int, sigma: float, least: int, most: int) -> int:
        """Draw a lognormal number of tokens, kept within bounds."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
        normal = radius * math.cos(2.0 * math.pi * self.uniform())
        return min(max(round(median * math.exp(sigma * normal)), least), most)


@dataclass
class _Session:
    """One conversation: what was said so far and the blocks of the last prompt."""

    context_tokens: int = 0
    prompt_tokens: int = 0
    hash_ids: list[int] = field(default_factory=list[int])

    def turn(
        self,
        now_s: float,
        draw: _Draw,
        fresh_ids: Iterator[int],
        document_share: float,
        block_size: int,
    ) -> Row:
        if self.context_tokens:
            message = _FOLLOW_UP
        else:
            message = _DOCUMENT_PROMPT if draw.uniform() < document_share else _FIRST_PROMPT
        # A partly filled last block has another hash once it is full, so only full ones are kept.
        shared = self.hash_ids[: self.prompt_tokens // block_size]
        self.prompt_tokens = self.context_tokens + draw.length(*message)
        missing = -(-self.prompt_tokens // block_size) - len(shared)
        self.hash_ids = shared + [next(fresh_ids) for _ in range(missing)]
        output_tokens = draw.length(*_OUTPUT)
        self.context_tokens = self.prompt_tokens + output_tokens
        return {
            "timestamp": round(now_s * 1_000),
            "input_length": self.prompt_tokens,
            "output_length": output_tokens,
            "hash_ids": self.hash_ids,
        }
