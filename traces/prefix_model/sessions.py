"""Sessions whose ids were not recorded: a turn goes on where the one before ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...configs.errors import TraceError
from ..columns import NONE
from ..generate.draw import Draw
from ..record import Trace
from .forest import Forest
from .model import Modelled


@dataclass(frozen=True)
class SessionChains:
    """A turn begins like the turn before it if it is long enough to hold that and its answer.

    If it is not, the context was compacted or is another one, and nothing is shared.
    """

    NAME: ClassVar[str] = "sessions"

    def applied(self, trace: Trace, draw: Draw, block_size: int) -> Modelled:
        """See ``PrefixModel``."""
        if trace.session is None:
            raise TraceError(
                "prefix model sessions: the trace names no sessions; hit:0.4 makes follow-ups up"
            )
        codes = trace.session.codes
        order = np.argsort(codes, kind="stable")
        before = np.full(len(trace), NONE)
        later = (codes[order][1:] == codes[order][:-1]) & (codes[order][1:] != NONE)
        before[order[1:][later]] = order[:-1][later]
        context = trace.input_tokens + trace.output_tokens
        holds = (before != NONE) & (trace.input_tokens >= context[before])
        blocks = trace.input_tokens // block_size
        forest = Forest(
            parent=np.where(holds, before, NONE),
            shared=np.where(holds, blocks[before], 0),
            blocks=blocks,
        )
        breaks = int(np.sum((before != NONE) & ~holds))
        turns = int(np.sum(before != NONE))
        remark = f"{breaks} of {turns} later turns start a new context"
        return Modelled(forest.runs(), (remark,), forest.hit_blocks)
