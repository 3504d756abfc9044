"""Static partition: every group has its own part of the pool, fixed at start.

``StaticPartition`` is the baseline of Jenga's artifact (``--static-partition``),
``SGLangPartition`` what SGLang 0.5.23 does unless ``--enable-unified-memory`` is set: they differ
in the sizes of the parts alone (``splits.py``). Wasted is what a part has left while another is
full, and the remainders.

SGLang keeps its padding slot beside each pool; here it is a null page of the part, as elsewhere.
"""

from typing import ClassVar

from ...configs.errors import ConfigError, InvariantError
from ..base import Carving, PageGroup, Pages, Slack
from .counted import Counted
from .splits import Split, by_page_bytes, by_tokens

NULL_PAGES = 1


class StaticPartition(Carving):
    """One pool per group; memory that one group lacks cannot come from another."""

    split: ClassVar[Split] = staticmethod(by_page_bytes)
    """How large the parts are."""

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self.num_pages = type(self).split(groups, pool_bytes)
        for group, count in zip(groups, self.num_pages, strict=True):
            if count <= NULL_PAGES:
                raise ConfigError(
                    f"the static part of group {group.name} holds {count} pages of "
                    f"{group.page_bytes:,} bytes and one is the null page: nothing can be served. "
                    "Give it more memory, more GPUs (--tp), or another policy (jenga-sim policies)."
                )
        self.free_counts = [count - NULL_PAGES for count in self.num_pages]
        self._held = Counted(len(groups))

    def could_fit(self, need: Pages) -> bool:
        """See Carving."""
        usable = (count - NULL_PAGES for count in self.num_pages)
        return all(pages <= most for pages, most in zip(need, usable, strict=True))

    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        """See Carving. Every part keeps its own watermark."""
        parts = zip(need, self.free_counts, self.num_pages, strict=True)
        return all(pages + int(watermark * count) <= free for pages, free, count in parts)

    def take(self, slot: int, need: Pages) -> bool:
        """See Carving."""
        if any(pages > free for pages, free in zip(need, self.free_counts, strict=True)):
            return False
        if any(need):
            self._held.add(slot, need)
            for group, pages in enumerate(need):
                self.free_counts[group] -= pages
        return True

    def give(self, slot: int, group: int, count: int) -> None:
        """See Carving."""
        self._held.remove(slot, group, count)
        self.free_counts[group] += count

    def free(self, slot: int) -> None:
        """See Carving."""
        for group, count in enumerate(self._held.pop(slot)):
            self.free_counts[group] += count

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        return tuple(self.free_counts)

    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        """See Carving. While a request is refused, parts that do not lack pages are external."""
        external: list[int] = []
        reserved = self.pool_bytes - sum(
            count * group.page_bytes
            for count, group in zip(self.num_pages, self.groups, strict=True)
        )
        free = 0
        for index, group in enumerate(self.groups):
            kept = min(self.free_counts[index], int(watermark * self.num_pages[index]))
            reserved += (NULL_PAGES + kept) * group.page_bytes
            usable = (self.free_counts[index] - kept) * group.page_bytes
            lacking = refused is None or refused[index] * group.page_bytes > usable
            external.append(0 if lacking else usable)
            free += usable if lacking else 0
        return Slack((0,) * len(self.groups), tuple(external), reserved, free)

    def check(self) -> None:
        """See Carving."""
        self._held.check()
        for index, (used, free) in enumerate(zip(self._held.totals, self.free_counts, strict=True)):
            if free < 0 or used + free + NULL_PAGES != self.num_pages[index]:
                raise InvariantError(
                    f"group {self.groups[index].name}: {used} used + {free} free + {NULL_PAGES} "
                    f"null are not {self.num_pages[index]} pages"
                )


class SGLangPartition(StaticPartition):
    """The parts of SGLang: fixed ratios of tokens, and of bytes for states."""

    split: ClassVar[Split] = staticmethod(by_tokens)
