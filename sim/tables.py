"""Block tables as counts: what every request was given and gave back, per page group.

This is the part of vLLM's ``KVCacheManager`` that no policy may change: how many pages a chunk
needs, which pages expired, and in which order both happen. Where the pages lie is the carving's.
"""

from array import array

from ..configs.errors import InvariantError
from ..configs.specs import STATE_KINDS
from ..policies.base import Carving, PageGroup, Pages
from ..policies.demand import admission_pages, demand, expired
from .requests import Requests, Status

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
        self._max_in_flight = max_in_flight_tokens
        self._max_model_len = max_model_len
        zeros = array("q", [0]) * len(requests)
        self.allocated = tuple(array("q", zeros) for _ in groups)
        self.expired = tuple(array("q", zeros) for _ in groups)
        self._quiet_until = array("q", zeros)

    def admission_need(self, slot: int, tokens: int) -> tuple[int, ...]:
        """Pages that a sequence of ``tokens`` must find free before it starts."""
        tokens = min(tokens, self._max_model_len)
        return tuple(
            admission_pages(
                group, tokens, self._requests.cross[slot], self._max_in_flight, self._max_model_len
            )
            for group in self.groups
        )

    def chunk_need(self, slot: int, tokens: int) -> tuple[int, ...]:
        """Pages beyond those it has, so that the first ``tokens`` of ``slot`` have a place."""
        cross = self._requests.cross[slot]
        return tuple(
            max(0, demand(group, tokens, cross) - allocated[slot])
            for group, allocated in zip(self.groups, self.allocated, strict=True)
        )

    def allocate(self, slot: int, new: int) -> bool:
        """Give back what expired, then take the pages of ``new`` more tokens, all or nothing.

        What expired stays given back even if the rest is refused, as in vLLM.
        """
        computed = self._requests.computed[slot]
        if computed + new <= self._quiet_until[slot]:
            return True
        self.trim(slot)
        need = self.chunk_need(slot, computed + new)
        if not self.carving.take(slot, need):
            return False
        for allocated, pages in zip(self.allocated, need, strict=True):
            allocated[slot] += pages
        self._quiet_until[slot] = self._next_change(slot)
        return True

    def trim(self, slot: int) -> None:
        """Give back the pages that no step will read."""
        computed, in_flight = self._requests.computed[slot], self._requests.in_flight[slot]
        for index, group in enumerate(self.groups):
            allocated, given = self.allocated[index][slot], self.expired[index][slot]
            past = min(expired(group, computed, in_flight), allocated)
            if past > given:
                self.carving.give(slot, index, past - given)
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
        for index, group in enumerate(self.groups):
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

    def held(self, index: int) -> int:
        """Pages of group ``index`` that all requests hold."""
        return sum(self.allocated[index]) - sum(self.expired[index])

    def check(self) -> None:
        """Raise InvariantError unless running requests hold just what their tokens need."""
        self.carving.check()
        requests = self._requests
        for slot in range(len(requests)):
            for index, group in enumerate(self.groups):
                have = self.allocated[index][slot]
                if requests.status[slot] != Status.RUNNING:
                    expected = 0
                else:
                    expected = demand(group, requests.computed[slot], requests.cross[slot])
                if have != expected:
                    raise InvariantError(
                        f"request {slot} has {have} pages of {group.name}, needs {expected}"
                    )


def never_fits(tables: BlockTables, slot: int, tokens: int) -> Pages | None:
    """Pages that ``tokens`` of ``slot`` need if an empty pool cannot hold them, else None."""
    need = tables.admission_need(slot, tokens)
    return None if tables.carving.could_fit(need) else need
