"""Reader for lmcache-agent-trace: JSONL with the texts of every call of an agent.

A line is ``{timestamp, input, output, session_id}``, the time in microseconds. The input is what
the recorder kept of the prompt, so its length is a lower bound where agents resend their answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta as Rule

from ..columns import Ragged
from ..limits import MAX_NS
from ..meta import Meta
from ..problems import Problems
from ..rows import Rows
from ..source import Source, line_blocks
from .format import Format
from .json_tree import good_values
from .lists import integers, predecessors, words
from .text_blocks import TextBlocks
from .text_tokens import BYTES_PER_TOKEN, count_tokens, encoder, note_estimate
from .turns import previous_turns

BLOCK_SIZE = 16


class Call(msgspec.Struct):
    """One line."""

    timestamp: Annotated[int, Rule(ge=0, le=MAX_NS // 1000)]
    input: str
    output: str
    session_id: str | int


_CALL = msgspec.json.Decoder(Call)


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    encode = encoder(source)
    note_estimate(source, problems)
    block_size = source.block_size or BLOCK_SIZE
    blocks = TextBlocks(BYTES_PER_TOKEN * block_size)
    places: list[str] = []
    times: list[int] = []
    sessions: list[str] = []
    inputs: list[int] = []
    outputs: list[int] = []
    runs: list[list[tuple[int, int]]] = []
    empty = 0
    for place, call in _calls(source, problems):
        empty += not call.input
        if not call.input:
            continue
        prompt = encode(call.input)
        places.append(place)
        times.append(call.timestamp)
        sessions.append(str(call.session_id))
        inputs.append(count_tokens(prompt))
        outputs.append(count_tokens(encode(call.output)))
        runs.append(blocks.runs(prompt, inputs[-1] // block_size))
    if empty:
        problems.notes.append(f"{empty} calls were recorded without their input; they are left out")
    if not places:
        return
    first = min(times)
    yield Rows(
        path=source.path,
        columns=integers(
            arrival_ns=[(time - first) * 1000 for time in times],
            input_tokens=inputs,
            output_tokens=outputs,
        )
        | words(session=sessions)
        | predecessors(previous_turns(sessions, times))
        | {"hash_runs": Ragged.of(runs, 2)},
        numbers=np.arange(len(places), dtype=np.int64),
        where=places.__getitem__,
        keys={"input_tokens": "input"},
    )


FORMAT = Format(
    name="lmcache",
    reads_folders=True,
    summary="Texts of agents' calls (lmcache-agent-trace): a JSONL file, or a folder of them",
    rows=rows,
    json_keys=frozenset(("timestamp", "input", "output", "session_id")),
    meta=Meta(block_size=BLOCK_SIZE, hash_tail="floor"),
)


def _calls(source: Source, problems: Problems) -> Iterator[tuple[str, Call]]:
    """The calls of all files, with places that name the file where there are several."""
    for path in source.files("*.jsonl"):
        name = f" {path.relative_to(source.path)}:" if source.is_folder else ""
        lines = (
            (f"{name}{number}", line)
            for first, block in line_blocks(path, 256)
            for number, line in enumerate(block, first)
            if not line.isspace()
        )
        yield from good_values(_CALL, lines, source.path, problems)
