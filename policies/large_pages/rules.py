"""What a table over large pages holds: by vLLM's rules of demand, or by the artifact's.

Here is what is asked before a run; ``rule_kernels`` and ``whole_prompts`` say the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..base import PageGroup, Pages
from ..demand import demand, expired, most_pages
from . import artifact_rules


class TableRules(Protocol):
    """How long tables of every group are, and what of them is held. All methods are pure."""

    def length(self, group: PageGroup, text: int, cross: int) -> int:
        """Entries of a table for ``text`` tokens, those given back included."""
        ...

    def expired(self, group: PageGroup, computed: int, in_flight: int, length: int) -> int:
        """Leading entries that are given back."""
        ...

    def most(self, group: PageGroup, text: int, cross: int) -> int:
        """Pages that a request may hold at once until it has ``text`` tokens."""
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

    def expired(self, group: PageGroup, computed: int, in_flight: int, length: int) -> int:
        """See TableRules."""
        return min(expired(group, computed, in_flight), length)

    def most(self, group: PageGroup, text: int, cross: int) -> int:
        """See TableRules."""
        return most_pages(group, text, cross, self.max_in_flight, self.limit, self.batches)


@dataclass(frozen=True)
class WholePromptRules:
    """Whole prompts, as in Jenga's artifact (``artifact_rules``), where a block is one page."""

    caching: bool

    def length(self, group: PageGroup, text: int, cross: int) -> int:
        """See TableRules."""
        return artifact_rules.table_length(group, text, cross) * group.pages_per_block

    def expired(self, group: PageGroup, computed: int, in_flight: int, length: int) -> int:
        """See TableRules."""
        del in_flight
        each = group.pages_per_block
        return min(artifact_rules.skipped_blocks(group, computed, length // each) * each, length)

    def most(self, group: PageGroup, text: int, cross: int) -> int:
        """See TableRules. Without a cache a window keeps its slack while it moves on."""
        pages = self.length(group, text, cross)
        if group.kind == "sliding_window" and not self.caching:
            kept = artifact_rules.window_blocks(group) + artifact_rules.WINDOW_SLACK + 2
            return min(pages, kept * group.pages_per_block)
        return pages


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
