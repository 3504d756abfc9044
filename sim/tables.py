"""Block tables as counts: what every request was given and gave back, per page group.

This is the part of vLLM's ``KVCacheManager`` that no policy may change: how many pages a chunk
needs, which pages expired, and in which order both happen. Where the pages lie is the carving's.
"""

from array import array

from ..configs.errors import InvariantError
from ..configs.specs import STATE_KINDS
from ..policies.base import Carving, Moves, PageGroup, Pages, Slack
from ..policies.demand import admission_pages, demand, expired, most_pages
from .requests import Requests, Status
from .table_contract import NO_HIT, Hit, growth_classes

FOREVER = 1 << 62


class BlockTables:
    """Pages of each request: ``allocated`` at the tail, ``expired`` of them given back again."""

    def __init__(
        self,
        requests: Requests,
        groups: tuple[PageGroup, ...],
        carving: Carving,
        *,
        max_in_flight_tokens: int,
        max_model_len: int,
    ) -> None:
        """``max_in_flight_tokens``: concurrent batches times the token budget of a step."""
        self.groups = groups
        self.carving = carving
        self._requests = requests
        self.max_in_flight_tokens = max_in_flight_tokens
        self.max_model_len = max_model_len
        # Groups that grow alike have tables of equal length: counted once per such class.
        self.classes, self.class_of = growth_classes(groups)
        zeros = array("q", [0]) * len(requests)
        self.allocated = tuple(array("q", zeros) for _ in self.classes)
        self.expired = tuple(array("q", zeros) for _ in self.classes)
        self.keyed = ()
        self._quiet_until = array("q", zeros)

    def begin_step(self) -> None:
        """See Tables."""

    def end_step(self) -> None:
        """See Tables."""

    def tick(self, now_ns: int) -> Moves:
        """See Tables."""
        return self.carving.tick(now_ns)

    def due_ns(self) -> int | None:
        """See Tables."""
        return self.carving.due_ns()

    def look_up(self, slot: int) -> Hit:
        """See Tables. Nothing is cached."""
        del slot
        return NO_HIT

    def commit(self, slot: int, tokens: int) -> None:
        """See Tables. Nothing is cached."""

    def lacking(self, slot: int, hit: Hit, new: int, watermark: float, whole: bool) -> Pages | None:
        """See Tables."""
        del hit
        if whole:
            need = self.admission_need(slot, self._requests.num_tokens(slot))
            if not self.carving.fits(need, watermark):
                return need
        need = self.chunk_need(slot, new)
        return None if self.carving.fits(need, watermark) else need

    def admission_need(self, slot: int, tokens: int) -> tuple[int, ...]:
        """Pages, per group, that a sequence of ``tokens`` must find free before it starts."""
        tokens = min(tokens, self.max_model_len)
        cross = self._requests.cross[slot]
        limits = (self.max_in_flight_tokens, self.max_model_len)
        need = [admission_pages(group, tokens, cross, *limits) for group in self.classes]
        return self.per_group(need)

    def most_need(self, slot: int, tokens: int) -> tuple[int, ...]:
        """Pages, per group, that a sequence may hold at once until it has ``tokens``."""
        cross = self._requests.cross[slot]
        limits = (self.max_in_flight_tokens, self.max_model_len)
        # Without a cache nothing keeps states at block boundaries: batches do not matter.
        pages = [most_pages(group, tokens, cross, *limits, batches=1) for group in self.classes]
        return self.per_group(pages)

    def chunk_need(self, slot: int, tokens: int) -> tuple[int, ...]:
        """Pages beyond those it has, per group, so that ``tokens`` of ``slot`` have a place."""
        return self.per_group(self._class_need(slot, tokens))

    def per_group(self, by_class: list[int]) -> tuple[int, ...]:
        """Repeat the count of each growth class for its groups."""
        return tuple([by_class[index] for index in self.class_of])

    def _class_need(self, slot: int, tokens: int) -> list[int]:
        cross = self._requests.cross[slot]
        return [
            max(0, demand(group, tokens, cross) - allocated[slot])
            for group, allocated in zip(self.classes, self.allocated, strict=True)
        ]

    def allocate(self, slot: int, new: int, hit: Hit = NO_HIT) -> bool:
        """Give back what expired, then take the pages of ``new`` more tokens, all or nothing.

        What expired stays given back even if the rest is refused, as in vLLM.
        """
        del hit
        computed = self._requests.computed[slot]
        if computed + new <= self._quiet_until[slot]:
            return True
        self.trim(slot)
        need = self._class_need(slot, computed + new)
        if not self.carving.take(slot, self.per_group(need)):
            return False
        for allocated, pages in zip(self.allocated, need, strict=True):
            allocated[slot] += pages
        self._quiet_until[slot] = self._next_change(slot)
        return True

    def is_impossible(self, slot: int) -> bool:
        """See Tables. What never fits was rejected on arrival."""
        del slot
        return False

    def late_hits(self) -> dict[int, int]:
        """See Tables. Nothing is cached."""
        return {}

    def trim(self, slot: int) -> None:
        """See Tables."""
        computed, in_flight = self._requests.computed[slot], self._requests.in_flight[slot]
        for index, group in enumerate(self.classes):
            allocated, given = self.allocated[index][slot], self.expired[index][slot]
            past = min(expired(group, computed, in_flight), allocated)
            if past > given:
                for member, of_class in enumerate(self.class_of):
                    if of_class == index:
                        self.carving.give(slot, member, past - given)
                self.expired[index][slot] = past

    def free(self, slot: int) -> None:
        """Give back everything."""
        self.carving.free(slot)
        for allocated, given in zip(self.allocated, self.expired, strict=True):
            allocated[slot] = given[slot] = 0
        self._quiet_until[slot] = 0

    def _next_change(self, slot: int) -> int:
        """Sequence length up to which no page is needed and none expires."""
        quiet = FOREVER
        for index, group in enumerate(self.classes):
            blocks = self.allocated[index][slot] // group.pages_per_block
            past = (self.expired[index][slot] // group.pages_per_block + 1) * group.block_size
            if group.source != "cross":
                extra = self._requests.cross[slot] if group.source == "all" else 0
                quiet = min(quiet, blocks * group.block_size - extra)
            if group.kind == "sliding_window":
                quiet = min(quiet, past + group.window - 1)
            elif group.kind == "chunked_local":
                quiet = min(quiet, -(-past // group.window) * group.window)
            elif group.kind in STATE_KINDS:
                quiet = min(quiet, past + 1)
        return quiet

    def limit(self, slot: int) -> tuple[str, int]:
        """See Tables."""
        del slot
        return "", 0

    def held_pages(self) -> tuple[int, ...]:
        """See Tables. Every page has one owner."""
        return ()

    def could_fit(self, slot: int, tokens: int) -> bool:
        """See Tables."""
        return self.carving.could_fit(self.most_need(slot, tokens))

    def slack(self, refused: Pages | None, watermark: float) -> Slack:
        """See Tables."""
        return self.carving.slack(refused, watermark)

    def free_pages(self) -> tuple[int, ...]:
        """See Tables."""
        return self.carving.free_pages()

    def held(self, group: int) -> int:
        """Pages that all requests hold in page group number ``group``."""
        index = self.class_of[group]
        return sum(self.allocated[index]) - sum(self.expired[index])

    def check(self) -> None:
        """Raise InvariantError unless running requests hold just what their tokens need."""
        self.carving.check()
        requests = self._requests
        for slot in range(len(requests)):
            for index, group in enumerate(self.classes):
                have = self.allocated[index][slot]
                if requests.status[slot] != Status.RUNNING:
                    expected = 0
                else:
                    expected = demand(group, requests.computed[slot], requests.cross[slot])
                if have != expected:
                    raise InvariantError(
                        f"request {slot} has {have} pages of {group.name}, needs {expected}"
                    )
