"""What a workload is, and what workloads share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np

from ..columns import IntColumn, Numbered, Ragged
from ..record import Trace
from .blocks import Blocks
from .draw import Draw

SESSIONS = 256
"""Sessions that are made together."""

REQUESTS = 4096
"""Requests that are made together where there are no sessions."""

UNNAMED: tuple[str, ...] = ()
"""Names of sessions while they are made; only their numbers count."""


Maker = Callable[[IntColumn], Trace]
"""From arrivals in nanoseconds, ascending, to the requests of the sessions that start then.

It is called with ``batch`` arrivals at a time. Requests come in any order, ``after`` in positions,
sessions as numbers without names.
"""


class Workload(Protocol):
    """A kind of traffic: lengths, sessions and what prompts have in common.

    A frozen dataclass of parameters, whose defaults are figures of public traces.
    """

    NAME: ClassVar[str]
    ARRIVALS: ClassVar[str]
    """Words for the arrivals that go with it."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def blocks(self) -> Blocks | None:
        """How prompts are cut into blocks; None if they have no hash ids."""
        ...

    @property
    def batch(self) -> int:
        """Arrivals that are taken together."""
        ...

    @property
    def requests_per_arrival(self) -> float:
        """Mean number of requests of a session; 1 where every request arrives by itself."""
        ...

    def maker(self, draw: Draw) -> Maker:
        """Return what makes the sessions that start at given times.

        Args:
            draw: Where random numbers come from.
        """
        ...


class Independent:
    """A workload without sessions."""

    @property
    def batch(self) -> int:
        """See ``Workload``."""
        return REQUESTS

    @property
    def requests_per_arrival(self) -> float:
        """See ``Workload``."""
        return 1.0


def part_of(
    arrival_ns: IntColumn,
    input_tokens: IntColumn,
    output_tokens: IntColumn,
    hash_runs: Ragged | None = None,
    **columns: Any,
) -> Trace:
    """Return requests of these columns; those that every trace has are filled up."""
    count = len(arrival_ns)
    zeros = np.zeros(count, dtype=np.int64)
    return Trace(
        arrival_ns=arrival_ns,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        hash_runs=Ragged.empty(count, 2) if hash_runs is None else hash_runs,
        cross_tokens=zeros,
        priority=zeros,
        request_ids=Numbered(np.arange(count)),
        **columns,
    )
