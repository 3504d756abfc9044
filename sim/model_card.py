"""All that can be said of a model's memory without a trace: what ``jenga-sim model show`` prints.

Bytes of ``types`` and ``kv_bytes_at`` are those of all tensor-parallel ranks together, as if there
were one; all others are those of ONE rank, that is of one GPU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..configs.cache_types import CacheType, cache_types, kv_bytes_at
from ..configs.engine import ResolvedEngine, engine_config
from ..configs.errors import ConfigError
from ..configs.specs import STATE_KINDS, GPUSpec, LayerSpec, ModelSpec
from ..policies.base import GroupingContext, PageGroup
from ..policies.grouping.by_kind import by_kind
from ..policies.page_advice import large_page_warning
from ..policies.page_sizes import PageSizes, page_sizes
from ..policies.presets import PRESETS
from .caching import caches_prefixes
from .fit import PolicyFit, fit_policy, needed_bytes, waste_share
from .pool import KVPool, kv_pool, layer_specs
from .vllm_view import VLLMView, vllm_view

LENGTHS = (1024, 8192, 32768, 131072)
"""Tokens of a request: a chat, one with its history, a document, a long context."""
RANKS = (1, 2, 4, 8, 16, 32, 64)
ROOM = 0.1
"""Share of a GPU's usable memory that a pool should have, for a number of GPUs to be chosen."""


@dataclass(frozen=True, kw_only=True)
class AtLength:
    """One policy and requests of one length, on one GPU."""

    tokens: int
    needed_bytes: int
    """What the request's next token reads: no policy holds less."""
    held_bytes: int
    concurrency: int | None
    """Requests at once; None where they hold nothing."""

    @property
    def waste(self) -> float:
        """Share of the held bytes that nothing reads."""
        return waste_share(self.needed_bytes, self.held_bytes)

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "needed_bytes": self.needed_bytes,
            "held_bytes": self.held_bytes,
            "waste": round(self.waste, 6),
            "concurrency": self.concurrency,
        }


@dataclass(frozen=True, kw_only=True)
class PolicyCard:
    """One policy on one GPU."""

    name: str
    at: tuple[AtLength, ...]
    """Empty where the policy refuses the model."""
    longest: int | None
    """Tokens of the longest single request; None where nothing grows with the length."""
    refused: str | None

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "policy": self.name,
            "refused": self.refused,
            "longest_tokens": self.longest,
            "at": {str(each.tokens): each.describe() for each in self.at},
        }


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Page sizes on one GPU, in the order of ``kinds``."""

    kinds: tuple[str, ...]
    block_sizes: tuple[int, ...]
    sizes: PageSizes

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        sizes = self.sizes
        names = self.kinds
        return {
            "small": dict(zip(names, sizes.small, strict=True)),
            "tokens_per_page": dict(zip(names, self.block_sizes, strict=True)),
            "lcm": sizes.lcm,
            "gcd": sizes.gcd,
            "max": sizes.max,
            "pad_lcm": dict(zip(names, sizes.pad_lcm, strict=True)),
            "large_pad_lcm": sizes.large_pad_lcm,
            "large_lcm_blocks": sizes.large_lcm_blocks,
            "buddy_layers": dict(zip(names, sizes.buddy_layers, strict=True)),
            "buddy_bytes": dict(zip(names, sizes.buddy_bytes, strict=True)),
        }


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The model on some GPUs."""

    gpu: GPUSpec
    engine: ResolvedEngine
    pages: Pages
    pool: KVPool | None
    """None where nothing is left for caches: see ``problem``."""
    policies: tuple[PolicyCard, ...]
    vllm: VLLMView | None
    problem: str | None

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "gpu": self.gpu.name,
            "tensor_parallel_size": self.engine.tp,
            "max_model_len": self.engine.max_model_len,
            "block_size": self.engine.block_size,
            "kv_pool": None if self.pool is None else self.pool.describe(),
            "pages": self.pages.describe(),
            "policies": [each.describe() for each in self.policies],
            "vllm": None if self.vllm is None else self.vllm.describe(),
            "problem": self.problem,
        }


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A model, and the same model on some GPUs."""

    model: ModelSpec
    types: tuple[CacheType, ...]
    lengths: tuple[int, ...]
    deployment: Deployment
    warnings: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        model = self.model
        return {
            "name": model.name,
            "source": model.source,
            "max_model_len": model.max_model_len,
            "num_layers": model.num_layers,
            "types": [each.describe() for each in self.types],
            "shared_layers": len(model.shared_layers),
            "shared_with": {str(layer): owner for layer, owner in model.shared_layers},
            "kv_bytes_at": kv_bytes_at(model, self.lengths),
            "per_gpu": [
                {"kind": each.variant, **rank_share(layer, self.deployment.engine.tp).describe()}
                for each, layer in zip(self.types, first_layers(model), strict=True)
            ],
            "parameters": {"total": model.params_total, "active": model.params_active},
            "weights": {"bytes": model.weight_bytes, "dtype": model.weight_dtype},
            "deployment": self.deployment.describe(),
            "notes": list(model.notes),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class RankShare:
    """What one tensor-parallel rank keeps of one layer's cache."""

    how: str
    """``split``: a share of the heads; ``repeated``: fewer heads than ranks, so several have the
    same; ``whole``: the same on every rank (latents, indexer keys)."""
    copies: int
    """Ranks that keep the same."""

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        return {"tensor_parallel": self.how, "copies": self.copies}


def rank_share(layer: LayerSpec, tp: int) -> RankShare:
    """How tensor parallelism treats a layer's cache (vLLM 0.33)."""
    if layer.replicated:
        return RankShare(how="whole", copies=tp)
    if layer.kind in STATE_KINDS or tp <= layer.kv_heads:
        return RankShare(how="split", copies=1)
    return RankShare(how="repeated", copies=tp // layer.kv_heads)


def first_layers(model: ModelSpec) -> tuple[LayerSpec, ...]:
    """The first layer of each cache type, in the order of ``cache_types``."""
    found: dict[object, LayerSpec] = {}
    for layer in model.layers:
        key = (layer.variant, layer.window, layer.entry_bytes("bf16"), layer.state_sizes())
        found.setdefault(key, layer)
    return tuple(found.values())


def model_card(
    model: ModelSpec,
    gpu: GPUSpec,
    *,
    lengths: Sequence[int] = LENGTHS,
    policies: Sequence[str] = tuple(PRESETS),
    settings: Mapping[str, Any] | None = None,
    overhead: int | None = None,
    hybrid: bool = True,
) -> ModelCard:
    """Compute everything; ``settings`` as for ``engine_config``.

    Without ``tensor_parallel_size`` the fewest GPUs are taken that leave room for caches. A model
    that does not fit still has a card; what needs a pool is left out.

    Raises:
        ConfigError: A setting is unknown or impossible.
    """
    given = dict(settings or {})
    caching = given.pop("enable_prefix_caching", None)
    if "tensor_parallel_size" not in given:
        given["tensor_parallel_size"] = fewest_gpus(model, gpu, given)
    engine = engine_config(**given).resolve(model, gpu)
    groups = by_kind(layer_specs(model, engine, aligned=False), _context(engine))
    pool, problem = _pool(model, gpu, engine, overhead)
    cards: tuple[PolicyCard, ...] = ()
    view: VLLMView | None = None
    if pool is not None:
        cards = tuple(_policy_card(name, model, engine, pool, lengths) for name in policies)
        enabled = caches_prefixes(model) and caching is not False
        view = _view(model, engine, pool, caching=enabled, hybrid=hybrid)
    deployment = Deployment(
        gpu=gpu,
        engine=engine,
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
    return ModelCard(
        model=model,
        types=cache_types(model),
        lengths=tuple(lengths),
        deployment=deployment,
        warnings=tuple(_warnings(deployment, groups)),
    )


def fewest_gpus(model: ModelSpec, gpu: GPUSpec, settings: Mapping[str, Any]) -> int:
    """The smallest tensor-parallel size that leaves a tenth of the memory for caches; else 1."""
    for ranks in RANKS:
        try:
            config = engine_config(**{**settings, "tensor_parallel_size": ranks})
            engine = config.resolve(model, gpu)
            pool = kv_pool(model, gpu, engine)
        except ConfigError:
            continue
        if pool.bytes >= ROOM * gpu.memory_bytes * engine.config.gpu_memory_utilization:
            return ranks
    return 1


def _context(engine: ResolvedEngine) -> GroupingContext:
    return GroupingContext(block_size=engine.block_size, max_model_len=engine.max_model_len)


def _pool(
    model: ModelSpec, gpu: GPUSpec, engine: ResolvedEngine, overhead: int | None
) -> tuple[KVPool | None, str | None]:
    try:
        return kv_pool(model, gpu, engine, overhead=overhead), None
    except ConfigError as error:
        return None, str(error)


def _policy_card(
    name: str, model: ModelSpec, engine: ResolvedEngine, pool: KVPool, lengths: Sequence[int]
) -> PolicyCard:
    fit = fit_policy(name, model, engine, pool.bytes)
    if fit.refused is not None:
        return PolicyCard(name=name, at=(), longest=0, refused=fit.refused)
    return PolicyCard(
        name=name,
        at=tuple(_at(fit, model, engine, tokens) for tokens in lengths),
        longest=fit.longest(),
        refused=None,
    )


def _at(fit: PolicyFit, model: ModelSpec, engine: ResolvedEngine, tokens: int) -> AtLength:
    return AtLength(
        tokens=tokens,
        needed_bytes=needed_bytes(model, tokens, engine),
        held_bytes=fit.held_bytes(tokens),
        concurrency=fit.concurrency(tokens),
    )


def _view(
    model: ModelSpec, engine: ResolvedEngine, pool: KVPool, *, caching: bool, hybrid: bool
) -> VLLMView | None:
    try:
        return vllm_view(model, engine, pool.bytes, enable_prefix_caching=caching, hybrid=hybrid)
    except ConfigError:
        return None


def _warnings(deployment: Deployment, groups: Sequence[PageGroup]) -> list[str]:
    if deployment.problem is not None:
        return [deployment.problem]
    warnings: list[str] = []
    if deployment.pool is not None and len(groups) > 1:
        found = large_page_warning(groups, deployment.pool.bytes, {})
        warnings += [f"lcm: {text}" for text in found]
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
