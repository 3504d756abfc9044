"""Reader for TraceV2 of BLIS (github.com/inference-sim/inference-sim): CSV beside a YAML header.

``input_tokens`` is what a prompt has behind its group's prefix. If the header says that sessions
accumulate, it is only what a round adds to the prompt and answer of the round before it. What the
server counted is the whole prompt and goes first. Times are microseconds; a request is taken to
arrive when it was sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...configs.errors import ConfigError, TraceError
from ...configs.strict import StrictFile
from ..columns import NONE, Labels
from ..limits import MAX_NS, MAX_TOKENS
from ..meta import Meta
from ..problems import Problems
from ..rows import BoolColumn, Column, Rows
from ..source import Source
from .blis_columns import FloatColumn, columns_of, counts, labels
from .cells import Field
from .csv_table import csv_rows, selected
from .format import Format
from .mapped import UNIX_TIME_NS

BLOCK_SIZE = 16

_WORDS = ("session_id", "prefix_group", "status", "tenant_id", "model", "adapter", "reason_ratio")
_COUNTS = ("round_index", "prefix_length", "input_tokens", "output_tokens", "image_tokens")
_TIMES = ("arrival_time_us", "send_time_us", "first_chunk_time_us", "last_chunk_time_us")
_OPTIONAL = frozenset(("adapter", "vllm_priority", "slo_target_us", "think_time_us"))
_FIELDS = (
    Field(key="request_id", column="request_ids", kind="word"),
    *(
        Field(key=key, column=key, kind="word", blank=NONE, optional=key in _OPTIONAL)
        for key in _WORDS
    ),
    *(Field(key=key, column=key) for key in (*_COUNTS, "server_input_tokens")),
    Field(key="vllm_priority", column="vllm_priority", blank=0, optional=True),
    *(
        Field(key=key, column=key, kind="span", digits=3, blank=0, optional=key in _OPTIONAL)
        for key in (*_TIMES, "slo_target_us", "think_time_us")
    ),
)


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    grows, note = _header(source.path)
    table = _joined(list(csv_rows(source.path, _FIELDS, problems)))
    if table is None:
        return
    ratios, known = _ratios(labels(table, "reason_ratio"))
    table.complain(~known, problems, lambda _: "reason_ratio: must be a number from 0 to 1")
    good = known & _in_range(table, problems)
    if not good.any():
        return
    problems.notes.append(note)
    table = selected(table, good)
    columns, images = columns_of(
        table, ratios[good], source.block_size or BLOCK_SIZE, grows, problems
    )
    clock = bool(counts(table, "send_time_us").max(initial=0) >= UNIX_TIME_NS)
    yield replace(table, columns=columns, image_names=images, is_time_of_day=clock)


FORMAT = Format(
    name="blis",
    summary="TraceV2 of BLIS: CSV with its YAML header beside it",
    rows=rows,
    csv_columns=frozenset(("session_id", "round_index", "prefix_group", "arrival_time_us")),
    meta=Meta(block_size=BLOCK_SIZE, hash_tail="floor"),
)


def _header(path: Path) -> tuple[bool, str]:
    """Whether prompts of a session accumulate, and a note on where that is known from."""
    stem = path.name.removesuffix(".gz").removesuffix(".csv")
    names = (f"{stem}.yaml", f"{stem}.yml", "header.yaml")
    places = (path.parent / name for name in names)
    header = next((place for place in places if os.path.isfile(place)), None)
    if header is None:
        return False, f"there is no header {names[0]}; rounds are taken as prompts of their own"
    try:
        facts = StrictFile(header).data
    except ConfigError as error:
        raise TraceError(str(error)) from None
    growth = facts.get("session_context_growth") or ""
    if growth not in ("", "accumulate"):
        raise TraceError(f"{header}: session_context_growth: must be accumulate, is {growth!r}")
    return growth == "accumulate", f"header {header.name}: mode {facts.get('mode')}"


def _joined(batches: Sequence[Rows]) -> Rows | None:
    """All rows of the file."""
    full = [batch for batch in batches if len(batch)]
    if not full:
        return None
    columns: dict[str, Column] = {}
    for name, column in full[0].columns.items():
        if isinstance(column, Labels):
            columns[name] = Labels.joined([labels(batch, name) for batch in full])
        else:
            columns[name] = np.concatenate([counts(batch, name) for batch in full])
    return replace(
        full[0],
        columns=columns,
        numbers=np.concatenate([batch.numbers for batch in full]),
        request_ids=[name for batch in full for name in batch.request_ids or ()],
    )


def _ratios(texts: Labels) -> tuple[FloatColumn, BoolColumn]:
    """Shares from 0 to 1, and where there is one; an empty cell is 0."""
    values = [0.0] * (len(texts.names) + 1)
    for at, text in enumerate(texts.names):
        try:
            values[at] = float(text)
        except ValueError:
            values[at] = NONE
    ratios = np.array(values)[texts.codes]
    return ratios, (ratios >= 0.0) & (ratios <= 1.0)


def _in_range(table: Rows, problems: Problems) -> BoolColumn:
    """Which rows have no negative or huge number; columns of the trace are checked later."""
    good = np.ones(len(table), dtype=bool)
    for name, column in table.columns.items():
        if isinstance(column, np.ndarray) and name != "vllm_priority":
            most = MAX_NS if name.endswith("_us") else MAX_TOKENS
            wrong = good & ((column < 0) | (column > most))
            table.complain(wrong, problems, lambda _, name=name: f"{name}: must not be negative")
            good &= ~wrong
    return good
