"""Sessions as lists of turns: what comes after what, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..columns import NONE, IntColumn, Labels, Ragged, offsets_of
from ..limits import MAX_NS
from .arrivals import TOO_LATE
from .segments import previous, running, within
from .workload import UNNAMED

# A trace with arrivals must say when a later turn came, which depends on who served the turn
# before. These stand for an ordinary service; ``after`` and ``delay`` hold for any other.
ASSUMED_TTFT_NS = 500_000_000
ASSUMED_TPOT_NS = 30_000_000


def answer_ns(output_tokens: IntColumn) -> IntColumn:
    """Return how long answers are assumed to take, from arrival to last token, in nanoseconds."""
    return ASSUMED_TTFT_NS + ASSUMED_TPOT_NS * output_tokens


@dataclass(frozen=True)
class Turns:
    """The turns of some sessions, session by session.

    Attributes:
        offsets: Where each session starts, with the total at the end; no session is empty.
        first_session: Number of the first session.
    """

    offsets: IntColumn
    first_session: int = 0

    @property
    def count(self) -> int:
        """Turns of all sessions."""
        return int(self.offsets[-1])

    @property
    def first(self) -> IntColumn:
        """Positions of the first turns."""
        return self.offsets[:-1]

    @property
    def last(self) -> IntColumn:
        """Positions of the last turns."""
        return self.offsets[1:] - 1

    @property
    def turn(self) -> IntColumn:
        """Place of each turn in its session, from 1."""
        return within(self.offsets) + 1

    @property
    def session(self) -> Labels:
        """Number of each turn's session."""
        numbers = self.first_session + np.arange(len(self.offsets) - 1)
        return Labels(np.repeat(numbers, np.diff(self.offsets)), UNNAMED)

    @property
    def after(self) -> Ragged:
        """Position of the turn before each one."""
        later = self.turn > 1
        before = np.flatnonzero(later) - 1
        return Ragged(offsets_of(later.astype(np.int64)), before[:, None].astype(np.int64))

    def delays(self, pause_ns: IntColumn) -> IntColumn:
        """Return the pause before each turn; none is known before the first."""
        return np.where(self.turn > 1, pause_ns, NONE)

    def prompts(self, message_tokens: IntColumn, output_tokens: IntColumn) -> IntColumn:
        """Return prompt lengths: all messages so far, and the answers between them."""
        return running(message_tokens + previous(output_tokens, self.offsets), self.offsets)

    def arrivals(self, start_ns: IntColumn, busy_ns: IntColumn, pause_ns: IntColumn) -> IntColumn:
        """Return when turns arrive.

        Args:
            start_ns: Start of each session.
            busy_ns: Time from each turn's arrival until its answer is there.
            pause_ns: Time from there to the next turn, given for that turn.
        """
        step = previous(busy_ns, self.offsets) + np.where(self.turn > 1, pause_ns, 0)
        start = np.repeat(start_ns, np.diff(self.offsets))
        passed = running(step, self.offsets)
        return np.where(start > MAX_NS - passed, TOO_LATE, start + passed)

    def kept(self, keep: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Turns:
        """Return the sessions with these turns only; each must keep its first ones."""
        return Turns(offsets_of(keep.astype(np.int64))[self.offsets], self.first_session)
