"""What vLLM 0.33 will do with a model's caches on a pool: blocks, slots, and whether it starts."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from ..configs.engine import ResolvedEngine
from ..configs.errors import ConfigError
from ..configs.specs import ModelSpec
from ..policies.base import GroupingContext
from ..policies.grouping.layer_groups import LayerGroup, bytes_per_block
from ..policies.grouping.vllm import vllm_layer_groups
from .capacity import Capacity, Limits, block_sizes, capacity, longest_model_len
from .startup import startup_limits
from .vllm_specs import vllm_specs


@dataclass(frozen=True, kw_only=True)
class VLLMView:
    """vLLM's plan. Bytes are those of one GPU."""

    groups: int
    """KV cache groups: block tables that every request has."""
    block_size: int
    """Tokens of an attention block; the scheduler's where there is no attention."""
    hash_block_size: int | None
    """Tokens of one prefix hash: the step in which prefixes can hit; None without caching."""
    bytes_per_block: int
    state_padding: float
    """Share of a state's page that is padding, to be as large as an attention page; 0 without."""
    num_blocks: int
    """Blocks of the pool, the null block included."""
    min_blocks_per_request: int
    """Blocks that a request of one token takes: one in every group."""
    max_model_len: int
    max_concurrency: float | None
    """Requests of ``max_model_len`` tokens at once, as vLLM logs it; None if none fits."""
    capacity_tokens: int | None
    """``max_concurrency`` x ``max_model_len``: the log's "GPU KV cache size"."""
    longest_model_len: int
    """The largest ``max_model_len`` up to the given one and the positions with which it starts."""
    refused: str | None
    """vLLM's words where it does not start with these settings."""
    state_slots: int | None
    """Blocks that states share; None for models without states."""
    max_num_seqs: int

    @property
    def short_of_slots(self) -> bool:
        """Whether vLLM stops: with CUDA graphs every sequence needs a block for its state."""
        return self.state_slots is not None and self.max_num_seqs > self.state_slots

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"short_of_slots": self.short_of_slots}


def vllm_view(
    model: ModelSpec,
    engine: ResolvedEngine,
    pool_bytes: int,
    *,
    enable_prefix_caching: bool,
    hybrid: bool = True,
) -> VLLMView:
    """Plan a model as vLLM does at start-up; ConfigError where it has no plan at all."""
    specs = vllm_specs(model, engine, enable_prefix_caching=enable_prefix_caching)
    context = GroupingContext(block_size=engine.block_size, max_model_len=engine.max_model_len)
    groups = tuple(vllm_layer_groups(specs, context, hybrid=hybrid))
    limits = startup_limits(engine, specs, pool_bytes, enable_prefix_caching)
    limits = replace(limits, positions=model.positions)
    figures, refused = _capacity(groups, limits)
    scheduler_block, hash_block = block_sizes(groups, limits)
    attention = [group.block_size for group in groups if not group.first.is_state]
    block_bytes = bytes_per_block(groups)
    num_blocks = pool_bytes // block_bytes
    return VLLMView(
        groups=len(groups),
        block_size=max(attention, default=scheduler_block),
        hash_block_size=hash_block if enable_prefix_caching else None,
        bytes_per_block=block_bytes,
        state_padding=_state_padding(groups, block_bytes),
        num_blocks=num_blocks,
        min_blocks_per_request=len(groups),
        max_model_len=engine.max_model_len,
        max_concurrency=figures.max_concurrency if figures else None,
        capacity_tokens=figures.capacity_tokens if figures else None,
        longest_model_len=longest_model_len(groups, limits),
        refused=refused,
        state_slots=num_blocks if any(spec.is_state for spec in specs) else None,
        max_num_seqs=engine.max_num_seqs,
    )


def _capacity(groups: tuple[LayerGroup, ...], limits: Limits) -> tuple[Capacity | None, str | None]:
    try:
        return capacity(groups, limits), None
    except ConfigError as error:
        return None, str(error)


def _state_padding(groups: tuple[LayerGroup, ...], block_bytes: int) -> float:
    states = [group for group in groups if group.first.is_state]
    if not states:
        return 0.0
    full = max(states, key=lambda group: group.content_bytes)
    return 1 - full.content_bytes / block_bytes
