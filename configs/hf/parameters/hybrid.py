"""Families that mix attention with layers that keep a state."""

from dataclasses import replace

from ..keys import Keys
from .blocks import Attention, Mlp, head_dim_of, heads_of, hidden_of, layers_of
from .dense import BIASED, NORMED
from .experts import Experts
from .family import Family, by_kind
from .kinds import (
    bamba_kinds,
    griffin_kinds,
    jamba_kinds,
    layer_kinds,
    lfm_kinds,
    minimax_kinds,
)
from .mixed import (
    bailing_mixers,
    griffin_feeds,
    kimi_mixers,
    kimi_residuals,
    lfm_feeds,
    nemotron_blocks,
    zamba_blocks,
)
from .sparse import MIXTRAL, QWEN_SHARED, SHARED, granite_feeds
from .states import (
    GatedDelta,
    Mamba1,
    Mamba2,
    lightning,
    recurrent_unit,
    rwkv5,
    short_convolution,
)
from .tensors import Tensors, norm, repeated

JAMBA_NORMS = ("input_layernorm", "pre_ff_layernorm")


FEED_FORWARD = Mlp(path="feed_forward")


GATED = replace(NORMED, gate="twice", gate_if="attn_output_gate")
"""Qwen-3-Next: the query projection makes a gate of the output too."""


KIMI_EXPERTS = replace(
    SHARED,
    path="block_sparse_moe",
    expert=Mlp(path="experts.0", up=("w1", "w3"), down="w2", part="experts"),
    latent="routed_expert_hidden_size",
    latent_names=("routed_expert_down_proj", "routed_expert_up_proj"),
    latent_norm="routed_expert_norm",
    latent_norm_if="latent_moe_use_norm",
)


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


FALCON_MAMBA = Mamba2(normed="mamba_rms_norm", out_bias="projectors_bias")
MAMBA = Family(
    mixer=lambda text: repeated("layers", range(layers_of(text)), Mamba1().tensors(text)),
    mlp=None,
    norms=("norm",),
    embedding="embeddings",
    final="norm_f",
    prefix="backbone",
)


def mamba2(text: Keys) -> list[Tensors]:
    """Mamba-2 in every layer."""
    block = Mamba2(path="mixer", bias="use_bias").tensors(text)
    return repeated("layers", range(layers_of(text)), block)


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
            [
                *BIASED.tensors(text),
                *FALCON_MAMBA.tensors(text),
            ],
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
        mixer=mamba2,
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
