"""Vision towers of single families, and all towers by the ``model_type`` of ``vision_config``.

Shapes are those of transformers 5.23; InternViT and the newer MoonViT follow vLLM 0.33,
``model_executor/models``. Paths begin within the tower.
"""

from ..keys import Keys
from .blocks import MOST_LAYERS, Mlp
from .tensors import Tensors, linear, norm, repeated, vector
from .vision import (
    Block,
    Tower,
    cells_of,
    clip,
    inner_of,
    minimax,
    patches,
    qwen2,
    qwen2_5,
    qwen3,
    siglip,
    stack_of,
    width_of,
)


def pixtral(vision: Keys) -> list[Tensors]:
    """``PixtralVisionModel``."""
    hidden = width_of(vision)
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
    layer = block.tensors(hidden, inner_of(vision))
    return [*found, *repeated("transformer.layers", stack_of(vision), layer)]


def intern(vision: Keys) -> list[Tensors]:
    """InternViT as its checkpoints ship it (vLLM's ``InternVisionModel``)."""
    hidden = width_of(vision)
    block = Block(
        attention="attn",
        qkv=("qkv",),
        out="proj",
        bias=vision.flag("qkv_bias", default=False),
        norms=("norm1", "norm2"),
        norm_bias=vision.text("norm_type") != "rms_norm",
        scales=("ls1", "ls2"),
    )
    layer = block.tensors(hidden, inner_of(vision))
    if vision.flag("qk_normalization"):
        layer += [*norm("attn.q_norm", hidden), *norm("attn.k_norm", hidden)]
    found = [vector("vision", "embeddings.class_embedding", hidden)]
    found += patches(vision, "embeddings.patch_embedding", bias=True)
    found.append(vector("vision", "embeddings.position_embedding", cells_of(vision) + 1, hidden))
    return [*found, *repeated("encoder.layers", stack_of(vision), layer)]


def internvl(vision: Keys) -> list[Tensors]:
    """``InternVLVisionModel``."""
    hidden = width_of(vision)
    sides = vision.integers("image_size", least=1) or [448, 448]
    patch = (vision.integers("patch_size", least=1) or [14, 14])[0]
    block = Block(
        attention="attention",
        out="projection_layer",
        bias=vision.flag("attention_bias"),
        norms=("layernorm_before", "layernorm_after"),
        norm_bias=vision.text("norm_type", default="layer_norm") == "layer_norm",
        scales=("lambda_1", "lambda_2"),
    )
    layer = block.tensors(hidden, inner_of(vision))
    if vision.flag("use_qk_norm"):
        layer += [*norm("attention.q_norm", hidden), *norm("attention.k_norm", hidden)]
    cells = (sides[0] // patch) * (sides[1] // patch)
    found = [
        vector("vision", "embeddings.cls_token", hidden),
        vector("vision", "embeddings.position_embeddings", cells + 1, hidden),
        vector("vision", "embeddings.patch_embeddings.projection", hidden, 3, patch, patch),
        vector("vision", "embeddings.patch_embeddings.projection.bias", hidden),
    ]
    return [*found, *repeated("encoder.layer", stack_of(vision), layer)]


def llama4(vision: Keys) -> list[Tensors]:
    """``Llama4VisionModel``."""
    hidden, out = width_of(vision), vision.integer("projector_output_dim")
    block = Block(out="o_proj", norms=("input_layernorm", "post_attention_layernorm"))
    patch = 3 * vision.integer("patch_size") ** 2
    found = [vector("vision", "class_embedding", hidden)]
    found.append(vector("vision", "positional_embedding_vlm", cells_of(vision) + 1, hidden))
    found += linear("vision", "patch_embedding.linear", hidden, patch)
    found += norm("layernorm_pre", hidden, bias=True) + norm("layernorm_post", hidden, bias=True)
    layer = block.tensors(hidden, inner_of(vision))
    found += repeated("model.layers", stack_of(vision), layer)
    inner = vision.integer("projector_input_dim")
    found += linear("vision", "vision_adapter.mlp.fc1", inner, inner_of(vision))
    return [*found, *linear("vision", "vision_adapter.mlp.fc2", out, inner)]


def mllama(vision: Keys) -> list[Tensors]:
    """``MllamaVisionModel``: tiles, and a second stack with gates."""
    hidden = width_of(vision)
    block = Block(
        out="o_proj",
        bias=False,
        out_bias=False,
        norms=("input_layernorm", "post_attention_layernorm"),
    )
    tiles, cells = vision.integer("max_num_tiles"), cells_of(vision) + 1
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
    layer = block.tensors(hidden, inner_of(vision))
    found += repeated("transformer.layers", stack_of(vision), layer)
    gates = [vector("vision", name, 1) for name in ("gate_attn", "gate_ffn")]
    last = range(vision.integer("num_global_layers", most=MOST_LAYERS))
    return [*found, *repeated("global_transformer.layers", last, [*layer, *gates])]


def moonvit(vision: Keys) -> list[Tensors]:
    """MoonViT of Kimi (``Kimi_K25VisionModel``; vLLM's ``kimi_k25_vit``)."""
    hidden = width_of(vision)
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
    layer = block.tensors(hidden, inner_of(vision), vision.optional_integer("qkv_hidden_size"))
    height, width = vision.integer("init_pos_emb_height"), vision.integer("init_pos_emb_width")
    bias = vision.flag("patch_embed_proj_bias", default=True)
    found = patches(vision, "patch_embed.proj", bias=bias)
    found.append(vector("vision", "patch_embed.pos_emb.weight", height * width, hidden))
    found += repeated("encoder.blocks", stack_of(vision), layer)
    return [*found, *norm("encoder.final_layernorm", hidden, bias=not rms)]


def glm4(vision: Keys) -> list[Tensors]:
    """``Glm4vVisionModel``, whose merger is a gated layer."""
    hidden, out = width_of(vision), vision.integer("out_hidden_size")
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
    found = [vector("vision", "embeddings.position_embedding", cells_of(vision), hidden)]
    found += patches(vision, "patch_embed.proj", vision.integer("temporal_patch_size"), bias=True)
    found += repeated("blocks", stack_of(vision), block.tensors(hidden, out))
    found += linear("vision", "merger.proj", out, out)
    found += norm("merger.post_projection_norm", out, bias=True)
    found += Mlp(path="merger").sized(out, inner_of(vision))
    found += norm("post_conv_layernorm", hidden) + norm("post_layernorm", hidden)
    down = vector("vision", "downsample", out, hidden, merge, merge)
    return [*found, down, vector("vision", "downsample.bias", out)]


def gemma4(vision: Keys) -> list[Tensors]:
    """``Gemma4VisionModel``."""
    hidden, heads = width_of(vision), vision.integer("num_attention_heads")
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
    layer = block.tensors(hidden, inner_of(vision), heads * dim)
    layer += norm("self_attn.q_norm", dim) + norm("self_attn.k_norm", dim)
    cells = vision.integer("position_embedding_size")
    found = [vector("vision", "patch_embedder.position_embedding_table", 2, cells, hidden)]
    patch = 3 * vision.integer("patch_size") ** 2
    found += linear("vision", "patch_embedder.input_proj", hidden, patch)
    return [*found, *repeated("encoder.layers", stack_of(vision), layer)]


def step3(vision: Keys) -> list[Tensors]:
    """``Step3p7VisionModel``, with its two convolutions that halve the picture."""
    hidden = width_of(vision)
    block = Block(norms=("layernorm_before", "layernorm_after"), scales=("lambda_1", "lambda_2"))
    found = patches(vision, "embeddings.patch_embedding", bias=False)
    found.append(vector("vision", "embeddings.position_embedding", cells_of(vision), hidden))
    found += norm("pre_layernorm", hidden, bias=True)
    found += repeated("layers", stack_of(vision), block.tensors(hidden, inner_of(vision)))
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
