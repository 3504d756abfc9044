"""How long a step takes: an analytical roofline, every number of it tagged ``analytical``.

``t = t0 + ((a C)^p + (b M)^p)^(1/p)`` with C and M the times at the GPU's peak compute and memory
rate. The constants are defaults for bf16 matrix products that were checked without fitting against
published kernel tables: median error 6.5 % on H100, 7 % on H200, 9.6 % on B200, 12 % on A100, 17 %
on L40S; fp8 and attention are rougher. Measured profiles will take their place.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..configs.engine import ResolvedEngine, weight_flops_dtype
from ..configs.errors import ConfigError
from ..configs.specs import GPUSpec, KVCacheSpec, ModelSpec
from ..configs.work import attention_flops
from ..policies.demand_kernels import kind_code
from ..policies.grouping.contents import label_of
from .compiled.roofline import PER_SAMPLES, PER_TOKENS, Roofline, copy_ns, step_ns

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


class Prefill(NamedTuple):
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
        self._classes = attention_classes(model, specs, engine.tp)
        per_tokens = self._token_table(max_tokens or engine.max_num_batched_tokens)
        per_samples = self._head_table(engine.max_num_seqs)
        tables = np.zeros((2, max(len(per_tokens), len(per_samples))))
        tables[PER_TOKENS, : len(per_tokens)] = per_tokens
        tables[PER_SAMPLES, : len(per_samples)] = per_samples
        states = [spec for spec in specs if spec.is_state]
        self.roofline = self._make_roofline(states, tables)
        """What the compiled engine asks instead."""

    @property
    def classes(self) -> tuple[AttentionClass, ...]:
        """See LatencyModel."""
        return self._classes

    def step_ns(self, shape: StepShape) -> int:
        """See LatencyModel."""
        prefills = np.array(shape.prefills, dtype=np.int64).reshape(-1, 3).T.copy()
        return int(
            step_ns(
                self.roofline,
                shape.num_tokens,
                shape.num_samples,
                shape.decode_rows,
                np.array(shape.decode_reads, dtype=np.int64),
                prefills,
                len(shape.prefills),
            )
        )

    def copy_ns(self, moved_bytes: int, launches: int) -> int:
        """See LatencyModel. Every byte is read and written, at the rate of every other kernel."""
        return int(copy_ns(self.roofline, moved_bytes, launches))

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

    def _make_roofline(self, states: Sequence[KVCacheSpec], tables: FloatArray) -> Roofline:
        kinds = [(kind_code(c.spec.kind), c.spec.window, c.layers) for c in self._classes]
        rates = [(c.flops_per_pair, c.bytes_per_token) for c in self._classes]
        return Roofline(
            tables=tables,
            kinds=np.array(kinds, dtype=np.int64).reshape(-1, 3).T.copy(),
            rates=np.array(rates, dtype=np.float64).reshape(-1, 2).T.copy(),
            flops_per_us=self._flops_per_us,
            bytes_per_us=self._bytes_per_us,
            state_layers=len(states),
            state_bytes=sum(spec.state_bytes for spec in states),
            compute_factor=COMPUTE_FACTOR,
            memory_factor=MEMORY_FACTOR,
            start_us=GEMM_START_US,
            copy_start_us=COPY_START_US,
        )

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


def attention_classes(
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
