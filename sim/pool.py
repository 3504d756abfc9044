"""How many bytes of a GPU are left for caches, and where that number comes from."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..configs.engine import GIB, ResolvedEngine, uneven_heads
from ..configs.errors import ConfigError
from ..configs.specs import GPUSpec, ModelSpec
from ..policies.base import GroupingContext
from ..policies.grouping.vllm import vllm
from .caching import vllm_caches
from .vllm_specs import vllm_specs

CONTEXT_BYTES = GIB
"""CUDA context, libraries, graphs (vLLM start-up logs show 0.6-1.6 GiB of non-torch memory)."""
COMMUNICATION_BYTES = GIB // 2
"""NCCL buffers where tensor parallelism is used."""
_USUAL_RANKS = (1, 2, 4, 8, 16, 32, 64, 128)
RANKS = (*_USUAL_RANKS, *(count for count in range(3, 128) if count not in _USUAL_RANKS))
"""Tensor-parallel sizes in the order in which they are tried."""


@dataclass(frozen=True, kw_only=True)
class PoolSums:
    """What a derived pool was derived from: bytes of one GPU."""

    memory: int
    utilization: float
    """Share of the memory that the engine may use."""
    usable: int
    """Memory x utilization."""
    weights: int
    overhead: int
    """Beside weights and caches: activations, context, buffers."""
    overhead_source: str
    """``estimated``, ``given``, or what the model file says of it."""


@dataclass(frozen=True)
class KVPool:
    """Bytes of the pool on one GPU and how they were obtained."""

    bytes: int
    source: str
    """Short name of the way: derived, kv-bytes, num-gpu-blocks, vllm-log."""
    explanation: str
    """The arithmetic in one line, for the user."""
    sums: PoolSums | None = None
    """The same as numbers; None unless the pool was derived."""

    def describe(self) -> dict[str, Any]:
        """For the results."""
        return {"bytes": self.bytes, "source": self.source, "explanation": self.explanation}


def kv_pool(
    model: ModelSpec,
    gpu: GPUSpec,
    engine: ResolvedEngine,
    vllm_log: str | Path | None = None,
    *,
    overhead: int | None = None,
) -> KVPool:
    """Obtain the pool: given in bytes, given in blocks, read from a vLLM log, or derived.

    ``overhead``: bytes of each GPU beside weights and caches, for a pool that is derived. None:
    what the model's file says of it, or else an estimate (``overhead_bytes``).
    """
    config = engine.config
    given = [
        name
        for name, value in (
            ("--kv-bytes", config.kv_cache_memory_bytes),
            ("--num-gpu-blocks", config.num_gpu_blocks_override),
            ("--vllm-log", vllm_log),
        )
        if value is not None
    ]
    if len(given) > 1:
        raise ConfigError(f"the KV pool is given twice, by {' and '.join(given)}; keep one of them")
    if given and overhead is not None:
        raise ConfigError(
            f"the KV pool is given by {given[0]}, so --overhead would change nothing; keep one"
        )
    if config.kv_cache_memory_bytes is not None:
        size = config.kv_cache_memory_bytes
        return KVPool(size, "kv-bytes", f"{_gib(size)} per GPU, given")
    if config.num_gpu_blocks_override is not None:
        return _from_blocks(config.num_gpu_blocks_override, "num-gpu-blocks", model, engine)
    if vllm_log is not None:
        return _from_log(Path(vllm_log), model, engine)
    return _derived(model, gpu, engine, overhead)


def vllm_block_bytes(model: ModelSpec, engine: ResolvedEngine) -> int:
    """Bytes of one block in vLLM's own grouping of this model, on one rank."""
    context = GroupingContext(block_size=engine.block_size, max_model_len=engine.max_model_len)
    specs = vllm_specs(model, engine, enable_prefix_caching=vllm_caches(model, engine.config))
    return vllm(specs, context)[0].page_bytes


def overhead_bytes(model: ModelSpec, engine: ResolvedEngine, tp: int) -> int:
    """Rough memory of one GPU beside weights and caches: peak of activations, and context.

    About eight hidden vectors per token live at once; logits of ``max_num_seqs`` rows are held in
    fp32 twice while sampling. Errors of a GiB are possible: read the log of a real start-up.
    """
    hidden = 8 * 2 * engine.max_num_batched_tokens * model.hidden_size
    logits = 2 * 4 * min(engine.max_num_seqs, 1024) * model.vocab_size // tp
    return hidden + logits + CONTEXT_BYTES + (COMMUNICATION_BYTES if tp > 1 else 0)


def _derived(model: ModelSpec, gpu: GPUSpec, engine: ResolvedEngine, given: int | None) -> KVPool:
    config = engine.config
    if not model.weight_bytes:
        raise ConfigError(
            f"the weights of {model.name} are not known, so neither is what they leave free: give "
            "the pool with --kv-bytes, or the model as a YAML file with params and weights"
        )
    usable = int(gpu.memory_bytes * config.gpu_memory_utilization)
    weights = model.weight_bytes // engine.tp
    overhead, name, source = _overhead(model, engine, engine.tp, given)
    size = usable - weights - overhead
    sums = (
        f"{_gib(gpu.memory_bytes)} x {config.gpu_memory_utilization:g} - weights {_gib(weights)} "
        f"- {name} {_gib(overhead)} ({source})"
    )
    if size <= 0:
        enough = _smallest_tp(model, engine, usable, given)
        advice = f"more GPUs (--tp {enough})" if enough else "larger GPUs"
        raise ConfigError(
            f"{model.name} does not fit {engine.tp} x {gpu.name}: {sums} leaves nothing. "
            f"Use {advice}, or --gpu-memory-utilization."
        )
    parts = PoolSums(
        memory=gpu.memory_bytes,
        utilization=config.gpu_memory_utilization,
        usable=usable,
        weights=weights,
        overhead=overhead,
        overhead_source=source,
    )
    return KVPool(size, "derived", f"{_gib(size)} per GPU = {sums}", parts)


def _overhead(
    model: ModelSpec, engine: ResolvedEngine, tp: int, given: int | None
) -> tuple[int, str, str]:
    """Bytes beside weights and caches, what they are called, and where the figure is from."""
    if given is not None:
        return given, "overhead", "given"
    if model.overhead is not None:
        return model.overhead.bytes, "overhead", model.overhead.source
    estimate = overhead_bytes(model, engine, tp)
    return estimate, "activations and context", "estimated, +-1 GiB"


def _smallest_tp(
    model: ModelSpec, engine: ResolvedEngine, usable: int, given: int | None
) -> int | None:
    """Fewest ranks that can share the heads and leave memory for caches; None if none can."""
    for tp in sorted(RANKS):
        if tp <= engine.tp or uneven_heads(tp, model):
            continue
        overhead, _, _ = _overhead(model, engine, tp, given)
        if usable - model.weight_bytes // tp > overhead:
            return tp
    return None


def _from_blocks(blocks: int, source: str, model: ModelSpec, engine: ResolvedEngine) -> KVPool:
    block = vllm_block_bytes(model, engine)
    size = blocks * block
    return KVPool(
        size, source, f"{_gib(size)} per GPU = {blocks:,} blocks x {block:,} bytes (vLLM's blocks)"
    )


_BLOCKS = re.compile(
    r"num_gpu_blocks_override=(\d+)|num_gpu_blocks is:? (\d+)|# GPU blocks: (\d+)"
    r"|num_gpu_blocks=(\d+)"
)
_AVAILABLE = re.compile(r"Available KV cache memory: ([\d.]+) GiB")
_TOKENS = re.compile(r"GPU KV cache size: ([\d,]+) tokens")


def _from_log(path: Path, model: ModelSpec, engine: ResolvedEngine) -> KVPool:
    """Blocks are exact; available memory is rounded to 0.01 GiB; tokens only for one layer kind."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"--vllm-log {path}: {error.strerror or error}") from error
    blocks = _last_number(_BLOCKS, text)
    if blocks is not None:
        return _from_blocks(int(blocks), "vllm-log", model, engine)
    available = _last_number(_AVAILABLE, text)
    if available is not None:
        size = int(float(available) * GIB)
        why = f"{_gib(size)} per GPU, 'Available KV cache memory' of {path.name} (+-0.005 GiB)"
        return KVPool(size, "vllm-log", why)
    tokens = _last_number(_TOKENS, text)
    if tokens is not None:
        return _from_tokens(int(tokens), path, model, engine)
    raise ConfigError(
        f"--vllm-log {path}: no line with 'Available KV cache memory: ... GiB', "
        "'num_gpu_blocks' or 'GPU KV cache size: ... tokens'. Is it the log of a vLLM start-up?"
    )


def _from_tokens(tokens: int, path: Path, model: ModelSpec, engine: ResolvedEngine) -> KVPool:
    specs = engine.kv_cache_specs(model)
    if any(spec.is_state or spec.window for spec in specs):
        raise ConfigError(
            f"--vllm-log {path}: only 'GPU KV cache size: {tokens:,} tokens' was found. With "
            "windows or states that number depends on max_model_len; give --kv-bytes instead."
        )
    size = sum(spec.bytes_of(tokens) for spec in specs)
    why = f"{_gib(size)} per GPU = {tokens:,} tokens of {path.name} x bytes per token"
    return KVPool(size, "vllm-log", why)


def _last_number(pattern: re.Pattern[str], text: str) -> str | None:
    found = [group for match in pattern.finditer(text) for group in match.groups() if group]
    return found[-1].replace(",", "") if found else None


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
