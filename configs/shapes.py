"""The keys of a model file and of a GPU file, with the range that each value may have."""

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator

from .specs import Kind, LayerSpec
from .strict import Shape

CacheDtype = Literal["bf16", "fp16", "fp32", "fp8", "int8"]
WeightDtype = Literal["bf16", "fp16", "fp32", "fp8", "int8", "int4", "mxfp4", "nvfp4"]
Count = Annotated[int, Field(ge=1, le=10**6)]
Layers = Annotated[int, Field(ge=1, le=10**4)]
Tokens = Annotated[int, Field(ge=1, le=10**9)]
Elements = Annotated[int, Field(ge=0, le=10**10)]
Size = Annotated[int, Field(ge=1, le=10**15)]
Rate = Annotated[float, Field(gt=0, le=10**6, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
"""``+`` joins a target and its draft."""
UNKNOWN = "unknown"
"""A size that a config.json does not tell: caches do without it, what needs it says so."""


def _or_unknown(value: object, read: ValidatorFunctionWrapHandler) -> int:
    return 0 if value == UNKNOWN else read(value)


MayBeUnknown = WrapValidator(_or_unknown)
"""``unknown`` is 0 in ``ModelSpec``. A wrapper, because errors of a union name all its members."""


class LayerShape(Shape):
    """One entry of ``kinds``; ``kind`` decides which of the classes below it must be."""

    kind: Kind
    heads: Count
    variant: Text | None = None
    """The layer's exact name, where it is not the entry's: two entries may share one."""

    def problem(self) -> str | None:
        """Return what is wrong although each key alone is right, or None."""
        return None

    @abstractmethod
    def spec(self, variant: str) -> LayerSpec:
        """Return the layer under the name that the file gives it."""


class Attention(LayerShape):
    """Keys and values of every token; V has the size of K unless ``v_head_dim`` says otherwise."""

    kv_heads: Count
    head_dim: Count
    v_head_dim: Elements | None = None
    dtype: CacheDtype | None = None
    replicated: bool = False
    fp8_entry_bytes: Elements = 0

    def problem(self) -> str | None:
        """Return that the head counts are swapped, or None."""
        if self.kv_heads <= self.heads:
            return None
        return f"kv_heads {self.kv_heads} is more than heads {self.heads}; are they swapped?"

    def spec(self, variant: str) -> LayerSpec:
        """Return the layer under the name that the file gives it."""
        return LayerSpec(
            kind=self.kind,
            variant=variant,
            heads=self.heads,
            kv_heads=self.kv_heads,
            k_dim=self.head_dim,
            v_dim=self.head_dim if self.v_head_dim is None else self.v_head_dim,
            dtype=self.dtype,
            replicated=self.replicated,
            fp8_entry_bytes=self.fp8_entry_bytes,
        )


class Windowed(Attention):
    """Attention that never looks further back than ``window`` tokens."""

    window: Tokens
    block_size: Elements = 0

    def spec(self, variant: str) -> LayerSpec:
        """Return the layer under the name that the file gives it."""
        return replace(super().spec(variant), window=self.window, block_size=self.block_size)


class Latent(LayerShape):
    """MLA: one latent vector a token, the same on every tensor-parallel rank."""

    latent_dim: Count
    tokens_per_entry: Count = 1
    fp8_entry_bytes: Elements = 0
    replicated: Literal[True] = True

    def spec(self, variant: str) -> LayerSpec:
        """Return the layer under the name that the file gives it."""
        return LayerSpec(
            kind=self.kind,
            variant=variant,
            heads=self.heads,
            kv_heads=1,
            k_dim=self.latent_dim,
            tokens_per_entry=self.tokens_per_entry,
            fp8_entry_bytes=self.fp8_entry_bytes,
            replicated=True,
        )


class Indexer(LayerShape):
    """Keys that choose the tokens of sparse attention, scales included.

    With the default dtype ``key_dim`` counts bytes, whatever ``--kv-cache-dtype`` says; null lets
    the keys follow it.
    """

    key_dim: Count
    tokens_per_entry: Count = 1
    dtype: CacheDtype | None = "int8"
    replicated: Literal[True] = True

    def spec(self, variant: str) -> LayerSpec:
        """Return the layer under the name that the file gives it."""
        return LayerSpec(
            kind=self.kind,
            variant=variant,
            heads=self.heads,
            kv_heads=1,
            k_dim=self.key_dim,
            tokens_per_entry=self.tokens_per_entry,
            dtype=self.dtype,
            replicated=True,
        )


class Compressor(LayerShape):
    """Tokens that the next compressed entry is made of (DeepSeek-V4), in elements a token."""

    elements: Count
    window: Tokens
    block_size: Elements = 0
    dtype: CacheDtype = "fp32"
    replicated: Literal[True] = True

    def spec(self, variant: str) -> LayerSpec:
        """Return the layer under the name that the file gives it."""
        return LayerSpec(
            kind=self.kind,
            variant=variant,
            heads=self.heads,
            kv_heads=1,
            k_dim=self.elements,
            window=self.window,
            block_size=self.block_size,
            dtype=self.dtype,
            replicated=True,
        )


class State(LayerShape):
    """A recurrent layer: the last columns of its convolution and its state, once a request."""

    conv_channels: Elements = 0
    conv_groups: Elements = 0
    conv_group_channels: Elements = 0
    conv_columns: Elements = 0
    conv_dtype: CacheDtype = "bf16"
    ssm_elements: Elements = 0
    ssm_dtype: CacheDtype = "bf16"

    def problem(self) -> str | None:
        """Return that nothing is kept, or that one of a pair of keys is missing, or None."""
        if bool(self.conv_groups) != bool(self.conv_group_channels):
            return "conv_groups and conv_group_channels go together; give both or neither"
        channels = self.conv_channels + self.conv_groups * self.conv_group_channels
        if bool(channels) != bool(self.conv_columns):
            return "conv_channels and conv_columns go together; give both or neither"
        kept = channels + self.ssm_elements
        return None if kept else "keeps no element; give conv_channels or ssm_elements"

    def spec(self, variant: str) -> LayerSpec:
        """Return the layer under the name that the file gives it."""
        return LayerSpec(variant=variant, **self.model_dump(exclude={"variant"}))


LAYER_SHAPES: dict[str, type[LayerShape]] = {
    "full": Attention,
    "cross": Attention,
    "sliding_window": Windowed,
    "chunked_local": Windowed,
    "mla": Latent,
    "indexer": Indexer,
    "compressor": Compressor,
    "mamba": State,
    "linear": State,
}
"""The shape of an entry of ``kinds`` by its ``kind``."""


class Run(Shape):
    """Layers in order, the whole list ``repeat`` times.

    A layer is a name of ``kinds``, or several joined by ``+``; ``none`` is a layer without a cache,
    ``shared-NAME`` reads the cache of the last layer before it that has NAME.
    """

    repeat: Layers = 1
    pattern: Annotated[list[str], Field(min_length=1)]


class Params(Shape):
    """Parameters: all of them, and those that one token uses."""

    total: Annotated[Size, MayBeUnknown]
    active: Annotated[Size, MayBeUnknown]


class Weights(Shape):
    """The checkpoint as it is served."""

    dtype: WeightDtype
    bytes: Annotated[Size, MayBeUnknown]


class MoE(Shape):
    """Routed experts of one layer, and how many serve a token."""

    experts: Count
    top_k: Count


class Overhead(Shape):
    """Bytes of each GPU beside weights and caches, where they were observed, and by whom."""

    bytes: Size
    source: Text


class Draft(Shape):
    """The last layers of a file that holds a target with its draft: whose they are."""

    num_layers: Layers
    params: Annotated[int, Field(ge=0, le=10**15)] = 0
    weight_bytes: Annotated[int, Field(ge=0, le=10**15)] = 0


class Model(Shape):
    """A model file. The entries of ``kinds`` are checked one by one, by ``LAYER_SHAPES``."""

    name: Name
    hf: Text | None = None
    """Name on Hugging Face, by which the model is found too."""
    source: Text
    max_model_len: Tokens
    max_positions: Tokens | None = None
    num_layers: Layers
    hidden_size: Annotated[Count, MayBeUnknown]
    vocab_size: Annotated[Tokens, MayBeUnknown]
    ffn_width: Annotated[int, Field(ge=0, le=10**7)] = 0
    """Of the feed-forward layers that every token goes through; 0: as the parameters say."""
    params: Params
    weights: Weights
    tied_embeddings: bool = False
    kv_cache_dtype: Literal["bf16", "fp8"] = "bf16"
    moe: MoE | None = None
    overhead: Overhead | None = None
    vision: dict[str, Any] | None = None
    kinds: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    layers: Annotated[list[Run], Field(min_length=1)]
    draft_layers: list[str] = Field(default_factory=list[str])
    """The model's own draft layers (MTP), each as in a pattern; they count in ``kinds`` only."""
    num_speculative_tokens: Annotated[int, Field(ge=0, le=10**4)] = 0
    draft: Draft | None = None
    notes: list[Text] = Field(default_factory=list[Text])


class Flops(Shape):
    """Dense peaks in 10^12 operations a second by dtype; what a GPU lacks is left out."""

    bf16: Rate
    fp16: Rate | None = None
    fp32: Rate | None = None
    fp8: Rate | None = None
    int8: Rate | None = None
    mxfp4: Rate | None = None


class GPU(Shape):
    """A GPU file: MiB as nvidia-smi prints them, 10^9 bytes a second, 10^12 operations a second."""

    name: Name
    source: Text
    compute_capability: Annotated[float, Field(ge=1, lt=100)] | None = None
    memory_mib: Tokens
    memory_bandwidth_gbs: Rate
    flops_tflops: Flops
    link_gbs: Rate
