"""Step times from a profile: the kernels that a model launches, each as it was measured.

A step is the sum of its kernels: matrices, experts and collectives by its number of tokens, the
head by its samples, attention by requests and the tokens that they read, all looked up in dense
tables that are made when a run is prepared. Chunks of prompts and decodes are attended to by
launches of their own. Norms, rotations and activations have no tables: they are moved bytes.
"""

from typing import Any

import numpy as np

from ..configs.engine import ResolvedEngine
from ..configs.errors import ConfigError
from ..configs.specs import GPUSpec, ModelSpec
from ..policies.demand_kernels import kind_code
from .compiled.measured import Measured, copy_ns, step_ns
from .compiled.roofline import FloatArray
from .kernels.knots import knots
from .kernels.launches import (
    KERNELS,
    PASSES,
    Matrix,
    attention_matrices,
    dense_matrices,
    per_rank,
    require_timed,
    routed_experts,
)
from .kernels.prior import UNMEASURED
from .kernels.profile import Profile
from .kernels.residuals import Evidence, EvidenceArray
from .kernels.table import KernelTable
from .latency import (
    COPY_START_US,
    KERNEL_START_US,
    AttentionClass,
    StepShape,
    attention_classes,
)

ROUTING = "power_law_1.2"
"""How uneven tokens choose experts, of what was measured; ``balanced`` is the other end."""
ONE_SHOT_BYTES = 8 << 20
"""Up to which vLLM's own all-reduce serves (``custom_all_reduce.py``); beyond, what is faster."""
GEMM_DTYPES = {"bf16": "bf16", "fp16": "bf16", "fp8": "fp8", "nvfp4": "nvfp4", "mxfp4": "bf16"}
"""Of the projections, by the dtype of the weights: with mxfp4 only experts have four bits."""


class MeasuredLatency:
    """A LatencyModel of one tensor-parallel rank."""

    def __init__(
        self,
        profile: Profile,
        model: ModelSpec,
        gpu: GPUSpec,
        engine: ResolvedEngine,
        max_tokens: int | None = None,
    ) -> None:
        """``max_tokens`` of a step, if not ``max_num_batched_tokens``.

        Raises:
            ConfigError: The profile lacks what the model launches, or nobody knows what that is.
        """
        require_timed(model)
        if model.weight_dtype not in GEMM_DTYPES:
            raise ConfigError(
                f"profile: no matrices in {model.weight_dtype} are known: leave --profile out"
            )
        self.profile = profile
        self._engine = engine
        self._tables: dict[str, KernelTable] = {}
        self._model, self._tp = model, engine.tp
        self._classes = attention_classes(model, engine.kv_cache_specs(model), engine.tp)
        kinds = [(kind_code(c.spec.kind), c.spec.window) for c in self._classes]
        decode, decode_evidence = self._decode_tables()
        prefill, prefill_evidence = self._prefill_tables(
            max_tokens or engine.max_num_batched_tokens
        )
        self.state = Measured(
            kinds=np.array(kinds, dtype=np.int64).reshape(-1, 2).T.copy(),
            per_tokens=self._token_table(max_tokens or engine.max_num_batched_tokens),
            per_samples=self._sample_table(),
            decode=decode,
            decode_evidence=decode_evidence,
            prefill=prefill,
            prefill_evidence=prefill_evidence,
            spent_us=np.zeros(len(Evidence)),
            bytes_per_us=gpu.memory_bandwidth / 1e6 / UNMEASURED.memory_factor,
            copy_start_us=COPY_START_US,
        )
        """What the compiled engine asks instead."""

    @property
    def classes(self) -> tuple[AttentionClass, ...]:
        """See LatencyModel."""
        return self._classes

    def step_ns(self, shape: StepShape) -> int:
        """See LatencyModel."""
        prefills = np.array(shape.prefills, dtype=np.int64).reshape(-1, 3).T.copy()
        reads = np.array(shape.decode_reads, dtype=np.int64)
        counts = shape.num_tokens, shape.num_samples, shape.decode_rows
        return int(step_ns(self.state, *counts, reads, prefills, len(shape.prefills)))

    def copy_ns(self, moved_bytes: int, launches: int) -> int:
        """See LatencyModel."""
        return int(copy_ns(self.state, moved_bytes, launches))

    def describe(self) -> dict[str, Any]:
        """See LatencyModel; shares are those of the time of all steps so far."""
        spent = self.state.spent_us / max(self.state.spent_us.sum(), 1e-300)
        fits = {name: self.profile.fits.get(table.key) for name, table in self._tables.items()}
        return {
            "model": f"profile {self.profile.about.name}",
            "shares": {
                evidence.name.lower(): round(float(spent[evidence]), 4) for evidence in Evidence
            },
            "uncertainty_pct": None,
            "held_out_median_pct": {
                name: None if fit is None or fit.points is None else fit.points.median_pct
                for name, fit in fits.items()
            },
            "origin": self.profile.about.origin.model_dump(),
            "profile_sha256": self.profile.sha256,
            "software": self.profile.about.software,
            "step_overhead_us": self._engine.config.step_overhead_us,
            "request_overhead_us": self._engine.config.request_overhead_us,
        }

    def _table(self, op: str, **tags: str) -> KernelTable:
        table = self.profile.table(op, **tags)
        self._tables[" ".join([op, *tags.values()])] = table
        return table

    # What depends on the number of tokens.

    def _token_table(self, most: int) -> FloatArray:
        """Microseconds by evidence of all that depends on the number of tokens alone: 0..most."""
        model, tp = self._model, self._tp
        tokens = np.arange(most + 1, dtype=float)
        found = np.zeros((len(Evidence), most + 1))
        for matrix in (*attention_matrices(model, tp), *dense_matrices(model, tp)):
            self._add_matrix(found, matrix, GEMM_DTYPES[model.weight_dtype])
        if (experts := routed_experts(model)) is not None:
            router = Matrix("router", experts.count, experts.experts, experts.hidden)
            self._add_matrix(found, router, "bf16")
            dtype = model.weight_dtype if model.weight_dtype != "fp16" else "bf16"
            times = self._table("moe", dtype=dtype, routing=ROUTING).us(
                {
                    "tokens": np.maximum(tokens, 1),
                    **_constant(hidden=experts.hidden, inner=experts.inner, top_k=experts.top_k),
                    **_constant(experts=experts.experts, tp=tp, ep=1),
                }
            )
            _add(found, times, experts.count)
        moved = tokens * PASSES * 2 * model.hidden_size
        each = KERNELS * KERNEL_START_US + UNMEASURED.memory_factor * moved / (
            self.profile.peaks.memory_bandwidth / 1e6
        )
        found[Evidence.ANALYTICAL] += model.num_layers * each
        if tp > 1:
            _add(found, self._all_reduce(tokens), 2 * model.num_layers)
        found[Evidence.ANALYTICAL] += self._engine.config.step_overhead_us
        return _whole_ns(found)

    def _all_reduce(self, tokens: FloatArray) -> tuple[FloatArray, EvidenceArray]:
        """One per attention and one per feed-forward layer."""
        columns = {
            "bytes": np.maximum(tokens, 1) * self._model.hidden_size * 2,
            **_constant(world=self._tp),
        }
        own = self._table("collective", collective="all_reduce", library="engine").us(columns)
        nccl = self._table("collective", collective="all_reduce", library="nccl").us(columns)
        takes_own = (columns["bytes"] <= ONE_SHOT_BYTES) | (own[0] < nccl[0])
        return np.where(takes_own, own[0], nccl[0]), np.where(takes_own, own[1], nccl[1])

    def _sample_table(self) -> FloatArray:
        """Microseconds by evidence of the output projection, and of the host per request."""
        found = np.zeros((len(Evidence), self._engine.max_num_seqs + 1))
        columns = per_rank(self._model.vocab_size, self._tp)
        self._add_matrix(found, Matrix("head", 1, columns, self._model.hidden_size), "bf16")
        found[:, 0] = 0.0
        rows = np.arange(found.shape[1])
        found[Evidence.ANALYTICAL] += rows * self._engine.config.request_overhead_us
        return _whole_ns(found)

    def _add_matrix(self, found: FloatArray, matrix: Matrix, dtype: str) -> None:
        rows = np.maximum(np.arange(found.shape[1], dtype=float), 1)
        columns = {"m": rows, **_constant(n=matrix.n, k=matrix.k)}
        _add(found, self._table("gemm", dtype=dtype).us(columns), matrix.count)

    # Attention.

    def _decode_tables(self) -> tuple[FloatArray, EvidenceArray]:
        """By class, requests and place of the tokens that each reads."""
        lengths = np.maximum(knots(self._engine.max_model_len), 1)
        rows = np.maximum(np.arange(self._engine.max_num_seqs + 1, dtype=float), 1)
        batch, kv_len = np.meshgrid(rows, lengths, indexing="ij")
        columns = {"batch": batch.ravel(), "kv_len": kv_len.ravel()}
        return self._attention("attention_decode", columns, batch.shape)

    def _prefill_tables(self, most: int) -> tuple[FloatArray, EvidenceArray]:
        """By class, place of new tokens and place of those before them."""
        fresh = np.maximum(knots(most), 1)
        new, before = np.meshgrid(fresh, knots(self._engine.max_model_len), indexing="ij")
        columns = {"q_len": new.ravel(), "prefix": before.ravel(), **_constant(batch=1)}
        return self._attention("attention_prefill", columns, new.shape)

    def _attention(
        self, op: str, columns: dict[str, FloatArray], shape: tuple[int, ...]
    ) -> tuple[FloatArray, EvidenceArray]:
        """Times of all layers of each class, and what they are based on."""
        us = np.zeros((len(self._classes), *shape))
        evidence = np.zeros(us.shape, dtype=np.int8)
        for index, each in enumerate(self._classes):
            kv_heads, k_dim, v_dim, dtype = each.spec.shape
            heads = round(each.flops_per_pair / (2 * (int(k_dim) + int(v_dim))))
            known = _constant(heads=heads, kv_heads=int(kv_heads), head_dim=int(k_dim))
            table = self._table(op, kv_dtype="bf16" if dtype == "fp16" else str(dtype))
            times, based = table.us({**columns, **known, **_constant(window=each.spec.window)})
            us[index], evidence[index] = times.reshape(shape), based.reshape(shape)
            us[index] *= each.layers
        return _whole_ns(us), evidence


def _constant(**values: float) -> dict[str, FloatArray]:
    return {name: np.array([value], dtype=float) for name, value in values.items()}


def _add(found: FloatArray, times: tuple[FloatArray, EvidenceArray], count: int) -> None:
    """Add ``count`` kernels per column to the row of their evidence."""
    us, evidence = times
    found[evidence, np.arange(found.shape[1])] += count * us


def _whole_ns(us: FloatArray) -> FloatArray:
    """Rounded to ns, so that the last bit of a machine's power function never shows."""
    return np.rint(us * 1e3) / 1e3
