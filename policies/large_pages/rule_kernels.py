"""What a table over large pages holds, compiled: contracts, and their bodies for ``ChunkedRules``.

Those for ``WholePromptRules`` are in ``whole_prompts``: only the rules of a run's scheduler are
compiled. Tables are counted in pages, ``EACH`` for every block of a group.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..base import PageGroup
from ..caching.layout import CHUNKED, SLIDING, STATE
from ..compiled import body_of, by_reference, contract, inner
from ..demand_kernels import (
    BLOCK,
    BOTH,
    COMPRESSOR,
    EACH,
    ENCODER,
    KIND,
    RULES,
    SOURCE,
    WINDOW,
    admission_pages,
    ceil_div,
    demand,
    expired,
    most_pages,
    rule_rows,
    skipped_tokens,
)
from .layout import IntArray
from .rules import ChunkedRules

READS_ALL, IS_FULL = len(RULES), len(RULES) + 1
"""Rows behind those of ``demand_kernels``: whether the next token reads all before it, so that
nobody can resume behind what is missing; whether the group's kind is ``full``."""
FOREVER = 1 << 62
MAX_IN_FLIGHT, LIMIT, BATCHES = range(len(RULES) + 2, len(RULES) + 5)
"""Rows of ``ChunkedArrays`` behind these: the same for every group."""


@by_reference
class ChunkedArrays(NamedTuple):
    """``ChunkedRules`` of some groups."""

    rows: IntArray


def rows_of(groups: Sequence[PageGroup]) -> IntArray:
    """The rows that both kinds of rules read."""
    reads_all = [group.kind in ("full", "cross") for group in groups]
    is_full = [group.kind == "full" for group in groups]
    return np.vstack([rule_rows(groups), np.array([reads_all, is_full], dtype=np.int64)])


def chunked_arrays(rules: ChunkedRules, groups: Sequence[PageGroup]) -> ChunkedArrays:
    """Rules for ``groups``."""
    limits = np.array([[rules.max_in_flight], [rules.limit], [rules.batches]], dtype=np.int64)
    return ChunkedArrays(np.vstack([rows_of(groups), limits.repeat(len(groups), axis=1)]))


@contract
def length(rules: Any, group: int, text: int, cross: int) -> int:
    """Entries of a table for ``text`` tokens, those given back included."""
    ...


@contract
def grows(rules: Any, group: int) -> bool:
    """Whether a table becomes longer after the prompt."""
    ...


@contract
def unheld(rules: Any, group: int, text: int) -> int:
    """Leading entries that a prompt of ``text`` tokens never has pages for."""
    ...


@contract
def past(rules: Any, group: int, computed: int, in_flight: int, entries: int) -> int:
    """Leading entries, of ``entries``, that are given back."""
    ...


@contract
def admission(rules: Any, group: int, text: int, cross: int) -> int:
    """Pages that a whole prompt must find free."""
    ...


@contract
def most(rules: Any, group: int, text: int, cross: int) -> int:
    """Pages that a request may hold at once until it has ``text`` tokens."""
    ...


@contract
def first_read(rules: Any, group: int, tokens: int) -> int:
    """First block that a request reads which resumes after ``tokens``, whole blocks."""
    ...


@contract
def left_at(rules: Any, time: float) -> float:
    """Time of a page that is given back while its request runs."""
    ...


@contract
def quiet_until(rules: Any, group: int, entries: int, gone: int, cross: int) -> int:
    """Text tokens up to which a table of ``entries`` stays, ``gone`` of them given back."""
    ...


# Prompts in chunks: see ``policies.demand``.


@body_of(length, ChunkedArrays)
@inner
def _length(rules: ChunkedArrays, group: int, text: int, cross: int) -> int:
    return demand(rules.rows, group, text, cross)


@body_of(grows, ChunkedArrays)
@inner
def _grows(rules: ChunkedArrays, group: int) -> bool:
    return True


@body_of(unheld, ChunkedArrays)
@inner
def _unheld(rules: ChunkedArrays, group: int, text: int) -> int:
    # The first chunk begins at the front.
    return 0


@body_of(past, ChunkedArrays)
@inner
def _past(rules: ChunkedArrays, group: int, computed: int, in_flight: int, entries: int) -> int:
    return min(expired(rules.rows, group, computed, in_flight), entries)


@body_of(admission, ChunkedArrays)
@inner
def _admission(rules: ChunkedArrays, group: int, text: int, cross: int) -> int:
    rows = rules.rows
    in_flight, limit = rows[MAX_IN_FLIGHT, group], rows[LIMIT, group]
    return admission_pages(rows, group, text, cross, in_flight, limit)


@body_of(most, ChunkedArrays)
@inner
def _most(rules: ChunkedArrays, group: int, text: int, cross: int) -> int:
    rows = rules.rows
    in_flight, limit = rows[MAX_IN_FLIGHT, group], rows[LIMIT, group]
    return most_pages(rows, group, text, cross, in_flight, limit, rows[BATCHES, group])


@body_of(first_read, ChunkedArrays)
@inner
def _first_read(rules: ChunkedArrays, group: int, tokens: int) -> int:
    rows = rules.rows
    return skipped_tokens(rows[KIND, group], rows[WINDOW, group], tokens) // rows[BLOCK, group]


@body_of(left_at, ChunkedArrays)
@inner
def _left_at(rules: ChunkedArrays, time: float) -> float:
    # It was read until now, as every page of its request was.
    return time


@body_of(quiet_until, ChunkedArrays)
@inner
def _quiet_until(rules: ChunkedArrays, group: int, entries: int, gone: int, cross: int) -> int:
    rows = rules.rows
    if rows[SOURCE, group] == ENCODER:
        return FOREVER
    kind, window = rows[KIND, group], rows[WINDOW, group]
    quiet = entries // rows[EACH, group] * rows[BLOCK, group]
    if rows[SOURCE, group] == BOTH:
        quiet -= cross
    read = (gone // rows[EACH, group] + 1) * rows[BLOCK, group]
    if kind in (SLIDING, COMPRESSOR):
        return min(quiet, read + window - 1)
    if kind == CHUNKED:
        return min(quiet, ceil_div(read, window) * window)
    return min(quiet, read + 1) if kind == STATE else quiet
