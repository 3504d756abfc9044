"""Small models, engines and traces that hypothesis draws, and how to run them.

A ``Scenario`` fits every policy: its pool is not given in bytes but between "holds one request"
and "holds all of them at once", so that preemption and refused admission happen under each policy.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from jenga_sim.configs.engine import engine_config
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.replay import ReplayConfig
from jenga_sim.configs.specs import GPUSpec, Kind, LayerSpec, ModelSpec, cdiv
from jenga_sim.policies.base import Carving, GroupingContext, PageGroup
from jenga_sim.policies.carving.lcm import LCMCarving
from jenga_sim.policies.presets import PRESETS, Policy
from jenga_sim.sim.dependencies import Dependencies
from jenga_sim.sim.engine import Replica
from jenga_sim.sim.recorder import Recorder, StepRecord
from jenga_sim.sim.requests import SEAT
from jenga_sim.sim.run import Setup, make_replica, prepare
from jenga_sim.sim.scheduler import Batch
from jenga_sim.sim.setup import scheduler_config, table_rules
from jenga_sim.sim.vllm_specs import vllm_specs
from jenga_sim.traces import Trace
from jenga_sim.traces.columns import Labels, Ragged

POLICIES = tuple(PRESETS)
FACTOR = int(os.environ.get("JENGA_SIM_EXAMPLES_FACTOR", "1"))
"""Examples per property test, times this; above 1 they are drawn at random, else always alike."""

MAX_STEPS = 50_000
"""No scenario needs nearly as many: a run that takes them makes no progress."""


def examples(count: int) -> settings:
    """Settings of a property test of ``count`` examples."""
    return settings(
        max_examples=count * FACTOR,
        deadline=None,
        derandomize=FACTOR == 1,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


GPU = GPUSpec(
    name="tiny",
    source="none",
    memory_bytes=1 << 40,
    memory_bandwidth=2e8,
    flops={"bf16": 1e10},
    link_bandwidth=1e9,
)
"""So slow that every cached token that a step reads shows in its nanoseconds."""


class Arrival(NamedTuple):
    """One request of a scenario."""

    at_ns: int
    prompt: int
    output: int
    cross: int = 0
    priority: int = 0


class Turn(NamedTuple):
    """Whom a request comes after, its think time (-1: unknown) and its session (-1: its own)."""

    after: tuple[int, ...] = ()
    delay_ns: int = -1
    session: int = -1


def with_turns(trace: Trace, turns: Sequence[Turn]) -> Trace:
    """The trace with who comes after whom; as it is without any turns."""
    if not turns:
        return trace
    known = dependencies_of(turns)
    names = [str(code) for code in range(int(known.session.max()) + 1)]
    return replace(
        trace,
        after=Ragged(known.after_offsets, known.after[:, None]),
        delay_ns=known.delay_ns,
        session=Labels(known.session, names),
    )


def dependencies_of(turns: Sequence[Turn]) -> Dependencies:
    """The columns of ``turns``."""
    return Dependencies(
        after_offsets=np.cumsum([0, *(len(turn.after) for turn in turns)], dtype=np.int64),
        after=np.array([slot for turn in turns for slot in turn.after], dtype=np.int64),
        delay_ns=np.array([turn.delay_ns for turn in turns], dtype=np.int64),
        session=np.array([turn.session for turn in turns], dtype=np.int64),
    )


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A model, an engine, a trace and how scarce memory is."""

    layers: tuple[LayerSpec, ...]
    requests: tuple[Arrival, ...]
    max_model_len: int = 300
    engine: dict[str, Any] = field(default_factory=dict[str, Any])
    room: int = 0
    """Eighths: 0 holds the largest request that is meant to be served, 8 all of them at once."""
    odd_bytes: int = 0
    """Added to the pool, so that it is no multiple of a page."""
    rejects: int = 0
    """Number of requests that the smallest pool is too small for, if they differ in size."""
    turns: tuple[Turn, ...] = ()
    """One per request, if any comes after others."""
    replay: ReplayConfig = field(default_factory=ReplayConfig)

    @property
    def model(self) -> ModelSpec:
        """The model of the scenario."""
        return tiny_model(self.layers, self.max_model_len)

    @property
    def trace(self) -> Trace:
        """The trace of the scenario."""
        at, prompt, output, cross, priority = zip(*self.requests, strict=True)
        return Trace.from_columns(at, prompt, output, cross_tokens=cross, priority=priority)


def tiny_model(layers: Sequence[LayerSpec], max_model_len: int = 300) -> ModelSpec:
    """A model of ``layers`` and next to no weights."""
    return ModelSpec(
        name="tiny",
        source="none",
        max_model_len=max_model_len,
        num_layers=len(layers),
        hidden_size=8,
        vocab_size=16,
        params_total=1000,
        params_active=1000,
        weight_bytes=2000,
        weight_dtype="bf16",
        layers=tuple(layers),
    )


def whole_entries(model: ModelSpec, block_size: int) -> int:
    """The next block that ends with the entries of ``model``."""
    return cdiv(block_size, model.tokens_per_entry) * model.tokens_per_entry


def groups_of(scenario: Scenario, policy: Policy) -> tuple[PageGroup, ...]:
    """Page groups of the scenario's model under ``policy``."""
    model = scenario.model
    engine = engine_config(**engine_of(scenario)).resolve(model, GPU)
    context = GroupingContext(block_size=engine.block_size, max_model_len=engine.max_model_len)
    if policy.aligns_blocks:
        specs = vllm_specs(model, engine, enable_prefix_caching=False)
    else:
        specs = engine.kv_cache_specs(model)
    return policy.group(specs, context)


def smallest_pool(
    carve: Callable[[tuple[PageGroup, ...], int], Carving],
    groups: tuple[PageGroup, ...],
    need: Sequence[int],
    watermark: float = 0.0,
) -> int:
    """The fewest bytes of which a carving says that ``need`` pages could fit them.

    ``watermark``: the share that is left even in an empty pool, by scheduler v0 only.
    """

    def enough(size: int) -> bool:
        try:
            carving = carve(groups, size)
        except ConfigError:
            return False
        if isinstance(carving, LCMCarving):
            return carving.could_fit_above(need, watermark)
        return carving.could_fit(need)

    high = max(group.page_bytes for group in groups)
    while not enough(high):
        high *= 2
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def engine_of(scenario: Scenario) -> dict[str, Any]:
    """The scenario's settings; one batch in flight unless it says two."""
    return {"async_scheduling": False, **scenario.engine}


def pool_bytes(scenario: Scenario, policy: Policy) -> int:
    """The pool of the scenario under ``policy``."""
    groups = groups_of(scenario, policy)
    resolved = engine_config(**engine_of(scenario)).resolve(scenario.model, GPU)
    config = scheduler_config(resolved, policy.scheduler)
    rules = table_rules(policy.scheduler, config, caches=False)
    watermark = config.watermark if policy.scheduler == "v0" else 0.0

    def need(request: Arrival) -> list[int]:
        text = min(request.prompt + request.output, resolved.max_model_len)
        cross = request.cross if scenario.model.has_cross else 0
        return [rules.most(group, text, cross) for group in groups]

    needs = sorted(map(need, scenario.requests), key=sum)
    needs = needs[: max(1, len(needs) - scenario.rejects)]
    one = [max(pages) for pages in zip(*needs, strict=True)]
    every = [sum(pages) for pages in zip(*needs, strict=True)]
    least = smallest_pool(policy.make_carving, groups, one, watermark)
    most = smallest_pool(policy.make_carving, groups, every, watermark)
    return least + (most - least) * scenario.room // 8 + scenario.odd_bytes


def setup_of(scenario: Scenario, policy: str, *, pool: int | None = None) -> Setup:
    """Everything resolved; raises ConfigError where ``policy`` cannot serve such a model."""
    size = pool or pool_bytes(scenario, PRESETS[policy])
    # The prefix cache has tests of its own (test_cached_run.py).
    engine = engine_of(scenario)
    engine |= {"kv_cache_memory_bytes": size, "enable_prefix_caching": False}
    return prepare(
        with_turns(scenario.trace, scenario.turns),
        model=scenario.model,
        gpu=GPU,
        policy=policy,
        replay=scenario.replay,
        **engine,
    )


class Decision(NamedTuple):
    """What the scheduler decided in one step, in order."""

    tokens: tuple[tuple[int, int], ...]
    admitted: tuple[int, ...]
    preempted: tuple[int, ...]
    refused: tuple[int, ...] | None
    waiting: tuple[int, ...]


class SpyRecorder(Recorder):
    """A recorder that shows every step to a listener and keeps all of them."""

    def __init__(self, labels: Sequence[str], pool_bytes: int) -> None:
        super().__init__(labels, pool_bytes)
        self.records: list[StepRecord] = []
        self.listener: Callable[[StepRecord], None] | None = None

    def step(self, record: StepRecord) -> None:
        super().step(record)
        self.records.append(record)
        if self.listener is not None:
            self.listener(record)


@dataclass
class Run:
    """A replica under observation."""

    setup: Setup
    replica: Replica
    recorder: SpyRecorder
    decisions: list[Decision] = field(default_factory=list[Decision])

    @property
    def preemptions(self) -> int:
        """How often a request lost its pages."""
        return sum(self.replica.requests.preemptions)


def make_run(
    scenario: Scenario, policy: str, *, fast: bool = False, pool: int | None = None
) -> Run | None:
    """A run before it starts: compiled, or step by step with every check after every step.

    None where vLLM's grouping refuses such a model.
    """
    try:
        setup = setup_of(scenario, policy, pool=pool)
    except ConfigError as error:
        if "cannot group this model" in str(error):
            return None
        raise
    replica = make_replica(setup, fast=fast, check=not fast)
    recorder = SpyRecorder(replica.meter.labels, setup.pool.bytes)
    # All of them are kept, so that runs can be compared step by step.
    recorder.max_samples = MAX_STEPS
    replica.recorder = recorder
    replica.hooks.should_stop = lambda: recorder.num_steps > MAX_STEPS
    run = Run(setup, replica, recorder)
    schedule = replica.scheduler.schedule

    def logged() -> Batch:
        batch = schedule()
        run.decisions.append(
            Decision(
                tokens=tuple(batch.tokens.items()),
                admitted=tuple(batch.admitted),
                preempted=tuple(batch.preempted),
                refused=None if batch.refused is None else tuple(batch.refused),
                waiting=tuple(replica.scheduler.waiting),
            )
        )
        return batch

    replica.scheduler.schedule = logged
    return run


def run_of(
    scenario: Scenario, policy: str, *, fast: bool = False, pool: int | None = None
) -> Run | None:
    """Run the scenario to its end; None where vLLM's grouping refuses such a model."""
    run = make_run(scenario, policy, fast=fast, pool=pool)
    if run is None:
        return None
    run.replica.run()
    assert not run.replica.truncated, "the run makes no progress"
    return run


def figures(run: Run) -> dict[str, Any]:
    """Everything that a run recorded, comparable with ``==``."""
    requests, recorder = run.replica.requests, run.recorder
    kept = {
        name: value for name, value in vars(recorder).items() if name not in ("listener", "records")
    }
    return {
        # Seats are the compiled engine's alone.
        "requests": requests.table[:SEAT].tolist(),
        "recorder": kept,
        "rejected": run.replica.rejected,
        "end_ns": run.replica.now_ns,
    }


# --- what hypothesis draws -----------------------------------------------------------------------

SIZES = st.sampled_from([1, 2, 2, 4, 4, 3])
WINDOWS = st.integers(1, 70)
ENTRIES = st.sampled_from([1, 1, 1, 1, 2, 2, 3, 4, 4, 4, 4, 128])
"""Tokens of an entry of compressed attention."""
OWN_BLOCKS = st.sampled_from([0, 0, 0, 0, 0, 1, 4, 6])
"""Tokens of a block where a cache has blocks of its own."""


@st.composite
def layer(draw: st.DrawFn, kinds: Sequence[Kind]) -> LayerSpec:
    """One layer of a kind out of ``kinds``."""
    kind = draw(st.sampled_from(kinds))
    if kind in ("mamba", "linear"):
        return LayerSpec(
            kind=kind,
            variant=kind,
            heads=1,
            conv_channels=draw(st.integers(0, 9)),
            conv_columns=1,
            ssm_elements=draw(st.integers(1, 200)),
            ssm_dtype=draw(st.sampled_from(["bf16", "fp32"])),
        )
    if kind in ("mla", "indexer"):
        entry = draw(ENTRIES)
        return LayerSpec(
            kind=kind,
            variant=f"{kind}_c{entry}",
            heads=2,
            kv_heads=1,
            k_dim=2 * draw(SIZES),
            tokens_per_entry=entry,
            replicated=True,
        )
    if kind == "compressor":
        return LayerSpec(
            kind=kind,
            variant=kind,
            heads=2,
            kv_heads=1,
            k_dim=draw(SIZES),
            window=draw(WINDOWS),
            dtype="fp32",
            block_size=draw(OWN_BLOCKS),
            replicated=True,
        )
    windowed = kind in ("sliding_window", "chunked_local")
    dim = draw(SIZES)
    return LayerSpec(
        kind=kind,
        variant=kind,
        heads=2,
        kv_heads=draw(st.sampled_from([1, 1, 2])),
        k_dim=dim,
        v_dim=dim,
        window=draw(WINDOWS) if windowed else 0,
        block_size=draw(OWN_BLOCKS) if kind == "sliding_window" else 0,
    )


ALL_KINDS: tuple[Kind, ...] = (
    "full",
    "sliding_window",
    "chunked_local",
    "mamba",
    "linear",
    "cross",
    "mla",
    "indexer",
    "compressor",
)


@st.composite
def layer_mixes(
    draw: st.DrawFn, kinds: Sequence[Kind] = ALL_KINDS, *, most: int = 4
) -> tuple[LayerSpec, ...]:
    """Up to ``most`` different layers, each a few times, in any order."""
    different = draw(st.lists(layer(kinds), min_size=1, max_size=most))
    copies = [draw(st.integers(1, 3)) for _ in different]
    layers = [one for one, count in zip(different, copies, strict=True) for _ in range(count)]
    return tuple(draw(st.permutations(layers)))


@st.composite
def engines(
    draw: st.DrawFn, max_model_len: int, *, asynchronous: bool | None, crowd: bool
) -> dict[str, Any]:
    """Engine settings: tiny budgets, odd blocks, every switch of the scheduler.

    A crowd is let in more easily, and is preempted more often.
    """
    chunked = crowd or draw(st.sampled_from([True, True, False]))
    budget = (
        draw(st.integers(4, 12 if crowd else 64))
        if chunked
        else max_model_len + draw(st.integers(0, 60))
    )
    switch = st.booleans() if asynchronous is None else st.just(asynchronous)
    return {
        "block_size": draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 12, 16, 32])),
        "max_num_seqs": draw(st.integers(min(budget, 10) if crowd else 1, min(budget, 10))),
        "max_num_batched_tokens": budget,
        "scheduling_policy": draw(st.sampled_from(["fcfs", "priority"])),
        "watermark": draw(st.sampled_from([0.0, 0.01] if crowd else [0.0, 0.01, 0.1, 0.3])),
        "scheduler_reserve_full_isl": draw(st.booleans()) and not crowd,
        "long_prefill_token_threshold": draw(st.sampled_from([0, 0, 3, 17])),
        "enable_chunked_prefill": chunked,
        "async_scheduling": draw(switch),
    }


@st.composite
def scenarios(
    draw: st.DrawFn,
    kinds: Sequence[Kind] = ALL_KINDS,
    *,
    asynchronous: bool | None = None,
    rejects: bool = True,
    most_layers: int = 4,
    requests: int = 8,
) -> Scenario:
    """A whole scenario; ``asynchronous`` None draws it, ``rejects`` allows requests too large."""
    crowd = draw(st.sampled_from([True, True, False]))
    layers = draw(layer_mixes(kinds, most=min(2, most_layers) if crowd else most_layers))
    lengths = st.integers(1, 12) if crowd else st.one_of(st.integers(1, 12), st.integers(1, 200))
    gaps = st.one_of(st.just(0), st.integers(0, 3_000_000), st.integers(0, 40_000_000))
    gaps = st.integers(0, 300_000) if crowd else gaps
    outputs = st.integers(25, 60) if crowd else st.integers(1, 60)
    arrivals: list[Arrival] = []
    now = draw(st.sampled_from([0, 0, 5_000_000]))
    for _ in range(draw(st.integers(requests // 2 if crowd else 1, requests))):
        now += draw(gaps)
        arrivals.append(
            Arrival(
                now,
                draw(lengths),
                draw(outputs),
                draw(st.sampled_from([0, 1, 5, 17, 40])),
                draw(st.integers(-1, 2)),
            )
        )
    longest = max(arrival.prompt + arrival.output for arrival in arrivals)
    spare = draw(st.sampled_from([0, 40, -20, 1] if rejects else [0, 1, 40]))
    max_model_len = max(2, longest + spare)
    engine = draw(engines(max_model_len, asynchronous=asynchronous, crowd=crowd))
    engine["block_size"] = whole_entries(tiny_model(layers), engine["block_size"])
    return Scenario(
        layers=layers,
        requests=tuple(arrivals),
        max_model_len=max_model_len,
        engine=engine,
        room=draw(st.sampled_from([0, 1, 2] if crowd else [0, 1, 1, 2, 3, 5, 8])),
        odd_bytes=draw(st.integers(0, 40)),
        rejects=draw(st.sampled_from([0, 1, 0])) if rejects else 0,
    )


def turns_of(count: int, random: Random) -> tuple[Turn, ...]:
    """Chains, forks and joins of ``count`` requests, within sessions and, rarely, across them.

    Now and then requests come after others that are below them in the trace.
    """
    order = list(range(count))
    if random.random() < 0.2:
        random.shuffle(order)
    codes = [random.choice([-1, 0, 0, 1, 1, 2]) for _ in order]
    turns: dict[int, Turn] = {}
    for position, slot in enumerate(order):
        earlier = order[:position]
        own = [before for before in earlier if codes[before] == codes[slot] != -1]
        known = own if random.random() < 0.9 else earlier
        after = known[-1:] if random.random() < 0.7 else []
        if known and random.random() < 0.2:
            after = random.choices(known, k=3)
        delay_ns = random.choice([-1, 0, 0, random.randrange(3_000_000), 60_000_000])
        turns[slot] = Turn(tuple(after), delay_ns, codes[slot])
    return tuple(turns[slot] for slot in range(count))


def turns(count: int) -> st.SearchStrategy[tuple[Turn, ...]]:
    """Any ``turns_of`` so many requests."""
    return st.randoms(use_true_random=True).map(lambda random: turns_of(count, random))


REPLAYS = (ReplayConfig("session"), *(ReplayConfig("closed", n) for n in (1, 2, 3)))


@st.composite
def replays(draw: st.DrawFn, scenario: st.SearchStrategy[Scenario]) -> Scenario:
    """A scenario of ``scenario`` whose requests come after one another, in either mode."""
    drawn = draw(scenario)
    after = draw(turns(len(drawn.requests)))
    return replace(drawn, turns=after, replay=draw(st.sampled_from(REPLAYS)))
