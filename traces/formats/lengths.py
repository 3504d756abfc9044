"""Reader for prompt and output lengths as vidur (microsoft/vidur) and etalon (project-etalon) have.

Most files have no times. ``arrived_at`` counts seconds from the start of the trace.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..meta import NO_TIMES
from ..problems import Problems
from ..rows import Rows
from ..source import Source
from .cells import Field
from .csv_table import csv_rows
from .format import Format

_FIELDS = (
    Field(key="arrived_at", column="arrival_ns", kind="span", optional=True),
    Field(key="num_prefill_tokens", column="input_tokens"),
    Field(key="num_decode_tokens", column="output_tokens"),
)


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    timed = True
    for batch in csv_rows(source.path, _FIELDS, problems):
        timed = "arrival_ns" in batch.columns
        yield batch
    if not timed:
        problems.notes.append(NO_TIMES)


FORMAT = Format(
    name="lengths",
    summary="CSV of vidur, etalon: num_prefill_tokens, num_decode_tokens, arrived_at (s) if known",
    rows=rows,
    csv_columns=frozenset(("num_prefill_tokens", "num_decode_tokens")),
)
