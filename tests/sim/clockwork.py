"""An engine whose every step takes ten milliseconds, for runs worked out by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jenga_sim import ReplayConfig
from jenga_sim.policies.base import Content, PageGroup
from jenga_sim.policies.carving.single import SinglePool
from jenga_sim.sim.arrivals import make_arrivals
from jenga_sim.sim.engine import Replica
from jenga_sim.sim.latency import AttentionClass, StepShape
from jenga_sim.sim.recorder import Recorder
from jenga_sim.sim.requests import Requests
from jenga_sim.sim.scheduler import Scheduler, SchedulerConfig
from jenga_sim.sim.tables import BlockTables
from jenga_sim.sim.usage import UsageMeter
from tests.sim.strategies import Turn, dependencies_of

MS = 1_000_000
STEP_MS = 10
BYTES_PER_TOKEN, BLOCK = 10, 4
PAGE = BYTES_PER_TOKEN * BLOCK
NOBODY = Turn()


@dataclass
class TenMilliseconds:
    """A latency model under which every step takes as long as any other."""

    classes: tuple[AttentionClass, ...] = field(default=())

    def step_ns(self, shape: StepShape) -> int:
        del shape
        return STEP_MS * MS

    def copy_ns(self, moved_bytes: int, launches: int) -> int:
        return moved_bytes + launches

    def describe(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Ask:
    """A request: arrival in ms, tokens, and whom it comes after."""

    at: float
    prompt: int
    output: int
    turn: Turn = NOBODY
    priority: int = 0


def replica_of(
    asks: Sequence[Ask],
    *,
    replay: ReplayConfig | None = None,
    pages: int = 100,
    max_num_seqs: int = 8,
    budget: int = 64,
    max_model_len: int = 200,
    by_priority: bool = False,
    fast: bool = True,
) -> Replica:
    """A replica before it runs, with one layer of full attention."""
    group = PageGroup(
        name="full",
        kind="full",
        block_size=BLOCK,
        page_bytes=PAGE,
        contents=(Content(label="full", kind="full", layers=1, entry_bytes=BYTES_PER_TOKEN),),
    )
    requests = Requests(
        prompt_tokens=[ask.prompt for ask in asks],
        max_tokens=[ask.output for ask in asks],
        priority=[ask.priority for ask in asks],
    )
    config = SchedulerConfig(
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=budget,
        max_model_len=max_model_len,
        policy="priority" if by_priority else "fcfs",
    )
    tables = BlockTables(
        requests,
        (group,),
        SinglePool((group,), pages * PAGE),
        max_in_flight_tokens=config.max_in_flight_tokens,
        max_model_len=max_model_len,
    )
    meter = UsageMeter(tables)
    arrival_ns = np.array([int(ask.at * MS) for ask in asks], dtype=np.int64)
    return Replica(
        requests=requests,
        arrivals=make_arrivals(
            arrival_ns, replay or ReplayConfig(), dependencies_of([ask.turn for ask in asks])
        ),
        scheduler=Scheduler(requests, tables, config),
        latency=TenMilliseconds(),
        recorder=Recorder(meter.labels, pages * PAGE),
        meter=meter,
        fast=fast,
        check=True,
    )


def run(*asks: Ask, **settings: Any) -> Replica:
    """Serve ``asks`` to the end."""
    replica = replica_of(asks, **settings)
    replica.run()
    return replica
