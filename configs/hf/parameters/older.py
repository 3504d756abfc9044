"""Older families, and such as no release of transformers has had.

Falcon, OPT, BLOOM and GPT-J follow transformers 5.23; Baichuan, EXAONE-3, InternLM, MiniCPM, Orion
and XVERSE follow vLLM 0.33;
Baichuan-M1 and Hymba follow the code that ships with their checkpoints.
"""

from dataclasses import replace

from ..keys import Keys
from .blocks import Attention, Mlp, head_dim_of, heads_of, hidden_of, kv_heads_of, layers_of
from .dense import FOUR_H, LLAMA
from .family import Family
from .tensors import Tensors, inside, linear, norm, norms, repeated, vector


def falcon(text: Keys) -> list[Tensors]:
    """One KV head, a few or all, by two flags (``FalconAttention``)."""
    heads, bias = heads_of(text), text.flag("bias")
    newer = text.flag("new_decoder_architecture")
    shared = 1 if text.flag("multi_query", default=True) else heads
    kv_heads = kv_heads_of(text) if newer else shared
    fused = Attention(
        qkv_bias=bias, o_bias=bias, fused="query_key_value", out="dense", path="self_attention"
    )
    hidden = hidden_of(text)
    layer = fused.sized(text, heads, kv_heads, head_dim_of(text))
    layer += replace(FOUR_H, bias=bias).tensors(text)
    if newer and (text.optional_integer("num_ln_in_parallel_attn") or 2) == 2:
        layer += norms(["ln_attn", "ln_mlp"], hidden, bias=True)
    else:
        layer += norms(["input_layernorm"], hidden, bias=True)
        if not text.flag("parallel_attn", default=True):
            layer += norms(["post_attention_layernorm"], hidden, bias=True)
    return repeated("h", range(layers_of(text)), layer)


def opt_extras(text: Keys) -> list[Tensors]:
    """Positions from 2 on, and projections where embeddings are narrower (``OPTDecoder``)."""
    hidden = hidden_of(text)
    rows = text.integer("max_position_embeddings", default=2048) + 2
    found = [vector("embedding", "embed_positions", rows, hidden)]
    width = text.integer("word_embed_proj_dim", default=hidden)
    if width != hidden:
        missing = vector("embedding", "embed_tokens", text.integer("vocab_size"), width)
        found += [*linear("mlp", "project_in", hidden, width), missing]
        found += linear("mlp", "project_out", width, hidden)
    return found


def baichuan_m1(text: Keys) -> list[Tensors]:
    """Windowed layers have heads of their own; keys and values pass a short convolution."""
    hidden, window = hidden_of(text), text.integer("conv_window", default=2)
    windowed = text.integers("sliding_window_layers") or []
    found: list[Tensors] = []
    for own in (False, True):
        prefix = "num_swa_" if own else "num_"
        heads = text.integer(f"{prefix}attention_heads")
        kv_heads = text.integer(f"{prefix}key_value_heads")
        layers = [layer for layer in range(layers_of(text)) if (layer in windowed) == own]
        block = Attention(fused="W_pack").sized(text, heads, kv_heads, hidden // heads)
        for name in ("conv_k", "conv_v"):
            block.append(vector("attention", f"self_attn.{name}", kv_heads, window))
        found += repeated("layers", layers, block)
    return found


def hymba(text: Keys) -> list[Tensors]:
    """Attention and Mamba side by side on one projection (``HymbaBlock``)."""
    hidden, layers = hidden_of(text), range(layers_of(text))
    inner = text.integer("mamba_expand", default=2) * hidden
    state, kernel = text.integer("mamba_d_state"), text.integer("mamba_d_conv", default=4)
    raw = text.raw("mamba_dt_rank")
    rank = text.integer("mamba_dt_rank") if isinstance(raw, int) else -(-hidden // 16)
    queries, keys = heads_of(text) * head_dim_of(text), kv_heads_of(text) * head_dim_of(text)
    mixer = linear("state", "in_proj", 2 * inner + queries, hidden)
    mixer += linear("state", "out_proj", hidden, inner)
    mixer += norms(["pre_avg_layernorm1", "pre_avg_layernorm2"], inner)
    mixer += [vector("state", "conv1d", inner, 1, kernel), vector("state", "conv1d.bias", inner)]
    mixer += linear("state", "x_proj.0", rank + 2 * state, inner)
    mixer += linear("state", "dt_proj.0", inner, rank, bias=True)
    mixer += [vector("state", "A_log.0", inner, state), vector("state", "D.0", inner)]
    for name, size in {"dt_layernorm": rank, "B_layernorm": state, "C_layernorm": state}.items():
        mixer += norm(name, size)
    groups = [group for group in text.items("kv_reuse_group") if isinstance(group, list)]
    readers = {layer for group in groups for layer in group[1:]}
    own = [layer for layer in layers if layer not in readers]
    found = repeated("layers", layers, inside("mamba", mixer))
    projection = linear("attention", "mamba.in_proj.kv", 2 * keys, hidden)
    return [*found, *repeated("layers", own, projection)]


def meta_tokens(text: Keys) -> list[Tensors]:
    """Learnt tokens before every request."""
    count = text.integer("num_memory_tokens", default=128)
    return [vector("embedding", "memory_tokens", count, hidden_of(text))]


def sub_norms(text: Keys) -> list[Tensors]:
    """A norm before each projection out (``BitNetAttention``, ``BitNetMLP``)."""
    found = norm("self_attn.attn_sub_norm", hidden_of(text))
    found += norm("mlp.ffn_sub_norm", text.integer("intermediate_size"))
    return repeated("layers", range(layers_of(text)), found)


OPT = Family(
    mixer=Attention(qkv_bias="enable_bias", o_bias="enable_bias", out="out_proj"),
    mlp=Mlp(up=("fc1",), down="fc2", bias="enable_bias", path=""),
    norms=("self_attn_layer_norm", "final_layer_norm"),
    norm_bias=True,
    final="final_layer_norm",
    extras=opt_extras,
    prefix="model.decoder",
)

OLDER = {
    "falcon": Family(
        mixer=falcon,
        mlp=None,
        norms=(),
        embedding="word_embeddings",
        final="",
        layers="h",
        extras=lambda text: norm("ln_f", hidden_of(text), bias=True),
        prefix="transformer",
    ),
    "opt": OPT,
    "bloom": Family(
        mixer=Attention(
            qkv_bias=True,
            o_bias=True,
            fused="query_key_value",
            out="dense",
            path="self_attention",
        ),
        mlp=FOUR_H,
        norm_bias=True,
        embedding="word_embeddings",
        final="ln_f",
        layers="h",
        extras=lambda text: norm("word_embeddings_layernorm", hidden_of(text), bias=True),
        prefix="transformer",
    ),
    "gptj": Family(
        mixer=Attention(out="out_proj", path="attn"),
        mlp=Mlp(up=("fc_in",), down="fc_out", bias=True),
        norms=("ln_1",),
        norm_bias=True,
        embedding="wte",
        final="ln_f",
        layers="h",
        head_bias=True,
        prefix="transformer",
    ),
    "codegen": Family(
        mixer=Attention(fused="qkv_proj", out="out_proj", path="attn"),
        mlp=Mlp(up=("fc_in",), down="fc_out", bias=True),
        norms=("ln_1",),
        norm_bias=True,
        embedding="wte",
        final="ln_f",
        layers="h",
        head_bias=True,
        prefix="transformer",
    ),
    "bitnet": replace(LLAMA, extras=sub_norms),
    "baichuan": replace(LLAMA, mixer=Attention(fused="W_pack")),
    "minicpm": LLAMA,
    "xverse": LLAMA,
    "exaone": LLAMA,
    "orion": replace(LLAMA, norm_bias=True),
    "internlm": replace(LLAMA, mixer=Attention(qkv_bias="bias", o_bias="bias")),
    "baichuan_m1": Family(mixer=baichuan_m1),
    "hymba": Family(
        mixer=hymba,
        mlp=Mlp(),
        norms=("input_layernorm", "pre_moe_layernorm"),
        final="final_layernorm",
        extras=meta_tokens,
    ),
}
"""Families by ``model_type``."""

UNSURE = {
    "hymba": "The weights of Hymba are estimated: its code was not at hand.",
    "baichuan_m1": "The weights of Baichuan-M1 are estimated: its code was not at hand.",
}
"""What is not checked against the code of the model."""
