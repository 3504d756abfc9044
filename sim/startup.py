"""vLLM's start-up for a model or a case: its groups, and the figures that it logs about them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..configs.engine import ResolvedEngine
from ..configs.errors import ConfigError
from ..configs.specs import GPUSpec, KVCacheSpec, ModelSpec
from ..policies.base import GroupingContext, KVCacheLayout
from ..policies.grouping.layer_groups import LayerGroup
from ..policies.grouping.vllm import vllm_layer_groups
from .capacity import Capacity, Limits, capacity
from .cases import CaseSetup, read_case
from .pool import KVPool, kv_pool
from .scheduler import SchedulerConfig
from .vllm_specs import mamba_cache_mode, vllm_specs


@dataclass(frozen=True, kw_only=True)
class Startup:
    """Groups and figures of one engine."""

    name: str
    groups: tuple[LayerGroup, ...]
    limits: Limits
    capacity: Capacity
    pool: KVPool

    def describe(self) -> dict[str, Any]:
        """The figures under the names that recordings of vLLM have."""
        figures = self.capacity
        return {
            "num_blocks": figures.num_blocks,
            "bytes_per_block": figures.bytes_per_block,
            "scheduler_block_size": figures.scheduler_block_size,
            "hash_block_size": figures.hash_block_size,
            "groups": [describe_group(group, figures.bytes_per_block) for group in self.groups],
            "capacity_tokens": figures.capacity_tokens,
            "max_concurrency": round(figures.max_concurrency, 4),
            "kv_bytes": self.limits.kv_bytes,
            "max_model_len": self.limits.max_model_len,
        }


def describe_group(group: LayerGroup, block_bytes: int) -> dict[str, Any]:
    """One group: what a block of ``block_bytes`` stores of it, and which layers share it."""
    return {
        "type": group.type_name,
        "layers": len(group.specs),
        "block_size": group.block_size,
        "used_bytes": group.content_bytes,
        "block_bytes": block_bytes,
        "waste_frac": round(1 - group.content_bytes / block_bytes, 5),
        "kind": group.first.kind,
        "layer_indices": [spec.layer for spec in group.specs],
    }


def startup_of_case(path: str | Path) -> Startup:
    """Start-up of a case file; its requests do not matter. ConfigError names the file."""
    setup = read_case(path)
    try:
        return startup_of_setup(setup)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def startup_of_setup(setup: CaseSetup) -> Startup:
    """Start-up of a case that was read."""
    case = setup.case
    context = GroupingContext(
        block_size=case.block_size,
        max_model_len=case.max_model_len,
        kv_cache_layout=case.kv_cache_layout,
    )
    limits = _limits(case.kv_bytes, setup.scheduler, setup.specs, case.enable_prefix_caching)
    pool = KVPool(case.kv_bytes, "kv-bytes", "kv_bytes of the case")
    return _startup(case.name, setup.specs, context, limits, pool, hybrid=case.hybrid)


def startup_of_model(
    model: ModelSpec,
    gpu: GPUSpec,
    engine: ResolvedEngine,
    *,
    enable_prefix_caching: bool = True,
    hybrid: bool = True,
    kv_cache_layout: KVCacheLayout | None = None,
) -> Startup:
    """Start-up of a model on one GPU type."""
    pool = kv_pool(model, gpu, engine)
    specs = vllm_specs(model, engine, enable_prefix_caching=enable_prefix_caching)
    context = GroupingContext(
        block_size=engine.block_size,
        max_model_len=engine.max_model_len,
        kv_cache_layout=kv_cache_layout,
    )
    limits = startup_limits(engine, specs, pool.bytes, enable_prefix_caching)
    limits = replace(limits, positions=model.positions)
    return _startup(model.name, specs, context, limits, pool, hybrid=hybrid)


def startup_limits(
    engine: ResolvedEngine,
    specs: Sequence[KVCacheSpec],
    kv_bytes: int,
    enable_prefix_caching: bool,
) -> Limits:
    """What the figures of an engine depend on beside its groups."""
    scheduler = SchedulerConfig(
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        max_model_len=engine.max_model_len,
        async_scheduling=engine.config.async_scheduling,
    )
    return _limits(kv_bytes, scheduler, specs, enable_prefix_caching)


def _limits(
    kv_bytes: int,
    scheduler: SchedulerConfig,
    specs: Sequence[KVCacheSpec],
    enable_prefix_caching: bool,
) -> Limits:
    return Limits(
        kv_bytes=kv_bytes,
        max_model_len=scheduler.max_model_len,
        max_num_batched_tokens=scheduler.max_num_batched_tokens,
        concurrent_batches=scheduler.concurrent_batches,
        enable_prefix_caching=enable_prefix_caching,
        mamba_cache_mode=mamba_cache_mode(specs, enable_prefix_caching),
    )


def _startup(
    name: str,
    specs: Sequence[KVCacheSpec],
    context: GroupingContext,
    limits: Limits,
    pool: KVPool,
    *,
    hybrid: bool,
) -> Startup:
    groups = tuple(vllm_layer_groups(specs, context, hybrid=hybrid))
    return Startup(
        name=name,
        groups=groups,
        limits=limits,
        capacity=capacity(groups, limits),
        pool=pool,
    )
