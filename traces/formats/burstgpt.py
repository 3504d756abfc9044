"""Reader for BurstGPT (github.com/HPMLL/BurstGPT): calls of ChatGPT and GPT-4 at a university.

Fields are found by name, as newer files have two more. ``Timestamp`` counts seconds from a moment
that the file does not say. A response of 0 tokens is a call that failed; in some of these the
prompt was not counted either, and nothing can be replayed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..columns import NONE
from ..problems import Problems
from ..rows import Rows
from ..source import Source
from .cells import Field
from .csv_table import csv_rows, selected
from .format import Format

_FIELDS = (
    Field(key="Timestamp", column="arrival_ns", kind="span"),
    Field(key="Session ID", column="session", kind="word", blank=NONE, optional=True),
    Field(key="Elapsed time", column="recorded_e2e_ns", kind="span", blank=NONE, optional=True),
    Field(key="Model", column="model", kind="word", blank=NONE, optional=True),
    Field(key="Request tokens", column="input_tokens"),
    Field(key="Response tokens", column="output_tokens"),
)


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    uncounted = 0
    for batch in csv_rows(source.path, _FIELDS, problems):
        prompts, responses = batch.integers("input_tokens"), batch.integers("output_tokens")
        assert prompts is not None
        assert responses is not None
        counted = (prompts != 0) | (responses != 0)
        uncounted += len(batch) - int(np.count_nonzero(counted))
        yield replace(selected(batch, counted), is_time_of_day=True)
    if uncounted:
        problems.notes.append(
            f"{uncounted} calls failed without any token, prompt included, and are left out"
        )


FORMAT = Format(
    name="burstgpt",
    summary="CSV of BurstGPT: Timestamp (s), Request tokens, Response tokens; sessions if named",
    rows=rows,
    csv_columns=frozenset(("timestamp", "request tokens", "response tokens")),
)
