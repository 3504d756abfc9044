"""Layers of hybrid families that no option of a block describes."""

from ..keys import Keys
from .blocks import (
    Attention,
    Mlp,
    by_layer,
    head_dim_of,
    heads_of,
    hidden_of,
    kv_heads_of,
    layers_of,
)
from .experts import Experts
from .family import by_kind
from .kinds import layer_kinds, nemotron_kinds, zamba_kinds
from .latent import Latent
from .states import (
    DeltaAttention,
    Mamba2,
)
from .tensors import Tensors, inside, linear, norm, norms, repeated, vector


def lfm_feeds(text: Keys) -> list[Tensors]:
    """The inner size is cut to two thirds and rounded up where the file says so (``Lfm2MLP``)."""
    inner = text.integer("block_ff_dim", "intermediate_size")
    if text.flag("block_auto_adjust_ff_dim", default=True):
        inner = int(text.number("block_ffn_dim_multiplier", default=1.0) * int(2 * inner / 3))
        multiple = text.integer("block_multiple_of", default=256)
        inner = -(-inner // multiple) * multiple
    mlp = Mlp(path="feed_forward", up=("w1", "w3"), down="w2").sized(hidden_of(text), inner)
    return repeated("layers", range(layers_of(text)), mlp)


NEMOTRON_EXPERTS = Experts(
    path="mixer",
    expert=Mlp(path="experts.0", up=("up_proj",), part="experts"),
    inner=("moe_intermediate_size",),
    correction="gate.e_score_correction_bias",
    shared="shared_experts",
    shared_inner=("moe_shared_expert_intermediate_size",),
    shared_as=Mlp(up=("up_proj",)),
    latent="moe_latent_size",
    latent_names=("fc1_latent_proj", "fc2_latent_proj"),
)


def nemotron_blocks(text: Keys) -> list[Tensors]:
    """One mixer, MLP or layer of experts in each block (``NemotronHBlock``)."""
    blocks = by_kind(
        nemotron_kinds,
        mamba=Mamba2(path="mixer", inner="heads", bias="use_bias").tensors,
        attention=Attention(path="mixer").tensors,
        mlp=Mlp(path="mixer", up=("up_proj",), bias="mlp_bias").tensors,
        moe=NEMOTRON_EXPERTS.tensors,
    )
    count = len(nemotron_kinds(text))
    return [*blocks(text), *repeated("layers", range(count), norms(["norm"], hidden_of(text)))]


def zamba_blocks(text: Keys) -> list[Tensors]:
    """Mamba-2 in every layer; few attention blocks that many layers call, each with adapters."""
    hidden, layers = hidden_of(text), range(layers_of(text))
    hybrid = [layer for layer, kind in enumerate(zamba_kinds(text)) if kind == "hybrid"]
    blocks = min(text.integer("num_mem_blocks", default=1), len(hybrid))
    mamba = [*Mamba2().tensors(text), *norm("input_layernorm", hidden)]
    found = repeated("layers", layers, mamba)
    found += repeated("layers", hybrid, linear("state", "linear", hidden, hidden))
    shared = inside("shared_transformer", _zamba_shared(text, hidden))
    found += repeated("layers", hybrid[:blocks], shared)
    adapters = inside("shared_transformer", _zamba_adapters(text, hidden))
    return [*found, *repeated("layers", hybrid, adapters)]


def _zamba_shared(text: Keys, hidden: int) -> list[Tensors]:
    heads = heads_of(text)
    wide = text.integer("attention_hidden_size", default=2 * hidden)
    dim = text.integer("attention_head_dim", default=wide // heads)
    sizes = {"q": heads, "k": kv_heads_of(text), "v": kv_heads_of(text)}
    found = norms(["input_layernorm"], wide)
    for name, count in sizes.items():
        found += linear("attention", f"self_attn.{name}_proj", count * dim, wide)
    found += linear("attention", "self_attn.o_proj", hidden, heads * dim)
    mlp = Mlp(path="feed_forward", up=("gate_up_proj*2",), bias="add_bias_linear")
    return [*found, *mlp.tensors(text), *norms(["pre_ff_layernorm"], hidden)]


def _zamba_adapters(text: Keys, hidden: int) -> list[Tensors]:
    rank = text.integer("adapter_rank", default=128)
    wide = text.integer("attention_hidden_size", default=2 * hidden)
    inner = text.integer("intermediate_size")
    found = linear("mlp", "feed_forward.gate_up_proj_adapter_list.0.0", rank, hidden)
    found += linear("mlp", "feed_forward.gate_up_proj_adapter_list.0.1", 2 * inner, rank)
    if text.flag("use_shared_attention_adapter"):
        for name in "qkv":
            path = f"self_attn.linear_{name}_adapter_list.0"
            found += linear("attention", f"{path}.0", rank, wide)
            found += linear("attention", f"{path}.1", wide, rank)
    return found


def kimi_mixers(text: Keys) -> list[Tensors]:
    """KDA and MLA in layers that the file numbers from 1 (``KimiLinearDecoderLayer``)."""
    config = text.section("linear_attn_config")
    if config is None:
        return _kimi_by_kind(text)
    heads, dim = config.integer("num_heads"), config.integer("head_dim")
    full = DeltaAttention(full_gate=config.flag("use_full_rank_gate"))
    kda = full.sized(text, heads, dim, config.integer("short_conv_kernel_size"))
    mla = Latent(gate="all", gate_if="mla_use_output_gate").tensors(text)
    linears = [number - 1 for number in config.integers("kda_layers") or []]
    others = [layer for layer in range(layers_of(text)) if layer not in linears]
    return [*repeated("layers", linears, kda), *repeated("layers", others, mla)]


def _kimi_by_kind(text: Keys) -> list[Tensors]:
    """The same in the keys of the class of transformers."""
    heads, dim = text.integer("linear_num_heads"), text.integer("linear_head_dim")
    kernel = text.integer("linear_conv_kernel_dim")

    def kda(text: Keys) -> list[Tensors]:
        return DeltaAttention().sized(text, heads, dim, kernel)

    return by_kind(
        layer_kinds,
        linear_attention=kda,
        full_attention=Latent().tensors,
    )(text)


def kimi_residuals(text: Keys) -> list[Tensors]:
    """Attention over earlier layers' outputs (Kimi-K3; vLLM 0.33, ``models/kimi_k3``)."""
    if "attn_res_block_size" not in text:
        return []
    hidden = hidden_of(text)
    layer: list[Tensors] = []
    for name in ("self_attention_res", "mlp_res"):
        layer += norms([f"{name}_norm"], hidden)
        layer.append(vector("attention", f"{name}_proj", 1, hidden))
    last = [
        *norms(["output_attn_res_norm"], hidden),
        vector("attention", "output_attn_res_proj", 1, hidden),
    ]
    return [*repeated("layers", range(layers_of(text)), layer), *last]


def bailing_mixers(text: Keys) -> list[Tensors]:
    """KDA, with MLA as the last of each group (``BailingHybridDecoderLayer``)."""
    dim = text.integer("linear_head_dim", "head_dim")
    group = text.integer("layer_group_size", default=6)
    kernel = text.integer("short_conv_kernel_size", "linear_conv_kernel_dim", default=4)
    kda = DeltaAttention(full_forget=True, full_gate=True)
    layers = range(layers_of(text))
    kinds = text.texts("layer_types")
    if kinds is None:
        full = [layer for layer in layers if (layer + 1) % group == 0]
    else:
        named = enumerate(by_layer(text, "layer_types", kinds))
        full = [layer for layer, kind in named if kind == "full_attention"]
    linears = [layer for layer in layers if layer not in full]
    if "group_norm_size" in text:
        linear_block, mla = bailing_lightning(text), Latent().tensors(text)
    else:
        linear_block = kda.sized(text, heads_of(text), dim, kernel)
        mla = Latent(gate="head").tensors(text)
    return [
        *repeated("layers", linears, linear_block),
        *repeated("layers", full, mla),
    ]


def bailing_lightning(text: Keys) -> list[Tensors]:
    """Linear attention of Ling-2.5 and Ring-2.5 (vLLM 0.33, ``bailing_linear_attn``)."""
    inner = heads_of(text) * head_dim_of(text)
    block = Attention(
        qkv_bias=text.flag("use_bias") or text.flag("use_qkv_bias"),
        o_bias="use_bias",
        fused="query_key_value",
        out="dense",
        qk_norm="head",
        qk_norm_if="use_qk_norm",
        qk_names=("query_layernorm", "key_layernorm"),
        gate="all",
        gate_name="g_proj",
        path="attention",
    )
    found = block.sized(text, heads_of(text), heads_of(text), head_dim_of(text))
    return [*found, *norm("attention.g_norm", inner)]


def griffin_feeds(text: Keys) -> list[Tensors]:
    """Half of the inner size that the file gives, with biases."""
    inner = text.integer("intermediate_size") // 2
    mlp = Mlp(path="mlp_block").sized(hidden_of(text), inner, bias=True)
    return repeated("layers", range(layers_of(text)), mlp)
