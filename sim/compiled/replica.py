"""A replica whose steps are taken by compiled code, some thousand at a time."""

from typing import TYPE_CHECKING

import numpy as np
import simpy

from ...policies.batch import slack_size
from ...policies.callback import reraising
from ...policies.first_call import first_call
from ..scheduler_v0 import SchedulerV0
from ..usage import PARTS
from .arrivals import arrival_state
from .latency import latency_state
from .meter import meter_state
from .recorder import MAX_POOL_BYTES, make_recorder, pour
from .schedule import ChunkedPrompts
from .schedule_v0 import WholePrompts
from .serve import PAUSED, STALLED, serve
from .state import (
    MAY_LEAP,
    NOW,
    NUM_RUNNING,
    REASON,
    REASONS,
    RUNNING_LIST,
    EngineArrays,
    make_engine,
)
from .step import Clockwork
from .tables import table_state
from .waiting import in_order

if TYPE_CHECKING:
    from ..engine import Replica, SimEvents

STEPS_AT_ONCE = 4096
"""Steps between two looks at progress and interrupts: some milliseconds."""


def can_serve(replica: "Replica") -> bool:
    """Whether the arrays can hold what there is to record."""
    return replica.recorder.pool_bytes <= MAX_POOL_BYTES


def serve_compiled(replica: "Replica", env: simpy.Environment) -> "SimEvents":
    """Serve everything, as ``Replica`` would step by step; a simpy process."""
    table, config = replica.requests.table, replica.scheduler.config
    engine = make_engine(
        config, len(replica.requests), len(replica.scheduler.tables.groups), int(env.now)
    )
    engine.scalars[MAY_LEAP] = replica.scheduler.can_leap
    tables = table_state(replica.scheduler.tables, engine.seats, len(replica.requests))
    clockwork = _clockwork(replica, tables, engine)
    code, tell = PAUSED, replica.hooks.before_compiling
    try:
        while code == PAUSED:
            if replica.stopping():
                replica.truncated = True
                break
            with first_call(tell, engine, tables, clockwork), reraising(tables, clockwork):
                code = int(serve(engine, table, tables, clockwork, STEPS_AT_ONCE))
            replica.now_ns = int(engine.scalars[NOW])
            yield env.timeout(replica.now_ns - int(env.now))
            if replica.hooks.after_step is not None:
                replica.hooks.after_step(replica)
    finally:
        _hand_over(replica, engine)
        pour(clockwork.recorder, replica.recorder)
    if code == STALLED:
        raise replica.stalled()


def _clockwork(replica: "Replica", tables: object, engine: EngineArrays) -> Clockwork:
    groups, labels = len(replica.scheduler.tables.groups), len(replica.recorder.labels)
    whole = isinstance(replica.scheduler, SchedulerV0)
    return Clockwork(
        scheduler=WholePrompts() if whole else ChunkedPrompts(),
        meter=meter_state(replica.meter, engine.seats),
        latency=latency_state(replica.latency, engine.seats),
        recorder=make_recorder(replica.recorder, engine.seats),
        arrivals=arrival_state(replica.arrivals),
        parts=np.zeros((len(PARTS), labels), dtype=np.int64),
        slack=np.zeros(slack_size(groups), dtype=np.int64),
        reads=np.zeros(max(1, len(replica.latency.classes)), dtype=np.int64),
        prefills=np.zeros((3, engine.seats), dtype=np.int64),
    )


def _hand_over(replica: "Replica", engine: EngineArrays) -> None:
    """Let the plain replica and its scheduler know who runs, who waits and who was rejected."""
    scheduler, scalars = replica.scheduler, engine.scalars
    scheduler.running[:] = engine.lists[RUNNING_LIST, : scalars[NUM_RUNNING]].tolist()
    for slot in in_order(engine):
        scheduler.waiting.add(slot)
    reasons = engine.queue[REASON]
    for slot in np.flatnonzero(reasons).tolist():
        replica.rejected[slot] = REASONS[reasons[slot]]
