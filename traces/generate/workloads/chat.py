"""Conversations whose context grows from turn to turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...columns import IntColumn, offsets_of
from ...record import Trace
from ...words import check, number
from ..blocks import Blocks, Mint
from ..draw import Draw
from ..lengths import Lengths, durations_ns
from ..segments import previous
from ..sessions import Turns, answer_ns
from ..workload import SESSIONS, Maker, part_of

_LEAST_PAUSE_NS = 1_000_000_000
"""Nobody answers within a second."""


@dataclass(frozen=True)
class Chat:
    """Chat sessions whose context grows from turn to turn.

    Lengths are lognormal, given by median and 90 % quantile. The defaults are figures of the
    Mooncake conversation trace (FAST'25), with sessions inferred from its hash ids: 7,411 sessions
    with a mean of 1.62 turns.

    Attributes:
        turns: Mean turns per session, which are geometric.
        first_tokens: Length of a session's first message.
        first_p90_tokens: Its 90 % quantile.
        documents: Share of the sessions that open with a document instead.
        document_tokens: Length of a document.
        document_p90_tokens: Its 90 % quantile.
        next_tokens: Length of a later message.
        next_p90_tokens: Its 90 % quantile.
        pastes: Share of the later messages that hold a pasted text instead.
        paste_tokens: Length of such a message.
        paste_p90_tokens: Its 90 % quantile.
        output_tokens: Length of an answer.
        output_p99_tokens: Its 99 % quantile.
        gap_s: Time from one turn's arrival to the next, at least the answer's time and a second.
        gap_p90_s: Its 90 % quantile.
        shared_tokens: System prompt that all sessions begin with.
        longest_tokens: A session ends before its prompt is longer.
        block_tokens: Tokens per hash id; the last block has one even if it is partly filled.
    """

    NAME: ClassVar[str] = "chat"
    # Azure 2023 conversation has a CV of 1.09; Mooncake 1.01 once its 3 s buckets are spread.
    ARRIVALS: ClassVar[str] = "gamma:cv=1.1"

    turns: float = number(1.62, least=1.0, most=10_000.0)
    # First prompts of Mooncake conversation: p50 5,264, p90 25,559, p99 89,868, mean 10,765.
    first_tokens: float = number(5_264.0, least=1.0)
    first_p90_tokens: float = number(25_559.0)
    documents: float = number(0.0, most=1.0)
    document_tokens: float = number(30_000.0, least=1.0)
    document_p90_tokens: float = number(50_000.0)
    # Later prompts, less the prompt and answer before: p33 9, p50 26, p75 355, p90 4,194, p99
    # 16,705, mean 1,248. Three quarters are short messages, the others go with long texts.
    next_tokens: float = number(15.0, least=1.0)
    next_p90_tokens: float = number(73.0)
    pastes: float = number(0.25, most=1.0)
    paste_tokens: float = number(3_340.0, least=1.0)
    paste_p90_tokens: float = number(10_600.0)
    # Answers: p50 350, p99 1,119. A lognormal has fewer very short ones: mean 396, not 343.
    output_tokens: float = number(350.0, least=1.0)
    output_p99_tokens: float = number(1_119.0)
    gap_s: float = number(123.0, least=0.001)
    gap_p90_s: float = number(483.0)
    # One block of 512 tokens is under 7,373 of 7,411 sessions.
    shared_tokens: int = number(512)
    longest_tokens: int = number(131_072, least=1)
    block_tokens: int = number(512, least=1)

    def __post_init__(self) -> None:
        check(self)

    @property
    def blocks(self) -> Blocks:
        """See ``Workload``."""
        return Blocks(self.block_tokens, tails=True)

    @property
    def batch(self) -> int:
        """See ``Workload``."""
        return SESSIONS

    @property
    def requests_per_arrival(self) -> float:
        """See ``Workload``."""
        return self.turns

    def maker(self, draw: Draw) -> Maker:
        """See ``Workload``."""
        return _Sessions(self, draw).part


class _Sessions:
    """Makes sessions batch by batch."""

    def __init__(self, chat: Chat, draw: Draw) -> None:
        self._chat = chat
        self._turns = draw.stream("turns")
        self._kind = draw.stream("kind of message")
        self._message = draw.stream("message")
        self._output = draw.stream("output")
        self._gap = draw.stream("gap")
        self._shared = [0, chat.shared_tokens // chat.block_tokens]
        self._mint = Mint(self._shared[1])
        self._count = 0

    def part(self, start_ns: IntColumn) -> Trace:
        """See ``Maker``."""
        chat = self._chat
        counts = self._turns.geometric(chat.turns, len(start_ns))
        turns = Turns(offsets_of(counts), self._count)
        self._count += len(start_ns)
        output_tokens = Lengths(chat.output_tokens, chat.output_p99_tokens, 0.99).draw(
            self._output, turns.count
        )
        gap_ns = durations_ns(self._gap, chat.gap_s, chat.gap_p90_s, 0.9, turns.count)
        prompts = turns.prompts(self._messages(turns), output_tokens)
        prompts[turns.first] = np.minimum(prompts[turns.first], chat.longest_tokens)
        keep = prompts <= chat.longest_tokens
        return self._finished(
            turns.kept(keep), start_ns, prompts[keep], output_tokens[keep], gap_ns[keep]
        )

    def _messages(self, turns: Turns) -> IntColumn:
        """Tokens that each turn adds; the system prompt is part of the first."""
        chat = self._chat
        first = turns.turn == 1
        long = self._kind.uniform(turns.count) < np.where(first, chat.documents, chat.pastes)
        normal = self._message.normal(turns.count)
        tokens = np.zeros(turns.count, dtype=np.int64)
        for chosen, median, p90 in (
            (first & ~long, chat.first_tokens, chat.first_p90_tokens),
            (first & long, chat.document_tokens, chat.document_p90_tokens),
            (~first & ~long, chat.next_tokens, chat.next_p90_tokens),
            (~first & long, chat.paste_tokens, chat.paste_p90_tokens),
        ):
            tokens[chosen] = Lengths(median, p90).of(normal[chosen])
        return np.maximum(tokens, np.where(first, chat.shared_tokens + 1, 1))

    def _finished(
        self,
        turns: Turns,
        start_ns: IntColumn,
        prompts: IntColumn,
        output_tokens: IntColumn,
        gap_ns: IntColumn,
    ) -> Trace:
        busy_ns = answer_ns(output_tokens)
        pause_ns = np.maximum(gap_ns - previous(busy_ns, turns.offsets), _LEAST_PAUSE_NS)
        shared = np.tile(np.array(self._shared), (len(start_ns), 1))
        return part_of(
            turns.arrivals(start_ns, busy_ns, pause_ns),
            prompts,
            output_tokens,
            self._chat.blocks.of_chains(prompts, turns.offsets, shared, self._mint),
            session=turns.session,
            turn=turns.turn,
            after=turns.after,
            delay_ns=turns.delays(pause_ns),
        )
