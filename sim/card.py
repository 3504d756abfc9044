"""The parts of a model's card, and the same as JSON.

Bytes of ``types`` and ``kv_bytes_at`` are those of all tensor-parallel ranks together, as if there
were one; all others are those of ONE rank, that is of one GPU.
"""

from dataclasses import asdict, dataclass
from typing import Any

from ..configs.cache_types import CacheType, kv_bytes_at
from ..configs.engine import ResolvedEngine
from ..configs.specs import STATE_KINDS, GPUSpec, LayerSpec, ModelSpec
from ..configs.work import attention_flops_at, linear_flops
from ..policies.page_sizes import PageSizes
from .fit import waste_share
from .pool import KVPool
from .vllm_view import VLLMView


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
    stages: int
    """Stages of the pipeline; the figures are those of the stage with the least room."""
    layers: tuple[int, int]
    """First and last decoder layer of that stage."""
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
            "pipeline_parallel_size": self.stages,
            "layers": list(self.layers),
            "max_model_len": self.engine.max_model_len,
            "block_size": self.engine.block_size,
            "kv_pool": None if self.pool is None else self.pool.describe(),
            "pages": self.pages.describe(),
            "policies": [each.describe() for each in self.policies],
            "vllm": None if self.vllm is None else self.vllm.describe(),
            "problem": self.problem,
        }


@dataclass(frozen=True, kw_only=True)
class ImageCard:
    """One image of a vision-language model."""

    width: int
    height: int
    tokens: int
    where: str
    """``sequence``: they stand among the text; ``cross``: in the cross-attention cache."""
    embedding_bytes: int
    """In the encoder cache."""
    cross_bytes: int
    """In the cross-attention cache, all ranks together, bf16; 0 without one."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A model, and the same model on some GPUs."""

    model: ModelSpec
    types: tuple[CacheType, ...]
    lengths: tuple[int, ...]
    images: tuple[ImageCard, ...]
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
            "kv_bytes_at": kv_bytes_at(model, self.lengths, self.deployment.engine.ssm_dtype),
            "per_gpu": [
                {"kind": each.variant, **rank_share(layer, self.deployment.engine.tp).describe()}
                for each, layer in zip(self.types, first_layers(model), strict=True)
            ],
            **_size(model),
            "flops": {
                "linear_per_token": linear_flops(model) if model.params_total else None,
                "attention_per_token_at": {
                    str(tokens): attention_flops_at(model, tokens) for tokens in self.lengths
                },
            },
            "images": [asdict(each) for each in self.images],
            "deployment": self.deployment.describe(),
            "notes": list(model.notes),
            "warnings": list(self.warnings),
        }


def _size(model: ModelSpec) -> dict[str, Any]:
    """For JSON; null where it is not known."""
    return {
        "parameters": {"total": model.params_total or None, "active": model.params_active or None},
        "weights": {
            "bytes": model.weight_bytes or None,
            "dtype": model.weight_dtype if model.weight_bytes else None,
        },
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
