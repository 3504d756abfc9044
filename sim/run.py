"""The main job: replay a trace against one memory policy on one model and GPU."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..configs.replay import ReplayConfig
from ..configs.specs import GPUSpec, ModelSpec
from ..policies.carving.lcm import LCMCarving
from ..policies.presets import Policy
from ..traces import Trace
from .arrivals import make_arrivals
from .collect import make_result
from .engine import Hooks, Replica
from .large_tables import LargePageTables
from .prefix_keys import TraceKeys
from .recorder import Recorder
from .requests import MAX_TOKENS, PROMPT, Requests
from .result import Result
from .scheduler import Scheduler, SchedulerConfig
from .scheduler_v0 import SchedulerV0
from .setup import Setup, prepare, scheduler_config, table_rules
from .table_contract import SharedTables, Tables
from .tables import BlockTables
from .usage import UsageMeter

__all__ = ["Setup", "make_replica", "make_result", "prepare", "run", "simulate"]


def run(
    trace: Trace | str | Path,
    *,
    model: ModelSpec | str = "gemma-3-27b",
    gpu: GPUSpec | str = "h100-sxm",
    policy: Policy | str = "lcm",
    vllm_log: str | Path | None = None,
    replay: ReplayConfig | None = None,
    profile: str | Path | None = None,
    fast: bool = True,
    check: bool = False,
    hooks: Hooks | None = None,
    **engine: Any,
) -> Result:
    """Replay ``trace`` and return a Result.

    Args:
        trace: A Trace, or the path of a trace file.
        model: Name of a packaged model, path of a YAML file, or a ModelSpec.
        gpu: Likewise for the GPU.
        policy: Name of a preset, ``file.py:Class``, or a Policy.
        vllm_log: Start-up log of a real vLLM, to read the KV pool from.
        replay: When requests arrive; at their timestamps unless given.
        profile: Name of a packaged profile or its folder, to take step times from; from the data
            sheet of the GPU unless given.
        fast: Take alike decode steps in leaps; the result is the same either way.
        check: Check every invariant after every step.
        hooks: Callbacks between steps.
        engine: Settings of EngineConfig, e.g. ``max_num_seqs=64``.

    Raises:
        ConfigError: A setting, model, GPU or policy is unknown or impossible.
        TraceError: The trace cannot be read.
        StalledError: The policy lets requests wait for ever.
    """
    setup = prepare(
        trace,
        model=model,
        gpu=gpu,
        policy=policy,
        vllm_log=vllm_log,
        replay=replay,
        profile=profile,
        **engine,
    )
    return simulate(setup, fast=fast, check=check, hooks=hooks)


def simulate(
    setup: Setup, *, fast: bool = True, check: bool = False, hooks: Hooks | None = None
) -> Result:
    """Run a prepared setup to the end; its carving is used up by that."""
    replica = make_replica(setup, fast=fast, check=check, hooks=hooks)
    replica.run()
    return make_result(setup, replica)


def make_replica(
    setup: Setup, *, fast: bool = True, check: bool = False, hooks: Hooks | None = None
) -> Replica:
    """Wire table, scheduler, memory, latency and recorder into an engine."""
    trace, engine = setup.trace, setup.engine
    cross = trace.cross_tokens if setup.model.has_cross else None
    requests = Requests(
        prompt_tokens=trace.input_tokens,
        max_tokens=trace.output_tokens,
        cross_tokens=cross,
        priority=trace.priority,
    )
    config = scheduler_config(engine, setup.policy.scheduler)
    # vLLM's own cache is left as it is: recordings of vLLM show such restarts beside others.
    config = replace(config, restart_alone=setup.cache is None)
    if setup.cache is not None:
        config = replace(config, **setup.cache.state_blocks())
    tables, meter = _memory(setup, requests, config)
    return Replica(
        requests=requests,
        arrivals=make_arrivals(trace.arrival_ns, setup.replay, setup.dependencies),
        scheduler=_scheduler(setup.policy.scheduler, requests, tables, config),
        latency=setup.latency,
        recorder=Recorder(meter.labels, setup.pool.bytes),
        meter=meter,
        fast=fast,
        check=check,
        hooks=hooks or Hooks(),
    )


def _memory(setup: Setup, requests: Requests, config: SchedulerConfig) -> tuple[Tables, UsageMeter]:
    """Block tables, with a prefix cache or without, and the meter that reads them."""
    whole_prompts = setup.policy.scheduler == "v0"
    if isinstance(setup.carving, LCMCarving) and (setup.caches or whole_prompts):
        large = LargePageTables(
            requests,
            setup.carving,
            TraceKeys(setup.trace) if setup.caches else None,
            table_rules(setup.policy.scheduler, config, setup.caches),
            watermark=config.watermark if whole_prompts else 0.0,
            counts_steps=whole_prompts,
            seats=config.max_num_seqs,
            longest=_longest_served(requests, config),
        )
        return large, _cached_meter(large) if setup.caches else UsageMeter(large)
    if setup.cache is None:
        plain = BlockTables(
            requests,
            setup.groups,
            setup.carving,
            max_in_flight_tokens=config.max_in_flight_tokens,
            max_model_len=config.max_model_len,
        )
        return plain, UsageMeter(plain)
    # numba is imported here, and only if something is cached.
    from .cached_tables import CachedBlockTables

    cached = CachedBlockTables(
        requests,
        setup.cache,
        TraceKeys(setup.trace),
        config,
        pool_bytes=setup.pool.bytes,
        longest=_longest_served(requests, config),
    )
    return cached, _cached_meter(cached)


def _longest_served(requests: Requests, config: SchedulerConfig) -> int:
    """Tokens of the longest sequence that is not rejected."""
    tokens = requests.table[PROMPT] + requests.table[MAX_TOKENS]
    return int(tokens.max(initial=0, where=tokens <= config.max_model_len))


def _cached_meter(tables: SharedTables) -> UsageMeter:
    from .cached_usage import CachedUsageMeter

    return CachedUsageMeter(tables)


def _scheduler(name: str, requests: Requests, tables: Tables, config: SchedulerConfig) -> Scheduler:
    made = SchedulerV0 if name == "v0" else Scheduler
    return made(requests, tables, config)
