"""Arrivals of many clients, few of which send most requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import numpy as np

from ..columns import IntColumn
from ..words import check, number, word
from .arrivals import CHUNK, LEAST_CV, LEAST_RATE, MOST_CV, MOST_RATE, refuse_late, renewals
from .draw import Draw, zipf_weights
from .gaps import GammaGaps, Gaps, WeibullGaps


@dataclass(frozen=True)
class Clients:
    """Clients with independent gaps, whose rates follow Zipf's law.

    Attributes:
        rate_per_s: Arrivals per second of all clients together.
        n: Number of clients.
        zipf: Exponent of their rates. With 1.1 the first of 73 clients sends a quarter and the
            first ten two thirds, as in ServeGen's deepseek-r1 (.29 and .68).
        cv: Coefficient of variation of one client's gaps; of all together it is smaller.
        family: Distribution of the gaps.
    """

    NAME: ClassVar[str] = "clients"
    rate_per_s: float = number(1.0, least=LEAST_RATE, most=MOST_RATE)
    n: int = number(50, least=1, most=10_000)
    zipf: float = number(1.1, most=10.0)
    cv: float = number(2.0, least=LEAST_CV, most=MOST_CV)
    family: str = word("gamma", "gamma", "weibull")

    def __post_init__(self) -> None:
        check(self)

    @property
    def shares(self) -> tuple[float, ...]:
        """Each client's part of the arrivals, the largest first."""
        weights = zipf_weights(self.n, self.zipf)
        return tuple((weights / np.cumsum(weights)[-1]).tolist())

    @property
    def gaps(self) -> Gaps:
        """Gaps of one client, of mean 1."""
        return GammaGaps(self.cv) if self.family == "gamma" else WeibullGaps(self.cv)

    def chunks(self, draw: Draw) -> Iterator[IntColumn]:
        """See ``Arrivals``."""
        window_ns = round(CHUNK / self.rate_per_s * 1e9)
        clients = [
            _Client(self.gaps, self.rate_per_s * share, draw.child(f"client {number}"))
            for number, share in enumerate(self.shares)
        ]
        for window in count(1):
            refuse_late(window * window_ns)
            arrived = [client.until(window * window_ns) for client in clients]
            yield np.sort(np.concatenate(arrived), kind="stable")


class _Client:
    """One client, who remembers what was drawn but has not arrived."""

    def __init__(self, gaps: Gaps, rate_per_s: float, draw: Draw) -> None:
        self._chunks = renewals(gaps, rate_per_s, draw, 256)
        self._drawn = np.zeros(0, dtype=np.int64)

    def until(self, end_ns: int) -> IntColumn:
        """Return the arrivals up to a moment that were not returned yet."""
        parts = [self._drawn]
        while not len(parts[-1]) or parts[-1][-1] <= end_ns:
            parts.append(next(self._chunks))
        drawn = np.concatenate(parts)
        arrived = int(np.searchsorted(drawn, end_ns, side="right"))
        self._drawn = drawn[arrived:]
        return drawn[:arrived]
