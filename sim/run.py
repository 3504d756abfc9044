"""The main job: replay a trace against one memory policy on one model and GPU."""

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..configs.engine import EngineConfig, ResolvedEngine, engine_config
from ..configs.load import load_gpu, load_model
from ..configs.specs import GPUSpec, KVCacheSpec, ModelSpec
from ..policies.base import Carving, GroupingContext, PageGroup
from ..policies.caching.rules import CacheRules, cache_rules
from ..policies.demand import most_pages
from ..policies.presets import Policy, get_policy
from ..policies.retention import Retention
from ..traces import Trace, read_jsonl
from .caching import chosen_retention, hash_warnings, prefix_cache_figures
from .engine import Hooks, Replica
from .latency import AnalyticalLatency
from .metrics import FORMULAS, summarize
from .pool import KVPool, kv_pool, layer_specs
from .prefix_keys import TraceKeys
from .recorder import Recorder
from .requests import Requests
from .result import Result, requests_frame, steps_frame
from .scheduler import Scheduler, SchedulerConfig
from .startup import vllm_specs
from .tables import BlockTables, Tables
from .usage import UsageMeter

Notice = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A run before it starts: everything resolved, nothing simulated."""

    trace: Trace
    model: ModelSpec
    gpu: GPUSpec
    engine: ResolvedEngine
    policy: Policy
    pool: KVPool
    groups: tuple[PageGroup, ...]
    carving: Carving
    cache: CacheRules | None
    """How prefixes are cached; None if they are not."""
    warnings: tuple[str, ...]


def run(
    trace: Trace | str | Path,
    *,
    model: ModelSpec | str = "gemma-3-27b",
    gpu: GPUSpec | str = "h100-sxm",
    policy: Policy | str = "lcm",
    vllm_log: str | Path | None = None,
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
        fast: Take alike decode steps in leaps; the result is the same either way.
        check: Check every invariant after every step.
        hooks: Callbacks between steps.
        engine: Settings of EngineConfig, e.g. ``max_num_seqs=64``.

    Raises:
        ConfigError: A setting, model, GPU or policy is unknown or impossible.
        TraceError: The trace cannot be read.
        StalledError: The policy lets requests wait for ever.
    """
    setup = prepare(trace, model=model, gpu=gpu, policy=policy, vllm_log=vllm_log, **engine)
    return simulate(setup, fast=fast, check=check, hooks=hooks)


def prepare(
    trace: Trace | str | Path,
    *,
    model: ModelSpec | str,
    gpu: GPUSpec | str,
    policy: Policy | str,
    vllm_log: str | Path | None = None,
    **engine: Any,
) -> Setup:
    """Resolve names, sizes and the pool; see ``run``."""
    model = load_model(model) if isinstance(model, str) else model
    gpu = load_gpu(gpu) if isinstance(gpu, str) else gpu
    policy = get_policy(policy) if isinstance(policy, str) else policy
    resolved = engine_config(**engine).resolve(model, gpu)
    retention, cache_warnings = chosen_retention(policy, model, resolved.config)
    pool = kv_pool(model, gpu, resolved, vllm_log)
    context = GroupingContext(block_size=resolved.block_size, max_model_len=resolved.max_model_len)
    groups = policy.group(_specs(model, resolved, policy, retention), context)
    carving = policy.make_carving(groups, pool.bytes)
    cache = None
    if retention.enabled:
        cache = cache_rules(groups, enabled=True, retention=retention.interval)
    loaded = trace if isinstance(trace, Trace) else read_jsonl(trace)
    return Setup(
        trace=loaded,
        model=model,
        gpu=gpu,
        engine=resolved,
        policy=policy,
        pool=pool,
        groups=groups,
        carving=carving,
        cache=cache,
        warnings=(
            *cache_warnings,
            *_trace_warnings(loaded, model),
            *hash_warnings(loaded, cache),
            *_policy_warnings(model, policy, resolved, groups, carving),
            *_size_warnings(pool, model, gpu, resolved.tp),
        ),
    )


def _specs(
    model: ModelSpec, engine: ResolvedEngine, policy: Policy, retention: Retention
) -> tuple[KVCacheSpec, ...]:
    if policy.aligns_blocks:
        return vllm_specs(model, engine, enable_prefix_caching=retention.enabled)
    return layer_specs(model, engine, aligned=False)


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
    cross = trace.cross_tokens.tolist() if setup.model.has_cross else None
    requests = Requests(
        arrival_ns=trace.arrival_ns.tolist(),
        prompt_tokens=trace.input_tokens.tolist(),
        max_tokens=trace.output_tokens.tolist(),
        cross_tokens=cross,
        priority=trace.priority.tolist(),
    )
    config = scheduler_config(engine)
    if setup.cache is not None:
        config = replace(config, **setup.cache.state_blocks())
    tables, meter = _memory(setup, requests, config)
    return Replica(
        requests=requests,
        scheduler=Scheduler(requests, tables, config),
        latency=AnalyticalLatency(setup.model, setup.gpu, engine),
        recorder=Recorder(meter.labels, setup.pool.bytes),
        meter=meter,
        fast=fast,
        check=check,
        hooks=hooks or Hooks(),
    )


def _memory(setup: Setup, requests: Requests, config: SchedulerConfig) -> tuple[Tables, UsageMeter]:
    """Block tables, with a prefix cache or without, and the meter that reads them."""
    in_flight, longest = config.max_in_flight_tokens, config.max_model_len
    if setup.cache is None:
        plain = BlockTables(
            requests,
            setup.groups,
            setup.carving,
            max_in_flight_tokens=in_flight,
            max_model_len=longest,
        )
        return plain, UsageMeter(plain)
    # numba is imported here, and only if something is cached.
    from .cached_tables import CachedBlockTables
    from .cached_usage import CachedUsageMeter

    cached = CachedBlockTables(
        requests,
        setup.cache,
        TraceKeys(setup.trace),
        pool_bytes=setup.pool.bytes,
        max_num_seqs=config.max_num_seqs,
        max_in_flight_tokens=in_flight,
        max_model_len=longest,
    )
    return cached, CachedUsageMeter(cached)


def scheduler_config(engine: ResolvedEngine) -> SchedulerConfig:
    """The scheduler's part of the engine settings."""
    config: EngineConfig = engine.config
    return SchedulerConfig(
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        max_model_len=engine.max_model_len,
        policy=config.scheduling_policy,
        watermark=config.watermark,
        scheduler_reserve_full_isl=config.scheduler_reserve_full_isl,
        long_prefill_token_threshold=config.long_prefill_token_threshold,
        enable_chunked_prefill=config.enable_chunked_prefill,
        async_scheduling=config.async_scheduling,
    )


def make_result(setup: Setup, replica: Replica) -> Result:
    """Collect figures, tables, configuration and provenance."""
    config = _config(setup)
    rejected = list(replica.rejected.values())
    summary: dict[str, Any] = {
        "schema": "jenga-sim/summary/1",
        "backend": "jenga-sim",
        "complete": not replica.truncated,
        "model_id": setup.model.name,
        "gpu": setup.gpu.name,
        "num_gpus": setup.engine.tp,
        "policy": setup.policy.name,
        "trace": setup.trace.name,
        "skipped_lines": setup.trace.skipped_lines,
        **summarize(replica.requests, replica.recorder, setup.engine.tp),
        **prefix_cache_figures(replica),
        "rejected_by": {reason: rejected.count(reason) for reason in sorted(set(rejected))},
        "kv_pool": setup.pool.describe(),
        "page_groups": [_describe_group(group) for group in setup.groups],
        "latency_model": replica.latency.describe(),
        "warnings": list(setup.warnings),
        "formulas": FORMULAS,
    }
    return Result(
        summary=summary,
        requests=requests_frame(replica.requests, setup.trace.request_ids, replica.rejected),
        steps=steps_frame(replica.recorder),
        config=config,
        provenance=_provenance(setup, config, replica),
    )


def _trace_warnings(trace: Trace, model: ModelSpec) -> list[str]:
    warnings: list[str] = []
    if trace.cross_tokens.any() and not model.has_cross:
        warnings.append(
            f"{model.name} has no cross attention: cross_tokens of the trace are ignored"
        )
    if trace.skipped_lines:
        warnings.append(f"{trace.skipped_lines} bad lines of the trace were skipped")
    return warnings


def _policy_warnings(
    model: ModelSpec,
    policy: Policy,
    engine: ResolvedEngine,
    groups: tuple[PageGroup, ...],
    carving: Carving,
) -> list[str]:
    warnings: list[str] = []
    if policy.grouping == "vllm_nohybrid" and (model.has_state or model.has_cross):
        warnings.append(
            "vLLM 0.33 refuses --disable-hybrid-kv-cache-manager for this model; only its windows "
            "are promoted to full attention here"
        )
    if engine.max_model_len > model.max_model_len:
        warnings.append(
            f"max_model_len {engine.max_model_len:,} is beyond the model's {model.max_model_len:,} "
            "positions; vLLM accepts that only with VLLM_ALLOW_LONG_MAX_MODEL_LEN=1"
        )
    longest = longest_request(groups, carving, scheduler_config(engine))
    if longest < engine.max_model_len:
        warnings.append(
            f"a request of max_model_len = {engine.max_model_len:,} tokens does not fit this pool; "
            f"the longest that does has {longest:,}. Longer ones are rejected here; vLLM would "
            "refuse to start (lower --max-model-len, or give it more memory)"
        )
    return warnings


def _size_warnings(pool: KVPool, model: ModelSpec, gpu: GPUSpec, tp: int) -> list[str]:
    if pool.bytes + model.weight_bytes // tp <= gpu.memory_bytes:
        return []
    return [
        f"the KV pool and the weights of {model.name} exceed the memory of one {gpu.name}: no real "
        "engine could start like this"
    ]


def longest_request(
    groups: tuple[PageGroup, ...], carving: Carving, config: SchedulerConfig
) -> int:
    """Longest sequence (of text) whose pages fit the empty pool; 0 if not even one token does."""

    def fits(tokens: int) -> bool:
        limits = (config.max_in_flight_tokens, config.max_model_len)
        return carving.could_fit([most_pages(g, tokens, 0, *limits) for g in groups])

    low, high = 0, config.max_model_len
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _describe_group(group: PageGroup) -> dict[str, Any]:
    return {
        "name": group.name,
        "kind": group.kind,
        "layers": sum(content.layers for content in group.contents),
        "block_size": group.block_size,
        "page_bytes": group.page_bytes,
        "padding_bytes": group.padding_bytes,
    }


def _config(setup: Setup) -> dict[str, Any]:
    policy = asdict(setup.policy)
    del policy["summary"]
    return {
        "trace": {"name": setup.trace.name, "sha256": setup.trace.sha256},
        "model": setup.model.name,
        "gpu": setup.gpu.name,
        "policy": policy,
        "engine": asdict(setup.engine.config),
        "kv_pool": setup.pool.describe(),
    }


def _provenance(setup: Setup, config: dict[str, Any], replica: Replica) -> dict[str, Any]:
    return {
        "schema": "jenga-sim/provenance/1",
        "trace_sha256": setup.trace.sha256,
        "config_sha256": _sha256(config),
        "profile": replica.latency.describe()["model"],
        "profile_sha256": _sha256(replica.latency.describe()),
        "seed": None,
        "model_source": setup.model.source,
        "gpu_source": setup.gpu.source,
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in ("jenga-sim", "numpy", "pandas", "simpy")},
        },
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _sha256(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        from .._version import __version__

        return __version__
