"""Reader for TraceLab (uw-syfi/TraceLab): rounds of coding agents, one call of a model per line.

A round was sent when the last of its inputs was there, a message or the result of a tool, and has
ended with the last thing that the model said; the trace has no other latency. ``prefix_tokens`` is
all that is known of a prompt: so many tokens the provider had in its cache. They are taken for
those of the round before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta as Rule

from ..columns import NONE, IntColumn, Labels, Ragged, offsets_of
from ..limits import MAX_TOKENS
from ..meta import Meta
from ..problems import Problems
from ..rows import BoolColumn, Rows
from ..source import Source
from .format import Format
from .json_lines import decoded_blocks
from .moments import MOMENT_BYTES, MOMENT_RULE, moments_ns

BLOCK_SIZE = 64

_Tokens = Annotated[int, Rule(ge=0, le=MAX_TOKENS)]

_INPUTS = frozenset(("user_message", "tool_result"))
_OUTPUTS = frozenset(("reasoning", "text", "tool_call"))

_NOTE = (
    "cached tokens are taken for those of the round before; what sessions share is not known, and "
    "no id is common to two of them"
)


class Event(msgspec.Struct, gc=False):
    """Something that went into the model or came out of it."""

    event_type: str
    timestamp: str | None = None


class Round(msgspec.Struct, gc=False):
    """One call as the file has it."""

    session_id: str
    round_index: _Tokens
    input_tokens_total: Annotated[int, Rule(ge=1, le=MAX_TOKENS)]
    prefix_tokens: _Tokens
    output_tokens: _Tokens
    timing_events: list[Event]
    reasoning_output_tokens: _Tokens | None = None
    model: str | None = None


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``; the whole file at once, as rounds of a session may be apart."""
    lines: list[IntColumn] = []
    rounds: list[Round] = []
    sent: list[IntColumn] = []
    ended: list[IntColumn] = []
    for numbers, block in decoded_blocks(source.path, Round, problems):
        first, last, good = _times(block)
        good &= _noted(source, numbers, block, good, problems)
        rounds += [block[at] for at in np.flatnonzero(good).tolist()]
        lines.append(np.array(numbers, dtype=np.int64)[good])
        sent.append(first[good])
        ended.append(last[good])
        for a_round in block:
            a_round.timing_events = []
    if rounds:
        problems.notes.append(_NOTE)
        numbers = np.concatenate(lines) - 1
        yield _rows(source, rounds, numbers, np.concatenate(sent), np.concatenate(ended))


FORMAT = Format(
    name="tracelab",
    summary="JSONL of TraceLab: rounds of coding agents with prefix_tokens and timing_events",
    rows=rows,
    json_keys=frozenset(
        ("session_id", "round_index", "input_tokens_total", "prefix_tokens", "timing_events")
    ),
    meta=Meta(block_size=BLOCK_SIZE, hash_tail="floor", hash_scope="session"),
)


def _noted(
    source: Source, lines: list[int], rounds: list[Round], timed: BoolColumn, problems: Problems
) -> BoolColumn:
    """Which rounds are as they must be; the others are noted."""
    good = timed.copy()
    for at, (line, a_round) in enumerate(zip(lines, rounds, strict=True)):
        if not timed[at]:
            text = f"timing_events: must hold inputs or outputs, each with {MOMENT_RULE}"
        elif a_round.prefix_tokens > a_round.input_tokens_total:
            text = (
                f"prefix_tokens: must be at most input_tokens_total = "
                f"{a_round.input_tokens_total}, is {a_round.prefix_tokens}"
            )
        else:
            continue
        good[at] = False
        problems.add(f"{source.path}:{line}", text)
    return good


def _rows(
    source: Source, rounds: list[Round], numbers: IntColumn, sent: IntColumn, ended: IntColumn
) -> Rows:
    sessions = Labels.of(a_round.session_id for a_round in rounds)
    index = np.array([a_round.round_index for a_round in rounds], dtype=np.int64)
    order = np.lexsort((index, sent, sessions.codes))
    before = _before(sessions.codes, order)
    first = before == NONE
    pause = np.maximum(sent - ended[before], 0)
    reasoning = [NONE if (r := a.reasoning_output_tokens) is None else r for a in rounds]
    prefix = np.array([a_round.prefix_tokens for a_round in rounds], dtype=np.int64)
    after = Ragged(offsets_of((~first).astype(np.int64)), numbers[before[~first]][:, None])
    return Rows(
        path=source.path,
        columns={
            "arrival_ns": sent,
            "input_tokens": np.array([a.input_tokens_total for a in rounds], dtype=np.int64),
            "output_tokens": np.array([a.output_tokens for a in rounds], dtype=np.int64),
            "hash_runs": _minted(rounds, order, before, source.block_size or BLOCK_SIZE),
            "session": sessions,
            "turn": index,
            "after": after,
            "delay_ns": np.where(first | (ended[before] == NONE), NONE, pause),
            "reasoning_tokens": np.array(reasoning, dtype=np.int64),
            "model": Labels.of(a_round.model for a_round in rounds),
            "recorded_api_ns": np.where(ended == NONE, NONE, np.maximum(ended - sent, 0)),
            "recorded_cached_tokens": prefix,
        },
        numbers=numbers,
        keys={"input_tokens": "input_tokens_total"},
        is_time_of_day=True,
    )


def _times(rounds: list[Round]) -> tuple[IntColumn, IntColumn, BoolColumn]:
    """When each round was sent and had ended (NONE if nothing came), and which have good times."""
    places: list[int] = []
    outputs: list[bool] = []
    texts: list[bytes] = []
    for place, a_round in enumerate(rounds):
        for event in a_round.timing_events:
            if event.event_type in _INPUTS or event.event_type in _OUTPUTS:
                places.append(place)
                outputs.append(event.event_type in _OUTPUTS)
                texts.append((event.timestamp or "").encode("ascii", "replace")[:MOMENT_BYTES])
    moments, known = moments_ns(np.array(texts, dtype=f"S{MOMENT_BYTES}"))
    owners, is_output = np.array(places, dtype=np.int64), np.array(outputs, dtype=bool)
    last_input = np.full(len(rounds), NONE, dtype=np.int64)
    np.maximum.at(last_input, owners[~is_output], moments[~is_output])
    ended = np.full(len(rounds), NONE, dtype=np.int64)
    np.maximum.at(ended, owners[is_output], moments[is_output])
    first_output = np.full(len(rounds), np.iinfo(np.int64).max)
    np.minimum.at(first_output, owners[is_output], moments[is_output])
    timed = np.zeros(len(rounds), dtype=bool)
    timed[owners] = True
    timed[owners[~known]] = False
    return np.where(last_input == NONE, first_output, last_input), ended, timed


def _before(sessions: IntColumn, order: IntColumn) -> IntColumn:
    """The round before each in its session, as a position; NONE for the first."""
    before = np.full(len(order), NONE, dtype=np.int64)
    follows = sessions[order[1:]] == sessions[order[:-1]]
    before[order[1:][follows]] = order[:-1][follows]
    return before


def _minted(rounds: list[Round], order: IntColumn, before: IntColumn, block_size: int) -> Ragged:
    """Ids as runs: those of the round before as far as its prefix was cached, then new ones."""
    lists: list[list[tuple[int, int]]] = [[] for _ in rounds]
    fresh = 0
    for at in order.tolist():
        total = rounds[at].input_tokens_total // block_size
        cached = min(rounds[at].prefix_tokens // block_size, total)
        runs = _head(lists[before[at]], cached) if before[at] != NONE else []
        new = total - sum(length for _, length in runs)
        if runs and sum(runs[-1]) == fresh:
            runs[-1] = (runs[-1][0], runs[-1][1] + new)
        elif new:
            runs.append((fresh, new))
        fresh += new
        lists[at] = runs
    return Ragged.of(lists, 2)


def _head(runs: list[tuple[int, int]], blocks: int) -> list[tuple[int, int]]:
    """The first blocks of runs."""
    kept: list[tuple[int, int]] = []
    for start, length in runs:
        if blocks <= 0:
            break
        kept.append((start, min(length, blocks)))
        blocks -= length
    return kept
