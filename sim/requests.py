"""The request table: one column per fact, one row ("slot") per request of the trace."""

from array import array
from collections.abc import Iterable
from enum import IntEnum


class Status(IntEnum):
    """Where a request is in its life."""

    PENDING = 0
    WAITING = 1
    RUNNING = 2
    FINISHED = 3
    REJECTED = 4


NEVER = -1
"""A moment that did not come (a rejected request's first token), or not yet."""


def _zeros(count: int, fill: int = 0) -> "array[int]":
    return array("q", [fill]) * count


class Requests:
    """Columns of integers. Plain arrays: fast one by one from Python, viewable by numpy at once."""

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
        self.prompt = array("q", prompt_tokens)
        wanted = array("q", max_tokens)
        self.max_tokens = array("q", (max(tokens, 1) for tokens in wanted))
        self.unread = array("q", (int(tokens == 0) for tokens in wanted))
        """1 where the one token that comes out is not counted."""
        count = len(self.prompt)
        self.arrival_ns = array("q", arrival_ns) if arrival_ns is not None else _zeros(count, NEVER)
        self.cross = array("q", cross_tokens) if cross_tokens is not None else _zeros(count)
        self.priority = array("q", priority) if priority is not None else _zeros(count)
        self.status = _zeros(count, Status.PENDING)
        self.output = _zeros(count)
        """Tokens generated so far."""
        self.computed = _zeros(count)
        """Tokens whose cache is, or is about to be, valid (vLLM's ``num_computed_tokens``)."""
        self.in_flight = _zeros(count)
        """Of ``computed``, tokens of steps that still run."""
        self.stale = _zeros(count)
        """Tokens in flight when the request was preempted."""
        self.placeholders = _zeros(count)
        """Output tokens scheduled but not yet known (async scheduling)."""
        self.chunk = _zeros(count)
        """Tokens of the last step that served the request."""
        self.junction = _zeros(count)
        """Prefix that some kind cached when another did not (vLLM's ``shared_prefix_boundary``)."""
        self.hit = _zeros(count, NEVER)
        """Tokens found in the prefix cache at the first admission."""
        self.preemptions = _zeros(count)
        self.recomputed = _zeros(count)
        """Tokens thrown away by preemption."""
        self.lost = _zeros(count)
        """Of ``recomputed``, tokens of the last preemption, until the request runs again."""
        self.scheduled_ns = _zeros(count, NEVER)
        self.first_token_ns = _zeros(count, NEVER)
        self.last_token_ns = _zeros(count, NEVER)

    def __len__(self) -> int:
        return len(self.prompt)

    def num_tokens(self, slot: int) -> int:
        """Prompt and generated tokens."""
        return self.prompt[slot] + self.output[slot]
