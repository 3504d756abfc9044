"""Where the bytes are when pages are shared and cached: every page is counted once."""

from typing import NamedTuple

import numpy as np

from ..policies.base import PageGroup, Slack
from ..policies.caching import layout, sharing
from ..policies.caching.sharing import DEAD_PAGES, LIVE
from ..policies.demand import live_tokens
from .requests import Requests
from .table_contract import SharedTables
from .usage import PARTS, IntArray, KindBytes, Rows, UsageMeter

CACHED, PADDING = PARTS.index("cached"), PARTS.index("padding")
_VIEWED = {
    "sliding_window": layout.SLIDING,
    "compressor": layout.SLIDING,
    "chunked_local": layout.CHUNKED,
}


class View(NamedTuple):
    """A windowed content of a group's pages."""

    group: int
    label: str
    kind: int
    window: int


class CachedUsageMeter(UsageMeter):
    """A UsageMeter for tables whose pages several requests may hold.

    The pages that requests hold are counted by the pool, each once; sums over requests are
    corrected by what several of them read of the same page. States that a request holds are all
    needed: the one it writes and the one it goes on from.
    """

    def __init__(self, tables: SharedTables) -> None:
        super().__init__(tables)
        self.shared_tables = tables
        self.views = [
            View(index, content.label, _VIEWED[content.kind], content.window)
            for index, group in enumerate(tables.groups)
            for content in group.contents
            if content.kind in _VIEWED
        ]
        rows = [
            (view.group, view.kind, view.window, tables.class_of[view.group]) for view in self.views
        ]
        self._windowed_groups = sorted({view.group for view in self.views})
        self.view_array = np.array(rows, dtype=np.int64).reshape(-1, 4).T.copy()

    def rows(self, requests: Requests, slots: list[int]) -> Rows:
        """See UsageMeter."""
        rows = super().rows(requests, slots)
        rows = rows._replace(held=self.held_now())
        processed = rows.text - rows.new - rows.in_flight
        expired = tuple(column[None, :] for column in rows.expired)
        excess = self.excess(slots, rows.text[None, :], processed[None, :], expired)
        return rows._replace(excess=excess[0])

    def excess(
        self,
        slots: list[int],
        text: IntArray,
        processed: IntArray,
        expired: tuple[IntArray, ...],
    ) -> IntArray:
        """See UsageMeter."""
        if not self._shares_windows(slots):
            return np.zeros((len(text), 2, len(self.views)), dtype=np.int64)
        shared = self.shared_tables.shared_pages(slots, self.view_array)
        rules = self.shared_tables.rule_columns
        blocks = np.stack([pages // self._per_block(i) for i, pages in enumerate(expired)])
        return sharing.excess(rules, self.view_array, shared, text, processed, blocks)

    def _per_block(self, class_index: int) -> int:
        return self.tables.classes[class_index].pages_per_block

    def held_now(self) -> IntArray:
        """Pages that are held now, by group."""
        return np.array(self.shared_tables.held_pages(), dtype=np.int64)

    def _shares_windows(self, slots: list[int]) -> bool:
        """Whether some page with windowed content is held by several requests."""
        tables = self.shared_tables
        held = tables.held_pages()
        for group in self._windowed_groups:
            index = tables.class_of[group]
            allocated, expired = tables.allocated[index], tables.expired[index]
            if sum(allocated[slot] - expired[slot] for slot in slots) != held[group]:
                return True
        return False

    def kind_bytes(self, rows: Rows) -> KindBytes:
        """See UsageMeter."""
        steps = rows.text.shape[0] if rows.text.ndim == 2 else 1
        result = KindBytes(*(np.zeros((steps, len(self.labels)), np.int64) for _ in range(4)))
        for index, group in enumerate(self.tables.groups):
            self._add_group(result, index, group, rows)
        return result

    def _add_group(self, result: KindBytes, index: int, group: PageGroup, rows: Rows) -> None:
        # Of a block in several pages some may be held, or shared, and others not.
        pages, each = rows.held[..., index], group.pages_per_block
        rest = pages * group.page_bytes
        for position, content in enumerate(group.contents):
            at = self.labels.index(content.label)
            held = pages * group.capacity_bytes(content) // each
            rest = rest - held
            if content.state_bytes:
                result.needed[:, at] += held
            else:
                live, dead_entries = self._entries(index, position, rows)
                needed = live * content.entry_bytes // each
                dead = dead_entries * content.entry_bytes // each
                result.needed[:, at] += needed
                result.dead[:, at] += dead
                result.internal[:, at] += held - needed - dead
        result.padding[:, self.labels.index(group.contents[0].label)] += rest

    def _entries(self, index: int, position: int, rows: Rows) -> tuple[IntArray, IntArray]:
        """Live entries and those of dead pages of one content, counted once in every page."""
        group, class_index = self.tables.groups[index], self.tables.class_of[index]
        content, each = group.contents[position], group.pages_per_block
        live = live_tokens(
            content.kind, content.window, rows.text, rows.cross, rows.new, rows.in_flight
        )
        expired = rows.expired[class_index] // each * group.block_size
        dead = live * 0
        if content.window:
            # A hit may count a block that no page holds (a chunk that starts within it).
            live = np.minimum(live, rows.text - expired)
            outside = rows.text - live - expired
            dead = np.maximum(outside, 0) // group.block_size * group.block_size
            view = next(
                i
                for i, view in enumerate(self.views)
                if view.group == index and view.label == content.label
            )
            return (
                live.sum(axis=-1) * each - rows.excess[..., LIVE, view],
                dead.sum(axis=-1) * each - rows.excess[..., DEAD_PAGES, view] * group.block_size,
            )
        # Every entry is read, and only full pages are shared.
        table = rows.allocated[class_index] - rows.expired[class_index]
        shared = table.sum(axis=-1) - rows.held[..., index]
        live = content.entries(live).sum(axis=-1) * each
        return live - shared * content.entries(group.block_size), dead.sum(axis=-1) * each

    def add_slack(self, parts: list[list[int]], slack: Slack) -> None:
        """See UsageMeter; pages that nobody holds and a lookup may find are cached."""
        super().add_slack(parts, slack)
        for group, size in zip(self.tables.groups, slack.cached, strict=True):
            pages = size // group.page_bytes
            if group.pages_per_block > 1:
                # Some pages of a block may be gone: they are counted one by one.
                padding = pages * group.padding_bytes // group.pages_per_block
                at = self.labels.index(group.contents[0].label)
                parts[CACHED][at] += size - padding
                parts[PADDING][at] += padding
            elif pages:
                for position, content in enumerate(group.contents):
                    at = self.labels.index(content.label)
                    parts[CACHED][at] += pages * group.capacity_bytes(content)
                    if position == 0:
                        parts[PADDING][at] += pages * group.padding_bytes
