"""Helpers that an agent starts between two of its turns, and waits for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..columns import IntColumn, Ragged, offsets_of
from .blocks import Blocks, Mint
from .draw import Draw
from .lengths import Lengths, durations_ns
from .sessions import Turns, answer_ns

# 63 sub-agents of 350 of the WEKA Claude Code sessions, all of one kind: 4 to 24 requests; their
# tools and system prompt have 8,306 and 735 tokens, first prompts p50 10,335 p90 12,174.
SHARED_TOKENS = 9_041
TURNS = Lengths(10, 17)
_FIRST = Lengths(1_300, 3_100)
_MESSAGE = Lengths(2_259, 12_975)
_OUTPUT = Lengths(235, 524)
_THINK_S = (4.0, 29.0)


@dataclass(frozen=True)
class Helpers:
    """Sub-agents, each a session of its own.

    Attributes:
        parents: Row of the turn that started each of them, ascending.
        turns: Their turns.
        prompt_tokens: Prompt lengths.
        output_tokens: Answer lengths.
        pause_ns: Pause before each turn, 0 before the first.
        hash_runs: Ids of the prompts.
    """

    parents: IntColumn
    turns: Turns
    prompt_tokens: IntColumn
    output_tokens: IntColumn
    pause_ns: IntColumn
    hash_runs: Ragged

    @cached_property
    def busy_ns(self) -> IntColumn:
        """Time to each turn's answer."""
        return answer_ns(self.output_tokens)

    @cached_property
    def groups(self) -> IntColumn:
        """Positions of the first helper of each group, which one turn started."""
        return np.flatnonzero(np.diff(self.parents, prepend=-1))

    def longest_ns(self) -> IntColumn:
        """Return how long each group takes."""
        if not len(self.parents):
            return np.zeros(0, dtype=np.int64)
        start = np.zeros(len(self.parents), dtype=np.int64)
        ends = self.turns.arrivals(start, self.busy_ns, self.pause_ns) + self.busy_ns
        return np.maximum.reduceat(ends[self.turns.last], self.groups)


class HelperMaker:
    """Makes sub-agents batch by batch."""

    def __init__(
        self, fan_out: float, longest_tokens: int, blocks: Blocks, mint: Mint, draw: Draw
    ) -> None:
        """Begin.

        Args:
            fan_out: Sub-agents that are started together, on average.
            longest_tokens: One ends before its prompt is longer.
            blocks: How prompts are cut into blocks.
            mint: Where ids come from.
            draw: Where random numbers come from.
        """
        self._fan_out = fan_out
        self._longest_tokens = longest_tokens
        self._blocks = blocks
        self._mint = mint
        count = SHARED_TOKENS // blocks.size
        self._shared = [int(mint.take(np.array([count]))[0]), count]
        self._group = draw.stream("group")
        self._turns = draw.stream("turns")
        self._first = draw.stream("first")
        self._message = draw.stream("message")
        self._output = draw.stream("output")
        self._think = draw.stream("think")

    def started_by(self, rows: IntColumn, first_session: int) -> Helpers:
        """Return the sub-agents that these turns start.

        Args:
            rows: Rows of the turns.
            first_session: Number of the first sub-agent's session.
        """
        parents = np.repeat(rows, self._group.geometric(self._fan_out, len(rows)))
        counts = TURNS.draw(self._turns, len(parents))
        turns = Turns(offsets_of(counts), first_session)
        messages = _MESSAGE.draw(self._message, turns.count)
        messages[turns.first] = SHARED_TOKENS + _FIRST.draw(self._first, len(parents))
        output_tokens = _OUTPUT.draw(self._output, turns.count)
        think_ns = durations_ns(self._think, *_THINK_S, 0.9, turns.count)
        prompts = turns.prompts(messages, output_tokens)
        prompts[turns.first] = np.minimum(prompts[turns.first], self._longest_tokens)
        keep = prompts <= self._longest_tokens
        turns, prompts, output_tokens = turns.kept(keep), prompts[keep], output_tokens[keep]
        shared = np.tile(np.array(self._shared), (len(parents), 1))
        return Helpers(
            parents=parents,
            turns=turns,
            prompt_tokens=prompts,
            output_tokens=output_tokens,
            pause_ns=np.where(turns.turn > 1, think_ns[keep], 0),
            hash_runs=self._blocks.of_chains(prompts, turns.offsets, shared, self._mint),
        )
