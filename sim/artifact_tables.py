"""Block tables exactly as Jenga's artifact keeps them, its mistakes included, for recordings.

Source: branch ``vllm-v0-jenga``, ``core/block_v3/custom_block_manager.py`` and
``core/per_layer_block_manager.py``. A prompt gets its pages first, cached ones where there are any,
block by block; only when the whole step is decided the hit is found. What was cached behind the hit
is then exchanged for empty pages, which never get a key again, nor does what follows them.

``LargePageTables`` serves ``run``: it looks a prompt up first and then takes what it needs.
"""

from dataclasses import dataclass

from ..policies.base import PageGroup, Pages
from ..policies.large_pages.artifact import ArtifactPages
from ..policies.large_pages.artifact_idle_pages import expect
from ..policies.large_pages.artifact_rules import (
    appended_pages,
    first_block,
    longest_hit,
    possible_hits,
    required_pages,
    skipped_blocks,
    table_length,
    unread_blocks,
)
from ..policies.large_pages.quota import Content
from .prefix_keys import IntArray, PrefixKeys
from .requests import Requests
from .table_contract import NO_HIT, Hit

NULL = -1
LEFT = -200
"""Added to the time of a page that leaves a window: it is evicted before others."""


@dataclass(slots=True)
class _Entry:
    """One block of a table."""

    page: int
    content: Content | None = None
    """Once it is full, if every block before it was known then."""
    reused: bool = False
    """Found in the cache."""


class ArtifactTables:
    """Tables of all requests over ``ArtifactPages``."""

    def __init__(
        self,
        requests: Requests,
        groups: tuple[PageGroup, ...],
        pool: ArtifactPages,
        keys: PrefixKeys | None,
    ) -> None:
        """``keys`` is None where nothing is cached."""
        self.groups = groups
        self.pool = pool
        self._requests = requests
        self._keys = keys
        self._step = -1
        self._tables: dict[int, list[list[_Entry]]] = {}
        self._trimmed: dict[int, list[int]] = {}
        self._accessed: dict[int, int] = {}
        self._known_keys: dict[int, list[IntArray]] = {}
        self._admitted: list[int] = []
        self._hits: dict[int, int] = {}

    def begin_step(self, step: int | None = None) -> None:
        """A new step; ``step`` is its number where that is not one more."""
        self._step = self._step + 1 if step is None else step
        self._admitted.clear()

    def look_up(self, slot: int) -> Hit:
        """Nothing is looked up before the step is decided."""
        del slot
        return NO_HIT

    def lacking(self, slot: int, hit: Hit, new: int, watermark: float, whole: bool) -> Pages | None:
        """See Tables. Every block counts, cached or not; the watermark is in large pages."""
        del hit, new, whole
        need = self._required(slot)
        room = self.pool.room(need)
        kept = int(watermark * self.pool.num_large)
        fits = self.pool.within_limits(room.least) and room.available - room.total >= kept
        return None if fits else need

    def is_impossible(self, slot: int, watermark: float = 0.01) -> bool:
        """Whether the artifact drops a request: with a static partition it never does."""
        if any(most < self.pool.num_large for most in self.pool.most_large):
            return False
        room = self.pool.room(self._required(slot))
        return self.pool.num_large - room.total < int(watermark * self.pool.num_large)

    def _required(self, slot: int) -> list[int]:
        text, cross = self._requests.num_tokens(slot), self._requests.cross[slot]
        return [required_pages(g, text, cross, caching=self._keys is not None) for g in self.groups]

    def allocate(self, slot: int, new: int, hit: Hit = NO_HIT) -> bool:
        """Take the pages of a whole prompt, or of the newest token; False if there are none."""
        del new, hit
        admitted = slot not in self._tables
        need = self._required(slot) if admitted else [appended_pages(g) for g in self.groups]
        room = self.pool.room(need)
        if room.total > room.available or not self.pool.within_limits(room.least):
            return False
        self.pool.set_quotas(need)
        if admitted:
            self.pool.join(slot)
            self.pool.marking(True)
            self._tables[slot] = [self._fill(slot, g) for g in range(len(self.groups))]
            self.pool.marking(False)
            self._trimmed[slot] = [self._first_to_trim(slot, group) for group in self.groups]
            self._admitted.append(slot)
        else:
            for index in range(len(self.groups)):
                if need[index]:
                    self._append(slot, index)
        self._accessed[slot] = self._step
        return True

    def _first_to_trim(self, slot: int, group: PageGroup) -> int:
        """Where windows start to be given back.

        Negative for a prompt shorter than its window if nothing is cached: the artifact then counts
        from the end of the table and gives back blocks that it still needs.
        """
        if self._keys is not None or group.kind != "sliding_window":
            return 0
        return (self._requests.num_tokens(slot) - group.window) // group.block_size

    def _fill(self, slot: int, index: int) -> list[_Entry]:
        group = self.groups[index]
        text, cross = self._requests.num_tokens(slot), self._requests.cross[slot]
        length = table_length(group, text, cross)
        first = first_block(group, text, caching=self._keys is not None)
        if self._keys is None:
            entries = [_Entry(NULL) for _ in range(first)]
            return entries + [_Entry(self.pool.take(index, slot)) for _ in range(first, length)]
        full = text // group.block_size
        return [
            self._filled(slot, index, block) if block < full else self._empty(slot, index)
            for block in range(length)
        ]

    def _filled(self, slot: int, index: int, block: int) -> _Entry:
        """A full block of a prompt: the page that caches it, or a new one."""
        content = self._content(slot, index, block)
        page = self.pool.find(index, content.key)
        if page is not None:
            self.pool.hold(index, page)
            return _Entry(page, content, reused=True)
        page = self.pool.take(index, slot)
        self.pool.set_key(index, page, content)
        return _Entry(page, content)

    def _empty(self, slot: int, index: int) -> _Entry:
        return _Entry(self.pool.take(index, slot))

    def _append(self, slot: int, index: int) -> None:
        """Make room for the newest token; its block may become full."""
        table, block = self._tables[slot][index], self.groups[index].block_size
        text = self._requests.num_tokens(slot)
        if len(table) * block < text:
            table.append(self._empty(slot, index))
        place = (text - 1) // block
        expect(table[place].page != NULL, "null block should not be modified")
        if self._keys is None or text % block or (place and table[place - 1].content is None):
            return
        entry = table[place]
        content = self._content(slot, index, place)
        other = self.pool.find(index, content.key)
        if other is None:
            self.pool.set_key(index, entry.page, content)
        else:
            self.pool.drop(index, entry.page, None)
            self.pool.hold(index, other)
            entry.page, entry.reused = other, True
        entry.content = content

    def end_step(self) -> None:
        """Find the hits of the prompts of this step; what they fill counts from now on."""
        hits = {slot: self._settle(slot) for slot in self._admitted} if self._keys else {}
        self._hits = hits
        self.pool.end_step()

    def late_hits(self) -> dict[int, int]:
        """See Tables."""
        return self._hits

    def _settle(self, slot: int) -> int:
        tables = self._tables[slot]
        ranges = [
            possible_hits(group, [self.pool.is_computed(index, e.page) for e in table])
            for index, (group, table) in enumerate(zip(self.groups, tables, strict=True))
        ]
        hit = longest_hit(self.groups, ranges)
        for index, group in enumerate(self.groups):
            if hit:
                self._exchange_behind(slot, index, hit // group.block_size)
            for entry in tables[index][: unread_blocks(group, hit)]:
                self.pool.drop(index, entry.page, entry.content)
                entry.page = NULL
        return hit

    def _exchange_behind(self, slot: int, index: int, first: int) -> None:
        for entry in reversed(self._tables[slot][index][first:]):
            if entry.reused:
                self.pool.drop(index, entry.page, entry.content)
                entry.page = self.pool.take(index, slot)
                entry.content, entry.reused = None, False

    def trim(self, slot: int) -> None:
        """Give back what lies in front of a window, and older states."""
        computed = self._requests.computed[slot]
        time = self._accessed[slot] + LEFT + slot / 100
        for index, group in enumerate(self.groups):
            table = self._tables[slot][index]
            skipped = skipped_blocks(group, computed, len(table))
            for place in range(self._trimmed[slot][index], skipped):
                entry = table[place]
                if entry.page != NULL:
                    self.pool.touch(index, entry.page, time)
                    self.pool.drop(index, entry.page, entry.content)
                    entry.page = NULL
            self._trimmed[slot][index] = skipped

    def free(self, slot: int) -> None:
        """Give back everything."""
        tables = self._tables.pop(slot)
        del self._trimmed[slot]
        self._known_keys.pop(slot, None)
        time = self._accessed.pop(slot) + 0 + slot / 100
        self.pool.leave(slot)
        for index, table in enumerate(tables):
            held = [entry for entry in table if entry.page != NULL]
            for entry in held:
                self.pool.touch(index, entry.page, time)
            for entry in held:
                self.pool.drop(index, entry.page, entry.content)

    def _content(self, slot: int, index: int, block: int) -> Content:
        keys = self._known_keys.get(slot)
        if keys is None:
            assert self._keys is not None
            keys = [self._keys.of(slot, group.block_size) for group in self.groups]
            self._known_keys[slot] = keys
        size = self.groups[index].block_size
        return Content(int(keys[index][block]), (block + 1) * size)
