"""Vision towers, by the ``model_type`` of ``vision_config`` (transformers 5.23).

Towers of checkpoints with code of their own (InternVL, MiniCPM-V, Molmo, Phi-3.5-vision) follow
vLLM 0.33, ``model_executor/models``. Paths begin within the tower.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..keys import Keys
from .blocks import Mlp
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
    hidden, patch = _hidden(vision), vision.integer("patch_size", "spatial_patch_size")
    channels = vision.integer("num_channels", "in_channels", "in_chans", default=3)
    found = [vector("vision", name, hidden, channels, *extra, patch, patch)]
    return [*found, vector("vision", f"{name}.bias", hidden)] if bias else found


def _hidden(vision: Keys) -> int:
    return vision.integer("hidden_size", "embed_dim", "vt_hidden_size", "width")


def _inner(vision: Keys) -> int:
    names = ("intermediate_size", "vt_intermediate_size")
    ratio = vision.number("mlp_ratio", default=4.0)
    return vision.integer(*names, default=int(ratio * _hidden(vision)))


def _layers(vision: Keys) -> range:
    return range(vision.integer("num_hidden_layers", "depth", "vt_num_hidden_layers", "layers"))


def _grid(vision: Keys) -> int:
    return (vision.integer("image_size") // vision.integer("patch_size")) ** 2


def siglip(vision: Keys) -> list[Tensors]:
    """``SiglipVisionModel``, with its pooling head where the file asks for it."""
    hidden, inner = _hidden(vision), _inner(vision)
    found = patches(vision, "embeddings.patch_embedding", bias=True)
    positions = vision.optional_integer("num_patches") or _grid(vision)
    found.append(vector("vision", "embeddings.position_embedding", positions, hidden))
    found += repeated("encoder.layers", _layers(vision), SIGLIP.tensors(hidden, inner))
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
    hidden = _hidden(vision)
    found = [vector("vision", "embeddings.class_embedding", hidden)]
    found += patches(vision, "embeddings.patch_embedding", bias=False)
    found.append(vector("vision", "embeddings.position_embedding", _grid(vision) + 1, hidden))
    found += norm("pre_layrnorm", hidden, bias=True)
    layer = SIGLIP.tensors(hidden, _inner(vision))
    found += repeated("encoder.layers", _layers(vision), layer)
    return inside("vision_model", [*found, *norm("post_layernorm", hidden, bias=True)])


def minimax(vision: Keys) -> list[Tensors]:
    """``MiniMaxM3VisionModel``: patches of two frames, no positions."""
    hidden = _hidden(vision)
    times = vision.integer("temporal_patch_size", default=2)
    found = patches(vision, "embeddings.proj", times, bias=False)
    found += norm("pre_layrnorm", hidden, bias=True)
    layer = SIGLIP.tensors(hidden, _inner(vision))
    return [*found, *repeated("layers", _layers(vision), layer)]


def _merger(path: str, hidden: int, out: int, names: tuple[str, str]) -> list[Tensors]:
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
    found += repeated("blocks", _layers(vision), QWEN.tensors(width, inner))
    found += norm("merger.ln_q", width, bias=True)
    return [*found, *_merger("merger.mlp", merged, out, ("0", "2"))]


def qwen2_5(vision: Keys) -> list[Tensors]:
    """``Qwen2_5_VisionTransformerPretrainedModel``: RMS norms and gated layers."""
    hidden = _hidden(vision)
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
    found += repeated("blocks", _layers(vision), block.tensors(hidden, _inner(vision)))
    found += norm("merger.ln_q", hidden)
    out = vision.integer("out_hidden_size")
    return [*found, *_merger("merger.mlp", merged, out, ("0", "2"))]


def qwen3(vision: Keys) -> list[Tensors]:
    """``Qwen3VLVisionModel``, and without its deep mergers ``Qwen3_5VisionModel``."""
    hidden = _hidden(vision)
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
    found += repeated("blocks", _layers(vision), block.tensors(hidden, _inner(vision)))
    out, names = vision.integer("out_hidden_size"), ("linear_fc1", "linear_fc2")
    found += [*norm("merger.norm", hidden, bias=True), *_merger("merger", merged, out, names)]
    deep = range(len(vision.integers("deepstack_visual_indexes") or []))
    layer = [*norm("norm", merged, bias=True), *_merger("", merged, out, names)]
    return [*found, *repeated("deepstack_merger_list", deep, layer)]


def pixtral(vision: Keys) -> list[Tensors]:
    """``PixtralVisionModel``."""
    hidden = _hidden(vision)
    block = Block(
        attention="attention",
        out="o_proj",
        bias=False,
        out_bias=False,
        norms=("attention_norm", "ffn_norm"),
        norm_bias=False,
        mlp=Mlp(path="feed_forward"),
        mlp_bias=False,
    )
    found = patches(vision, "patch_conv", bias=False)
    found += norm("ln_pre", hidden)
    layer = block.tensors(hidden, _inner(vision))
    return [*found, *repeated("transformer.layers", _layers(vision), layer)]


def intern(vision: Keys) -> list[Tensors]:
    """InternViT as its checkpoints ship it (vLLM's ``InternVisionModel``)."""
    hidden = _hidden(vision)
    block = Block(
        attention="attn",
        qkv=("qkv",),
        out="proj",
        bias=vision.flag("qkv_bias", default=False),
        norms=("norm1", "norm2"),
        norm_bias=vision.text("norm_type") != "rms_norm",
        scales=("ls1", "ls2"),
    )
    layer = block.tensors(hidden, _inner(vision))
    if vision.flag("qk_normalization"):
        layer += [*norm("attn.q_norm", hidden), *norm("attn.k_norm", hidden)]
    found = [vector("vision", "embeddings.class_embedding", hidden)]
    found += patches(vision, "embeddings.patch_embedding", bias=True)
    found.append(vector("vision", "embeddings.position_embedding", _grid(vision) + 1, hidden))
    return [*found, *repeated("encoder.layers", _layers(vision), layer)]


def internvl(vision: Keys) -> list[Tensors]:
    """``InternVLVisionModel``."""
    hidden = _hidden(vision)
    sides = vision.integers("image_size") or [448, 448]
    patch = (vision.integers("patch_size") or [14, 14])[0]
    block = Block(
        attention="attention",
        out="projection_layer",
        bias=vision.flag("attention_bias"),
        norms=("layernorm_before", "layernorm_after"),
        norm_bias=vision.text("norm_type", default="layer_norm") == "layer_norm",
        scales=("lambda_1", "lambda_2"),
    )
    layer = block.tensors(hidden, _inner(vision))
    if vision.flag("use_qk_norm"):
        layer += [*norm("attention.q_norm", hidden), *norm("attention.k_norm", hidden)]
    cells = (sides[0] // patch) * (sides[1] // patch)
    found = [
        vector("vision", "embeddings.cls_token", hidden),
        vector("vision", "embeddings.position_embeddings", cells + 1, hidden),
        vector("vision", "embeddings.patch_embeddings.projection", hidden, 3, patch, patch),
        vector("vision", "embeddings.patch_embeddings.projection.bias", hidden),
    ]
    return [*found, *repeated("encoder.layer", _layers(vision), layer)]


def llama4(vision: Keys) -> list[Tensors]:
    """``Llama4VisionModel``."""
    hidden, out = _hidden(vision), vision.integer("projector_output_dim")
    block = Block(out="o_proj", norms=("input_layernorm", "post_attention_layernorm"))
    patch = 3 * vision.integer("patch_size") ** 2
    found = [vector("vision", "class_embedding", hidden)]
    found.append(vector("vision", "positional_embedding_vlm", _grid(vision) + 1, hidden))
    found += linear("vision", "patch_embedding.linear", hidden, patch)
    found += norm("layernorm_pre", hidden, bias=True) + norm("layernorm_post", hidden, bias=True)
    layer = block.tensors(hidden, _inner(vision))
    found += repeated("model.layers", _layers(vision), layer)
    inner = vision.integer("projector_input_dim")
    found += linear("vision", "vision_adapter.mlp.fc1", inner, _inner(vision))
    return [*found, *linear("vision", "vision_adapter.mlp.fc2", out, inner)]


def mllama(vision: Keys) -> list[Tensors]:
    """``MllamaVisionModel``: tiles, and a second stack with gates."""
    hidden = _hidden(vision)
    block = Block(
        out="o_proj",
        bias=False,
        out_bias=False,
        norms=("input_layernorm", "post_attention_layernorm"),
    )
    tiles, cells = vision.integer("max_num_tiles"), _grid(vision) + 1
    ratios = len(vision.items("supported_aspect_ratios")) or 8
    found = [vector("vision", "class_embedding", hidden)]
    found += patches(vision, "patch_embedding", bias=False)
    position = "gated_positional_embedding"
    found += [
        vector("vision", f"{position}.gate", 1),
        vector("vision", f"{position}.embedding", cells, hidden),
        vector("vision", f"{position}.tile_embedding", ratios + 1, tiles * cells * hidden),
    ]
    for name in ("pre_tile_positional_embedding", "post_tile_positional_embedding"):
        found.append(vector("vision", f"{name}.gate", 1))
        found.append(vector("vision", f"{name}.embedding", ratios + 1, tiles * hidden))
    found += norm("layernorm_pre", hidden, bias=True) + norm("layernorm_post", hidden, bias=True)
    layer = block.tensors(hidden, _inner(vision))
    found += repeated("transformer.layers", _layers(vision), layer)
    gates = [vector("vision", name, 1) for name in ("gate_attn", "gate_ffn")]
    last = range(vision.integer("num_global_layers"))
    return [*found, *repeated("global_transformer.layers", last, [*layer, *gates])]


def moonvit(vision: Keys) -> list[Tensors]:
    """MoonViT of Kimi (``Kimi_K25VisionModel``; vLLM's ``kimi_k25_vit``)."""
    hidden = _hidden(vision)
    rms = vision.text("norm_type") == "rmsnorm"
    block = Block(
        attention="attn",
        qkv=("wqkv",),
        out="wo",
        norms=("norm0", "norm1"),
        bias=vision.flag("attn_bias", default=True),
        out_bias=vision.flag("attn_bias", default=True),
        norm_bias=not rms,
        mlp=Mlp(up=("fc0",), down="fc1"),
        mlp_bias=vision.flag("linear_bias", default=True),
    )
    layer = block.tensors(hidden, _inner(vision), vision.optional_integer("qkv_hidden_size"))
    height, width = vision.integer("init_pos_emb_height"), vision.integer("init_pos_emb_width")
    bias = vision.flag("patch_embed_proj_bias", default=True)
    found = patches(vision, "patch_embed.proj", bias=bias)
    found.append(vector("vision", "patch_embed.pos_emb.weight", height * width, hidden))
    found += repeated("encoder.blocks", _layers(vision), layer)
    return [*found, *norm("encoder.final_layernorm", hidden, bias=not rms)]


def glm4(vision: Keys) -> list[Tensors]:
    """``Glm4vVisionModel``, whose merger is a gated layer."""
    hidden, out = _hidden(vision), vision.integer("out_hidden_size")
    block = Block(
        attention="attn",
        qkv=("qkv",),
        out="proj",
        bias=vision.flag("attention_bias"),
        out_bias=False,
        norms=("norm1", "norm2"),
        norm_bias=False,
        mlp=Mlp(),
        mlp_bias=False,
    )
    merge = vision.integer("spatial_merge_size")
    found = [vector("vision", "embeddings.position_embedding", _grid(vision), hidden)]
    found += patches(vision, "patch_embed.proj", vision.integer("temporal_patch_size"), bias=True)
    found += repeated("blocks", _layers(vision), block.tensors(hidden, out))
    found += linear("vision", "merger.proj", out, out)
    found += norm("merger.post_projection_norm", out, bias=True)
    found += Mlp(path="merger").sized(out, _inner(vision))
    found += norm("post_conv_layernorm", hidden) + norm("post_layernorm", hidden)
    down = vector("vision", "downsample", out, hidden, merge, merge)
    return [*found, down, vector("vision", "downsample.bias", out)]


def gemma4(vision: Keys) -> list[Tensors]:
    """``Gemma4VisionModel``."""
    hidden, heads = _hidden(vision), vision.integer("num_attention_heads")
    dim = vision.optional_integer("head_dim") or hidden // heads
    block = Block(
        qkv=("q_proj.linear", "k_proj.linear", "v_proj.linear"),
        out="o_proj.linear",
        bias=False,
        out_bias=False,
        norms=(
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ),
        norm_bias=False,
        mlp=Mlp(up=("gate_proj.linear", "up_proj.linear"), down="down_proj.linear"),
        mlp_bias=False,
    )
    layer = block.tensors(hidden, _inner(vision), heads * dim)
    layer += norm("self_attn.q_norm", dim) + norm("self_attn.k_norm", dim)
    cells = vision.integer("position_embedding_size")
    found = [vector("vision", "patch_embedder.position_embedding_table", 2, cells, hidden)]
    patch = 3 * vision.integer("patch_size") ** 2
    found += linear("vision", "patch_embedder.input_proj", hidden, patch)
    return [*found, *repeated("encoder.layers", _layers(vision), layer)]


def step3(vision: Keys) -> list[Tensors]:
    """``Step3p7VisionModel``, with its two convolutions that halve the picture."""
    hidden = _hidden(vision)
    block = Block(norms=("layernorm_before", "layernorm_after"), scales=("lambda_1", "lambda_2"))
    found = patches(vision, "embeddings.patch_embedding", bias=False)
    found.append(vector("vision", "embeddings.position_embedding", _grid(vision), hidden))
    found += norm("pre_layernorm", hidden, bias=True)
    found += repeated("layers", _layers(vision), block.tensors(hidden, _inner(vision)))
    for number in (1, 2):
        found += [
            vector("vision", f"downsampler{number}", 2 * hidden, hidden, 3, 3),
            vector("vision", f"downsampler{number}.bias", 2 * hidden),
        ]
        hidden *= 2
    return found


TOWERS: dict[str, Tower] = {
    "siglip_vision_model": siglip,
    "siglip2_vision_model": siglip,
    "siglip_headless": siglip,
    "idefics3_vision": siglip,
    "smolvlm_vision": siglip,
    "clip_vision_model": clip,
    "minimax_m3_vl_vision": minimax,
    "qwen2_vl_vision": qwen2,
    "qwen2_5_vl_vision": qwen2_5,
    "qwen2_5_omni_vision_encoder": qwen2_5,
    "qwen3_vl_vision": qwen3,
    "qwen3_vl_moe_vision": qwen3,
    "qwen3_5_vision": qwen3,
    "qwen3_5_moe_vision": qwen3,
    "pixtral": pixtral,
    "intern_vit_6b": intern,
    "internvl_vision": internvl,
    "llama4_vision_model": llama4,
    "mllama_vision_model": mllama,
    "kimi_k25_vision": moonvit,
    "glm4v_vision": glm4,
    "glm4v_moe_vision": glm4,
    "gemma4_vision": gemma4,
    "step3p5_vision": step3,
}
"""Towers by ``model_type``; files of older towers say that of the whole model instead."""
