"""The figures of the pictures in docs/policies.md, computed by the simulator.

One small model, trace and pool for all presets: pages come from a policy's groups, the shares of
the pool from the step that runs at one moment, with the books of the pool as they were then.
"""

import json
from dataclasses import asdict, dataclass

from jenga_sim import Carving, LayerSpec, ModelSpec, PageGroup, Trace
from jenga_sim.policies.carving.buddy import Buddy
from jenga_sim.policies.carving.lcm import LCMCarving
from jenga_sim.policies.carving.rebalance import Rebalance
from jenga_sim.policies.carving.static import StaticPartition
from jenga_sim.policies.carving.two_ended import TwoEnded
from jenga_sim.sim.engine import Hooks
from jenga_sim.sim.plots import WASTE_COLORS
from jenga_sim.sim.recorder import Recorder, StepRecord
from jenga_sim.sim.run import make_replica, make_result, prepare

KIB, MIB = 1 << 10, 1 << 20
POOL_BYTES = 48 * MIB
MOMENT_NS = 200_000_000
NUM_REQUESTS = 40


@dataclass(frozen=True, kw_only=True)
class Row:
    """The page of one group; all sizes in bytes."""

    name: str
    holds: str
    page_bytes: int
    pages_per_block: int
    layers: tuple[tuple[str, int], ...]
    """Label and bytes of every layer in a block."""
    in_large: int
    """Pages in a large page; 0 where there are none."""
    units: int
    """Page in units of the buddy allocator; 0 elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stretch of a divided pool, in bytes from its low end, and what of it requests hold."""

    name: str
    start: int
    end: int
    held: int
    from_above: bool = False


@dataclass(frozen=True, kw_only=True)
class Picture:
    """All figures of a picture."""

    policy: str
    rows: tuple[Row, ...]
    parts: tuple[Part, ...]
    running: int
    waiting: int
    pool: tuple[tuple[str, int], ...]
    """Needed bytes by kind, then the other parts; they sum to the pool."""

    def as_json(self) -> str:
        """All of it on one line."""
        return json.dumps(asdict(self), separators=(",", ":"))

    def needed(self) -> int:
        """Needed bytes of all kinds."""
        return sum(bytes_ for label, bytes_ in self.pool if label not in WASTE_COLORS)

    def in_words(self) -> str:
        """What the bar shows, for those who do not see it."""
        parts = [("needed", self.needed()), *self.pool[-len(WASTE_COLORS) :]]
        shares = [
            f"{bytes_ / POOL_BYTES:.1%} {part}"
            for part, bytes_ in parts
            if bytes_ > POOL_BYTES // 2000
        ]
        return f"{self.policy}: {self.running} requests run; {', '.join(shares)}"


def model() -> ModelSpec:
    """Three full-attention layers, five with a window of 256 tokens, two with a state."""
    full = LayerSpec(kind="full", variant="full", heads=1, kv_heads=1, k_dim=256, v_dim=256)
    window = LayerSpec(
        kind="sliding_window", variant="swa", heads=1, kv_heads=1, k_dim=256, v_dim=256, window=256
    )
    state = LayerSpec(
        kind="mamba",
        variant="mamba",
        heads=1,
        conv_channels=6 * KIB,
        conv_columns=1,
        ssm_elements=24 * KIB,
    )
    layers = (full, window, window, full, state, window, window, full, window, state)
    return ModelSpec(
        name="teaching", source="made up", max_model_len=4096, num_layers=10, hidden_size=256,
        vocab_size=1000, params_total=10**7, params_active=10**7, weight_bytes=2 * 10**7,
        weight_dtype="bf16", layers=layers,
    )  # fmt: skip


def trace() -> Trace:
    """One request every millisecond: prompts of 200 to 2,276 tokens, outputs of 100 to 570."""
    numbers = range(NUM_REQUESTS)
    return Trace.from_columns(
        arrival_ns=[i * 1_000_000 for i in numbers],
        input_tokens=[200 + 173 * (i * 7 % 13) for i in numbers],
        output_tokens=[100 + 47 * (i * 5 % 11) for i in numbers],
    )


class Snapshots(Recorder):
    """A recorder that also notes the parts of the pool at every step."""

    carving: Carving
    parts: list[tuple[Part, ...]]

    def step(self, record: StepRecord) -> None:
        """See Recorder."""
        super().step(record)
        self.parts.append(pool_parts(self.carving))


def pool_parts(carving: Carving) -> tuple[Part, ...]:
    """Where a divided pool is divided now; nothing for pools that are one."""
    names = [group.name for group in carving.groups]
    sizes = [group.page_bytes for group in carving.groups]
    if isinstance(carving, TwoEnded):
        runs = carving.runs
        return tuple(
            Part(name=names[g], start=low, end=high, held=live * sizes[g],
                 from_above=g == runs[-1][0])
            for g, low, high, live in runs
        )  # fmt: skip
    if isinstance(carving, StaticPartition):
        held = carving.held_pages
    elif isinstance(carving, Rebalance):
        sizes, held = list(carving.page_bytes), carving.held_pages
        names = ["+".join(n for n, p in zip(names, carving.part_of, strict=True) if p == part)
                 for part in range(len(sizes))]  # fmt: skip
    else:
        return ()
    ends = [0]
    for pages, size in zip(carving.num_pages, sizes, strict=True):
        ends.append(ends[-1] + pages * size)
    return tuple(
        Part(name=name, start=ends[i], end=ends[i + 1], held=held[i] * sizes[i])
        for i, name in enumerate(names)
    )


def page_row(group: PageGroup, carving: Carving, max_model_len: int) -> Row:
    """What a page of the group looks like."""
    large = carving.large_bytes if isinstance(carving, LCMCarving) else 0
    unit = carving.unit if isinstance(carving, Buddy) else 0
    tokens = f"{group.block_size} token{'s' if group.block_size > 1 else ''}"
    return Row(
        name=group.name,
        holds="a request" if group.block_size >= max_model_len else tokens,
        page_bytes=group.page_bytes,
        pages_per_block=group.pages_per_block,
        layers=tuple(
            (content.label, group.capacity_bytes(content) // content.layers)
            for content in group.contents
            for _ in range(content.layers)
        ),
        in_large=large // group.page_bytes,
        units=group.page_bytes // unit if unit else 0,
    )


def picture(policy: str) -> Picture:
    """Compute the figures of a preset's picture."""
    setup = prepare(
        trace(), model=model(), gpu="h100-sxm", policy=policy, kv_cache_memory_bytes=POOL_BYTES,
        block_size=16, max_num_batched_tokens=256, enable_prefix_caching=False,
    )  # fmt: skip
    rows = tuple(
        page_row(group, setup.carving, setup.engine.max_model_len) for group in setup.groups
    )
    replica = make_replica(setup, fast=False)
    recorder = Snapshots(replica.meter.labels, setup.pool.bytes)
    recorder.carving, recorder.parts = setup.carving, []
    replica.recorder = recorder
    replica.hooks = Hooks(should_stop=lambda: replica.now_ns > MOMENT_NS)
    replica.run()
    steps = make_result(setup, replica).steps
    at = int((steps["start_ms"] <= MOMENT_NS / 1e6).sum()) - 1
    step = steps.iloc[at]
    pool = [(label, int(step[f"needed:{label}"])) for label in recorder.labels]
    pool += [(part, int(step[part])) for part in WASTE_COLORS]
    return Picture(
        policy=policy, rows=rows, parts=recorder.parts[at], running=int(step["running"]),
        waiting=int(step["waiting"]), pool=tuple(pool),
    )  # fmt: skip
