"""A replica whose steps are taken by compiled code, some thousand at a time."""

import simpy

from ...configs.errors import StalledError
from ...policies.called import reraising
from ..engine import Replica, SimEvents
from .recorder import pour
from .serve import PAUSED, STALLED, serve
from .state import MAY_LEAP, EngineArrays, make_engine
from .tables import compiled_tables

STEPS_AT_ONCE = 4096
"""Steps between two looks at progress and interrupts: some milliseconds."""


class CompiledReplica(Replica):
    """A Replica with the same results. Hooks are called every ``STEPS_AT_ONCE`` steps."""

    def _serve(self, env: simpy.Environment) -> SimEvents:
        engine = self._engine(int(env.now))
        tables = compiled_tables(self.scheduler.tables, engine.seats, len(self.requests))
        clockwork = self._clockwork(tables)
        code = PAUSED
        while code == PAUSED:
            if self._stopping():
                self.truncated = True
                break
            with reraising(tables, clockwork.arrivals):
                code = int(serve(engine, self.requests.table, tables, clockwork, STEPS_AT_ONCE))
            self._look(engine)
            yield env.timeout(self.now_ns - int(env.now))
            if self.hooks.after_step is not None:
                self.hooks.after_step(self)
        pour(clockwork.recorder, self.recorder)
        if code == STALLED:
            raise StalledError(self._diagnosis())

    def _engine(self, start_ns: int) -> EngineArrays:
        config, groups = self.scheduler.config, self.scheduler.tables.groups
        engine = make_engine(config, len(self.requests), len(groups), start_ns)
        engine.scalars[MAY_LEAP] = self.scheduler.can_leap
        return engine
