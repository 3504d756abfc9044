"""What a table over large pages holds under ``WholePromptRules``, compiled.

The arithmetic is that of Jenga's artifact: see ``artifact_rules``, where a block is one page.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..base import PageGroup
from ..caching.layout import CHUNKED, SLIDING, STATE
from ..compiled import body_of, by_reference, inner
from ..demand_kernels import BLOCK, EACH, ENCODER, KIND, SOURCE, WINDOW, ceil_div
from .artifact_rules import STATES_KEPT, WINDOW_SLACK
from .layout import IntArray
from .rule_kernels import (
    FOREVER,
    admission,
    first_read,
    grows,
    left_at,
    length,
    most,
    past,
    quiet_until,
    rows_of,
    unheld,
)
from .rules import WholePromptRules

LEFT_STEPS = -200.0
"""Added by the artifact to the time of a page that leaves a window, in steps."""


@by_reference
class WholePromptArrays(NamedTuple):
    """``WholePromptRules`` of some groups."""

    rows: IntArray
    caching: int


def whole_prompt_arrays(rules: WholePromptRules, groups: Sequence[PageGroup]) -> WholePromptArrays:
    """Rules for ``groups``."""
    return WholePromptArrays(rows_of(groups), int(rules.caching))


@inner
def _window_blocks(rules: WholePromptArrays, group: int) -> int:
    return ceil_div(rules.rows[WINDOW, group], rules.rows[BLOCK, group]) + 1


@body_of(length, WholePromptArrays)
@inner
def _length(rules: WholePromptArrays, group: int, text: int, cross: int) -> int:
    rows = rules.rows
    if rows[KIND, group] == STATE:
        return (text // rows[BLOCK, group] + 1) * rows[EACH, group]
    stored = cross if rows[SOURCE, group] == ENCODER else text
    return ceil_div(stored, rows[BLOCK, group]) * rows[EACH, group]


@body_of(grows, WholePromptArrays)
@inner
def _grows(rules: WholePromptArrays, group: int) -> bool:
    return rules.rows[KIND, group] != STATE and rules.rows[SOURCE, group] != ENCODER


@body_of(unheld, WholePromptArrays)
@inner
def _unheld(rules: WholePromptArrays, group: int, text: int) -> int:
    rows = rules.rows
    if rows[KIND, group] != SLIDING or rules.caching:
        return 0
    return max(0, text - rows[WINDOW, group]) // rows[BLOCK, group] * rows[EACH, group]


@body_of(past, WholePromptArrays)
@inner
def _past(rules: WholePromptArrays, group: int, computed: int, in_flight: int, entries: int) -> int:
    rows = rules.rows
    kind, each = rows[KIND, group], rows[EACH, group]
    blocks = 0
    if kind == SLIDING:
        kept = _window_blocks(rules, group) + WINDOW_SLACK
        blocks = max(0, computed // rows[BLOCK, group] - kept)
    elif kind == CHUNKED:
        blocks = computed // rows[WINDOW, group] * rows[WINDOW, group] // rows[BLOCK, group]
    elif kind == STATE:
        blocks = max(0, entries // each - STATES_KEPT)
    return min(blocks * each, entries)


@body_of(admission, WholePromptArrays)
@inner
def _admission(rules: WholePromptArrays, group: int, text: int, cross: int) -> int:
    pages = _length(rules, group, text, cross)
    if rules.rows[KIND, group] == SLIDING and not rules.caching:
        return min(pages, (_window_blocks(rules, group) + 1) * rules.rows[EACH, group])
    return pages


@body_of(most, WholePromptArrays)
@inner
def _most(rules: WholePromptArrays, group: int, text: int, cross: int) -> int:
    pages = _length(rules, group, text, cross)
    if rules.rows[KIND, group] == SLIDING and not rules.caching:
        # Without a cache a window keeps its slack while it moves on.
        kept = _window_blocks(rules, group) + WINDOW_SLACK + 2
        return min(pages, kept * rules.rows[EACH, group])
    return pages


@body_of(first_read, WholePromptArrays)
@inner
def _first_read(rules: WholePromptArrays, group: int, tokens: int) -> int:
    rows = rules.rows
    kind, blocks = rows[KIND, group], ceil_div(tokens, rows[BLOCK, group])
    if kind == SLIDING:
        # A window asks for one block more than it reads.
        return max(0, blocks - _window_blocks(rules, group))
    if kind == CHUNKED:
        return tokens // rows[WINDOW, group] * rows[WINDOW, group] // rows[BLOCK, group]
    return max(0, blocks - 1) if kind == STATE else 0


@body_of(left_at, WholePromptArrays)
@inner
def _left_at(rules: WholePromptArrays, time: float) -> float:
    return time + LEFT_STEPS


@body_of(quiet_until, WholePromptArrays)
@inner
def _quiet_until(rules: WholePromptArrays, group: int, entries: int, gone: int, cross: int) -> int:
    rows = rules.rows
    kind, each, block = rows[KIND, group], rows[EACH, group], rows[BLOCK, group]
    if rows[SOURCE, group] == ENCODER:
        return FOREVER
    if kind == STATE:
        return FOREVER if gone // each >= entries // each - STATES_KEPT else 0
    quiet, read = entries // each * block, (gone // each + 1) * block
    if kind == SLIDING:
        kept = _window_blocks(rules, group) + WINDOW_SLACK
        return min(quiet, read + kept * block)
    if kind == CHUNKED:
        return min(quiet, ceil_div(read, rows[WINDOW, group]) * rows[WINDOW, group])
    return quiet
