"""What a table over large pages holds: by vLLM's rules of demand, or by the artifact's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ...configs.specs import STATE_KINDS, cdiv
from ..base import PageGroup, Pages
from ..demand import admission_pages, demand, expired, most_pages, skipped_tokens
from . import artifact_rules

LEFT_STEPS = -200.0
"""Added by the artifact to the time of a page that leaves a window, in steps."""
FOREVER = 1 << 62


class TableRules(Protocol):
    """How tables of every group grow, shrink and resume. All methods are pure."""

    def length(self, group: PageGroup, text: int, cross: int) -> int:
        """Entries of a table for ``text`` tokens, those given back included."""
        ...

    def grows(self, group: PageGroup) -> bool:
        """Whether a table becomes longer after the prompt."""
        ...

    def unheld(self, group: PageGroup, text: int) -> int:
        """Leading entries that a prompt of ``text`` tokens never has pages for."""
        ...

    def expired(self, group: PageGroup, computed: int, in_flight: int, length: int) -> int:
        """Leading entries that are given back."""
        ...

    def admission(self, group: PageGroup, text: int, cross: int) -> int:
        """Pages that a whole prompt must find free."""
        ...

    def most(self, group: PageGroup, text: int, cross: int) -> int:
        """Pages that a request may hold at once until it has ``text`` tokens."""
        ...

    def first_read(self, group: PageGroup, tokens: int) -> int:
        """First block that a request reads which resumes after ``tokens``, whole blocks."""
        ...

    def left_at(self, time: float) -> float:
        """Time of a page that is given back while its request runs."""
        ...

    def quiet_until(self, group: PageGroup, length: int, gone: int) -> int:
        """Tokens up to which a table of ``length``, ``gone`` of it given back, does not change."""
        ...


@dataclass(frozen=True)
class ChunkedRules:
    """Prompts in chunks, as under ``SchedulerV1``: the arithmetic of ``policies.demand``."""

    max_in_flight: int
    """Tokens scheduled but not settled, at most."""
    limit: int
    """``max_model_len``."""
    batches: int

    def length(self, group: PageGroup, text: int, cross: int) -> int:
        """See TableRules."""
        return demand(group, text, cross)

    def grows(self, group: PageGroup) -> bool:
        """See TableRules."""
        del group
        return True

    def unheld(self, group: PageGroup, text: int) -> int:
        """See TableRules. The first chunk begins at the front."""
        del group, text
        return 0

    def expired(self, group: PageGroup, computed: int, in_flight: int, length: int) -> int:
        """See TableRules."""
        return min(expired(group, computed, in_flight), length)

    def admission(self, group: PageGroup, text: int, cross: int) -> int:
        """See TableRules."""
        return admission_pages(group, text, cross, self.max_in_flight, self.limit)

    def most(self, group: PageGroup, text: int, cross: int) -> int:
        """See TableRules."""
        return most_pages(group, text, cross, self.max_in_flight, self.limit, self.batches)

    def first_read(self, group: PageGroup, tokens: int) -> int:
        """See TableRules."""
        return skipped_tokens(group.kind, group.window, tokens) // group.block_size

    def left_at(self, time: float) -> float:
        """See TableRules. It was read until now, as every page of its request was."""
        return time

    def quiet_until(self, group: PageGroup, length: int, gone: int) -> int:
        """See TableRules."""
        if group.source == "cross":
            return FOREVER
        past, quiet = (gone + 1) * group.block_size, length * group.block_size
        if group.kind == "sliding_window":
            return min(quiet, past + group.window - 1)
        if group.kind == "chunked_local":
            return min(quiet, cdiv(past, group.window) * group.window)
        return quiet if group.kind == "full" else min(quiet, past + 1)


@dataclass(frozen=True)
class WholePromptRules:
    """Whole prompts, as in Jenga's artifact (``artifact_rules``), where a block is one page."""

    caching: bool

    def length(self, group: PageGroup, text: int, cross: int) -> int:
        """See TableRules."""
        return artifact_rules.table_length(group, text, cross) * group.pages_per_block

    def grows(self, group: PageGroup) -> bool:
        """See TableRules."""
        return artifact_rules.appended_pages(group) > 0

    def unheld(self, group: PageGroup, text: int) -> int:
        """See TableRules."""
        first = artifact_rules.first_block(group, text, caching=self.caching)
        return first * group.pages_per_block

    def expired(self, group: PageGroup, computed: int, in_flight: int, length: int) -> int:
        """See TableRules."""
        del in_flight
        each = group.pages_per_block
        return min(artifact_rules.skipped_blocks(group, computed, length // each) * each, length)

    def admission(self, group: PageGroup, text: int, cross: int) -> int:
        """See TableRules."""
        blocks = artifact_rules.required_pages(group, text, cross, caching=self.caching)
        return blocks * group.pages_per_block

    def most(self, group: PageGroup, text: int, cross: int) -> int:
        """See TableRules. Without a cache a window keeps its slack while it moves on."""
        pages = self.length(group, text, cross)
        if group.kind == "sliding_window" and not self.caching:
            kept = artifact_rules.window_blocks(group) + artifact_rules.WINDOW_SLACK + 2
            return min(pages, kept * group.pages_per_block)
        return pages

    def first_read(self, group: PageGroup, tokens: int) -> int:
        """See TableRules. A window asks for one block more than it reads."""
        blocks = cdiv(tokens, group.block_size)
        if group.kind == "sliding_window":
            return max(0, blocks - artifact_rules.window_blocks(group))
        if group.kind == "chunked_local":
            return tokens // group.window * group.window // group.block_size
        return max(0, blocks - 1) if group.kind in STATE_KINDS else 0

    def left_at(self, time: float) -> float:
        """See TableRules."""
        return time + LEFT_STEPS

    def quiet_until(self, group: PageGroup, length: int, gone: int) -> int:
        """See TableRules."""
        if group.source == "cross":
            return FOREVER
        if group.kind in STATE_KINDS:
            return FOREVER if gone >= length - artifact_rules.STATES_KEPT else 0
        past, quiet = (gone + 1) * group.block_size, length * group.block_size
        if group.kind == "sliding_window":
            kept = artifact_rules.window_blocks(group) + artifact_rules.WINDOW_SLACK
            return min(quiet, past + kept * group.block_size)
        if group.kind == "chunked_local":
            return min(quiet, cdiv(past, group.window) * group.window)
        return quiet


def most_held(
    rules: TableRules,
    groups: Sequence[PageGroup],
    ratios: Sequence[int],
    text: int,
    cross: int,
    *,
    caches: bool,
) -> Pages:
    """Pages, per group, that a request may hold at once until it has ``text`` tokens.

    With a cache one large page more for kinds that recycle: what they leave behind is cached beside
    what they hold. ``ratios``: small pages of each group per large one.
    """
    return tuple(
        rules.most(group, text, cross) + (ratio if caches and group.kind != "full" else 0)
        for group, ratio in zip(groups, ratios, strict=True)
    )
