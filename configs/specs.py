"""What a model keeps per token and per request, and what a GPU offers: frozen values, arithmetic.

Names follow vLLM 0.33 (``vllm/v1/kv_cache_interface.py``). All bytes are per tensor-parallel rank
once ``tensor_parallel_size`` was applied.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal[
    "full", "sliding_window", "chunked_local", "mamba", "linear", "cross", "mla", "indexer"
]
"""The family that decides how a cache grows. The reader's exact name is the variant."""

MambaCacheMode = Literal["none", "align"]
"""What vLLM keeps of a state: the last one, or one at block boundaries too (prefix caching)."""

STATE_KINDS: frozenset[Kind] = frozenset({"mamba", "linear"})
"""Kinds that keep one state per request instead of an entry per token."""

DTYPE_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp32": 4.0, "fp8": 1.0, "int8": 1.0, "mxfp4": 0.53125}
"""Bytes per element. mxfp4 stores 32 elements of 4 bits with one 8-bit scale: 4.25 bits."""


def cdiv(a: int, b: int) -> int:
    """Return ``a / b`` rounded up, for integers."""
    return -(-a // b)


@dataclass(frozen=True, kw_only=True)
class KVCacheSpec:
    """The cache of one layer on one tensor-parallel rank: what vLLM calls a KV cache spec.

    ``shape`` distinguishes layers of equal bytes that no kernel can serve alike (vLLM compares KV
    heads, head size and dtype); specs that compare equal may share a group.
    """

    kind: Kind
    variant: str
    block_size: int
    """Tokens per page. State kinds: the tokens that one state stands for (whole requests)."""
    bytes_per_token: int = 0
    state_bytes: int = 0
    window: int = 0
    """Sliding window or attention chunk in tokens; 0 where the kind has none."""
    shape: tuple[int | str, ...] = ()
    state_sizes: tuple[int, ...] = ()
    """Bytes of each tensor of a state (convolution, SSM); () where they are not told apart."""
    page_size_padded: int | None = None
    layer: int = field(default=-1, compare=False)
    """Place of the layer in the model; layers that differ in it alone are equal."""
    keeps_all: bool = False
    """A windowed layer that is allocated like full attention (hybrid manager switched off)."""
    mamba_cache_mode: MambaCacheMode = "none"
    num_speculative_blocks: int = 0
    """States that speculative decoding keeps beside the current one."""

    @property
    def grows_as(self) -> Kind:
        """The kind that decides which pages the layer needs and gives back."""
        return "full" if self.keeps_all or self.kind in ("mla", "indexer") else self.kind

    @property
    def is_state(self) -> bool:
        """Whether the layer keeps one state per request."""
        return self.kind in STATE_KINDS

    @property
    def content_bytes(self) -> int:
        """Bytes that one page really stores."""
        return self.state_bytes if self.is_state else self.block_size * self.bytes_per_token

    @property
    def page_size_bytes(self) -> int:
        """Bytes of one page, padding included."""
        return self.content_bytes if self.page_size_padded is None else self.page_size_padded


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One cache of one layer, before tensor parallelism.

    Attention stores ``kv_heads * (k_dim + v_dim)`` elements a token. MLA and indexer layers store
    one vector for all heads (``kv_heads`` 1, ``replicated``). State layers store ``conv_elements``
    and ``ssm_elements`` once per request.
    """

    kind: Kind
    variant: str
    heads: int = 0
    """Query heads (attention) or state heads."""
    kv_heads: int = 0
    k_dim: int = 0
    v_dim: int = 0
    window: int = 0
    dtype: str | None = None
    """Fixed cache dtype; None follows ``--kv-cache-dtype``."""
    conv_elements: int = 0
    conv_dtype: str = "bf16"
    ssm_elements: int = 0
    ssm_dtype: str = "bf16"
    replicated: bool = False
    """Every tensor-parallel rank holds the whole cache (MLA latents, indexer keys)."""

    def kv_cache_spec(self, *, block_size: int, tp: int, kv_dtype: str = "bf16") -> KVCacheSpec:
        """Return the cache of this layer on one of ``tp`` ranks.

        KV heads are split over the ranks and repeated where there are fewer heads than ranks;
        states are split by heads (vLLM 0.33, ``mamba_utils.py``), rounded up to whole elements.
        """
        if self.kind in STATE_KINDS:
            conv = cdiv(self.conv_elements, tp) * int(DTYPE_BYTES[self.conv_dtype])
            ssm = cdiv(self.ssm_elements, tp) * int(DTYPE_BYTES[self.ssm_dtype])
            return KVCacheSpec(
                kind=self.kind,
                variant=self.variant,
                block_size=block_size,
                state_bytes=conv + ssm,
                shape=(conv, ssm, self.conv_dtype, self.ssm_dtype),
                state_sizes=tuple(size for size in (conv, ssm) if size),
            )
        dtype = self.dtype or kv_dtype
        heads = self.kv_heads if self.replicated else cdiv(self.kv_heads, tp)
        return KVCacheSpec(
            kind=self.kind,
            variant=self.variant,
            block_size=block_size,
            bytes_per_token=int(heads * (self.k_dim + self.v_dim) * DTYPE_BYTES[dtype]),
            window=self.window,
            shape=(heads, self.k_dim, self.v_dim, dtype),
        )


@dataclass(frozen=True, kw_only=True)
class MoESpec:
    """Routed experts: how many there are and how many serve a token."""

    experts: int
    top_k: int


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model as the simulator sees it: its caches in layer order, and its size.

    ``layers`` holds one entry per cache: a layer with an MLA latent and an indexer appears twice,
    a layer with no cache (plain MLP) not at all.
    """

    name: str
    source: str
    max_model_len: int
    num_layers: int
    hidden_size: int
    vocab_size: int
    params_total: int
    params_active: int
    weight_bytes: int
    """Bytes of the checkpoint as it is served (its quantisation applied), all ranks together."""
    weight_dtype: str
    layers: tuple[LayerSpec, ...]
    moe: MoESpec | None = None
    tied_embeddings: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def has_state(self) -> bool:
        """Whether some layer keeps a recurrent state."""
        return any(layer.kind in STATE_KINDS for layer in self.layers)

    @property
    def has_mla(self) -> bool:
        """Whether some layer caches an MLA latent."""
        return any(layer.kind == "mla" for layer in self.layers)

    @property
    def has_cross(self) -> bool:
        """Whether some layer attends to encoder tokens."""
        return any(layer.kind == "cross" for layer in self.layers)

    def kv_cache_specs(
        self, *, block_size: int, tp: int = 1, kv_dtype: str = "bf16"
    ) -> tuple[KVCacheSpec, ...]:
        """Return the caches of all layers on one rank; a state stands for a whole request."""
        return tuple(
            replace(
                layer.kv_cache_spec(
                    block_size=self.max_model_len if layer.kind in STATE_KINDS else block_size,
                    tp=tp,
                    kv_dtype=kv_dtype,
                ),
                layer=index,
            )
            for index, layer in enumerate(self.layers)
        )


@dataclass(frozen=True, kw_only=True)
class GPUSpec:
    """One GPU: memory from ``nvidia-smi``, dense peaks from the vendor's sheet."""

    name: str
    source: str
    memory_bytes: int
    memory_bandwidth: float
    """Bytes per second."""
    flops: dict[str, float]
    """Dense peak operations per second by dtype."""
    link_bandwidth: float
    """Bytes per second to the other GPUs of the node, one way."""
