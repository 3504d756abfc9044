"""Vision transformers: what they share, and those that several families use.

Shapes are those of transformers 5.23. Paths begin within the tower.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..keys import Keys
from .blocks import MOST_LAYERS, Mlp
from .tensors import Tensors, inside, linear, norm, repeated, vector

Tower = Callable[[Keys], list[Tensors]]
"""Makes the weights of a tower from its section."""


PLAIN = Mlp(up=("fc1",), down="fc2")
"""Two layers without a gate."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A layer of a vision transformer.

    Attributes:
        attention: Module of the attention; its matrices are ``qkv`` in one or three.
        bias: Biases of queries, keys and values; ``k_bias`` of the keys alone.
        norms: Names of the norms; ``norm_bias`` where they are layer norms.
        scales: Learnt scales of the residuals.
    """

    attention: str = "self_attn"
    qkv: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    out: str = "out_proj"
    bias: bool = True
    out_bias: bool = True
    norms: tuple[str, ...] = ("layer_norm1", "layer_norm2")
    norm_bias: bool = True
    mlp: Mlp = PLAIN
    mlp_bias: bool = True
    scales: tuple[str, ...] = ()

    def tensors(self, hidden: int, inner: int, attention: int | None = None) -> list[Tensors]:
        """Weights of one layer; ``attention`` features where they are not as many as ``hidden``."""
        width = attention or hidden
        mixer: list[Tensors] = []
        for name in self.qkv:
            size = width * 3 // len(self.qkv)
            mixer += linear("vision", name, size, hidden, bias=self.bias)
        mixer += linear("vision", self.out, hidden, width, bias=self.out_bias)
        found = inside(self.attention, mixer)
        found += self.mlp.sized(hidden, inner, bias=self.mlp_bias)
        for name in self.norms:
            found += norm(name, hidden, bias=self.norm_bias)
        return [*found, *(vector("vision", name, hidden) for name in self.scales)]


SIGLIP = Block()


QWEN = Block(attention="attn", qkv=("qkv",), out="proj", norms=("norm1", "norm2"))


def patches(vision: Keys, name: str, *extra: int, bias: bool) -> list[Tensors]:
    """The convolution that turns patches into features."""
    hidden, patch = width_of(vision), vision.integer("patch_size", "spatial_patch_size")
    channels = vision.integer("num_channels", "in_channels", "in_chans", default=3)
    found = [vector("vision", name, hidden, channels, *extra, patch, patch)]
    return [*found, vector("vision", f"{name}.bias", hidden)] if bias else found


def width_of(vision: Keys) -> int:
    """Features of a patch."""
    return vision.integer("hidden_size", "embed_dim", "vt_hidden_size", "width")


def inner_of(vision: Keys) -> int:
    """Inner features of the feed-forward layers."""
    names = ("intermediate_size", "vt_intermediate_size")
    ratio = vision.number("mlp_ratio", default=4.0)
    return vision.integer(*names, default=int(ratio * width_of(vision)))


def stack_of(vision: Keys) -> range:
    """Numbers of the layers."""
    names = ("num_hidden_layers", "depth", "vt_num_hidden_layers", "layers")
    return range(vision.integer(*names, most=MOST_LAYERS))


def cells_of(vision: Keys) -> int:
    """Patches of an image."""
    return (vision.integer("image_size") // vision.integer("patch_size")) ** 2


def siglip(vision: Keys) -> list[Tensors]:
    """``SiglipVisionModel``, with its pooling head where the file asks for it."""
    hidden, inner = width_of(vision), inner_of(vision)
    found = patches(vision, "embeddings.patch_embedding", bias=True)
    positions = vision.optional_integer("num_patches") or cells_of(vision)
    found.append(vector("vision", "embeddings.position_embedding", positions, hidden))
    found += repeated("encoder.layers", stack_of(vision), SIGLIP.tensors(hidden, inner))
    found += norm("post_layernorm", hidden, bias=True)
    if vision.flag("vision_use_head", default=True):
        found += [vector("vision", "head.probe", hidden)]
        found += linear("vision", "head.attention.in_proj", 3 * hidden, hidden, bias=True)
        found += linear("vision", "head.attention.out_proj", hidden, hidden, bias=True)
        found += norm("head.layernorm", hidden, bias=True)
        found += Mlp(path="head.mlp", up=("fc1",), down="fc2").sized(hidden, inner, bias=True)
    return inside("vision_model", found)


def clip(vision: Keys) -> list[Tensors]:
    """``CLIPVisionModel``."""
    hidden = width_of(vision)
    found = [vector("vision", "embeddings.class_embedding", hidden)]
    found += patches(vision, "embeddings.patch_embedding", bias=False)
    found.append(vector("vision", "embeddings.position_embedding", cells_of(vision) + 1, hidden))
    found += norm("pre_layrnorm", hidden, bias=True)
    layer = SIGLIP.tensors(hidden, inner_of(vision))
    found += repeated("encoder.layers", stack_of(vision), layer)
    return inside("vision_model", [*found, *norm("post_layernorm", hidden, bias=True)])


def minimax(vision: Keys) -> list[Tensors]:
    """``MiniMaxM3VisionModel``: patches of two frames, no positions."""
    hidden = width_of(vision)
    times = vision.integer("temporal_patch_size", default=2)
    found = patches(vision, "embeddings.proj", times, bias=False)
    found += norm("pre_layrnorm", hidden, bias=True)
    layer = SIGLIP.tensors(hidden, inner_of(vision))
    return [*found, *repeated("layers", stack_of(vision), layer)]


def merger(path: str, hidden: int, out: int, names: tuple[str, str]) -> list[Tensors]:
    """Two linear layers that turn merged patches into the model's features."""
    found = linear("vision", names[0], hidden, hidden, bias=True)
    found += linear("vision", names[1], out, hidden, bias=True)
    return inside(path, found) if path else found


def qwen2(vision: Keys) -> list[Tensors]:
    """``Qwen2VisionTransformerPretrainedModel``; ``hidden_size`` is the language model's."""
    width, out = vision.integer("embed_dim"), vision.integer("hidden_size")
    merged = width * vision.integer("spatial_merge_size") ** 2
    patch, times = vision.integer("patch_size"), vision.integer("temporal_patch_size")
    found = [vector("vision", "patch_embed.proj", width, 3, times, patch, patch)]
    inner = int(vision.number("mlp_ratio") * width)
    found += repeated("blocks", stack_of(vision), QWEN.tensors(width, inner))
    found += norm("merger.ln_q", width, bias=True)
    return [*found, *merger("merger.mlp", merged, out, ("0", "2"))]


def qwen2_5(vision: Keys) -> list[Tensors]:
    """``Qwen2_5_VisionTransformerPretrainedModel``: RMS norms and gated layers."""
    hidden = width_of(vision)
    merged = hidden * vision.integer("spatial_merge_size") ** 2
    block = Block(
        attention="attn",
        qkv=("qkv",),
        out="proj",
        norms=("norm1", "norm2"),
        norm_bias=False,
        mlp=Mlp(),
    )
    found = patches(vision, "patch_embed.proj", vision.integer("temporal_patch_size"), bias=False)
    found += repeated("blocks", stack_of(vision), block.tensors(hidden, inner_of(vision)))
    found += norm("merger.ln_q", hidden)
    out = vision.integer("out_hidden_size")
    return [*found, *merger("merger.mlp", merged, out, ("0", "2"))]


def qwen3(vision: Keys) -> list[Tensors]:
    """``Qwen3VLVisionModel``, and without its deep mergers ``Qwen3_5VisionModel``."""
    hidden = width_of(vision)
    merged = hidden * vision.integer("spatial_merge_size") ** 2
    block = Block(
        attention="attn",
        qkv=("qkv",),
        out="proj",
        norms=("norm1", "norm2"),
        mlp=Mlp(up=("linear_fc1",), down="linear_fc2"),
    )
    found = patches(vision, "patch_embed.proj", vision.integer("temporal_patch_size"), bias=True)
    found.append(vector("vision", "pos_embed", vision.integer("num_position_embeddings"), hidden))
    found += repeated("blocks", stack_of(vision), block.tensors(hidden, inner_of(vision)))
    out, names = vision.integer("out_hidden_size"), ("linear_fc1", "linear_fc2")
    found += [*norm("merger.norm", hidden, bias=True), *merger("merger", merged, out, names)]
    deep = range(len(vision.integers("deepstack_visual_indexes") or []))
    layer = [*norm("norm", merged, bias=True), *merger("", merged, out, names)]
    return [*found, *repeated("deepstack_merger_list", deep, layer)]
