"""Parts per page size, divided anew by what requests held: TensorRT-LLM's KV cache manager V2.

Source: TensorRT-LLM 1.4, ``tensorrt_llm/runtime/kv_cache_manager_v2``:
``_core/_kv_cache_manager.py`` (need_adjustment, adjust), ``_core/_kv_cache.py`` (close),
``_storage_manager.py`` (ratio_from_length, shrink_pool_group), ``_storage/_core.py``
(SlotAllocator), ``_config.py`` (the numbers below). The executor calls it with
``enable_kv_pool_rebalance`` only, which is off by default.

* Groups whose pages have one size share a part. At first the parts are sized for a request of 2,049
  tokens of which 2,048 are computed, weighted by bytes.
* Every request that closes is a sample. After each 100 samples the wanted ratio is that of the
  bytes which a typical request holds: moving averages of squares with decay 0.9999, so that long
  requests, which live longer, weigh more; at least one page per group.
* The pool is divided anew once there were 2,000 samples, 120 s after the last time or the start, if
  the wanted share of some part is 1.25 times its share, or less than 1/1.25 of it. Parts that
  shrink come first: pages beyond the new end are copied into free slots before it. Free slots are
  used in the order in which they were given back, before fresh ones, so that pages lie all over a
  part.

Wasted is what a part has left while another is full, as with a static partition, until the next
time.

Where we deviate: (1) TensorRT-LLM averages the lengths of a request over its life and computes
pages from the averages; a carving knows no lengths, so pages held when a request leaves stand for
them, and a request that is preempted counts as one that left (there it would be suspended). (2) It
keeps room in every part for the steps listed in ``constraints``; nothing says here which those are.
Instead a request is accepted if the widest parts so far hold it, and while at most one request
holds pages, a part that is narrower now is widened for it: else a request that was accepted before
a division could wait for ever. (3) It fails where a part would shrink below what is held; here the
part keeps that much. (4) It suspends all requests for the change; only the copies take time here.
(5) Parts are multiples of 2 MiB there; here of a page, one of which is null.
"""

from collections.abc import Sequence
from typing import ClassVar

from ...configs.errors import ConfigError, InvariantError
from ...configs.specs import cdiv
from ..base import NO_MOVES, Carving, Moves, PageGroup, Pages, Slack
from .placed import Placed
from .splits import divide
from .typical import TypicalRequest, first_pages

NULL_PAGES = 1
PAGES_PER_LAUNCH = 4096
"""Pages that one copy kernel moves: not stated by TensorRT-LLM, taken from SGLang."""


class Rebalance(Carving):
    """A part per page size; the parts follow what requests of the past held."""

    min_samples: ClassVar[int] = 2000
    cooldown_ns: ClassVar[int] = 120 * 10**9
    update_interval: ClassVar[int] = 100
    decay: ClassVar[float] = 0.9999
    threshold: ClassVar[tuple[int, int]] = (5, 4)
    """1.25 as a fraction."""

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self.page_bytes = tuple(dict.fromkeys(group.page_bytes for group in groups))
        self.part_of = tuple(self.page_bytes.index(group.page_bytes) for group in groups)
        self._wanted = self._weights([float(first_pages(group)) for group in groups])
        floors = [NULL_PAGES + 1 for _ in self.page_bytes]
        if sum(n * size for n, size in zip(floors, self.page_bytes, strict=True)) > pool_bytes:
            raise ConfigError(
                f"the pool of {pool_bytes:,} bytes does not hold a page and a null page of each of "
                f"{', '.join(f'{size:,}' for size in self.page_bytes)} bytes: nothing can be "
                "served. Give it more memory, more GPUs (--tp) or a smaller --block-size."
            )
        self.num_pages = divide(pool_bytes, self.page_bytes, self._wanted, floors)
        """Pages of each part, null pages included."""
        self._widest = list(self.num_pages)
        """Most pages that a division ever gave each part."""
        self._parts = tuple(Placed("oldest") for _ in self.page_bytes)
        self._held: dict[int, list[int]] = {}
        """Pages of each slot that has any, per group."""
        self._typical = TypicalRequest(len(groups), self.decay)
        self._changed_ns: int | None = None
        """When the pool was divided last; the time of the first step before that."""
        self._moves = NO_MOVES

    # --- by part ---

    def _free(self, part: int) -> int:
        return self.num_pages[part] - NULL_PAGES - self._parts[part].live

    def _per_part(self, pages: Pages) -> list[int]:
        sums = [0] * len(self.page_bytes)
        for part, count in zip(self.part_of, pages, strict=True):
            sums[part] += count
        return sums

    def _bytes(self, by_part: Sequence[int]) -> int:
        return sum(count * size for count, size in zip(by_part, self.page_bytes, strict=True))

    @property
    def _is_elastic(self) -> bool:
        """Whether parts may give way to each other: no request but one would notice."""
        return len(self._held) <= 1

    @property
    def _free_bytes(self) -> int:
        """Bytes beside held and null pages, whatever part they are in."""
        return self.pool_bytes - self._bytes([part.live + NULL_PAGES for part in self._parts])

    # --- contract ---

    def _could_hold(self, pages: Sequence[int]) -> bool:
        """Whether the widest parts so far hold ``pages`` beside the null pages."""
        wanted = [count + NULL_PAGES for count in pages]
        wide = all(count <= most for count, most in zip(wanted, self._widest, strict=True))
        return wide and self._bytes(wanted) <= self.pool_bytes

    def could_fit(self, need: Pages) -> bool:
        """See Carving."""
        return self._could_hold(self._per_part(need))

    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        """See Carving. Every part keeps its own watermark."""
        by_part = self._per_part(need)
        kept = [int(watermark * count) for count in self.num_pages]
        if all(by_part[part] + kept[part] <= self._free(part) for part in range(len(kept))):
            return True
        if watermark or not self._is_elastic:
            return False
        held = zip(self._parts, by_part, strict=True)
        return self._could_hold([part.live + count for part, count in held])

    def take(self, slot: int, need: Pages) -> bool:
        """See Carving."""
        if not any(need):
            return True
        if not self.fits(need):
            return False
        self._give_way(self._per_part(need))
        held = self._held.setdefault(slot, [0] * len(self.groups))
        for group, count in enumerate(need):
            held[group] += count
            part = self._parts[self.part_of[group]]
            # One key for each table: a part may serve several groups.
            key = self._key(slot, group)
            part.extend(key, part.fill(key, count))
        return True

    def give(self, slot: int, group: int, count: int) -> None:
        """See Carving."""
        self._parts[self.part_of[group]].give(self._key(slot, group), count)
        if count:
            held = self._held[slot]
            held[group] -= count
            if not any(held):
                del self._held[slot]

    def free(self, slot: int) -> None:
        """See Carving. What the request held is a sample."""
        held = self._held.pop(slot, None)
        if held is None:
            return
        for group in range(len(self.groups)):
            self._parts[self.part_of[group]].free(self._key(slot, group))
        self._typical.sample(held)
        if self._typical.samples % self.update_interval == 0:
            self._wanted = self._weights(self._typical.pages())

    def _key(self, slot: int, group: int) -> int:
        return slot * len(self.groups) + group

    def free_pages(self) -> tuple[int, ...]:
        """See Carving."""
        free = [self._free(part) for part in range(len(self.page_bytes))]
        if self._is_elastic:
            for part, size in enumerate(self.page_bytes):
                wider = self._widest[part] - NULL_PAGES - self._parts[part].live
                free[part] = min(self._free_bytes // size, wider)
        return tuple(free[part] for part in self.part_of)

    # --- samples and the ratio they ask for ---

    def _weights(self, pages: Sequence[float]) -> list[int]:
        """Bytes per part of a request with so many pages per group; one page at least."""
        weights = [0] * len(self.page_bytes)
        for part, count in zip(self.part_of, pages, strict=True):
            weights[part] += round(max(count, 1.0) * self.page_bytes[part])
        return weights

    def _deviates(self) -> bool:
        """Whether some part's share of the bytes is too far from the wanted one."""
        more, less = self.threshold
        have = [count * size for count, size in zip(self.num_pages, self.page_bytes, strict=True)]
        all_wanted, all_have = sum(self._wanted), sum(have)
        for wanted, bytes_of_part in zip(self._wanted, have, strict=True):
            target, current = wanted * all_have, bytes_of_part * all_wanted
            if not (target * less < current * more and current * less < target * more):
                return True
        return False

    def due_ns(self) -> int | None:
        """See Carving."""
        if self._moves.launches:
            return 0
        if self._typical.samples < self.min_samples or not self._deviates():
            return None
        return (self._changed_ns or 0) + self.cooldown_ns

    def tick(self, now_ns: int) -> Moves:
        """See Carving. Divides the pool anew if that is due."""
        if self._changed_ns is None:
            self._changed_ns = now_ns
        moves, self._moves = self._moves, NO_MOVES
        due = self.due_ns()
        if due is not None and due <= now_ns:
            self._changed_ns = now_ns
            floors = [part.live + NULL_PAGES for part in self._parts]
            self._resize(divide(self.pool_bytes, self.page_bytes, self._wanted, floors))
            self._widest = [max(pair) for pair in zip(self._widest, self.num_pages, strict=True)]
            moves, self._moves = moves.plus(self._moves), NO_MOVES
        return moves

    # --- new sizes ---

    def _give_way(self, need: Sequence[int]) -> None:
        """Give parts that lack pages those that others can spare, the richest first; no more."""
        lacking = [max(0, count - self._free(part)) for part, count in enumerate(need)]
        if not any(lacking):
            return
        sizes = [count + more for count, more in zip(self.num_pages, lacking, strict=True)]
        over = self._bytes(sizes) - self.pool_bytes
        spare = {p: self._free(p) - need[p] for p in range(len(sizes)) if not lacking[p]}
        for part in sorted(spare, key=lambda p: (-spare[p] * self.page_bytes[p], p)):
            fewer = min(spare[part], cdiv(max(over, 0), self.page_bytes[part]))
            sizes[part] -= fewer
            over -= fewer * self.page_bytes[part]
        self._resize(tuple(sizes))

    def _resize(self, sizes: tuple[int, ...]) -> None:
        """Change the parts; pages beyond the new end of one are copied to free places before it."""
        for part, placed in enumerate(self._parts):
            room = sizes[part] - NULL_PAGES
            if placed.end > room:
                copied = placed.squeeze(0, room)
                moved = Moves(copied * self.page_bytes[part], cdiv(copied, PAGES_PER_LAUNCH))
                self._moves = self._moves.plus(moved)
        self.num_pages = sizes

    # --- books ---

    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        """See Carving. Parts that do not lack pages are external, unless parts give way."""
        external = [0] * len(self.groups)
        reserved = self._bytes([NULL_PAGES] * len(self.page_bytes))
        kept = [min(self._free(p), int(watermark * n)) for p, n in enumerate(self.num_pages)]
        reserved += self._bytes(kept)
        need = None if refused is None else self._per_part(refused)
        if self._is_elastic:
            return Slack(
                internal=(0,) * len(self.groups),
                external=tuple(external),
                reserved=reserved,
                free=self._free_bytes - self._bytes(kept),
            )
        free = 0
        for part, size in enumerate(self.page_bytes):
            usable = self._free(part) - kept[part]
            if need is None or need[part] > usable:
                free += usable * size
            else:
                external[self.part_of.index(part)] = usable * size
        reserved += self.pool_bytes - self._bytes(self.num_pages)
        return Slack((0,) * len(self.groups), tuple(external), reserved, free)

    def check(self) -> None:
        """See Carving."""
        if self._bytes(self.num_pages) > self.pool_bytes:
            raise InvariantError(f"parts of {self.num_pages} pages exceed {self.pool_bytes} bytes")
        held = [sum(pages[g] for pages in self._held.values()) for g in range(len(self.groups))]
        for part, (placed, count) in enumerate(zip(self._parts, self._per_part(held), strict=True)):
            placed.check()
            if placed.live != count or placed.end > self.num_pages[part] - NULL_PAGES:
                raise InvariantError(
                    f"the part of {self.page_bytes[part]} byte pages has {placed.live} of them in "
                    f"{placed.end} places, {count} are held and {self.num_pages[part]} are its own"
                )
