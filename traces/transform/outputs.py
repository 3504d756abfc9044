"""Requests of which nothing came out: cancelled, failed, or only their prompt was wanted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...configs.errors import TraceError
from ...configs.replay import ZeroOutput
from ..record import Trace


def with_outputs(trace: Trace, policy: ZeroOutput = "one") -> Trace:
    """Decide about requests with an output of 0 tokens, and note how many there are.

    Args:
        trace: The trace.
        policy: ``one``: an engine always generates a token, so it does here; ``prefill``: the
            prompt is computed, and what comes out is not counted; ``skip``: they are left out.

    Raises:
        TraceError: Nothing is left.
    """
    silent = trace.output_tokens == 0
    count = int(silent.sum())
    if not count:
        return trace
    share = f"{count} of {len(trace)} requests have no output"
    if policy == "skip":
        if count == len(trace):
            raise TraceError("--zero-output skip: no request has an output, nothing is left")
        return _noted(trace.select(~silent), f"{share}: skipped")
    if policy == "prefill":
        return _noted(trace, f"{share}: only their prompts are computed")
    changed = replace(trace, output_tokens=np.maximum(trace.output_tokens, 1))
    return _noted(changed, f"{share}: each generates one token (--zero-output)")


def _noted(trace: Trace, note: str) -> Trace:
    return trace.with_meta(notes=(*trace.meta.notes, note))
