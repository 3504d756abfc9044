"""Step-driven cases: a scheduler and its memory with arrivals by step and no clock.

The format is the one in which recordings of the real vLLM scheduler are kept (``tests/golden``):
layers, ``kv_bytes``, scheduler settings and requests with ``arrival_step``, ``prompt`` as runs
``[seed, length]`` and ``output_len``.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from ..configs.errors import ConfigError
from ..configs.specs import DTYPE_BYTES, KVCacheSpec
from ..policies.base import KVCacheLayout
from .scheduler import SchedulerConfig

OUTPUT_SEED = 900_000
"""Seed of the output of request 0; each later request has the next one."""


MAX_SEED = 2**40
MAX_RUN = 10**8
"""Tokens of one run, or of one output: no model reads more."""
MAX_LAYERS = 10**4


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CaseLayer(_Strict):
    """One layer, or a repeated one (``count``)."""

    kind: Literal["full", "sliding_window", "chunked_local", "mla", "mla_window", "mamba", "cross"]
    """``mla_window``: a sliding window of one vector a token, as DeepSeek-V4's are."""
    count: int = Field(1, ge=1, le=MAX_LAYERS)
    kv_heads: int = Field(1, ge=1)
    head_size: int = Field(1, ge=1)
    dtype: Literal["bf16", "fp16", "fp32", "fp8"] = "bf16"
    block_size: int | None = Field(None, ge=1)
    tokens_per_entry: int = Field(1, ge=1)
    """Tokens that an entry stands for (vLLM's ``tokens_per_state``)."""
    window: int = Field(0, ge=0)
    chunk: int = Field(0, ge=0)
    mode: Literal["none", "align"] = "none"
    mamba_block_size: int | None = Field(None, ge=1)
    page_size_padded: int | None = Field(None, ge=1)
    num_speculative_blocks: int = Field(0, ge=0)
    shapes: list[list[Annotated[int, Field(ge=1, le=10**9)]]] = Field(default_factory=list)
    dtypes: list[Literal["bf16", "fp16", "fp32", "fp8"]] = Field(default_factory=list)
    states: list[list[Annotated[int, Field(ge=1, le=10**9)]]] = Field(default_factory=list)
    """Jenga's artifact: shapes of a state's tensors, a page of each every ``chunk`` tokens."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        """Refuse a layer without the keys of its kind."""
        if self.kind in ("sliding_window", "mla_window") and not self.window:
            raise ValueError(f"a {self.kind} layer needs 'window', its size in tokens")
        if self.kind != "mla" and self.tokens_per_entry > 1:
            raise ValueError("tokens_per_entry: only entries of mla stand for several tokens")
        if self.kind == "chunked_local" and not self.chunk:
            raise ValueError("a chunked_local layer needs 'chunk', its size in tokens")
        if self.kind == "mamba" and self.states:
            if not self.chunk:
                raise ValueError("a mamba layer with 'states' needs 'chunk', tokens between them")
        elif self.kind == "mamba" and not (self.shapes and len(self.shapes) == len(self.dtypes)):
            raise ValueError("a mamba layer needs 'shapes' and as many 'dtypes', or 'states'")
        return self

    def spec(self, block_size: int, max_model_len: int) -> KVCacheSpec:
        """The cache of this layer, as vLLM's spec of the same name."""
        if self.kind == "mamba":
            return self._state_spec(max_model_len)
        vector = self.kind in ("mla", "mla_window")
        elements = self.kv_heads * self.head_size * (1 if vector else 2)
        return KVCacheSpec(
            kind="sliding_window" if self.kind == "mla_window" else self.kind,
            variant=self.kind,
            block_size=self.block_size or block_size,
            entry_bytes=int(elements * DTYPE_BYTES[self.dtype]),
            tokens_per_entry=self.tokens_per_entry,
            window=self.window or self.chunk,
            shape=(self.kv_heads, self.head_size, 0 if vector else self.head_size, self.dtype),
            page_size_padded=self.page_size_padded,
        )

    def _state_spec(self, max_model_len: int) -> KVCacheSpec:
        shapes = self.states or self.shapes
        dtypes = self.dtypes or [self.dtype] * len(shapes)
        sizes = [
            int(math.prod(shape) * DTYPE_BYTES[dtype])
            for shape, dtype in zip(shapes, dtypes, strict=True)
        ]
        return KVCacheSpec(
            kind="mamba",
            variant="mamba",
            block_size=self.mamba_block_size or self.chunk or max_model_len,
            state_bytes=sum(sizes),
            shape=(str(shapes), str(dtypes)),
            state_sizes=tuple(sizes),
            page_size_padded=self.page_size_padded,
            mamba_cache_mode=self.mode,
            num_speculative_blocks=self.num_speculative_blocks,
        )


class CasePattern(_Strict):
    """Layers repeated in order."""

    pattern: list[CaseLayer]
    repeat: int = Field(ge=1, le=MAX_LAYERS)


def _entry_tag(entry: Any) -> str:
    return _TAGS["pattern" in entry] if isinstance(entry, dict) else _TAGS[False]


_TAGS = ("<layer>", "<pattern>")
CaseEntry = Annotated[
    Annotated[CaseLayer, Tag(_TAGS[0])] | Annotated[CasePattern, Tag(_TAGS[1])],
    Discriminator(_entry_tag),
]
"""What ``layers`` holds, told apart by one key so that an error names one of them only."""


class CaseScheduler(BaseModel):
    """Scheduler settings under their short names."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)

    max_num_seqs: int = Field(256, ge=1)
    max_num_batched_tokens: int = Field(8192, ge=1)
    policy: Literal["fcfs", "priority"] = "fcfs"
    watermark: float = Field(0.0, ge=0.0, lt=1.0)
    reserve_full_isl: bool = True
    long_prefill_token_threshold: int = Field(0, ge=0)
    enable_chunked_prefill: bool = True
    asynchronous: bool = Field(False, alias="async")


class CaseRequest(_Strict):
    """One request; its id defaults to ``r`` and its place in the list."""

    id: str | None = None
    arrival_step: int = Field(0, ge=0)
    prompt: list[
        tuple[
            Annotated[int, Field(ge=-MAX_SEED, le=MAX_SEED)],
            Annotated[int, Field(ge=0, le=MAX_RUN)],
        ]
    ]
    output_len: int = Field(ge=1, le=MAX_RUN)
    priority: int = 0
    encoder_len: int = Field(0, ge=0, le=MAX_RUN)
    """Tokens that cross attention reads (Jenga's artifact)."""

    @model_validator(mode="after")
    def _has_a_token(self) -> Self:
        """Refuse an empty prompt, as vLLM does."""
        if not any(length for _, length in self.prompt):
            raise ValueError("prompt: at least one token is needed")
        return self


class CaseJenga(_Strict):
    """Settings of Jenga's artifact."""

    static_partition: bool = False
    """A fixed share of the large pages for every group."""


class Case(_Strict):
    """A whole case."""

    name: str
    layers: list[CaseEntry]
    block_size: int = Field(ge=1)
    kv_bytes: int = Field(ge=1, le=10**13)
    max_model_len: int = Field(ge=1)
    requests: list[CaseRequest]
    hybrid: bool = True
    enable_prefix_caching: bool = True
    retention_interval: int | None = 0
    kv_cache_layout: KVCacheLayout = "LBNHC"
    scheduler: CaseScheduler = Field(default_factory=lambda: CaseScheduler.model_validate({}))
    jenga: CaseJenga | None = None
    note: str = ""

    @model_validator(mode="after")
    def _has_distinct_ids(self) -> Self:
        """Refuse two requests under one name: the log could not tell them apart."""
        ids = [request.id or f"r{index}" for index, request in enumerate(self.requests)]
        name, count = Counter(ids).most_common(1)[0] if ids else ("", 0)
        if count > 1:
            raise ValueError(f"requests: the id {name!r} is given {count} times")
        return self


def only_jenga_reads(case: Case) -> str:
    """The first key that Jenga's artifact knows and vLLM does not; "" if there is none."""
    if case.jenga is not None:
        return "jenga"
    for index, entry in enumerate(case.layers):
        layers = entry.pattern if isinstance(entry, CasePattern) else [entry]
        if any(layer.kind == "cross" or layer.states for layer in layers):
            return f"layers.{index}"
    for index, request in enumerate(case.requests):
        if request.encoder_len:
            return f"requests.{index}.encoder_len"
    return ""


@dataclass(frozen=True)
class CaseSetup:
    """What a case says, in the engine's terms."""

    case: Case
    specs: tuple[KVCacheSpec, ...]
    scheduler: SchedulerConfig
    ids: tuple[str, ...]


def read_case(path: str | Path) -> CaseSetup:
    """Read a case; raises ConfigError naming file and key."""
    try:
        raw: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot read the case: {error}") from error
    try:
        case = Case.model_validate(raw, strict=False)
    except ValidationError as error:
        lines = (
            f"{_key(e['loc'])}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
        )
        raise ConfigError("\n".join(f"{path}: {line}" for line in lines)) from error
    setup = _setup(case)
    for spec in setup.specs:
        if spec.block_size % spec.tokens_per_entry:
            raise ConfigError(
                f"{path}: layers: block_size: {spec.block_size} tokens of layer {spec.layer} end "
                f"within an entry of {spec.tokens_per_entry}"
            )
        if spec.page_size_bytes < spec.content_bytes:
            raise ConfigError(
                f"{path}: layers: page_size_padded: {spec.page_size_bytes} is below the "
                f"{spec.content_bytes} bytes that a page of layer {spec.layer} stores"
            )
    return setup


def _key(location: tuple[int | str, ...]) -> str:
    """Path to a value in the file, e.g. ``layers.0.kind``."""
    return ".".join(str(part) for part in location if part not in _TAGS) or "the case"


def prompt_tokens(case: Case, slot: int) -> npt.NDArray[np.int64]:
    """Prompt and output of a request as the recordings have them.

    Token ``i`` of a run is a fixed function of the run's seed and ``i``; the output of request
    number ``r`` is the run with seed 900,000 + r.
    """
    request = case.requests[slot]
    runs = np.array([*request.prompt, (OUTPUT_SEED + slot, request.output_len)], dtype=np.int64)
    seeds, lengths = runs.T
    starts = np.cumsum(lengths) - lengths
    place = np.arange(lengths.sum(), dtype=np.int64) - np.repeat(starts, lengths)
    seed = np.repeat(seeds, lengths)
    return 10 + (seed * 1_000_003 + place * 7_919 + place * place % 8_191) % 30_000


def _setup(case: Case) -> CaseSetup:
    layers: list[CaseLayer] = []
    for entry in case.layers:
        if isinstance(entry, CasePattern):
            layers.extend(entry.pattern * entry.repeat)
        else:
            layers.extend([entry] * entry.count)
    settings = case.scheduler
    return CaseSetup(
        case=case,
        specs=tuple(
            replace(layer.spec(case.block_size, case.max_model_len), layer=index)
            for index, layer in enumerate(layers)
        ),
        scheduler=SchedulerConfig(
            max_num_seqs=settings.max_num_seqs,
            max_num_batched_tokens=settings.max_num_batched_tokens,
            max_model_len=case.max_model_len,
            policy=settings.policy,
            watermark=settings.watermark,
            scheduler_reserve_full_isl=settings.reserve_full_isl,
            long_prefill_token_threshold=settings.long_prefill_token_threshold,
            enable_chunked_prefill=settings.enable_chunked_prefill,
            async_scheduling=settings.asynchronous,
        ),
        ids=tuple(r.id or f"r{index}" for index, r in enumerate(case.requests)),
    )
