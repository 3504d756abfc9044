"""Clocks that tick: traces whose arrivals share coarse timestamps.

Requests that share a timestamp have gaps of zero, which makes arrivals look burstier than they
were. If the clock ticks every q, the requests of one tick arrived at unknown times within q. Taken
as uniform and independent there, their gaps have known expectations, so nothing need be drawn.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from ..columns import IntColumn as IntArray
from .exact import exact_dot, exact_sum

_LEAST_SHARING = 1.1
"""Requests per timestamp below which a tick is too short to matter."""

_LEAST_STEPS = 10
"""Fewer steps between timestamps say nothing about a clock."""

TOLERANCE = 100
"""Clocks jitter: a step may be off a whole number of ticks by a tick over this."""

_MOST_OFF = 100
"""One step in this many may be off by more."""

_FIXED = 1 << 30
"""Denominator of shares of a tick."""


def find_quantum(
    steps_ns: IntArray, counts: IntArray, requests: int, exact: bool = True
) -> int | None:
    """Find the tick of a clock in nanoseconds; None if there is none or it does not matter.

    It is the median step, if the others are multiples of that; else the largest common divisor.

    Args:
        steps_ns: Different times between successive timestamps, ascending, above 0.
        counts: How often each occurs.
        requests: Requests of the trace.
        exact: Whether ``steps_ns`` are exact, so that they may have a common divisor.
    """
    total = int(counts.sum())
    if total < _LEAST_STEPS or requests < _LEAST_SHARING * (total + 1):
        return None
    median = int(steps_ns[np.searchsorted(np.cumsum(counts), total // 2, side="right")])
    rest = (steps_ns + median // 2) % median - median // 2
    off = np.abs(rest) > median // TOLERANCE
    if int(counts[off].sum()) * _MOST_OFF <= total:
        return median
    return int(np.gcd.reduce(steps_ns)) if exact else None


class SpreadGaps:
    """The times between arrivals, as sums that give their variation for any tick."""

    def __init__(self) -> None:
        self._pairs = self._steps = self._squares = 0
        self._shares = self._step_shares = self._share_squares = 0

    def add(self, steps_ns: IntArray, before: IntArray, after: IntArray) -> None:
        """Add pairs of timestamps ``steps_ns`` apart, with the requests at each of the two."""
        if not len(steps_ns):
            return
        shares = _FIXED // (before + 1) + _FIXED // (after + 1)
        self._pairs += len(steps_ns)
        self._steps += exact_sum(steps_ns)
        self._squares += exact_dot(steps_ns, steps_ns)
        self._shares += exact_sum(shares)
        self._step_shares += exact_dot(steps_ns, shares)
        self._share_squares += exact_dot(shares, shares)

    def variation(self, gaps: int) -> float | None:
        """Coefficient of variation of the ``gaps``, with gaps of 0 at shared timestamps."""
        return _variation(gaps, Fraction(self._steps), Fraction(self._squares))

    def spread_variation(
        self, quantum_ns: int, sizes: IntArray, counts: IntArray, ends: tuple[int, int]
    ) -> float | None:
        """Coefficient of variation of the gaps with requests spread over their ticks.

        k requests in a tick of length q are q / (k + 1) apart on average, with a mean square of
        2 q^2 / ((k + 1) (k + 2)). The first and the last of them leave as much to the ends of the
        tick, each with variance k q^2 / ((k + 1)^2 (k + 2)).

        Args:
            quantum_ns: The tick q.
            sizes: Different numbers of requests per timestamp.
            counts: How many timestamps have each.
            ends: Requests at the first and at the last timestamp.
        """
        ticks = list(zip(sizes.tolist(), counts.tolist(), strict=True))
        edges = [2 * many * _edge_variance(k) for k, many in ticks]
        edges += [-_edge_variance(k) for k in ends]
        squares = [2 * many * (k - 1) / ((k + 1) * (k + 2)) for k, many in ticks]
        inside = Fraction(math.fsum(many * (k - 1) / (k + 1) for k, many in ticks))
        inside_square = Fraction(math.fsum(squares + edges))
        q = quantum_ns
        shares = Fraction(self._shares, _FIXED)
        step_shares = Fraction(self._step_shares, _FIXED)
        share_squares = Fraction(self._share_squares, _FIXED**2)
        # Between two ticks: step - q + q * shares, here summed, and its square summed.
        between = self._steps - q * self._pairs + q * shares
        between_square = self._squares - 2 * q * self._steps + q * q * self._pairs
        between_square += 2 * q * (step_shares - q * shares) + q * q * share_squares
        gaps = sum(k * many for k, many in ticks) - 1
        return _variation(gaps, between + q * inside, between_square + q * q * inside_square)


def _variation(count: int, total: Fraction, squares: Fraction) -> float | None:
    """Standard deviation over mean, from a sum and a sum of squares; None if that says nothing."""
    if count < 1 or total <= 0:
        return None
    return math.sqrt(max(count * squares / total**2 - 1, Fraction(0)))


def _edge_variance(k: int) -> float:
    """Variance of the last of k uniform times in a tick of length 1."""
    return k / ((k + 1) ** 2 * (k + 2))
