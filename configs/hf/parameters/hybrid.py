"""Families that mix attention with layers that keep a state."""

from dataclasses import replace

from ..keys import Keys
from .blocks import Attention, Mlp, head_dim_of, heads_of, hidden_of, kv_heads_of, layers_of
from .dense import BIASED, NORMED
from .experts import Experts
from .family import Family, by_kind
from .latent import Latent
from .sparse import MIXTRAL, QWEN_SHARED, SHARED, granite_feeds
from .states import (
    DeltaAttention,
    GatedDelta,
    Mamba1,
    Mamba2,
    lightning,
    recurrent_unit,
    rwkv5,
    short_convolution,
)
from .tensors import Tensors, inside, linear, norm, norms, repeated, vector

OLD_KINDS = {"mamba": "linear_attention", "attention": "full_attention"}
NEMOTRON_KINDS = {
    "M": "mamba",
    "linear_attention": "mamba",
    "*": "attention",
    "full_attention": "attention",
    "-": "mlp",
    "E": "moe",
}
JAMBA_NORMS = ("input_layernorm", "pre_ff_layernorm")
FEED_FORWARD = Mlp(path="feed_forward")
GATED = replace(NORMED, gate="twice", gate_if="attn_output_gate")
"""Qwen-3-Next: the query projection makes a gate of the output too."""


def layer_kinds(text: Keys) -> list[str]:
    """The kind of each layer by ``layer_types``, or attention in every so many layers."""
    kinds = text.texts("layer_types")
    if kinds is not None:
        return [OLD_KINDS.get(kind, kind) for kind in kinds[: layers_of(text)]]
    every = text.integer("full_attention_interval", default=4)
    return [
        "linear_attention" if (layer + 1) % every else "full_attention"
        for layer in range(layers_of(text))
    ]


def jamba_kinds(text: Keys) -> list[str]:
    """Attention in every so many layers, from an offset on."""
    period = text.integer("attn_layer_period")
    offset = text.integer("attn_layer_offset", least=0)
    return [
        "attention" if layer % period == offset else "mamba" for layer in range(layers_of(text))
    ]


def bamba_kinds(text: Keys) -> list[str]:
    """Attention in the layers that are listed."""
    listed = text.integers("attn_layer_indices") or []
    return ["attention" if layer in listed else "mamba" for layer in range(layers_of(text))]


def lfm_kinds(text: Keys) -> list[str]:
    """Attention in the layers that are listed, convolutions in the others."""
    if "layer_types" in text:
        return layer_kinds(text)
    full = text.integers("full_attn_idxs")
    every = range(layers_of(text))
    return ["full_attention" if full is None or layer in full else "conv" for layer in every]


def lfm_feeds(text: Keys) -> list[Tensors]:
    """The inner size is cut to two thirds and rounded up where the file says so (``Lfm2MLP``)."""
    inner = text.integer("block_ff_dim", "intermediate_size")
    if text.flag("block_auto_adjust_ff_dim", default=True):
        inner = int(text.number("block_ffn_dim_multiplier", default=1.0) * int(2 * inner / 3))
        multiple = text.integer("block_multiple_of", default=256)
        inner = -(-inner // multiple) * multiple
    mlp = Mlp(path="feed_forward", up=("w1", "w3"), down="w2").sized(hidden_of(text), inner)
    return repeated("layers", range(layers_of(text)), mlp)


def nemotron_kinds(text: Keys) -> list[str]:
    """The kind of each block: a letter of the pattern, or its name."""
    pattern = text.text("hybrid_override_pattern")
    kinds = list(pattern) if pattern else text.texts("layers_block_type") or []
    return [NEMOTRON_KINDS.get(kind, kind) for kind in kinds]


NEMOTRON_EXPERTS = Experts(
    path="mixer",
    expert=Mlp(path="experts.0", up=("up_proj",), part="experts"),
    inner=("moe_intermediate_size",),
    correction="gate.e_score_correction_bias",
    shared="shared_experts",
    shared_inner=("moe_shared_expert_intermediate_size",),
    shared_up=("up_proj",),
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


def zamba_kinds(text: Keys) -> list[str]:
    """Layers with a call of a shared attention block."""
    kinds = text.texts("layers_block_type")
    if kinds is not None:
        return kinds
    hybrid = text.integers("hybrid_layer_ids") or []
    return ["hybrid" if layer in hybrid else "mamba" for layer in range(layers_of(text))]


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


KIMI_EXPERTS = replace(
    SHARED,
    path="block_sparse_moe",
    expert=Mlp(path="experts.0", up=("w1", "w3"), down="w2", part="experts"),
    latent="routed_expert_hidden_size",
    latent_names=("routed_expert_down_proj", "routed_expert_up_proj"),
    latent_norm="routed_expert_norm",
    latent_norm_if="latent_moe_use_norm",
)


def bailing_mixers(text: Keys) -> list[Tensors]:
    """KDA, with MLA as the last of each group (``BailingHybridDecoderLayer``)."""
    dim = text.integer("linear_head_dim", "head_dim")
    group = text.integer("layer_group_size", default=6)
    kernel = text.integer("short_conv_kernel_size", "linear_conv_kernel_dim", default=4)
    kda = DeltaAttention(full_forget=True, full_gate=True)
    layers = range(layers_of(text))
    kinds = text.texts("layer_types")
    full = [
        layer
        for layer in layers
        if (kinds[layer] == "full_attention" if kinds else (layer + 1) % group == 0)
    ]
    linears = [layer for layer in layers if layer not in full]
    mla = Latent(gate="head").tensors(text)
    return [
        *repeated("layers", linears, kda.sized(text, heads_of(text), dim, kernel)),
        *repeated("layers", full, mla),
    ]


def minimax_kinds(text: Keys) -> list[str]:
    """Softmax or lightning attention: 1 or 0 in the file's list, or by ``layer_types``."""
    flags = text.integers("attn_type_list")
    if flags is None:
        return layer_kinds(text)
    return ["full_attention" if flag else "linear_attention" for flag in flags]


def griffin_kinds(text: Keys) -> list[str]:
    """The listed blocks, over and over (``RecurrentGemmaModel``)."""
    kinds = text.texts("block_types") or text.texts("_block_types") or ["recurrent"]
    return [kinds[layer % len(kinds)] for layer in range(layers_of(text))]


def griffin_feeds(text: Keys) -> list[Tensors]:
    """Half of the inner size that the file gives, with biases."""
    inner = text.integer("intermediate_size") // 2
    mlp = Mlp(path="mlp_block").sized(hidden_of(text), inner, bias=True)
    return repeated("layers", range(layers_of(text)), mlp)


QWEN_MIXERS = by_kind(
    layer_kinds, linear_attention=GatedDelta(apart=True).tensors, full_attention=GATED.tensors
)
QWEN35 = Family(mixer=QWEN_MIXERS)
QWEN35_MOE = Family(mixer=QWEN_MIXERS, experts=QWEN_SHARED)
MINIMAX = Family(
    mixer=by_kind(
        minimax_kinds,
        linear_attention=lambda text: lightning(text, heads_of(text), head_dim_of(text)),
        full_attention=Attention().tensors,
    ),
    experts=replace(MIXTRAL, inner=("intermediate_size",)),
)
LFM2 = Family(
    mixer=by_kind(
        lfm_kinds,
        conv=short_convolution,
        full_attention=Attention(
            qk_norm="head", qk_names=("q_layernorm", "k_layernorm"), out="out_proj"
        ).tensors,
    ),
    feeds=lfm_feeds,
    norms=("operator_norm", "ffn_norm"),
    final="embedding_norm",
)
MAMBA = Family(
    mixer=lambda text: repeated("layers", range(layers_of(text)), Mamba1().tensors(text)),
    mlp=None,
    norms=("norm",),
    embedding="embeddings",
    final="norm_f",
    prefix="backbone",
)

HYBRID = {
    "qwen3_next": Family(
        mixer=by_kind(
            layer_kinds, linear_attention=GatedDelta().tensors, full_attention=GATED.tensors
        ),
        experts=QWEN_SHARED,
    ),
    "qwen3_5_text": QWEN35,
    "qwen3_5_moe_text": QWEN35_MOE,
    "jamba": Family(
        mixer=by_kind(
            jamba_kinds,
            attention=Attention().tensors,
            mamba=Mamba1(path="mamba", keys="mamba_", normed=True).tensors,
        ),
        mlp=FEED_FORWARD,
        experts=Experts(path="feed_forward", router="router", inner=("intermediate_size",)),
        norms=JAMBA_NORMS,
        final="final_layernorm",
    ),
    "bamba": Family(
        mixer=by_kind(bamba_kinds, attention=BIASED.tensors, mamba=Mamba2().tensors),
        mlp=replace(FEED_FORWARD, bias="mlp_bias"),
        norms=JAMBA_NORMS,
        final="final_layernorm",
    ),
    "falcon_h1": Family(
        mixer=lambda text: repeated(
            "layers",
            range(layers_of(text)),
            [*BIASED.tensors(text), *Mamba2(normed="mamba_rms_norm", out_bias="projectors_bias").tensors(text)],
        ),
        mlp=replace(FEED_FORWARD, bias="mlp_bias"),
        norms=JAMBA_NORMS,
        final="final_layernorm",
    ),
    "granitemoehybrid": Family(
        mixer=by_kind(
            layer_kinds, full_attention=BIASED.tensors, linear_attention=Mamba2().tensors
        ),
        feeds=granite_feeds,
    ),
    "nemotron_h": Family(
        mixer=nemotron_blocks,
        mlp=None,
        norms=(),
        embedding="embeddings",
        final="norm_f",
        prefix="backbone",
    ),
    "zamba2": Family(mixer=zamba_blocks, mlp=None, norms=(), final="final_layernorm"),
    "mamba": MAMBA,
    "falcon_mamba": MAMBA,
    "mamba2": replace(
        MAMBA,
        mixer=lambda text: repeated(
            "layers", range(layers_of(text)), Mamba2(path="mixer", bias="use_bias").tensors(text)
        ),
    ),
    "kimi_linear": Family(mixer=kimi_mixers, experts=KIMI_EXPERTS, extras=kimi_residuals),
    "bailing_hybrid": Family(mixer=bailing_mixers, experts=SHARED),
    "minimax": MINIMAX,
    "minimax_text_01": MINIMAX,
    "minimax_m1": MINIMAX,
    "lfm2": LFM2,
    "lfm2_moe": replace(
        LFM2,
        feeds=None,
        mlp=Mlp(path="feed_forward", up=("w1", "w3"), down="w2"),
        experts=Experts(
            path="feed_forward",
            expert=Mlp(path="experts.0", up=("w1", "w3"), down="w2", part="experts"),
            correction="expert_bias",
        ),
    ),
    "rwkv5": Family(
        mixer=lambda text: repeated("blocks", range(layers_of(text)), rwkv5(text)),
        mlp=None,
        norms=("ln1", "ln2"),
        norm_bias=True,
        embedding="embeddings",
        final="ln_out",
        layers="blocks",
        head="head",
        extras=lambda text: norm("blocks.0.pre_ln", hidden_of(text), bias=True),
        prefix="rwkv",
    ),
    "recurrent_gemma": Family(
        mixer=by_kind(
            griffin_kinds,
            recurrent=recurrent_unit,
            attention=Attention(
                qkv_bias="attention_bias", o_bias=True, path="temporal_block"
            ).tensors,
        ),
        feeds=griffin_feeds,
        norms=("temporal_pre_norm", "channel_pre_norm"),
        final="final_norm",
    ),
}
"""Families by ``model_type``."""
