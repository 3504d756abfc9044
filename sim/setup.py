"""A run before it starts: names, sizes, pool and policy resolved, and what the user should know."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..configs.engine import EngineConfig, ResolvedEngine, engine_config
from ..configs.errors import ConfigError
from ..configs.load import load_gpu, load_model
from ..configs.replay import ReplayConfig
from ..configs.specs import GPUSpec, KVCacheSpec, ModelSpec
from ..policies.base import Carving, GroupingContext, PageGroup
from ..policies.caching.rules import CacheRules, cache_rules
from ..policies.carving.lcm import LCMCarving
from ..policies.grouping.by_property import STATE_CHUNK
from ..policies.grouping.vllm import vllm
from ..policies.large_pages.rules import ChunkedRules, TableRules, WholePromptRules, most_held
from ..policies.page_advice import large_page_warning
from ..policies.presets import Policy, get_policy
from ..policies.retention import Retention
from ..traces import Trace, read_trace
from ..traces.meta import OWN_CLOCKS
from ..traces.transform.outputs import with_outputs
from ..traces.transform.sessions import chained
from .caching import chosen_retention, hash_warnings, vllm_caches
from .dependencies import Dependencies, dependencies_of
from .kernels.profile import load_profile
from .latency import AnalyticalLatency, LatencyModel
from .measured import MeasuredLatency
from .pool import KVPool, kv_pool
from .positions import beyond_positions
from .scheduler import SchedulerConfig
from .scheduler_v0 import WATERMARK, token_budget
from .vllm_specs import vllm_specs


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
    caches: bool
    """Whether prefixes are cached."""
    cache: CacheRules | None
    """How vLLM caches them; None if nothing is cached, or by Jenga's pool."""
    replay: ReplayConfig
    dependencies: Dependencies | None
    """Who comes after whom; None: nobody, and no request belongs to a session."""
    latency: LatencyModel
    warnings: tuple[str, ...]


def prepare(
    trace: Trace | str | Path,
    *,
    model: ModelSpec | str,
    gpu: GPUSpec | str,
    policy: Policy | str,
    vllm_log: str | Path | None = None,
    replay: ReplayConfig | None = None,
    profile: str | Path | None = None,
    **engine: Any,
) -> Setup:
    """Resolve names, sizes and the pool; see ``run``.

    ``dependencies``: who comes after whom, in the order of the trace; None: nobody.
    """
    model = load_model(model) if isinstance(model, str) else model
    gpu = load_gpu(gpu) if isinstance(gpu, str) else gpu
    policy = get_policy(policy) if isinstance(policy, str) else policy
    resolved = engine_config(**engine).resolve(model, gpu)
    retention, cache_warnings = chosen_retention(policy, model, resolved.config)
    pool = kv_pool(model, gpu, resolved, vllm_log)
    context = GroupingContext(block_size=resolved.block_size, max_model_len=resolved.max_model_len)
    groups = policy.group(policy_specs(model, resolved, policy, retention), context)
    carving = policy.make_carving(groups, pool.bytes)
    cache, hash_unit = None, 0
    if retention.enabled and isinstance(carving, LCMCarving):
        hash_unit = math.gcd(*(group.block_size for group in groups))
    elif retention.enabled:
        cache = _cache_rules(groups, retention)
        hash_unit = cache.hash_block_size
    replay = replay or ReplayConfig()
    loaded = trace if isinstance(trace, Trace) else read_trace(trace)
    loaded = with_outputs(chained(loaded), replay.zero_output)
    dependencies = dependencies_of(loaded, replay)
    return Setup(
        trace=loaded,
        model=model,
        gpu=gpu,
        engine=resolved,
        policy=policy,
        pool=pool,
        groups=groups,
        carving=carving,
        caches=retention.enabled,
        cache=cache,
        replay=replay,
        dependencies=dependencies,
        latency=_latency(model, gpu, resolved, policy, profile),
        warnings=(
            *cache_warnings,
            *_trace_warnings(loaded, model, replay),
            *_replay_warnings(replay, dependencies),
            *hash_warnings(loaded, groups, hash_unit),
            *_policy_warnings(model, policy, resolved, groups, carving, retention.enabled),
            *_size_warnings(pool, model, gpu, resolved.tp),
        ),
    )


def _latency(
    model: ModelSpec,
    gpu: GPUSpec,
    engine: ResolvedEngine,
    policy: Policy,
    profile: str | Path | None,
) -> LatencyModel:
    """Step times from a profile, or else from the data sheet."""
    most = scheduler_config(engine, policy.scheduler).max_num_batched_tokens
    if profile is None:
        return AnalyticalLatency(model, gpu, engine, max_tokens=most)
    return MeasuredLatency(load_profile(profile), model, gpu, engine, max_tokens=most)


def _cache_rules(groups: tuple[PageGroup, ...], retention: Retention) -> CacheRules:
    try:
        return cache_rules(groups, enabled=True, retention=retention.interval)
    except ConfigError as error:
        raise ConfigError(f"policy.retention: {error}") from error


def policy_specs(
    model: ModelSpec, engine: ResolvedEngine, policy: Policy, retention: Retention
) -> tuple[KVCacheSpec, ...]:
    """Caches of the layers on one rank, in the blocks that ``policy`` starts from."""
    if policy.aligns_blocks:
        return vllm_specs(model, engine, enable_prefix_caching=retention.enabled)
    specs = engine.kv_cache_specs(model)
    if retention.enabled or policy.grouping == "by_property":
        return tuple(replace(s, block_size=STATE_CHUNK) if s.is_state else s for s in specs)
    return specs


def scheduler_config(engine: ResolvedEngine, scheduler: str = "v1") -> SchedulerConfig:
    """The scheduler's part of the engine settings; ``v0`` has no chunks and no second batch."""
    config: EngineConfig = engine.config
    if scheduler == "v0":
        return SchedulerConfig(
            max_num_seqs=engine.max_num_seqs,
            max_num_batched_tokens=token_budget(engine.max_model_len),
            max_model_len=engine.max_model_len,
            policy=config.scheduling_policy,
            watermark=config.watermark or WATERMARK,
            enable_chunked_prefill=False,
        )
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


def _trace_warnings(trace: Trace, model: ModelSpec, replay: ReplayConfig) -> list[str]:
    clocks_matter = replay.mode != "closed"
    warnings = [note for note in trace.meta.notes if clocks_matter or note != OWN_CLOCKS]
    if trace.cross_tokens.any() and not model.has_cross:
        warnings.append(
            f"{model.name} has no cross attention: cross_tokens of the trace are ignored"
        )
    if trace.images is not None and len(trace.images.values):
        warnings.append(
            f"the trace has {len(trace.images.values)} images: their tokens count as far as "
            "input_length has them; the time of their encoder and its cache are not simulated"
        )
    if trace.meta.skipped_lines:
        warnings.append(f"{trace.meta.skipped_lines} bad lines of the trace were skipped")
    if trace.meta.sorted_lines:
        warnings.append(
            f"{trace.meta.sorted_lines} requests of the trace stood behind later ones: it was "
            "sorted by time"
        )
    return warnings


def _replay_warnings(replay: ReplayConfig, known: Dependencies | None) -> list[str]:
    follows = known is not None and len(known.after) > 0
    named = known is not None and bool((known.session >= 0).any())
    if replay.mode == "session" and not follows:
        return ["no request of the trace comes after another: replay by sessions is open loop here"]
    if replay.mode == "closed" and not (follows or named):
        return ["the trace names no sessions: every request is a session of its own"]
    return []


def _policy_warnings(
    model: ModelSpec,
    policy: Policy,
    engine: ResolvedEngine,
    groups: tuple[PageGroup, ...],
    carving: Carving,
    caches: bool,
) -> list[str]:
    warnings: list[str] = []
    if policy.scheduler == "v0":
        warnings.append(
            "scheduler v0: prompts are computed whole, before decodes, one batch at a time; async "
            "scheduling does not apply, max_num_batched_tokens and chunked prefill only to the "
            "estimate of the pool, which is as large as under v1"
        )
    odd = model.has_state or model.has_cross or model.tokens_per_entry > 1
    if policy.grouping == "vllm_nohybrid" and odd:
        warnings.append(
            "vLLM 0.33 refuses --disable-hybrid-kv-cache-manager for this model; only its windows "
            "are promoted to full attention here"
        )
    warnings += beyond_positions(model, engine.max_model_len)
    longest = longest_request(groups, carving, policy, engine, caches)
    if longest < engine.max_model_len:
        warnings.append(
            f"a request of max_model_len = {engine.max_model_len:,} tokens does not fit this pool; "
            f"the longest that does has {longest:,}. Longer ones are rejected here; vLLM would "
            "refuse to start (lower --max-model-len, or give it more memory)"
        )
    if isinstance(carving, LCMCarving):
        others = _vllm_groups(model, engine)
        warnings += large_page_warning(groups, carving.pool_bytes, others)
    return warnings


def _vllm_groups(model: ModelSpec, engine: ResolvedEngine) -> dict[str, tuple[PageGroup, ...]]:
    """The groups of the policy ``vllm``, to compare with; none where vLLM refuses the model."""
    context = GroupingContext(block_size=engine.block_size, max_model_len=engine.max_model_len)
    caches = vllm_caches(model, engine.config)
    specs = vllm_specs(model, engine, enable_prefix_caching=caches)
    try:
        return {"vllm": vllm(specs, context)}
    except ConfigError:
        return {}


def _size_warnings(pool: KVPool, model: ModelSpec, gpu: GPUSpec, tp: int) -> list[str]:
    if pool.bytes + model.weight_bytes // tp <= gpu.memory_bytes:
        return []
    return [
        f"the KV pool and the weights of {model.name} exceed the memory of one {gpu.name}: no real "
        "engine could start like this"
    ]


def table_rules(scheduler: str, config: SchedulerConfig, caches: bool) -> TableRules:
    """How tables grow under a scheduler."""
    if scheduler == "v0":
        return WholePromptRules(caches)
    return ChunkedRules(
        config.max_in_flight_tokens, config.max_model_len, config.concurrent_batches
    )


def longest_request(
    groups: tuple[PageGroup, ...],
    carving: Carving,
    policy: Policy,
    engine: ResolvedEngine,
    caches: bool,
    cross: int = 0,
) -> int:
    """Longest sequence (of text) whose pages fit the empty pool; 0 if not even one token does.

    ``cross``: tokens of an encoder beside it.
    """
    config = scheduler_config(engine, policy.scheduler)
    rules = table_rules(policy.scheduler, config, caches)

    def fits(tokens: int) -> bool:
        if not isinstance(carving, LCMCarving):
            return carving.could_fit([rules.most(group, tokens, cross) for group in groups])
        ratios = [small.ratio for small in carving.pages.small]
        need = most_held(rules, groups, ratios, tokens, cross, caches=caches)
        watermark = config.watermark if policy.scheduler == "v0" else 0.0
        return carving.could_fit_above(need, watermark)

    low, high = 0, engine.max_model_len
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
