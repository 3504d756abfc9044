"""Engine settings under vLLM's flag names, with the defaults of vLLM 0.33."""

import math
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, TypeGuard

from .errors import ConfigError
from .kernels import checkpoint_alignment, mla_block_size, sparse_mla_dtype
from .specs import GPUSpec, KVCacheSpec, ModelSpec, cdiv

GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Settings of one engine replica. None means: derived from model and GPU by ``resolve``."""

    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.92
    kv_cache_memory_bytes: int | None = None
    """KV pool of one GPU, given instead of derived."""
    num_gpu_blocks_override: int | None = None
    """KV pool in blocks of vLLM's own grouping, given instead of derived."""
    kv_cache_dtype: str = "auto"
    """``auto`` follows the model: bf16 unless its file says otherwise."""
    mamba_ssm_cache_dtype: str = "auto"
    """Of recurrent states; ``auto`` follows the model. Convolutions keep the model's dtype."""
    block_size: int | None = None
    """Tokens per block; 16, 16 to 64 with MLA as its kernels on the GPU ask, 256 where its entries
    stand for several."""
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    scheduling_policy: Literal["fcfs", "priority"] = "fcfs"
    watermark: float = 0.0
    scheduler_reserve_full_isl: bool = True
    long_prefill_token_threshold: int = 0
    enable_chunked_prefill: bool = True
    async_scheduling: bool = True
    """Two batches in flight: the next step is scheduled while one runs."""
    enable_prefix_caching: bool | None = None
    """None: as the policy's retention says."""
    step_overhead_us: float = 126.0
    """Host time of a step that no kernel hides (BLIS, fitted on 15 serving runs on H100)."""
    request_overhead_us: float = 4.0
    """Host time per served request and step (same source)."""

    def __post_init__(self) -> None:
        """Raise ConfigError naming the first setting that is out of range."""
        for name in _POSITIVE:
            value = getattr(self, name)
            left_open = value is None and name != "tensor_parallel_size"
            if not left_open and not (_is_int(value) and value > 0):
                raise ConfigError(f"engine.{name}: {value!r} must be a positive whole number")
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise ConfigError(f"engine.{name}: {value!r} must be a number >= 0")
        for name in _SWITCHES:
            left_open = getattr(self, name) is None and name == "enable_prefix_caching"
            if not (left_open or isinstance(getattr(self, name), bool)):
                raise ConfigError(
                    f"engine.{name}: {getattr(self, name)!r} is neither true nor false"
                )
        if not 0 < self.gpu_memory_utilization <= 1:
            raise ConfigError(
                f"engine.gpu_memory_utilization: {self.gpu_memory_utilization!r} must be in (0, 1]"
            )
        if self.watermark >= 1:
            raise ConfigError(f"engine.watermark: {self.watermark!r} is a share, must be under 1")
        if self.scheduling_policy not in ("fcfs", "priority"):
            raise ConfigError(
                f"engine.scheduling_policy: {self.scheduling_policy!r} is neither fcfs nor priority"
            )
        if self.kv_cache_dtype not in ("auto", "bf16", "fp16", "fp8"):
            raise ConfigError(
                f"engine.kv_cache_dtype: {self.kv_cache_dtype!r} is none of auto, bf16, fp16, fp8"
            )

        if self.mamba_ssm_cache_dtype not in ("auto", *_SSM_DTYPES):
            raise ConfigError(
                f"engine.mamba_ssm_cache_dtype: {self.mamba_ssm_cache_dtype!r} is none of auto, "
                f"{', '.join(_SSM_DTYPES)}"
            )

    def resolve(self, model: ModelSpec, gpu: GPUSpec) -> "ResolvedEngine":
        """Fill in what was left open, as vLLM 0.33 does for its API server.

        ``engine/arg_utils.py``: 1,024 sequences and 8,192 tokens a step from 70 GiB up (not A100),
        16,384 tokens from 160 GiB up, else 256 and 2,048.
        """
        _check_divides(self.tensor_parallel_size, model)
        follows = self.kv_cache_dtype == "auto"
        fp8 = (model.kv_cache_dtype if follows else self.kv_cache_dtype) == "fp8"
        block_size = self.block_size or _default_block_size(model, gpu, fp8=fp8)
        _check_entries(block_size, model)
        length = self.max_model_len or model.max_model_len
        large = gpu.memory_bytes >= 70 * GIB and "a100" not in gpu.name
        seqs, tokens = (1024, 8192) if large else (256, 2048)
        if gpu.memory_bytes >= 160 * GIB:
            tokens = 16384
        seqs = self.max_num_seqs or seqs
        batched = self.max_num_batched_tokens
        if batched is None:
            batched = min(
                tokens if self.enable_chunked_prefill else max(tokens, length), seqs * length
            )
        if self.max_num_seqs is None:
            seqs = min(seqs, batched)
        if batched < seqs:
            raise ConfigError(
                f"engine.max_num_batched_tokens: {batched} is below max_num_seqs = {seqs}; "
                "every running request needs a token a step"
            )
        if not self.enable_chunked_prefill and batched < length:
            raise ConfigError(
                f"engine.max_num_batched_tokens: {batched} is below max_model_len = {length}; "
                "without chunked prefill a whole prompt must fit one step"
            )
        config = replace(
            self,
            max_model_len=length,
            max_num_seqs=seqs,
            max_num_batched_tokens=batched,
            block_size=block_size,
        )
        return ResolvedEngine(config, gpu.generation)


class ResolvedEngine:
    """An EngineConfig in which nothing is open any more."""

    def __init__(self, config: EngineConfig, generation: int | None = None) -> None:
        open_names = [name for name in _RESOLVED if getattr(config, name) is None]
        if open_names:
            raise ConfigError(f"engine.{open_names[0]}: not set; call EngineConfig.resolve")
        self.config = config
        self.max_model_len = int(config.max_model_len or 0)
        self.max_num_seqs = int(config.max_num_seqs or 0)
        self.max_num_batched_tokens = int(config.max_num_batched_tokens or 0)
        self.block_size = int(config.block_size or 0)
        self.tp = config.tensor_parallel_size
        self.generation = generation
        """Of the GPU: the major number of its compute capability; None if unknown."""

    def kv_cache_specs(
        self, model: ModelSpec, block_size: int | None = None
    ) -> tuple[KVCacheSpec, ...]:
        """The caches of ``model`` on one rank under these settings; ``block_size`` unless given."""
        config = self.config
        follows = config.kv_cache_dtype == "auto"
        kv_dtype = model.kv_cache_dtype if follows else config.kv_cache_dtype
        if is_sparse(model):
            kv_dtype, packed = sparse_mla_dtype(self.generation, kv_dtype, auto=follows)
            model = model if packed else _unpacked(model)
        specs = model.kv_cache_specs(
            block_size=block_size or self.block_size,
            tp=self.tp,
            kv_dtype=kv_dtype,
            ssm_dtype=self.ssm_dtype,
        )
        return tuple(self._with_checkpoints(spec) if spec.is_state else spec for spec in specs)

    def _with_checkpoints(self, spec: KVCacheSpec) -> KVCacheSpec:
        alignment = checkpoint_alignment(spec.variant, self.generation)
        return replace(spec, checkpoint_alignment=alignment)

    @property
    def ssm_dtype(self) -> str | None:
        """What ``--mamba-ssm-cache-dtype`` makes of recurrent states; None leaves the model's."""
        return _SSM_DTYPES.get(self.config.mamba_ssm_cache_dtype)


_SSM_DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
"""Names of ``--mamba-ssm-cache-dtype`` and ours."""
_RESOLVED = ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "block_size")
_POSITIVE = (
    "tensor_parallel_size",
    "kv_cache_memory_bytes",
    "num_gpu_blocks_override",
    *_RESOLVED,
)
_SWITCHES = (
    "scheduler_reserve_full_isl",
    "enable_chunked_prefill",
    "async_scheduling",
    "enable_prefix_caching",
)
_NOT_NEGATIVE = (
    "watermark",
    "long_prefill_token_threshold",
    "step_overhead_us",
    "request_overhead_us",
    "gpu_memory_utilization",
)


def uneven_heads(tp: int, model: ModelSpec) -> str | None:
    """Why vLLM would not split the model's heads over ``tp`` ranks; None if it would.

    KV heads are split or, where there are more ranks, repeated (``QKVParallelLinear``).
    """
    for layer in model.layers:
        if layer.role not in ("kv", "cross"):
            continue
        if layer.heads % tp:
            return (
                f"{tp} ranks cannot share {layer.heads} attention heads of {model.name} evenly; "
                f"use a divisor of {layer.heads}"
            )
        if not layer.replicated and layer.kv_heads % tp and tp % layer.kv_heads:
            return (
                f"{tp} ranks can neither share nor repeat {layer.kv_heads} KV heads of "
                f"{model.name} evenly; use a divisor or a multiple of {layer.kv_heads} that "
                f"divides {layer.heads}"
            )
    return None


def _check_divides(tp: int, model: ModelSpec) -> None:
    problem = uneven_heads(tp, model)
    if problem is not None:
        raise ConfigError(f"engine.tensor_parallel_size: {problem}")


def _default_block_size(model: ModelSpec, gpu: GPUSpec, *, fp8: bool) -> int:
    """What vLLM 0.33 takes: DeepSeek-V4's kernels want 256 tokens, of 64 or 2 entries.

    ``models/deepseek_v4/sparse_mla.py``, ``get_supported_kernel_block_sizes``.
    """
    entry = model.tokens_per_entry
    if entry > 1:
        return cdiv(256, entry) * entry
    if not model.has_mla:
        return 16
    return mla_block_size(gpu.generation, fp8=fp8, sparse=is_sparse(model))


def is_sparse(model: ModelSpec) -> bool:
    """Whether an indexer chooses the latents that are read (DeepSeek-V3.2, not V4's entries)."""
    return model.tokens_per_entry == 1 and any(layer.kind == "indexer" for layer in model.layers)


def _unpacked(model: ModelSpec) -> ModelSpec:
    layers = tuple(replace(layer, fp8_entry_bytes=0) for layer in model.layers)
    return replace(model, layers=layers)


def _check_entries(block_size: int, model: ModelSpec) -> None:
    """Refuse blocks that end within an entry."""
    entry = model.tokens_per_entry
    if block_size % entry:
        raise ConfigError(
            f"engine.block_size: {block_size} tokens end within an entry of {model.name}, which "
            f"stands for up to {max(layer.tokens_per_entry for layer in model.layers)} tokens; use "
            f"a multiple of {entry}, such as {cdiv(block_size, entry) * entry}"
        )


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def engine_config(**settings: Any) -> EngineConfig:
    """Build an EngineConfig; an unknown name is a ConfigError that suggests the nearest one."""
    known = [field.name for field in fields(EngineConfig)]
    for name in settings:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(known)}."
            raise ConfigError(f"engine.{name}: unknown setting.{hint}")
    return EngineConfig(**settings)


def weight_flops_dtype(model: ModelSpec, gpu: GPUSpec) -> str:
    """Dtype in which the model's matrix products run: fp8 where weights and GPU have it."""
    runs_fp8 = model.weight_dtype == "fp8" and "fp8" in gpu.flops
    return "fp8" if runs_fp8 else "bf16"
