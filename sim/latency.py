"""How long a step takes: an analytical roofline, every number of it tagged ``analytical``.

``t = t0 + ((a C)^p + (b M)^p)^(1/p)`` with C and M the times at the GPU's peak compute and memory
rate. The constants are defaults for bf16 matrix products that were checked without fitting against
published kernel tables: median error 6.5 % on H100, 7 % on H200, 9.6 % on B200, 12 % on A100, 17 %
on L40S; fp8 and attention are rougher. Measured profiles will take their place.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..configs.engine import ResolvedEngine, weight_flops_dtype
from ..configs.errors import ConfigError
from ..configs.specs import GPUSpec, KVCacheSpec, ModelSpec
from ..configs.work import attention_flops
from ..policies.grouping.contents import label_of

FloatArray = npt.NDArray[np.float64]

COMPUTE_FACTOR = 1.33
MEMORY_FACTOR = 1.25
GEMM_START_US = 3.5
FP8_COMPUTE_FACTOR, FP8_START_US = 1.7, 7.0
GEMM_EXPONENT = 2.5
KERNEL_START_US = 1.5
"""Node of a CUDA graph that only moves activations."""
ELEMENTWISE_PASSES = 12
"""Reads and writes of the hidden vector per layer beside matrix products and attention."""
ALLREDUCE_START_US = 8.0
COPY_START_US = 6.7
"""A copy kernel that the host launches and waits for: 9.6 us less the 2.9 us that the kernel itself
runs, as NVIDIA published for a V100 ("Getting Started with CUDA Graphs", 2019)."""
UNCERTAINTY_PCT = 15.0


@dataclass(frozen=True)
class Prefill:
    """One prefill chunk: ``new`` tokens that end at ``text``; ``cross`` encoder tokens."""

    new: int
    text: int
    cross: int


@dataclass(frozen=True)
class StepShape:
    """What a step computes. ``decode_reads`` holds, per attention class, the tokens read."""

    num_tokens: int
    num_samples: int
    decode_rows: int
    decode_reads: tuple[int, ...]
    prefills: tuple[Prefill, ...] = ()


class LatencyModel(Protocol):
    """Step time from a step's shape. Pure; always >= 1 ns, else the clock would stall."""

    @property
    def classes(self) -> tuple["AttentionClass", ...]:
        """The attention classes that ``StepShape.decode_reads`` counts tokens for."""
        ...

    def step_ns(self, shape: StepShape) -> int:
        """Duration of one step."""
        ...

    def decode_ns(self, rows: int, reads: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Durations of pure decode steps of ``rows`` requests; ``reads[i]`` as in StepShape."""
        ...

    def copy_ns(self, moved_bytes: int, launches: int) -> int:
        """How long a step waits for copies within the pool; 0 without any."""
        ...

    def describe(self) -> dict[str, Any]:
        """Source and uncertainty of the numbers."""
        ...


@dataclass(frozen=True)
class AttentionClass:
    """Layers of equal kind, window and size.

    Compressors have none: they read their window once per entry, which is two tokens a token.
    """

    label: str
    spec: KVCacheSpec
    layers: int
    flops_per_pair: float
    """Of one layer on one rank, for one query token and one key token."""

    @property
    def bytes_per_token(self) -> float:
        """Bytes that one layer reads per token."""
        return self.spec.entry_bytes / self.spec.tokens_per_entry


class AnalyticalLatency:
    """Roofline of one tensor-parallel rank."""

    def __init__(
        self, model: ModelSpec, gpu: GPUSpec, engine: ResolvedEngine, max_tokens: int | None = None
    ) -> None:
        """``max_tokens`` of a step, if not ``max_num_batched_tokens``.

        Raises:
            ConfigError: The size of the model is not known.
        """
        if not model.params_total:
            raise ConfigError(
                f"the parameters of {model.name} are not known, so no step can be timed: give the "
                "model as a YAML file with params and weights"
            )
        self.model = model
        self.gpu = gpu
        self._engine = engine
        self._flops_per_us = gpu.flops["bf16"] / 1e6
        self._bytes_per_us = gpu.memory_bandwidth / 1e6
        specs = engine.kv_cache_specs(model)
        self._states = [spec for spec in specs if spec.is_state]
        self._state_bytes = sum(spec.state_bytes for spec in self._states)
        self._classes = _attention_classes(model, specs, engine.tp)
        self._per_tokens = self._token_table(max_tokens or engine.max_num_batched_tokens)
        self._per_samples = self._head_table(engine.max_num_seqs)

    @property
    def classes(self) -> tuple[AttentionClass, ...]:
        """See LatencyModel."""
        return self._classes

    def step_ns(self, shape: StepShape) -> int:
        """See LatencyModel."""
        total = self._per_tokens[shape.num_tokens] + self._per_samples[shape.num_samples]
        if shape.decode_rows:
            reads = np.array([shape.decode_reads], dtype=np.int64)
            total = total + self._decode_us(shape.decode_rows, reads)[0]
        for chunk in shape.prefills:
            total = total + self._prefill_us(chunk)
        return int(total * 1e3 + 0.5)

    def decode_ns(self, rows: int, reads: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """See LatencyModel."""
        total = self._per_tokens[rows] + self._per_samples[rows] + self._decode_us(rows, reads)
        return (total * 1e3 + 0.5).astype(np.int64)

    def copy_ns(self, moved_bytes: int, launches: int) -> int:
        """See LatencyModel. Every byte is read and written, at the rate of every other kernel."""
        total = MEMORY_FACTOR * 2 * moved_bytes / self._bytes_per_us + launches * COPY_START_US
        return int(total * 1e3 + 0.5)

    def describe(self) -> dict[str, Any]:
        """See LatencyModel."""
        return {
            "model": "roofline",
            "shares": {
                "measured": 0.0,
                "interpolated": 0.0,
                "extrapolated": 0.0,
                "analytical": 1.0,
            },
            "uncertainty_pct": UNCERTAINTY_PCT,
            "constants": {
                "compute_factor": COMPUTE_FACTOR,
                "memory_factor": MEMORY_FACTOR,
                "gemm_start_us": GEMM_START_US,
                "gemm_exponent": GEMM_EXPONENT,
                "fp8_compute_factor": FP8_COMPUTE_FACTOR,
                "fp8_start_us": FP8_START_US,
                "kernel_start_us": KERNEL_START_US,
                "elementwise_passes": ELEMENTWISE_PASSES,
                "allreduce_start_us": ALLREDUCE_START_US,
                "copy_start_us": COPY_START_US,
            },
            "step_overhead_us": self._engine.config.step_overhead_us,
            "request_overhead_us": self._engine.config.request_overhead_us,
        }

    def _roofline(self, flops: Any, bytes_moved: Any) -> Any:
        """Smooth maximum of compute and memory time, exponent 2 (exactly rounded everywhere)."""
        compute = COMPUTE_FACTOR * flops / self._flops_per_us
        memory = MEMORY_FACTOR * bytes_moved / self._bytes_per_us
        return np.sqrt(compute * compute + memory * memory)

    def _decode_us(self, rows: int, reads: npt.NDArray[np.int64]) -> FloatArray:
        total = np.zeros(len(reads))
        for index, cls in enumerate(self._classes):
            tokens = reads[:, index].astype(np.float64)
            each = self._roofline(cls.flops_per_pair * tokens, cls.bytes_per_token * tokens)
            total = total + cls.layers * (GEMM_START_US + each)
        if self._states:
            moved = 2.0 * rows * self._state_bytes
            total = total + (
                len(self._states) * GEMM_START_US + MEMORY_FACTOR * moved / self._bytes_per_us
            )
        return total

    def _prefill_us(self, chunk: Prefill) -> float:
        total = 0.0
        for cls in self._classes:
            spec = cls.spec
            pairs = attention_pairs(spec, chunk)
            read = chunk.cross if spec.kind == "cross" else chunk.text
            each = self._roofline(cls.flops_per_pair * pairs, cls.bytes_per_token * read)
            total = total + cls.layers * (GEMM_START_US + float(each))
        if self._states:
            # A chunked scan multiplies each token into the state about three times.
            elements = self._state_bytes / 2.0
            flops = 6.0 * elements * chunk.new
            total = total + len(self._states) * GEMM_START_US
            total = total + float(self._roofline(flops, 2.0 * self._state_bytes))
        return total

    def _token_table(self, most: int) -> FloatArray:
        """Microseconds of everything that depends on the number of tokens alone, for 0..most."""
        model, tp = self.model, self._engine.tp
        tokens = np.arange(most + 1, dtype=np.float64)
        dense, routed = _split_parameters(model)
        per_param = model.weight_bytes / model.params_total
        time = self._gemm_us(
            2 * tokens * dense / tp, np.full(most + 1, dense * per_param / tp), 4 * model.num_layers
        )
        if model.moe is not None:
            share = model.moe.top_k / model.moe.experts
            touched = 1 - (1 - share) ** tokens
            flops = 2 * tokens * routed * share / tp
            time += self._gemm_us(flops, touched * routed * per_param / tp, 2 * model.num_layers)
        moved = tokens * model.hidden_size * 2 * ELEMENTWISE_PASSES
        elementwise = 4 * KERNEL_START_US + MEMORY_FACTOR * moved / self._bytes_per_us
        time += model.num_layers * elementwise
        if tp > 1:
            wire = 2 * (tp - 1) / tp * tokens * model.hidden_size * 2
            per_call = ALLREDUCE_START_US + wire / (self.gpu.link_bandwidth / 1e6)
            time += 2 * model.num_layers * per_call
        return _whole_ns(time + self._engine.config.step_overhead_us)

    def _head_table(self, most: int) -> FloatArray:
        """Microseconds of the output projection and the host's work per sampled request."""
        rows = np.arange(most + 1, dtype=np.float64)
        weights = self.model.vocab_size * self.model.hidden_size / self._engine.tp
        time = self._gemm_us(2 * rows * weights, np.full(most + 1, 2 * weights), 1)
        time[0] = 0.0
        return _whole_ns(time + rows * self._engine.config.request_overhead_us)

    def _gemm_us(self, flops: FloatArray, moved: FloatArray, kernels: int) -> FloatArray:
        dtype = weight_flops_dtype(self.model, self.gpu)
        factor, start = COMPUTE_FACTOR, GEMM_START_US
        if dtype == "fp8":
            factor, start = FP8_COMPUTE_FACTOR, FP8_START_US
        compute = factor * flops / (self.gpu.flops[dtype] / 1e6)
        memory = MEMORY_FACTOR * moved / self._bytes_per_us
        p = GEMM_EXPONENT
        return kernels * start + (compute**p + memory**p) ** (1 / p)


def _whole_ns(time_us: FloatArray) -> FloatArray:
    """Round table entries, so that the last bit of a machine's power function never shows."""
    return np.rint(time_us * 1e3) / 1e3


def _attention_classes(
    model: ModelSpec, specs: tuple[KVCacheSpec, ...], tp: int
) -> tuple[AttentionClass, ...]:
    """Layers by what they read; those that share a cache read it as its owner does."""
    readers = Counter(owner for _, owner in model.shared_layers)
    counts: dict[tuple[KVCacheSpec, float], int] = {}
    for layer, spec in zip(model.layers, specs, strict=True):
        if not spec.is_state and spec.kind != "compressor":
            flops = attention_flops(layer) / tp
            counts[spec, flops] = counts.get((spec, flops), 0) + 1 + readers[layer.block]
    return tuple(
        AttentionClass(label_of(spec), spec, count, flops)
        for (spec, flops), count in counts.items()
    )


def _split_parameters(model: ModelSpec) -> tuple[float, float]:
    """Parameters that every token multiplies (embedding tables apart), and routed experts'."""
    embeddings = model.vocab_size * model.hidden_size * (1 if model.tied_embeddings else 2)
    routed = 0.0
    if model.moe is not None:
        share = model.moe.top_k / model.moe.experts
        routed = (model.params_total - model.params_active) / (1 - share)
    return max(model.params_total - routed - embeddings, 0.0), routed


def attention_pairs(spec: KVCacheSpec, chunk: Prefill) -> int:
    """(query, key) pairs that a prefill chunk computes: exact sums over its tokens."""
    if spec.kind == "cross":
        return chunk.new * chunk.cross
    first, last = chunk.text - chunk.new, chunk.text
    if spec.kind == "sliding_window":
        return _window_pairs(last, spec.window) - _window_pairs(first, spec.window)
    if spec.kind == "chunked_local":
        return _chunk_pairs(last, spec.window) - _chunk_pairs(first, spec.window)
    return _triangle(last) - _triangle(first)


def _triangle(n: int) -> int:
    return n * (n + 1) // 2


def _window_pairs(n: int, window: int) -> int:
    inside = min(n, window)
    return _triangle(inside) + (n - inside) * window


def _chunk_pairs(n: int, chunk: int) -> int:
    return n // chunk * _triangle(chunk) + _triangle(n % chunk)
