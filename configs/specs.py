"""What a model keeps per token and per request, and what a GPU offers: frozen values, arithmetic.

Names follow vLLM 0.33 (``vllm/v1/kv_cache_interface.py``). All bytes are per tensor-parallel rank
once ``tensor_parallel_size`` was applied.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from .images.spec import VisionSpec

Kind = Literal[
    "full",
    "sliding_window",
    "chunked_local",
    "mamba",
    "linear",
    "cross",
    "mla",
    "indexer",
    "compressor",
]
"""The family that decides how a cache grows. The reader's exact name is the variant.

A compressor holds the last tokens that its next entry is made of (DeepSeek-V4): it grows like a
sliding window.
"""

Role = Literal["kv", "indexer", "cross", "state", "state_tokens"]
"""What a cache is for: ``state_tokens`` are tokens kept to compute a state or an entry."""

MambaCacheMode = Literal["none", "align"]
"""What vLLM keeps of a state: the last one, or one at block boundaries too (prefix caching)."""

STATE_KINDS: frozenset[Kind] = frozenset({"mamba", "linear"})
"""Kinds that keep one state per request instead of an entry per token."""

ROLES: dict[Kind, Role] = {
    "indexer": "indexer",
    "cross": "cross",
    "mamba": "state",
    "linear": "state",
    "compressor": "state_tokens",
}
"""Role of a kind; ``kv`` where it is not listed."""

DTYPE_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp32": 4.0, "fp8": 1.0, "int8": 1.0, "mxfp4": 0.53125}
"""Bytes per element. mxfp4 stores 32 elements of 4 bits with one 8-bit scale: 4.25 bits."""


NO_LIMIT = 10**9
"""Tokens of a model whose config.json limits them nowhere."""


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
    entry_bytes: int = 0
    """Bytes of one entry of the cache; 0 for states."""
    tokens_per_entry: int = 1
    """Tokens that an entry stands for; ``block_size`` is a multiple of it. 1 with a ``window``."""
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
    checkpoint_alignment: int = 0
    """Tokens at multiples of which a prefill exports a state in passing; 0 if it must end there."""

    @property
    def num_checkpoint_blocks(self) -> int:
        """States that a prefill exports in passing, beside the current one (mode ``align``)."""
        return int(self.checkpoint_alignment > 0 and self.mamba_cache_mode == "align")

    @property
    def grows_as(self) -> Kind:
        """The kind that decides which pages the layer needs and gives back."""
        if self.keeps_all or self.kind in ("mla", "indexer"):
            return "full"
        return "sliding_window" if self.kind == "compressor" else self.kind

    @property
    def is_state(self) -> bool:
        """Whether the layer keeps one state per request."""
        return self.kind in STATE_KINDS

    @property
    def content_bytes(self) -> int:
        """Bytes that one page really stores."""
        return self.state_bytes if self.is_state else self.bytes_of(self.block_size)

    def bytes_of(self, tokens: int) -> int:
        """Bytes that ``tokens`` take, partly used entries in full; 0 for states."""
        return cdiv(tokens, self.tokens_per_entry) * self.entry_bytes

    @property
    def page_size_bytes(self) -> int:
        """Bytes of one page, padding included."""
        return self.content_bytes if self.page_size_padded is None else self.page_size_padded


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One cache of one layer, before tensor parallelism.

    Attention stores ``kv_heads * (k_dim + v_dim)`` elements an entry. MLA and indexer layers store
    one vector for all heads (``kv_heads`` 1, ``replicated``). State layers store
    ``conv_elements + ssm_elements`` once per request.
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
    tokens_per_entry: int = 1
    """Tokens that one entry stands for: 4 or 128 where attention is compressed (DeepSeek-V4)."""
    fp8_entry_bytes: int = 0
    """Bytes of an entry at fp8 where it is packed with its scales; 0 for a byte per element."""
    block_size: int = 0
    """Tokens per block where the kernels want others than ``--block-size``; 0 where they do not."""
    conv_channels: int = 0
    """Channels of the convolution that tensor parallelism splits."""
    conv_groups: int = 0
    """Mamba-2: groups that several heads share, repeated where they are fewer than ranks."""
    conv_group_channels: int = 0
    """Channels of one such group: B and C of its state."""
    conv_columns: int = 0
    """Columns kept of each channel: the kernel's width less one."""
    conv_dtype: str = "bf16"
    ssm_elements: int = 0
    ssm_dtype: str = "bf16"
    replicated: bool = False
    """Every tensor-parallel rank holds the whole cache (MLA latents, indexer keys)."""
    block: int = field(default=-1, compare=False)
    """The decoder layer that the cache belongs to; layers that differ in it alone are equal."""

    @property
    def role(self) -> Role:
        """What the cache is for."""
        return ROLES.get(self.kind, "kv")

    @property
    def conv_elements(self) -> int:
        """Elements of the convolution's state."""
        return self._conv_elements(tp=1, num_speculative_tokens=0)

    def entry_bytes(self, kv_dtype: str = "bf16", tp: int = 1) -> int:
        """Bytes of one entry on one of ``tp`` ranks: of ``tokens_per_entry`` tokens; 0 for states.

        KV heads are split over the ranks and repeated where there are fewer heads than ranks.
        """
        dtype = self.dtype or kv_dtype
        if dtype == "fp8" and self.fp8_entry_bytes:
            return self.fp8_entry_bytes
        heads = self.kv_heads if self.replicated else cdiv(self.kv_heads, tp)
        return int(heads * (self.k_dim + self.v_dim) * DTYPE_BYTES[dtype])

    def state_sizes(
        self, *, tp: int = 1, ssm_dtype: str | None = None, num_speculative_tokens: int = 0
    ) -> tuple[int, int]:
        """Bytes of the convolution's and of the recurrent state on one of ``tp`` ranks.

        States are split by heads, rounded up to whole elements. ``ssm_dtype`` replaces the dtype of
        a recurrent state. Each speculative token adds a column to the convolution, Mamba-1's left
        out (vLLM 0.33, ``model_executor/layers/mamba/mamba_utils.py``).
        """
        conv = self._conv_elements(tp=tp, num_speculative_tokens=num_speculative_tokens)
        ssm = cdiv(self.ssm_elements, tp)
        return (
            conv * int(DTYPE_BYTES[self.conv_dtype]),
            ssm * int(DTYPE_BYTES[ssm_dtype or self.ssm_dtype]),
        )

    def _conv_elements(self, *, tp: int, num_speculative_tokens: int) -> int:
        if self.conv_columns == 0:
            return 0
        groups = self.conv_groups
        if groups % tp:
            # vLLM's extra_groups_for_head_shards: every rank has the groups of its heads.
            groups = max(groups, tp)
        channels = cdiv(self.conv_channels, tp) + cdiv(groups, tp) * self.conv_group_channels
        drafted = 0 if self.is_mamba1 else num_speculative_tokens
        return channels * (self.conv_columns + drafted)

    @property
    def is_mamba1(self) -> bool:
        """Whether it is Mamba-1: Mamba-2 has groups of B and C in its convolution."""
        return self.kind == "mamba" and not self.conv_groups

    def kv_cache_spec(
        self,
        *,
        block_size: int,
        tp: int,
        kv_dtype: str = "bf16",
        ssm_dtype: str | None = None,
        num_speculative_tokens: int = 0,
    ) -> KVCacheSpec:
        """Return the cache of this layer on one of ``tp`` ranks."""
        if self.kind in STATE_KINDS:
            conv, ssm = self.state_sizes(
                tp=tp, ssm_dtype=ssm_dtype, num_speculative_tokens=num_speculative_tokens
            )
            return KVCacheSpec(
                kind=self.kind,
                variant=self.variant,
                block_size=block_size,
                state_bytes=conv + ssm,
                shape=(conv, ssm, self.conv_dtype, ssm_dtype or self.ssm_dtype),
                state_sizes=tuple(size for size in (conv, ssm) if size),
                num_speculative_blocks=num_speculative_tokens,
            )
        heads = self.kv_heads if self.replicated else cdiv(self.kv_heads, tp)
        return KVCacheSpec(
            kind=self.kind,
            variant=self.variant,
            block_size=block_size,
            entry_bytes=self.entry_bytes(kv_dtype, tp),
            tokens_per_entry=self.tokens_per_entry,
            window=self.window,
            shape=(heads, self.k_dim, self.v_dim, self.dtype or kv_dtype),
        )


@dataclass(frozen=True, kw_only=True)
class MoESpec:
    """Routed experts: how many there are and how many serve a token."""

    experts: int
    top_k: int


@dataclass(frozen=True, kw_only=True)
class OverheadSpec:
    """Memory beside weights and caches that somebody observed, and where the figure comes from."""

    bytes: int
    """On each GPU: activations, context, graphs, the profile of a vision encoder."""
    source: str


@dataclass(frozen=True, kw_only=True)
class DraftSpec:
    """The part of a model that is its draft: its last layers. It runs on the last stage alone."""

    num_layers: int
    params: int = 0
    """Parameters, among ``params_total`` of the whole; 0 where they are not counted."""
    weight_bytes: int = 0
    """Among ``weight_bytes`` of the whole, all ranks together."""


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
    shared_layers: tuple[tuple[int, int], ...] = ()
    """Decoder layers without a cache of their own, each with the layer whose cache it reads."""
    draft_layers: tuple[LayerSpec, ...] = ()
    """Caches of the model's own draft layers (MTP): they exist only where it speculates."""
    num_speculative_tokens: int = 0
    """Tokens that a draft proposes per step: states keep as many more columns and copies."""
    draft: DraftSpec | None = None
    """Which of ``num_layers`` and of the weights are a draft's; None without one."""
    kv_cache_dtype: str = "bf16"
    """What ``--kv-cache-dtype auto`` is: fp8 where the checkpoint says so."""
    moe: MoESpec | None = None
    overhead: OverheadSpec | None = None
    """Where engines were seen to keep more or less than is estimated."""
    vision: VisionSpec | None = None
    """How images become tokens, where the model takes any."""
    tied_embeddings: bool = False
    ffn_width: int = 0
    """Width of the feed-forward layers that every token goes through; 0: not given."""
    notes: tuple[str, ...] = field(default=())
    hf: str | None = None
    """Name on Hugging Face."""
    max_positions: int | None = None
    """Largest ``--max-model-len`` that vLLM takes, in tokens; None where it is ``max_model_len``.

    More with longrope, whose default is the short length; ``NO_LIMIT`` without any length.
    """

    @property
    def positions(self) -> int:
        """Tokens beyond which vLLM refuses ``--max-model-len``."""
        return self.max_positions or self.max_model_len

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

    @property
    def tokens_per_entry(self) -> int:
        """Tokens that a block must be a multiple of: entries of all layers end with it."""
        return math.lcm(*(layer.tokens_per_entry for layer in self.layers))

    def kv_cache_specs(
        self,
        *,
        block_size: int,
        tp: int = 1,
        kv_dtype: str = "bf16",
        ssm_dtype: str | None = None,
    ) -> tuple[KVCacheSpec, ...]:
        """Return the caches of all layers on one rank; a state stands for a whole request."""
        return tuple(
            replace(
                layer.kv_cache_spec(
                    block_size=self.max_model_len
                    if layer.kind in STATE_KINDS
                    else layer.block_size or block_size,
                    tp=tp,
                    kv_dtype=kv_dtype,
                    ssm_dtype=ssm_dtype,
                    num_speculative_tokens=self.num_speculative_tokens,
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
    compute_capability: float | None = None
    """CUDA's number of the generation, which decides what kernels an engine takes."""

    @property
    def generation(self) -> int | None:
        """The major number of the compute capability."""
        return None if self.compute_capability is None else int(self.compute_capability)
