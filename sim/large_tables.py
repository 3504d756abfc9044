"""Block tables over Jenga's two levels of pages, with a prefix cache or without.

A prompt is looked up first, holds what it hits and then takes what it lacks. Full blocks are cached
as soon as they are computed, whatever their kind, and stay so until the five steps evict them.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..configs.errors import InvariantError
from ..policies.base import NO_MOVES, Moves, PageGroup, Pages, Slack
from ..policies.carving.lcm import LCMCarving
from ..policies.large_pages.pool import Held
from ..policies.large_pages.quota import Content
from ..policies.large_pages.rules import FOREVER, TableRules, most_held
from .large_hits import LongestHit
from .large_lookup import CachedPrefix, PrefixLookup
from .prefix_keys import IntArray, PrefixKeys
from .requests import NEVER, Requests, Status
from .table_contract import NO_HIT, Hit, growth_classes

NULL = -1
NO_LONGEST = LongestHit(0, "", 0)


@dataclass(slots=True)
class _Table:
    """What one request holds, by group."""

    pages: list[list[int]]
    """Pages, ``pages_per_block`` for each block; NULL where they were given back or never held."""
    gone: list[int]
    """Leading pages that are NULL."""
    keyed: list[int]
    """Leading blocks that were considered for the cache."""


class LargePageTables:
    """Block tables over the pool of an ``LCMCarving``; see ``Tables`` for the methods."""

    def __init__(
        self,
        requests: Requests,
        carving: LCMCarving,
        keys: PrefixKeys | None,
        rules: TableRules,
        *,
        watermark: float = 0.0,
        counts_steps: bool = False,
    ) -> None:
        """``keys`` None: nothing is cached. ``watermark``: share that every admission leaves.

        ``counts_steps``: times are steps, as in the artifact. Otherwise they count what was given
        back, which leaps do not change.
        """
        self._watermark = watermark
        self.groups = carving.groups
        self.carving = carving
        self.pool = carving.pages
        self.rules = rules
        self.classes, self.class_of = growth_classes(self.groups)
        zeros = array("q", [0]) * len(requests)
        self.allocated = tuple(array("q", zeros) for _ in self.classes)
        self.expired = tuple(array("q", zeros) for _ in self.classes)
        self.keyed = tuple(array("q", zeros) for _ in self.classes) if keys else ()
        self._first_of = [self.class_of.index(index) for index in range(len(self.classes))]
        self._requests = requests
        self._lookup = PrefixLookup(self.groups, self.pool, keys, rules) if keys else None
        self._counts_steps = counts_steps
        self._clock = 0
        self._accessed: dict[int, int] = {}
        self._tables: dict[int, _Table] = {}
        self._found = CachedPrefix(NEVER, NO_LONGEST, [])
        self._limits: dict[int, LongestHit] = {}
        # Requests that preempted themselves: what they hit stood in the way of what they need.
        self._hits_nothing: set[int] = set()
        self._quiet_until = array("q", zeros)
        self._next_key = array("q", zeros)

    @property
    def rule_columns(self) -> IntArray:
        """Block size of each group as the meter of shared pages reads it."""
        # The row BLOCK of ``caching.layout``.
        return np.array([[0] * len(self.groups), [g.block_size for g in self.groups]], np.int64)

    def begin_step(self) -> None:
        """See Tables."""
        self._clock += self._counts_steps

    def end_step(self) -> None:
        """See Tables."""
        self.pool.end_step()

    def tick(self, now_ns: int) -> Moves:
        """See Tables. Large pages never move."""
        del now_ns
        return NO_MOVES

    def due_ns(self) -> int | None:
        """See Tables."""
        return None

    def look_up(self, slot: int) -> Hit:
        """See Tables. While nobody holds a page, a hit that stands in its own way is no hit."""
        if self._lookup is None or slot in self._hits_nothing:
            return NO_HIT
        found = self._lookup.find(slot, self._requests.num_tokens(slot) - 1)
        self._found = found
        hit = Hit(found.longest.tokens, 0)
        if hit.tokens and not self._tables and self.lacking(slot, hit, 0, 0.0, whole=True):
            return NO_HIT
        return hit

    def lacking(self, slot: int, hit: Hit, new: int, watermark: float, whole: bool) -> Pages | None:
        """See Tables."""
        requests = self._requests
        hits = self._hits_of(slot, hit)
        if whole:
            tokens, cross = requests.num_tokens(slot), requests.cross[slot]
            need = tuple(
                min(
                    self.rules.admission(group, tokens, cross),
                    self.rules.length(group, tokens, cross) - _whole_pages(group, hit.tokens),
                )
                for group in self.groups
            )
            if not self._fits(need, hits, watermark):
                return need
        need = self._chunk_need(slot, hit, hit.tokens + new)
        return None if self._fits(need, hits, watermark) else need

    def _hits_of(self, slot: int, hit: Hit) -> Held:
        if not hit.tokens:
            return ()
        if self._found.slot != slot:
            raise InvariantError(f"request {slot} takes a hit that was found for another")
        return self._found.pages

    def _fits(self, need: Pages, hits: Held, watermark: float) -> bool:
        room = self.pool.room(need, hits)
        return room.total + int(watermark * self.pool.num_large) <= room.available

    def _chunk_need(self, slot: int, hit: Hit, tokens: int) -> tuple[int, ...]:
        """Pages of a waiting request's first ``tokens`` beyond its hit."""
        cross = self._requests.cross[slot]
        return tuple(
            self.rules.length(group, tokens, cross)
            - max(_whole_pages(group, hit.tokens), self.rules.unheld(group, tokens))
            for group in self.groups
        )

    def is_impossible(self, slot: int) -> bool:
        """See Tables. What never fits was rejected on arrival."""
        del slot
        return False

    def late_hits(self) -> dict[int, int]:
        """See Tables. Hits are known before pages are taken."""
        return {}

    def allocate(self, slot: int, new: int, hit: Hit = NO_HIT) -> bool:
        """See Tables."""
        requests = self._requests
        end = requests.computed[slot] + hit.tokens + new
        if end <= self._quiet_until[slot]:
            self._accessed[slot] = self._clock
            return True
        table = self._tables.get(slot)
        if table is None:
            return self._admit(slot, end, hit)
        self.trim(slot)
        cross = requests.cross[slot]
        need = [
            max(0, self.rules.length(group, end, cross) - len(pages))
            if self.rules.grows(group)
            else 0
            for group, pages in zip(self.groups, table.pages, strict=True)
        ]
        taken = self._fits(need, (), 0.0)
        if taken:
            self._accessed[slot] = self._clock
            self._take(slot, table, need)
            self._key_full_blocks(slot, table, min(end, requests.num_tokens(slot)))
        self._note(slot, table)
        return taken

    def _admit(self, slot: int, end: int, hit: Hit) -> bool:
        hits, need = self._hits_of(slot, hit), self._chunk_need(slot, hit, end)
        if not self._fits(need, hits, 0.0):
            return False
        if self._requests.hit[slot] == NEVER and slot not in self._limits:
            self._limits[slot] = self._found.longest if self._found.slot == slot else NO_LONGEST
        table = _Table([[] for _ in self.groups], [], [])
        for index, group in enumerate(self.groups):
            mine = list(hits[index]) if hits else []
            for page in mine:
                self.pool.hold(index, page)
            behind = max(_whole_pages(group, hit.tokens), self.rules.unheld(group, end))
            unheld = behind - len(mine)
            table.pages[index] = [NULL] * unheld + mine
            table.gone.append(unheld)
            table.keyed.append(hit.tokens // group.block_size)
        self._tables[slot] = table
        self._accessed[slot] = self._clock
        self.pool.join(slot)
        self._take(slot, table, need)
        self._key_full_blocks(slot, table, min(end, self._requests.num_tokens(slot)))
        self._note(slot, table)
        return True

    def _take(self, slot: int, table: _Table, need: Pages) -> None:
        if any(need):
            self.pool.set_quotas(need)
            for index, count in enumerate(need):
                table.pages[index].extend(self.pool.take(index, slot, count))

    def _key_full_blocks(self, slot: int, table: _Table, tokens: int) -> None:
        """Let later requests find the blocks that ``tokens`` fill."""
        if self._lookup is None:
            return
        keys = self._lookup.keys_of(slot)
        for index, group in enumerate(self.groups):
            each, pages = group.pages_per_block, table.pages[index]
            full = min(tokens // group.block_size, len(pages) // each)
            first = max(table.keyed[index], table.gone[index] // each)
            for place in range(first * each, full * each):
                end = (place // each + 1) * group.block_size
                self.pool.set_key(index, pages[place], Content(keys[index][place], end))
            table.keyed[index] = max(full, table.keyed[index])

    def commit(self, slot: int, tokens: int) -> None:
        """See Tables."""
        if self._lookup is not None and tokens >= self._next_key[slot]:
            table = self._tables[slot]
            self._key_full_blocks(slot, table, tokens)
            self.pool.end_step()
            self._note(slot, table)

    def trim(self, slot: int) -> None:
        """Give back the pages that no step will read."""
        table, requests = self._tables[slot], self._requests
        computed, in_flight = requests.computed[slot], requests.in_flight[slot]
        if computed < self._quiet_until[slot]:
            return
        for index, group in enumerate(self.groups):
            pages, gone = table.pages[index], table.gone[index]
            past = self.rules.expired(group, computed, in_flight, len(pages))
            if past > gone:
                time = self.rules.left_at(self._time(slot))
                self.pool.release(index, pages[gone:past], time)
                pages[gone:past] = [NULL] * (past - gone)
                table.gone[index] = past
        self._note(slot, table)

    def _time(self, slot: int) -> float:
        """When pages that are given back now were used last."""
        if self._counts_steps:
            # A request's pages have times of their own, so that they are evicted together.
            return self._accessed[slot] + slot / 100
        self._clock += 1
        return float(self._clock)

    def free(self, slot: int) -> None:
        """See Tables. What is cached stays so until its page is taken."""
        table = self._tables.pop(slot, None)
        if self._lookup is not None:
            self._lookup.forget(slot)
        if table is None:
            return
        if not self._tables and self._requests.status[slot] == Status.RUNNING:
            self._hits_nothing.add(slot)
        time = self._time(slot)
        del self._accessed[slot]
        self.pool.leave(slot)
        for index, pages in enumerate(table.pages):
            self.pool.release(index, pages[table.gone[index] :], time)
        for columns in (self.allocated, self.expired, self.keyed):
            for column in columns:
                column[slot] = 0
        self._quiet_until[slot] = self._next_key[slot] = 0

    def _note(self, slot: int, table: _Table) -> None:
        """Copy the lengths that others read, and how long nothing will change."""
        quiet = next_key = FOREVER
        for index, first in enumerate(self._first_of):
            group = self.groups[first]
            length, gone = len(table.pages[first]), table.gone[first]
            self.allocated[index][slot], self.expired[index][slot] = length, gone
            length, gone = length // group.pages_per_block, gone // group.pages_per_block
            if self.keyed:
                self.keyed[index][slot] = table.keyed[first]
                next_key = min(next_key, (table.keyed[first] + 1) * group.block_size)
            quiet = min(quiet, self.rules.quiet_until(group, length, gone))
        self._next_key[slot] = next_key
        self._quiet_until[slot] = min(quiet, next_key - 1)

    def limit(self, slot: int) -> tuple[str, int]:
        """See Tables."""
        limit = self._limits.get(slot, NO_LONGEST)
        return limit.limiter, limit.lost

    def held_pages(self) -> tuple[int, ...]:
        """See Tables."""
        if self._lookup is None:
            return ()
        return tuple(self.pool.num_held(index) for index in range(len(self.groups)))

    def could_fit(self, slot: int, tokens: int) -> bool:
        """See Tables."""
        return self.carving.could_fit_above(self.most_need(slot, tokens), self._watermark)

    def most_need(self, slot: int, tokens: int) -> Pages:
        """See ``most_held``."""
        ratios = [small.ratio for small in self.pool.small]
        cross, caches = self._requests.cross[slot], self._lookup is not None
        return most_held(self.rules, self.groups, ratios, tokens, cross, caches=caches)

    def admission_need(self, slot: int, tokens: int) -> Pages:
        """See Tables."""
        cross = self._requests.cross[slot]
        return tuple(self.rules.admission(group, tokens, cross) for group in self.groups)

    def slack(self, refused: Pages | None, watermark: float) -> Slack:
        """See Tables."""
        return self.carving.slack(refused, watermark)

    def free_pages(self) -> tuple[int, ...]:
        """See Tables."""
        return self.carving.free_pages()

    def shared_pages(self, slots: Sequence[int], views: IntArray) -> IntArray:
        """Windowed pages that several of ``slots`` hold; see ``caching.sharing``."""
        found: list[tuple[int, int, int, int]] = []
        for view, index in enumerate(views[0].tolist()):
            several, each = self.pool.shared(index), self.groups[index].pages_per_block
            for row, slot in enumerate(slots) if several else ():
                table = self._tables[slot]
                mine = enumerate(table.pages[index][table.gone[index] :], table.gone[index])
                found += [(row, view, at // each, page) for at, page in mine if page in several]
        found.sort(key=lambda each: (each[1], each[3]))
        return np.array(found, dtype=np.int64).reshape(-1, 4).T.copy()

    def check(self) -> None:
        """See Tables."""
        self.pool.check()
        for index in range(len(self.groups)):
            holders: dict[int, int] = {}
            for table in self._tables.values():
                for page in table.pages[index][table.gone[index] :]:
                    holders[page] = holders.get(page, 0) + 1
            wrong = any(self.pool.refs(index, page) != n for page, n in holders.items())
            if wrong or len(holders) != self.pool.num_held(index):
                raise InvariantError(f"group {index}: pages have other holders than their tables")
        for slot in range(len(self._requests)):
            if (self._requests.status[slot] == Status.RUNNING) != (slot in self._tables):
                raise InvariantError(f"request {slot} has a table although it does not run")


def _whole_pages(group: PageGroup, tokens: int) -> int:
    """Pages of the whole blocks of ``tokens``."""
    return tokens // group.block_size * group.pages_per_block
