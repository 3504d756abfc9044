"""Coding agents: long sessions whose context grows by tool results, with sub-agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...columns import NONE, IntColumn, Labels, Ragged, offsets_of
from ...record import Trace
from ...words import check, number
from ..blocks import Blocks, Mint
from ..draw import Draw
from ..lengths import Lengths, durations_ns
from ..sessions import Turns, answer_ns
from ..subagents import TURNS, HelperMaker, Helpers
from ..workload import SESSIONS, UNNAMED, Maker, part_of

BoolColumn = npt.NDArray[np.bool_]

_MOST_TURNS = 2_000


@dataclass(frozen=True)
class Agent:
    """Long sessions of tool calls, with compaction and sub-agents.

    Lengths are lognormal, given by median and 90 % quantile. The defaults are figures of the WEKA
    Claude Code sessions: of 683 distinct ones, 44,971 requests; those marked * of 350 of them.

    Attributes:
        turns: Turns of a session.
        turns_p90: Their 90 % quantile.
        shared_tokens: Tools and system prompt, the same for all sessions.
        first_tokens: The rest of a session's first prompt.
        first_p90_tokens: Its 90 % quantile.
        message_tokens: What a turn adds to the context: a tool's result or a user's words.
        message_p90_tokens: Its 90 % quantile.
        output_tokens: Length of an answer.
        output_p90_tokens: Its 90 % quantile.
        think_s: Time from an answer to the next turn: tools and people.
        think_p90_s: Its 90 % quantile.
        compactions: Probability that a turn starts from a summary instead of the whole context.
        kept: Length of that prompt over the one before.
        losses: Probability that a turn's context is not the one before, though as long.
        spawns: Probability that a turn is followed by a group of sub-agents.
        fan_out: Mean size of such a group, which is geometric.
        longest_tokens: A context is compacted before it is longer.
        block_tokens: Tokens per hash id; only full blocks have one.
    """

    NAME: ClassVar[str] = "agent"
    ARRIVALS: ClassVar[str] = "poisson"

    turns: float = number(44.0, least=1.0, most=_MOST_TURNS)
    turns_p90: float = number(149.0, most=_MOST_TURNS)
    # Tools and system prompt p10 12,743 p50 15,161 p90 15,930 *.
    shared_tokens: int = number(15_000)
    # First prompts p25 18,986 p50 64,159 p75 120,388 *, many of them of sessions that go on. They
    # are shorter here, so that those of all turns come out right: mean 115,000 (there 117,433), p50
    # 112,000 (99,413).
    first_tokens: float = number(40_000.0, least=1.0)
    first_p90_tokens: float = number(120_000.0)
    # Prompts, less the prompt and answer before: p50 400 p90 3,346 p99 16,022, mean 1,579 *.
    message_tokens: float = number(400.0, least=1.0)
    message_p90_tokens: float = number(3_346.0)
    output_tokens: float = number(217.0, least=1.0)
    output_p90_tokens: float = number(878.0)
    think_s: float = number(10.0, least=0.001)
    # Pauses from the end of an answer, as our reader has them: p50 9.8 p90 117 *. Recorded think
    # times have a p90 of 165, as they run on over answers whose durations were not recorded.
    think_p90_s: float = number(117.0)
    # 0.8 % of the turns have a context that shrank by a fifth or more, to 43 % in the median *;
    # most of them were at its limit. This is for the others.
    compactions: float = number(0.003, most=1.0)
    kept: float = number(0.43, most=1.0)
    # 1.4 % keep their length, but only about 15,000 tokens are those of the turn before *.
    losses: float = number(0.014, most=1.0)
    # 37 groups of 63 sub-agents in 19,771 turns *; 59 of them are waited for, here all.
    spawns: float = number(0.0019, most=1.0)
    fan_out: float = number(1.7, least=1.0, most=1_000.0)
    # Largest contexts p50 146,965 p75 163,161 p90 371,159 *: some models take a million tokens.
    longest_tokens: int = number(200_000, least=1)
    block_tokens: int = number(64, least=1)

    def __post_init__(self) -> None:
        check(self)

    @property
    def blocks(self) -> Blocks:
        """See ``Workload``."""
        return Blocks(self.block_tokens)

    @property
    def batch(self) -> int:
        """See ``Workload``."""
        return SESSIONS

    @property
    def turn_counts(self) -> Lengths:
        """Distribution of the turns of a session."""
        return Lengths(self.turns, self.turns_p90, most=_MOST_TURNS)

    @property
    def requests_per_arrival(self) -> float:
        """See ``Workload``; requests of sub-agents included."""
        turns = self.turn_counts.mean
        return turns + (turns - 1.0) * self.spawns * self.fan_out * TURNS.mean

    def maker(self, draw: Draw) -> Maker:
        """See ``Workload``."""
        return _Sessions(self, draw).part


@dataclass(frozen=True)
class _Main:
    """Turns of the agents themselves."""

    turns: Turns
    prompt_tokens: IntColumn
    output_tokens: IntColumn
    pause_ns: IntColumn
    breaks: BoolColumn
    """Where the context is not that of the turn before."""


class _Sessions:
    """Makes sessions batch by batch."""

    def __init__(self, agent: Agent, draw: Draw) -> None:
        self._agent = agent
        self._mint = Mint()
        count = agent.shared_tokens // agent.block_tokens
        self._shared = [int(self._mint.take(np.array([count]))[0]), count]
        self._helpers = HelperMaker(
            agent.fan_out,
            agent.longest_tokens,
            agent.blocks,
            self._mint,
            draw.child("sub-agents"),
        )
        self._turns = draw.stream("turns")
        self._first = draw.stream("first")
        self._message = draw.stream("message")
        self._output = draw.stream("output")
        self._think = draw.stream("think")
        self._compacts = draw.stream("compaction")
        self._loses = draw.stream("loss")
        self._spawns = draw.stream("spawn")
        self._count = 0

    def part(self, start_ns: IntColumn) -> Trace:
        """See ``Maker``."""
        main = self._main(len(start_ns))
        turns = main.turns
        self._count += len(start_ns)
        spawns = self._spawns.uniform(turns.count) < self._agent.spawns
        spawns[turns.last] = False
        helpers = self._helpers.started_by(np.flatnonzero(spawns), self._count)
        self._count += len(helpers.parents)
        return _joined(main, helpers, start_ns, self._runs(main))

    def _main(self, count: int) -> _Main:
        agent = self._agent
        turns = Turns(offsets_of(agent.turn_counts.draw(self._turns, count)), self._count)
        message = Lengths(agent.message_tokens, agent.message_p90_tokens)
        messages = message.draw(self._message, turns.count)
        first = Lengths(agent.first_tokens, agent.first_p90_tokens)
        messages[turns.first] = agent.shared_tokens + first.draw(self._first, count)
        output = Lengths(agent.output_tokens, agent.output_p90_tokens)
        output_tokens = output.draw(self._output, turns.count)
        compacts = self._compacts.uniform(turns.count) < agent.compactions
        prompts, compacts = _contexts(agent, turns, messages, output_tokens, compacts)
        loses = self._loses.uniform(turns.count) < agent.losses
        return _Main(
            turns=turns,
            prompt_tokens=prompts,
            output_tokens=output_tokens,
            pause_ns=durations_ns(self._think, agent.think_s, agent.think_p90_s, 0.9, turns.count),
            breaks=(compacts | loses) & (turns.turn > 1),
        )

    def _runs(self, main: _Main) -> Ragged:
        starts = main.breaks | (main.turns.turn == 1)
        offsets = np.append(np.flatnonzero(starts), main.turns.count)
        shared = np.tile(np.array(self._shared), (len(offsets) - 1, 1))
        return self._agent.blocks.of_chains(main.prompt_tokens, offsets, shared, self._mint)


def _contexts(
    agent: Agent,
    turns: Turns,
    messages: IntColumn,
    output_tokens: IntColumn,
    compacts: BoolColumn,
) -> tuple[IntColumn, BoolColumn]:
    """Prompt lengths, and which of them start from a summary."""
    prompts = np.minimum(messages, agent.longest_tokens)
    compacts = compacts.copy()
    counts = np.diff(turns.offsets)
    for turn in range(1, int(counts.max())):
        row = turns.first[counts > turn] + turn
        grown = prompts[row - 1] + output_tokens[row - 1] + messages[row]
        compacts[row] |= grown > agent.longest_tokens
        summary = np.floor(agent.kept * prompts[row - 1]).astype(np.int64)
        summary = np.minimum(np.maximum(summary, agent.shared_tokens + 1), agent.longest_tokens)
        prompts[row] = np.where(compacts[row], summary, grown)
    return prompts, compacts


def _joined(main: _Main, helpers: Helpers, start_ns: IntColumn, runs: Ragged) -> Trace:
    """Agents and their sub-agents as one part, the agents first."""
    answers_ns = answer_ns(main.output_tokens)
    busy_ns = answers_ns.copy()
    starters = helpers.parents[helpers.groups]
    busy_ns[starters] += helpers.longest_ns()
    arrivals = main.turns.arrivals(start_ns, busy_ns, main.pause_ns)
    helper_start = (arrivals + answers_ns)[helpers.parents]
    helper_arrivals = helpers.turns.arrivals(helper_start, helpers.busy_ns, helpers.pause_ns)
    reuse = np.full(main.turns.count, NONE)
    reuse[starters + 1] = 1
    reuse[main.breaks] = 0
    codes = [main.turns.session.codes, helpers.turns.session.codes]
    columns: dict[str, Any] = {
        "turn": np.concatenate([main.turns.turn, helpers.turns.turn]),
        "delay_ns": np.concatenate([main.turns.delays(main.pause_ns), helpers.pause_ns]),
        "reuse_output": np.concatenate([reuse, np.full(helpers.turns.count, NONE)]),
    }
    return part_of(
        np.concatenate([arrivals, helper_arrivals]),
        np.concatenate([main.prompt_tokens, helpers.prompt_tokens]),
        np.concatenate([main.output_tokens, helpers.output_tokens]),
        Ragged.joined([runs, helpers.hash_runs]),
        session=Labels(np.concatenate(codes), UNNAMED),
        after=Ragged.joined([_main_after(main.turns, helpers), _helper_after(main.turns, helpers)]),
        **columns,
    )


def _main_after(turns: Turns, helpers: Helpers) -> Ragged:
    """A turn comes after the one before, or after the sub-agents that this one started."""
    counts = (turns.turn > 1).astype(np.int64)
    starters = helpers.parents[helpers.groups]
    counts[starters + 1] = np.diff(np.append(helpers.groups, len(helpers.parents)))
    offsets = offsets_of(counts)
    before = np.repeat(np.arange(turns.count) - 1, counts)
    before[np.isin(before, starters)] = turns.count + helpers.turns.last
    return Ragged(offsets, before[:, None])


def _helper_after(turns: Turns, helpers: Helpers) -> Ragged:
    """A sub-agent's first turn comes after the turn that started it."""
    before = np.arange(helpers.turns.count) - 1 + turns.count
    before[helpers.turns.first] = helpers.parents
    return Ragged(np.arange(len(before) + 1), before[:, None])
