"""Block tables whose full blocks stay in the pool as a prefix cache: vLLM's ``KVCacheManager``.

Pages have an identity here, unlike in ``tables.py``: they are shared, keyed, and evicted in the
order of one free queue. What happens to them is in ``policies/caching``, compiled; this class keeps
one table per request and decides nothing.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..configs.errors import InvariantError
from ..configs.specs import cdiv
from ..policies.base import NO_MOVES, Moves, Pages, Slack
from ..policies.caching import blocks, hits, integrity, layout, sharing
from ..policies.caching.layout import IntArray
from ..policies.caching.rules import CacheRules
from ..policies.carving.single import NULL_PAGES
from ..policies.demand import admission_pages, demand, most_pages
from .cached_pool import CachedPool
from .prefix_keys import PrefixKeys
from .requests import NEVER, Requests, Status
from .scheduler import SchedulerConfig
from .table_contract import NO_HIT, Hit, growth_classes


@dataclass(slots=True)
class _Table:
    """What one request holds: pages by group and block, and how far each group is filled."""

    pages: IntArray
    marks: IntArray


class CachedBlockTables:
    """Block tables over one pool of equal pages; see ``Tables`` for the methods."""

    def __init__(
        self,
        requests: Requests,
        rules: CacheRules,
        keys: PrefixKeys,
        config: SchedulerConfig,
        *,
        pool_bytes: int,
    ) -> None:
        """Start with an empty pool; raises ConfigError if it holds no page."""
        self.groups = rules.groups
        self.rules = rules
        self.pool = CachedPool(rules, config, pool_bytes)
        self.arrays = self.pool.arrays
        self.classes, self.class_of = growth_classes(self.groups)
        zeros = array("q", [0]) * len(requests)
        self.allocated = tuple(array("q", zeros) for _ in self.classes)
        self.expired = tuple(array("q", zeros) for _ in self.classes)
        self.keyed = tuple(array("q", zeros) for _ in self.classes)
        self._first_of = [self.class_of.index(index) for index in range(len(self.classes))]
        self._requests = requests
        self._keys = keys
        self._limits = (config.max_in_flight_tokens, config.max_model_len)
        self._batches = config.concurrent_batches
        self._tables: dict[int, _Table] = {}
        self._known_keys: dict[int, IntArray] = {}
        self._width = 0
        self._found = np.zeros((len(self.groups), 0), dtype=np.int64)
        self._lengths = np.zeros(len(self.groups), dtype=np.int64)
        self._alone = np.zeros_like(self._found)
        self._found_for = -1
        self._class_labels = _class_labels(rules)
        # Per request: lookup class that shortened its first hit, and how much longer it would have
        # been without that class.
        self._limiter = array("q", [-1]) * len(requests)
        self._limited = array("q", zeros)
        even = len({group.block_size for group in self.groups}) == 1
        self._unit = rules.hash_block_size
        self._smallest_block = min(group.block_size for group in self.groups)
        self._spare_blocks = 1 + max(group.speculative_pages for group in self.groups)
        self._may_rest = even and not rules.has_aligned_states
        self._quiet_until = array("q", zeros)
        self._next_key = array("q", zeros)

    def held_pages(self) -> tuple[int, ...]:
        """See Tables."""
        return self.pool.held_pages()

    def free_pages(self) -> tuple[int, ...]:
        """See Tables."""
        return (self.pool.free_count,) * len(self.groups)

    def could_fit(self, slot: int, tokens: int) -> bool:
        """See Tables."""
        return sum(self.most_need(slot, tokens)) <= self.pool.num_pages - NULL_PAGES

    def slack(self, refused: Pages | None, watermark: float) -> Slack:
        """See Tables."""
        del refused
        return self.pool.slack(watermark)

    def begin_step(self) -> None:
        """See Tables."""
        self.pool.begin_step()

    def end_step(self) -> None:
        """See Tables."""
        self.pool.end_step()

    def tick(self, now_ns: int) -> Moves:
        """See Tables. Pages stay where they are."""
        del now_ns
        return NO_MOVES

    def due_ns(self) -> int | None:
        """See Tables."""
        return None

    def shared_pages(self, slots: Sequence[int], views: IntArray) -> IntArray:
        """Windowed pages that several of ``slots`` hold; see ``caching.sharing``."""
        found = [
            sharing.find_shared(self.arrays, table.pages, table.marks, views, row)
            for row, table in enumerate(self._tables[slot] for slot in slots)
        ]
        shared = np.concatenate(found, axis=1)
        return shared[:, np.lexsort((shared[sharing.SHARED], shared[sharing.VIEW]))]

    def check(self) -> None:
        """See Tables."""
        integrity.check(self.arrays, {s: (t.pages, t.marks) for s, t in self._tables.items()})
        for slot in range(len(self._requests)):
            running = self._requests.status[slot] == Status.RUNNING
            if running != (slot in self._tables):
                raise InvariantError(f"request {slot} has a table although it does not run")

    def look_up(self, slot: int) -> Hit:
        """Longest cached prefix of a waiting request, at least one token short of its whole."""
        if not self.rules.enabled:
            return NO_HIT
        tokens = self._requests.num_tokens(slot)
        self._make_room(slot)
        keys = self._keys_of(slot)
        hit, longest = hits.longest_hit(self.arrays, keys, tokens - 1, self._found, self._lengths)
        self._found_for = slot
        return Hit(int(hit), int(longest) if longest > hit else 0)

    def lacking(self, slot: int, hit: Hit, new: int, watermark: float, whole: bool) -> Pages | None:
        """See Tables."""
        reserve = int(watermark * self.pool.num_pages)
        marks = layout.make_marks(len(self.groups))
        free = self.pool.free_count
        if whole:
            tokens = min(self._requests.num_tokens(slot), self._limits[1])
            if self._pages_needed(marks, hit, tokens, cap=True) + reserve > free:
                return self.admission_need(slot, tokens)
        tokens = min(hit.tokens + new, self._limits[1])
        if self._pages_needed(marks, hit, tokens, cap=False) + reserve > free:
            return self._need(slot, tokens)
        return None

    def _pages_needed(self, marks: IntArray, hit: Hit, tokens: int, *, cap: bool) -> int:
        if not hit.tokens:
            self._lengths[:] = 0
        return int(
            blocks.pages_needed(
                self.arrays, marks, self._found, self._lengths, hit.tokens, tokens, cap
            )
        )

    def allocate(self, slot: int, new: int, hit: Hit = NO_HIT) -> bool:
        """See Tables."""
        requests = self._requests
        end = requests.computed[slot] + hit.tokens + new
        if end <= self._quiet_until[slot]:
            return True
        table = self._tables.get(slot)
        if table is None:
            self._explain(slot, hit)
            table = self._new_table(slot)
        if hit.tokens:
            if self._found_for != slot:
                raise InvariantError(f"request {slot} takes a hit that was found for another")
        else:
            self._lengths[:] = 0
        done = blocks.allocate(
            self.arrays,
            self._keys_of(slot),
            table.pages,
            table.marks,
            self._found,
            self._lengths,
            hit.tokens,
            min(end, self._limits[1]),
            max(0, requests.computed[slot] + hit.tokens - requests.in_flight[slot]),
            requests.prompt[slot],
            requests.junction[slot],
            min(end, requests.num_tokens(slot)),
        )
        self._note(slot, table.marks)
        return bool(done)

    def commit(self, slot: int, tokens: int) -> None:
        """See Tables."""
        if tokens < self._next_key[slot]:
            return
        table = self._tables[slot]
        blocks.commit(
            self.arrays,
            self._keys_of(slot),
            table.pages,
            table.marks,
            self._requests.prompt[slot],
            self._requests.junction[slot],
            tokens,
        )
        self._note(slot, table.marks)

    def _explain(self, slot: int, hit: Hit) -> None:
        """Note which kind shortened the hit of a first admission, and by how much.

        Full attention never does: what it lacks was not computed or is gone.
        """
        requests = self._requests
        if requests.hit[slot] != NEVER or len(self._class_labels) < 2:
            return
        alone = hits.hits_alone(
            self.arrays, self._keys_of(slot), requests.num_tokens(slot) - 1, self._alone
        )
        shortest = int(np.argmin(alone))
        others = int(np.delete(alone, shortest).min())
        if others > hit.tokens and not hits.class_is_full(self.arrays.rules, shortest):
            self._limiter[slot] = shortest
            self._limited[slot] = others - hit.tokens

    def limit(self, slot: int) -> tuple[str, int]:
        """See Tables."""
        index = self._limiter[slot]
        return (self._class_labels[index], self._limited[slot]) if index >= 0 else ("", 0)

    def trim(self, slot: int) -> None:
        """See Tables. ``allocate`` does it."""

    def is_impossible(self, slot: int) -> bool:
        """See Tables. What never fits was rejected on arrival."""
        del slot
        return False

    def late_hits(self) -> dict[int, int]:
        """See Tables. Hits are known before pages are taken."""
        return {}

    @property
    def rule_columns(self) -> IntArray:
        """See SharedTables."""
        return self.arrays.rules

    def free(self, slot: int) -> None:
        """Give back everything; what is keyed stays cached until its page is taken."""
        table = self._tables.pop(slot, None)
        self._known_keys.pop(slot, None)
        if table is None:
            return
        blocks.free(self.arrays, table.pages, table.marks)
        for columns in (self.allocated, self.expired, self.keyed):
            for column in columns:
                column[slot] = 0
        self._quiet_until[slot] = self._next_key[slot] = 0

    def _note(self, slot: int, marks: IntArray) -> None:
        """Copy the lengths that others read, and how long nothing will change."""
        for index, first in enumerate(self._first_of):
            self.allocated[index][slot] = marks[layout.LENGTH, first]
            self.expired[index][slot] = marks[layout.NULLS, first]
            self.keyed[index][slot] = marks[layout.CACHED, first]
        if self._may_rest:
            self._next_key[slot] = min(
                (int(marks[layout.CACHED, index]) + 1) * self.groups[index].block_size
                for index in self._first_of
            )
            self._quiet_until[slot] = self._next_change(marks, self._next_key[slot] - 1)

    def _next_change(self, marks: IntArray, quiet: int) -> int:
        """Sequence length up to which no page is needed, none expires and none gets a key."""
        for index in self._first_of:
            group = self.groups[index]
            block = group.block_size
            quiet = min(quiet, int(marks[layout.LENGTH, index]) * block)
            past = (int(marks[layout.NULLS, index]) + 1) * block
            if group.kind == "sliding_window":
                quiet = min(quiet, past + group.window - 1)
            elif group.kind == "chunked_local":
                quiet = min(quiet, cdiv(past, group.window) * group.window)
            elif group.kind != "full":
                quiet = min(quiet, past)
        return quiet

    def _longest(self, slot: int) -> int:
        return self._requests.prompt[slot] + self._requests.max_tokens[slot]

    def _blocks(self, tokens: int) -> int:
        """Entries that the longest table needs."""
        return cdiv(tokens, self._smallest_block) + self._spare_blocks

    def _new_table(self, slot: int) -> _Table:
        shape = (len(self.groups), self._blocks(self._longest(slot)))
        table = _Table(np.zeros(shape, dtype=np.int64), layout.make_marks(len(self.groups)))
        self._tables[slot] = table
        return table

    def _make_room(self, slot: int) -> None:
        """Let the scratch for lookups hold the longest table."""
        width = self._blocks(self._longest(slot))
        if width > self._width:
            self._width = 2 * width
            self._found = np.zeros((len(self.groups), self._width), dtype=np.int64)
            self._alone = np.zeros_like(self._found)

    def _keys_of(self, slot: int) -> IntArray:
        """Keys of the tokens that are known."""
        if not self.rules.enabled:
            return _NO_KEYS
        keys = self._known_keys.get(slot)
        if keys is None:
            keys = self._known_keys[slot] = self._keys.of(slot, self._unit)
        return keys[: self._requests.num_tokens(slot) // self._unit]

    def admission_need(self, slot: int, tokens: int) -> tuple[int, ...]:
        """See Tables."""
        cross = self._requests.cross[slot]
        return self._per_group(
            [admission_pages(g, tokens, cross, *self._limits) for g in self.classes]
        )

    def most_need(self, slot: int, tokens: int) -> tuple[int, ...]:
        """See Tables."""
        cross = self._requests.cross[slot]
        pages = [most_pages(g, tokens, cross, *self._limits, self._batches) for g in self.classes]
        return self._per_group(pages)

    def _need(self, slot: int, tokens: int) -> tuple[int, ...]:
        cross = self._requests.cross[slot]
        return self._per_group([demand(g, tokens, cross) for g in self.classes])

    def _per_group(self, by_class: list[int]) -> tuple[int, ...]:
        return tuple([by_class[index] for index in self.class_of])


def _class_labels(rules: CacheRules) -> tuple[str, ...]:
    """The kind that each lookup class is named after."""
    if not rules.enabled:
        return ()
    classes = rules.lookup_classes
    return tuple(
        rules.groups[classes.index(index)].contents[0].label for index in range(max(classes) + 1)
    )


_NO_KEYS = np.zeros(0, dtype=np.int64)
