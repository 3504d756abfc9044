"""All that can be said of a model's memory without a trace: ``jenga-sim model show`` prints it."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..configs.cache_types import cache_types, kv_bytes
from ..configs.engine import EngineConfig, ResolvedEngine, engine_config
from ..configs.errors import ConfigError
from ..configs.pipeline import Stage, pipeline_stages
from ..configs.specs import GPUSpec, ModelSpec
from ..policies.base import GroupingContext, PageGroup
from ..policies.grouping.by_kind import by_kind
from ..policies.page_advice import large_page_warning
from ..policies.page_sizes import page_sizes
from ..policies.presets import PRESETS
from .caching import caches_prefixes
from .card import AtLength, Deployment, ImageCard, ModelCard, Pages, PolicyCard
from .fit import PolicyFit, fit_policy, needed_bytes
from .pool import RANKS, KVPool, kv_pool
from .positions import beyond_positions
from .vllm_view import VLLMView, vllm_view

LENGTHS = (1024, 8192, 32768, 131072)
"""Tokens of a request: a chat, one with its history, a document, a long context."""
ROOM = 0.1
"""Share of a GPU's usable memory that a pool should have, for a number of GPUs to be chosen."""


def model_card(
    model: ModelSpec,
    gpu: GPUSpec,
    *,
    lengths: Sequence[int] = LENGTHS,
    policies: Sequence[str] = tuple(PRESETS),
    settings: Mapping[str, Any] | None = None,
    overhead: int | None = None,
    hybrid: bool = True,
    images: Sequence[tuple[int, int]] = (),
    stages: int = 1,
) -> ModelCard:
    """Compute everything; ``settings`` as for ``engine_config``.

    Without ``tensor_parallel_size`` the fewest GPUs are taken that leave room for caches. A model
    that does not fit still has a card; what needs a pool is left out. ``images``: width and height
    in pixels; one request has all of them, and where they stand in a cross-attention cache, what
    it needs and holds counts them. ``stages``: of a pipeline.

    Raises:
        ConfigError: A setting is unknown or impossible, or the model takes no images.
    """
    given = dict(settings or {})
    caching = given.pop("enable_prefix_caching", None)
    parts = pipeline_stages(model, stages)
    if "tensor_parallel_size" not in given:
        # Of the stage that needs the most: the last one has the draft.
        counts = [fewest_gpus(part.model, gpu, given, overhead) for part in parts]
        given["tensor_parallel_size"] = max(counts)
    config = engine_config(**given)
    stage = min(parts, key=lambda part: _room(part.model, gpu, config, overhead))
    shown = tuple(_image(model, width, height) for width, height in images)
    deployment, warnings = _deploy(
        stage,
        gpu,
        config.resolve(stage.model, gpu),
        lengths=lengths,
        policies=policies,
        cross=sum(each.tokens for each in shown if each.where == "cross"),
        overhead=overhead,
        caching=caching is not False,
        hybrid=hybrid,
        stages=stages,
    )
    return ModelCard(
        model=model,
        types=cache_types(model, deployment.engine.ssm_dtype),
        lengths=tuple(lengths),
        images=shown,
        deployment=deployment,
        warnings=tuple(warnings),
    )


def _deploy(
    stage: Stage,
    gpu: GPUSpec,
    engine: ResolvedEngine,
    *,
    lengths: Sequence[int],
    policies: Sequence[str],
    cross: int,
    overhead: int | None,
    caching: bool,
    hybrid: bool,
    stages: int,
) -> tuple[Deployment, list[str]]:
    model = stage.model
    context = GroupingContext(block_size=engine.block_size, max_model_len=engine.max_model_len)
    groups = by_kind(engine.kv_cache_specs(model), context)
    pool, problem = _pool(model, gpu, engine, overhead)
    cards: tuple[PolicyCard, ...] = ()
    view: VLLMView | None = None
    if pool is not None:
        cards = tuple(_policy_card(name, model, engine, pool, lengths, cross) for name in policies)
        enabled = caching and caches_prefixes(model)
        view, problem = _view(model, engine, pool, caching=enabled, hybrid=hybrid)
    deployment = Deployment(
        gpu=gpu,
        engine=engine,
        stages=stages,
        layers=(stage.first, stage.last),
        pages=Pages(
            kinds=tuple(group.name for group in groups),
            block_sizes=tuple(group.block_size for group in groups),
            sizes=page_sizes(groups),
        ),
        pool=pool,
        policies=cards,
        vllm=view,
        problem=problem,
    )
    return deployment, _warnings(model, deployment, groups)


def _room(model: ModelSpec, gpu: GPUSpec, config: EngineConfig, overhead: int | None) -> float:
    """Requests of 32,768 tokens for which a stage has bytes; less than 0 where nothing is left."""
    try:
        engine = config.resolve(model, gpu)
        pool = kv_pool(model, gpu, engine, overhead=overhead).bytes
    except ConfigError:
        return -1.0
    return pool / max(kv_bytes(model, LENGTHS[2], ssm_dtype=engine.ssm_dtype), 1)


def _image(model: ModelSpec, width: int, height: int) -> ImageCard:
    if model.vision is None:
        raise ConfigError(f"{model.name} takes no images that are known here; leave out --image")
    tokens = model.vision.image_tokens(width, height)
    cross = sum(layer.entry_bytes() for layer in model.layers if layer.role == "cross")
    return ImageCard(
        width=width,
        height=height,
        tokens=tokens,
        where=model.vision.where,
        embedding_bytes=model.vision.embedding_bytes(width, height),
        cross_bytes=cross * tokens,
    )


def fewest_gpus(
    model: ModelSpec, gpu: GPUSpec, settings: Mapping[str, Any], overhead: int | None = None
) -> int:
    """The smallest tensor-parallel size that leaves a tenth of the memory for caches; else 1."""
    for ranks in RANKS:
        try:
            config = engine_config(**{**settings, "tensor_parallel_size": ranks})
            engine = config.resolve(model, gpu)
            pool = kv_pool(model, gpu, engine, overhead=overhead)
        except ConfigError:
            continue
        if pool.bytes >= ROOM * gpu.memory_bytes * engine.config.gpu_memory_utilization:
            return ranks
    return 1


def _pool(
    model: ModelSpec, gpu: GPUSpec, engine: ResolvedEngine, overhead: int | None
) -> tuple[KVPool | None, str | None]:
    try:
        return kv_pool(model, gpu, engine, overhead=overhead), None
    except ConfigError as error:
        return None, str(error)


def _policy_card(
    name: str,
    model: ModelSpec,
    engine: ResolvedEngine,
    pool: KVPool,
    lengths: Sequence[int],
    cross: int,
) -> PolicyCard:
    fit = fit_policy(name, model, engine, pool.bytes)
    if fit.refused is not None:
        return PolicyCard(name=name, at=(), longest=0, refused=fit.refused)
    longest = fit.longest(cross)
    return PolicyCard(
        name=name,
        at=tuple(_at(fit, model, tokens, longest, cross) for tokens in lengths),
        longest=longest,
        refused=None,
    )


def _at(fit: PolicyFit, model: ModelSpec, tokens: int, longest: int | None, cross: int) -> AtLength:
    """Of requests whose prompts the pool cannot compute, none are served at once."""
    served = longest is None or tokens <= longest
    return AtLength(
        tokens=tokens,
        needed_bytes=needed_bytes(model, tokens, fit.engine, cross),
        held_bytes=fit.held_bytes(tokens, cross),
        concurrency=fit.concurrency(tokens, cross) if served else 0,
    )


def _view(
    model: ModelSpec, engine: ResolvedEngine, pool: KVPool, *, caching: bool, hybrid: bool
) -> tuple[VLLMView | None, str | None]:
    try:
        view = vllm_view(model, engine, pool.bytes, enable_prefix_caching=caching, hybrid=hybrid)
    except ConfigError as error:
        return None, f"vllm: {error}"
    return view, None


def _warnings(model: ModelSpec, deployment: Deployment, groups: Sequence[PageGroup]) -> list[str]:
    warnings = [] if deployment.problem is None else [deployment.problem]
    if deployment.pool is not None and len(groups) > 1:
        found = large_page_warning(groups, deployment.pool.bytes, {})
        warnings += [f"lcm: {text}" for text in found]
    warnings += beyond_positions(model, deployment.engine.max_model_len)
    view = deployment.vllm
    if view is None:
        return warnings
    if view.refused is not None:
        warnings.append(f"vllm: {view.refused}")
    if view.short_of_slots:
        warnings.append(
            f"vllm: max_num_seqs {view.max_num_seqs:,} exceeds the {view.state_slots:,} blocks "
            "that states share; vLLM 0.33 stops when it captures CUDA graphs. Lower --max-num-seqs "
            f"to {view.state_slots:,}"
        )
    return warnings
