"""When requests arrive: processes with a mean rate and a known spread of the gaps.

Every process is a frozen dataclass that yields arrivals in nanoseconds without end, ascending, in
chunks. How they are cut into chunks does not change them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from ...configs.errors import TraceError
from ..columns import IntColumn
from ..limits import MAX_NS
from ..words import check, number
from .draw import Draw
from .elementary import FloatColumn
from .gaps import EqualGaps, ExponentialGaps, GammaGaps, Gaps, WeibullGaps

CHUNK = 4096
"""Arrivals that are drawn together."""

LEAST_RATE, MOST_RATE = 1e-6, 1e6
"""Arrivals per second: gaps are whole nanoseconds, and a trace ends after some centuries."""

LEAST_CV, MOST_CV = 0.05, 50.0

TOO_LATE = MAX_NS + 1
"""Stands for all times that a trace cannot hold."""


class Arrivals(Protocol):
    """A process by which requests or sessions arrive."""

    NAME: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def rate_per_s(self) -> float:
        """Mean number of arrivals per second."""
        ...

    @property
    def cv(self) -> float:
        """Coefficient of variation of the gaps: their standard deviation over their mean."""
        ...

    def chunks(self, draw: Draw) -> Iterator[IntColumn]:
        """Yield arrivals in nanoseconds, ascending, without end; chunks may be empty."""
        ...


@dataclass(frozen=True)
class _Renewal:
    """Independent gaps of one distribution."""

    NAME: ClassVar[str] = ""
    rate_per_s: float = number(1.0, least=LEAST_RATE, most=MOST_RATE)

    def __post_init__(self) -> None:
        check(self)

    @property
    def gaps(self) -> Gaps:
        """Gaps of mean 1."""
        raise NotImplementedError

    def chunks(self, draw: Draw) -> Iterator[IntColumn]:
        """See ``Arrivals``."""
        return renewals(self.gaps, self.rate_per_s, draw)


@dataclass(frozen=True)
class Poisson(_Renewal):
    """Arrivals that know nothing of each other; CV 1."""

    NAME: ClassVar[str] = "poisson"

    @property
    def cv(self) -> float:
        """See ``Arrivals``."""
        return 1.0

    @property
    def gaps(self) -> Gaps:
        """Gaps of mean 1."""
        return ExponentialGaps()


@dataclass(frozen=True)
class Constant(_Renewal):
    """Equal gaps, the first arrival at time 0; CV 0."""

    NAME: ClassVar[str] = "constant"

    @property
    def cv(self) -> float:
        """See ``Arrivals``."""
        return 0.0

    @property
    def gaps(self) -> Gaps:
        """Gaps of mean 1."""
        return EqualGaps()


@dataclass(frozen=True)
class Gamma(_Renewal):
    """Gamma gaps: the family that fits most API clients (ServeGen: 70 to 84 percent of them).

    Attributes:
        rate_per_s: Arrivals per second.
        cv: Coefficient of variation of the gaps.
    """

    NAME: ClassVar[str] = "gamma"
    # On public traces: chat 1.1 (Azure 2023 conversation), API clients 2 to 3.5 (ServeGen), code
    # completion 13 (Azure 2023 code).
    cv: float = number(2.0, least=LEAST_CV, most=MOST_CV)

    @property
    def gaps(self) -> Gaps:
        """Gaps of mean 1."""
        return GammaGaps(self.cv)


@dataclass(frozen=True)
class Weibull(_Renewal):
    """Weibull gaps: the family that fits the other clients of ServeGen.

    Attributes:
        rate_per_s: Arrivals per second.
        cv: Coefficient of variation of the gaps.
    """

    NAME: ClassVar[str] = "weibull"
    cv: float = number(2.0, least=LEAST_CV, most=MOST_CV)

    @property
    def gaps(self) -> Gaps:
        """Gaps of mean 1."""
        return WeibullGaps(self.cv)


@dataclass(frozen=True)
class AtOnce:
    """Everything arrives at time 0, as in offline benchmarks."""

    NAME: ClassVar[str] = "at-once"

    @property
    def rate_per_s(self) -> float:
        """See ``Arrivals``; there is no finite rate."""
        return float("inf")

    @property
    def cv(self) -> float:
        """See ``Arrivals``; all gaps are 0."""
        return 0.0

    def chunks(self, draw: Draw) -> Iterator[IntColumn]:
        """See ``Arrivals``."""
        while True:
            yield np.zeros(CHUNK, dtype=np.int64)


def renewals(gaps: Gaps, rate_per_s: float, draw: Draw, size: int = CHUNK) -> Iterator[IntColumn]:
    """Yield arrivals with independent gaps, ``size`` at a time.

    Args:
        gaps: Distribution of the gaps, in units of their mean.
        rate_per_s: Arrivals per second.
        draw: Where random numbers come from.
        size: Arrivals per chunk.
    """
    stream = draw.stream("gaps")
    values = gaps.draw(stream, size)
    values[0] = gaps.first(draw.stream("first gap"))[0]
    last_ns = 0
    while True:
        times = summed(values * (1e9 / rate_per_s), last_ns)
        yield times
        last_ns = int(times[-1])
        values = gaps.draw(stream, size)


def summed(gaps_ns: FloatColumn, last_ns: int) -> IntColumn:
    """Return the times that follow ``last_ns`` with these gaps, each rounded to a nanosecond.

    What lies beyond the last time that a trace can hold is at ``TOO_LATE``.
    """
    late = last_ns + np.cumsum(gaps_ns) > MAX_NS
    # Whole gaps are added, not rounded sums: integers add up alike in any order.
    whole = np.rint(np.minimum(gaps_ns, MAX_NS)).astype(np.int64)
    return np.where(late, TOO_LATE, last_ns + np.cumsum(whole))


def refuse_late(last_ns: int) -> None:
    """Refuse arrivals that a trace cannot hold.

    Raises:
        TraceError: The last one is beyond the last possible time.
    """
    if last_ns > MAX_NS:
        raise TraceError(
            f"arrivals: go beyond {MAX_NS / 1e9:g} s; ask for fewer requests or a higher rate"
        )


def with_rate(arrivals: Arrivals, rate_per_s: float) -> Arrivals:
    """Return a process with another rate; ``AtOnce`` has none and stays as it is.

    Raises:
        TraceError: The rate is out of range.
    """
    if isinstance(arrivals, AtOnce):
        return arrivals
    return replace(arrivals, rate_per_s=rate_per_s)  # type: ignore[type-var]
