"""A model's caches in the blocks that vLLM gives them."""

from collections.abc import Sequence
from dataclasses import replace

from ..configs.engine import ResolvedEngine
from ..configs.specs import KVCacheSpec, MambaCacheMode, ModelSpec
from ..policies.grouping.layout import aligned_pages
from ..policies.grouping.vllm import align_hybrid_block_size


def vllm_specs(
    model: ModelSpec, engine: ResolvedEngine, *, enable_prefix_caching: bool
) -> tuple[KVCacheSpec, ...]:
    """Caches of a model on one rank, with vLLM's block sizes, padding, and blocks for states.

    With prefix caching a state is kept at block boundaries of the attention (mode ``align``),
    without it one state stands for the whole request (``model_executor/models/config.py``).
    """
    specs = engine.kv_cache_specs(model)
    mode = mamba_cache_mode(specs, enable_prefix_caching)
    specs = tuple(replace(s, mamba_cache_mode=mode) if s.is_state else s for s in specs)
    specs = tuple(aligned_pages(align_hybrid_block_size(specs, engine.block_size)))
    attention = max((spec.block_size for spec in specs if not spec.is_state), default=0)
    block_size = (attention or engine.block_size) if mode == "align" else engine.max_model_len
    return tuple(replace(s, block_size=block_size) if s.is_state else s for s in specs)


def mamba_cache_mode(specs: Sequence[KVCacheSpec], enable_prefix_caching: bool) -> MambaCacheMode:
    """How vLLM 0.33 keeps states: at block boundaries if it caches prefixes, else one only."""
    has_state = any(spec.is_state for spec in specs)
    return "align" if has_state and enable_prefix_caching else "none"
