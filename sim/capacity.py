"""What vLLM 0.33 says of its KV pool at start-up: blocks, block sizes, capacity, concurrency.

Pure arithmetic on groups of layers. Sources: ``v1/core/kv_cache_planning.py`` (blocks, the check
that one longest request fits), ``v1/core/kv_cache_utils.py`` (block sizes of scheduler and hashes,
capacity) and ``max_memory_usage_bytes`` of the specs in ``v1/kv_cache_interface.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..configs.errors import ConfigError
from ..configs.specs import KVCacheSpec, MambaCacheMode, cdiv
from ..policies.caching.rules import resolve_block_sizes
from ..policies.grouping.layer_groups import LayerGroup, bytes_per_block

GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Settings that the figures depend on beside the groups."""

    kv_bytes: int
    """KV pool of one GPU."""
    max_model_len: int
    max_num_batched_tokens: int
    concurrent_batches: int = 1
    """Batches in flight: 2 with asynchronous scheduling."""
    enable_prefix_caching: bool = True
    mamba_cache_mode: MambaCacheMode = "none"
    """The engine's mode; vLLM's choice is ``align`` with prefix caching and ``none`` without."""
    positions: int | None = None
    """The model's: longer ``max_model_len`` are not advised. None where they are not known."""

    @property
    def max_in_flight_tokens(self) -> int:
        """Tokens that may be scheduled and not settled: windows recycle pages only after them."""
        return self.concurrent_batches * self.max_num_batched_tokens


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """The figures. ``max_concurrency`` counts requests of ``max_model_len`` tokens each."""

    num_blocks: int
    """Blocks of the pool, the null block included."""
    bytes_per_block: int
    scheduler_block_size: int
    """Tokens after which every group ends a block: the step in which prefix hits are granted."""
    hash_block_size: int
    """Tokens of one prefix hash."""
    capacity_tokens: int
    """``max_concurrency`` x ``max_model_len``: not a number of tokens that fit at once."""
    max_concurrency: float


def capacity(groups: Sequence[LayerGroup], limits: Limits) -> Capacity:
    """Compute the figures; ConfigError if one longest request does not fit the pool."""
    block = bytes_per_block(groups)
    check_longest_request(groups, limits)
    num_blocks = limits.kv_bytes // block
    concurrency = num_blocks / sum(blocks_per_request(group, limits) for group in groups)
    scheduler_block, hash_block = block_sizes(groups, limits)
    return Capacity(
        num_blocks=num_blocks,
        bytes_per_block=block,
        scheduler_block_size=scheduler_block,
        hash_block_size=hash_block,
        capacity_tokens=int(concurrency * limits.max_model_len),
        max_concurrency=concurrency,
    )


def blocks_per_request(group: LayerGroup, limits: Limits) -> int:
    """Blocks that a request of ``max_model_len`` tokens holds at most in this group."""
    return max(_layer_blocks(spec, limits) for spec in group.specs)


def _layer_blocks(spec: KVCacheSpec, limits: Limits) -> int:
    """``max_memory_usage_bytes`` of the spec's class, in blocks."""
    length = limits.max_model_len
    if spec.is_state:
        kept = 2 if limits.mamba_cache_mode == "align" else 1
        return kept + spec.num_speculative_blocks + spec.num_checkpoint_blocks
    if spec.grows_as == "sliding_window":
        held = min(spec.window - 1 + limits.max_in_flight_tokens, length)
        # The window may begin within a block.
        return cdiv(held, spec.block_size) + 1
    if spec.grows_as == "chunked_local":
        return cdiv(min(spec.window + limits.max_in_flight_tokens, length), spec.block_size)
    if spec.kind == "cross":
        # vLLM's budget of encoder tokens in a step stands for the longest encoder input.
        return cdiv(limits.max_num_batched_tokens, spec.block_size)
    return cdiv(length, spec.block_size)


def block_sizes(groups: Sequence[LayerGroup], limits: Limits) -> tuple[int, int]:
    """Block sizes of the scheduler and of prefix hashes."""
    specs = [spec for group in groups for spec in group.specs]
    return resolve_block_sizes(
        [group.block_size for group in groups],
        whole_states=any(spec.is_state and spec.mamba_cache_mode != "align" for spec in specs),
        enabled=limits.enable_prefix_caching,
    )


def check_longest_request(groups: Sequence[LayerGroup], limits: Limits) -> None:
    """Refuse a pool that cannot hold one longest request and the null block, as vLLM does."""
    available = limits.kv_bytes - bytes_per_block(groups)
    if available <= 0:
        raise ConfigError(
            f"the KV pool of {limits.kv_bytes:,} bytes does not hold two blocks of "
            f"{bytes_per_block(groups):,} bytes, and one is the null block; vLLM 0.33 stops with "
            '"ValueError: No available memory for the cache blocks." Give it a larger pool '
            "(--kv-cache-memory-bytes; kv_bytes of a case), or more GPUs (--tp)."
        )
    needed = _request_bytes(groups, limits)
    if needed <= available:
        return
    longest = longest_model_len(groups, limits)
    advice = f"lower max_model_len: up to {longest:,} fits" if longest else "use more GPUs (--tp)"
    raise ConfigError(
        f"a request of max_model_len = {limits.max_model_len:,} tokens needs {needed:,} bytes of "
        f"the KV pool, which has {available:,} beside the null block; vLLM 0.33 stops with "
        "\"ValueError: To serve at least one request with the model's max seq len "
        f'({limits.max_model_len}), ({needed / GIB:.2f} GiB KV cache is needed, ...". Give it a '
        f"larger pool (--kv-bytes; kv_bytes of a case), or {advice}."
    )


def longest_model_len(groups: Sequence[LayerGroup], limits: Limits) -> int:
    """The largest ``max_model_len`` up to that of ``limits`` that fits the pool; 0 if none does.

    Not beyond the model's positions either.
    """
    available = limits.kv_bytes - bytes_per_block(groups)
    allowed = limits.max_model_len
    if limits.positions is not None:
        allowed = min(allowed, limits.positions)
    fits, too_long = 0, allowed + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if _request_bytes(groups, replace(limits, max_model_len=middle)) <= available:
            fits = middle
        else:
            too_long = middle
    return fits


def _request_bytes(groups: Sequence[LayerGroup], limits: Limits) -> int:
    blocks = sum(blocks_per_request(group, limits) for group in groups)
    return blocks * bytes_per_block(groups)
