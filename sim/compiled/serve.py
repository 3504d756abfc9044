"""The loop of the compiled engine: steps, leaps and idle times, many of them per call."""

from typing import Any

from ...policies.compiled import compiled, inner
from ..requests import IntArray
from . import contract
from .leap import finish_done, leap
from .state import (
    DEPTH,
    DURATION,
    NOW,
    NUM_IN_FLIGHT,
    NUM_RUNNING,
    NUM_STEPS,
    NUM_WAITING,
    OLDEST,
    STEADY,
    EngineArrays,
)
from .step import Clockwork, arrive, idle, launch, settle

PAUSED, DONE, STALLED = range(3)
"""Why ``serve`` came back: enough steps; everything is served; requests wait that never will be."""


@compiled
def serve(
    engine: EngineArrays, table: IntArray, tables: Any, clockwork: Clockwork, most: int
) -> int:
    """Serve for about ``most`` steps; go on by calling it again.

    Raises:
        InvariantError: The books of the policy do not balance.
    """
    scalars = engine.scalars
    last = scalars[NUM_STEPS] + most
    while scalars[NUM_STEPS] < last:
        arrive(engine, table, tables, clockwork.arrivals)
        if scalars[STEADY] and scalars[NUM_IN_FLIGHT] == scalars[DEPTH] - 1:
            steps = leap(engine, table, tables, clockwork, last - scalars[NUM_STEPS])
            if steps:
                scalars[STEADY] = not finish_done(engine, table, tables, clockwork.arrivals)
                continue
        if _launch_next(engine, table, tables, clockwork):
            continue
        if scalars[NUM_IN_FLIGHT]:
            _settle_oldest(engine, table, tables, clockwork)
            continue
        arrival_ns = contract.next_ns(clockwork.arrivals)
        if arrival_ns < 0:
            waits = scalars[NUM_RUNNING] + scalars[NUM_WAITING] > 0
            return STALLED if waits else DONE
        # There is no time between if a request was dropped just now, and the next comes after it.
        if arrival_ns > scalars[NOW]:
            idle(engine, table, tables, clockwork, arrival_ns - scalars[NOW])
            scalars[NOW] = arrival_ns
        scalars[STEADY] = False
    return PAUSED


@inner
def _launch_next(engine: EngineArrays, table: IntArray, tables: Any, clockwork: Clockwork) -> bool:
    """Launch a batch if there is room for one; True if there is room for another."""
    scalars = engine.scalars
    flying = scalars[NUM_IN_FLIGHT]
    if flying == scalars[DEPTH] or scalars[NUM_RUNNING] + scalars[NUM_WAITING] == 0:
        return False
    which = scalars[OLDEST] if flying == 0 else 1 - scalars[OLDEST]
    if not launch(engine, table, tables, clockwork, which):
        return False
    scalars[NUM_IN_FLIGHT] = flying + 1
    return flying + 1 < scalars[DEPTH]


@inner
def _settle_oldest(
    engine: EngineArrays, table: IntArray, tables: Any, clockwork: Clockwork
) -> None:
    """Let the older batch come to its end."""
    scalars = engine.scalars
    which = scalars[OLDEST]
    scalars[NUM_IN_FLIGHT] -= 1
    scalars[OLDEST] = 1 - which
    scalars[NOW] += engine.counts[DURATION, which]
    scalars[STEADY] = settle(engine, table, tables, clockwork, which)
