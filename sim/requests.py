"""The request table: one row per fact, one column ("slot") per request of the trace."""

from array import array
from collections.abc import Iterable
from enum import IntEnum

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


class Status(IntEnum):
    """Where a request is in its life."""

    PENDING = 0
    WAITING = 1
    RUNNING = 2
    FINISHED = 3
    REJECTED = 4


NEVER = -1
"""A moment that did not come (a rejected request's first token), or not yet."""

FACTS = (
    "prompt",
    "max_tokens",
    "unread",
    "cross",
    "priority",
    "arrival_ns",
    "status",
    "output",
    "computed",
    "in_flight",
    "stale",
    "placeholders",
    "chunk",
    "junction",
    "hit",
    "preemptions",
    "recomputed",
    "lost",
    "scheduled_ns",
    "first_token_ns",
    "last_token_ns",
    "seat",
)
"""Rows of ``Requests.table``; compiled functions know them by number."""
(
    PROMPT,
    MAX_TOKENS,
    UNREAD,
    CROSS,
    PRIORITY,
    ARRIVAL_NS,
    STATUS,
    OUTPUT,
    COMPUTED,
    IN_FLIGHT,
    STALE,
    PLACEHOLDERS,
    CHUNK,
    JUNCTION,
    HIT,
    PREEMPTIONS,
    RECOMPUTED,
    LOST,
    SCHEDULED_NS,
    FIRST_TOKEN_NS,
    LAST_TOKEN_NS,
    SEAT,
) = range(len(FACTS))
PENDING, WAITING, RUNNING, FINISHED, REJECTED = (int(status) for status in Status)

Column = memoryview
"""One fact of all requests: integers, read and written one by one as fast as a list's."""


class Requests:
    """Facts of all requests: an array for compiled code, and a view of each of its rows."""

    def __init__(
        self,
        *,
        prompt_tokens: Iterable[int],
        max_tokens: Iterable[int],
        arrival_ns: Iterable[int] | None = None,
        cross_tokens: Iterable[int] | None = None,
        priority: Iterable[int] | None = None,
    ) -> None:
        """Start with all requests pending. Times in ns; lengths in tokens.

        ``arrival_ns`` is for tables without a clock: the engine notes arrivals as they happen.
        A request whose ``max_tokens`` is 0 ends with its prompt: an engine then generates one
        token, which nobody reads.
        """
        prompt, wanted = _column(prompt_tokens), _column(max_tokens)
        self.table: IntArray = np.zeros((len(FACTS), len(prompt)), dtype=np.int64)
        """Shape (facts, requests)."""
        self.table[PROMPT] = prompt
        np.maximum(wanted, 1, out=self.table[MAX_TOKENS])
        for row in (ARRIVAL_NS, HIT, SCHEDULED_NS, FIRST_TOKEN_NS, LAST_TOKEN_NS, SEAT):
            self.table[row] = NEVER
        if arrival_ns is not None:
            self.table[ARRIVAL_NS] = _column(arrival_ns)
        for row, values in ((CROSS, cross_tokens), (PRIORITY, priority), (UNREAD, wanted == 0)):
            # A row that stays zero takes no memory.
            if values is not None and np.any(column := _column(values)):
                self.table[row] = column
        view = {name: memoryview(row) for name, row in zip(FACTS, self.table, strict=True)}
        self.prompt = view["prompt"]
        self.max_tokens = view["max_tokens"]
        self.unread = view["unread"]
        """1 where the one token that comes out is not counted."""
        self.arrival_ns = view["arrival_ns"]
        self.cross = view["cross"]
        self.priority = view["priority"]
        self.status = view["status"]
        self.output = view["output"]
        """Tokens generated so far."""
        self.computed = view["computed"]
        """Tokens whose cache is, or is about to be, valid (vLLM's ``num_computed_tokens``)."""
        self.in_flight = view["in_flight"]
        """Of ``computed``, tokens of steps that still run."""
        self.stale = view["stale"]
        """Tokens in flight when the request was preempted."""
        self.placeholders = view["placeholders"]
        """Output tokens scheduled but not yet known (async scheduling)."""
        self.chunk = view["chunk"]
        """Tokens of the last step that served the request."""
        self.junction = view["junction"]
        """Prefix that some kind cached when another did not (vLLM's ``shared_prefix_boundary``)."""
        self.hit = view["hit"]
        """Tokens found in the prefix cache at the first admission."""
        self.preemptions = view["preemptions"]
        self.recomputed = view["recomputed"]
        """Tokens thrown away by preemption."""
        self.lost = view["lost"]
        """Of ``recomputed``, tokens of the last preemption, until the request runs again."""
        self.scheduled_ns = view["scheduled_ns"]
        self.first_token_ns = view["first_token_ns"]
        self.last_token_ns = view["last_token_ns"]
        # The row SEAT is for tables that keep by seat what running requests have: see
        # ``compiled.contract``.

    def __len__(self) -> int:
        return self.table.shape[1]

    def num_tokens(self, slot: int) -> int:
        """Prompt and generated tokens."""
        return self.prompt[slot] + self.output[slot]


def _column(values: Iterable[int]) -> IntArray:
    """Integers of any origin as a column; raises OverflowError beyond 64 bits."""
    if isinstance(values, np.ndarray):
        return values.astype(np.int64, copy=False)
    return np.frombuffer(array("q", values), dtype=np.int64)
