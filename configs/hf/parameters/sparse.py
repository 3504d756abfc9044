"""Families with routed experts, and those with latent attention.

Rows follow transformers 5.23; paths of experts are those of the checkpoints, which keep experts
apart where the classes fuse them.
"""

from dataclasses import replace

from .blocks import Attention, Mlp, hidden_of
from .dense import ALL_NORMED, BIASED, NORMED, POST_NORMS, QKV
from .experts import Experts, sparse_layers
from .family import Family
from .latent import Latent, compressed, double_latent, hyper_connections, sparse_latent
from .tensors import norms, repeated, vector
from .uneven import (
    dbrx_sizes,
    dense_inner,
    granite_feeds,
    hunyuan_sizes,
    llama4_feeds,
    longcat_feeds,
    m3_mixers,
    mimo_mixers,
    step_mixers,
    v4_experts,
)

SHARED = Experts(shared="shared_experts", correction="gate.e_score_correction_bias")
"""DeepSeek-V3: shared experts, and stored corrections of the router."""


MIXTRAL = Experts(
    path="block_sparse_moe",
    expert=Mlp(path="experts.0", up=("w1", "w3"), down="w2", part="experts"),
)


QWEN_MOE = Experts(inner=("moe_intermediate_size",))


QWEN_SHARED = replace(
    QWEN_MOE,
    shared="shared_expert",
    shared_inner=("shared_expert_intermediate_size",),
    shared_gate="shared_expert_gate",
)


BAILING = Family(
    mixer=Attention(
        qkv_bias="use_qkv_bias",
        o_bias="use_bias",
        fused="query_key_value",
        out="dense",
        qk_norm="head",
        qk_norm_if="use_qk_norm",
        qk_names=("query_layernorm", "key_layernorm"),
        path="attention",
    ),
    mlp=Mlp(bias="use_bias"),
    experts=replace(SHARED, correction="gate.expert_bias"),
    embedding="word_embeddings",
)
"""Ling-2.0 (vLLM 0.33, ``bailing_moe``)."""
DBRX = Family(
    mixer=Attention(fused="Wqkv", out="out_proj", path="norm_attn_norm.attn"),
    experts=Experts(
        path="ffn",
        expert=Mlp(path="experts.mlp", up=("w1", "v1"), down="w2", part="experts"),
        inner=("ffn_hidden_size",),
        router="router.layer",
    ),
    norms=("norm_attn_norm.norm_1", "norm_attn_norm.norm_2"),
    embedding="wte",
    final="norm_f",
    layers="blocks",
    prefix="transformer",
    sizes=dbrx_sizes,
)
DEEPSEEK = Family(mixer=Latent(), experts=SHARED)


GLM_MOE = Attention(qkv_bias="attention_bias", qk_norm="head", qk_norm_if="use_qk_norm")


SPARSE = {
    "mixtral": Family(mixer=Attention(), experts=MIXTRAL),
    "minimax_m2": Family(
        mixer=Attention(qk_norm="all"),
        experts=replace(MIXTRAL, correction="e_score_correction_bias"),
    ),
    "phimoe": Family(
        mixer=BIASED, experts=replace(MIXTRAL), norm_bias=True, head_bias="lm_head_bias"
    ),
    "qwen2_moe": Family(mixer=replace(QKV, qkv_bias="qkv_bias"), experts=QWEN_SHARED),
    "qwen3_moe": Family(mixer=NORMED, experts=QWEN_MOE),
    "qwen3_vl_moe_text": Family(mixer=NORMED, experts=QWEN_MOE),
    "qwen3_omni_moe_text": Family(mixer=NORMED, experts=QWEN_MOE),
    "olmoe": Family(mixer=ALL_NORMED, experts=Experts(inner=("intermediate_size",))),
    "flex_olmo": Family(
        mixer=ALL_NORMED, experts=Experts(inner=("intermediate_size",)), norms=POST_NORMS
    ),
    "gpt_oss": Family(
        mixer=Attention(qkv_bias="attention_bias", o_bias="attention_bias", sinks=True),
        experts=Experts(
            expert=Mlp(path="experts", up=("gate_up_proj*2",), part="experts"),
            bias=True,
            inner=("intermediate_size",),
            router="router",
            router_bias=True,
        ),
    ),
    "llama4_text": Family(mixer=BIASED, feeds=llama4_feeds),
    "glm4_moe": Family(mixer=GLM_MOE, experts=SHARED),
    "glm4v_moe_text": Family(mixer=replace(GLM_MOE, qk_norm=""), experts=SHARED),
    "glm4v_moe": Family(mixer=replace(GLM_MOE, qk_norm=""), experts=SHARED),
    "dots1": Family(mixer=NORMED, experts=SHARED),
    "exaone_moe": Family(mixer=replace(NORMED, qkv_bias=False, o_bias=False), experts=SHARED),
    "solar_open": Family(mixer=Attention(qkv_bias="attention_bias"), experts=SHARED),
    "hy_v3": Family(mixer=NORMED, experts=replace(SHARED, correction="expert_bias")),
    "laguna": Family(
        mixer=replace(NORMED, gate="head", gate_name="g_proj"),
        experts=replace(SHARED, correction="", shared_inner=("shared_expert_intermediate_size",)),
        extras=lambda text: repeated(
            "layers",
            sparse_layers(text),
            [vector("mlp", "mlp.experts.e_score_correction_bias", text.integer("num_experts"))],
        ),
    ),
    "ernie4_5_moe": Family(
        mixer=Attention(qkv_bias="use_bias", o_bias="use_bias"),
        mlp=Mlp(bias="use_bias"),
        experts=replace(SHARED, correction="", shared_count=("moe_num_shared_experts",)),
        extras=lambda text: repeated(
            "layers",
            sparse_layers(text),
            [
                vector(
                    "mlp",
                    "mlp.moe_statics.e_score_correction_bias",
                    1,
                    text.integer("moe_num_experts"),
                    dtype="fp32",
                )
            ],
        ),
    ),
    "hunyuan_v1_moe": Family(
        mixer=replace(NORMED, qk_names=("query_layernorm", "key_layernorm")),
        experts=Experts(
            router="gate.wg", shared="shared_mlp", shared_inner=("shared_intermediate_size",)
        ),
        sizes=hunyuan_sizes,
    ),
    "dbrx": DBRX,
    "granitemoe": Family(mixer=BIASED, feeds=granite_feeds),
    "granitemoeshared": Family(mixer=BIASED, feeds=granite_feeds),
    "afmoe": Family(
        mixer=replace(NORMED, gate="all"),
        experts=replace(SHARED, router="router.gate", correction=""),
        norms=(
            "input_layernorm",
            "post_attention_layernorm",
            "pre_mlp_layernorm",
            "post_mlp_layernorm",
        ),
        extras=lambda text: repeated(
            "layers",
            sparse_layers(text),
            [vector("mlp", "mlp.expert_bias", text.integer("num_experts"), dtype="fp32")],
        ),
    ),
    "mimo_v2_flash": Family(
        mixer=mimo_mixers, experts=replace(SHARED, shared_count=("n_shared_experts",))
    ),
    "step3p5": Family(
        mixer=step_mixers,
        experts=replace(SHARED, shared_inner=("share_expert_dim",)),
    ),
    "minimax_m3": Family(
        mixer=m3_mixers,
        feeds=dense_inner(
            "dense_intermediate_size",
            replace(SHARED, shared_inner=("shared_intermediate_size",)),
        ),
    ),
    "deepseek_v2": Family(mixer=Latent(), experts=replace(SHARED, correction="")),
    "deepseek_v3": DEEPSEEK,
    "kimi_k2": DEEPSEEK,
    "glm4_moe_lite": DEEPSEEK,
    "mistral4": DEEPSEEK,
    "axk1": Family(
        mixer=Latent(),
        experts=SHARED,
        extras=lambda text: repeated(
            "layers", sparse_layers(text), norms(["mlp.post_mlp_layernorm"], hidden_of(text))
        ),
    ),
    "deepseek_v32": Family(mixer=sparse_latent, experts=SHARED),
    "glm_moe_dsa": Family(mixer=sparse_latent, experts=SHARED),
    "youtu": Family(mixer=Latent()),
    "mellum": Family(mixer=NORMED, experts=QWEN_MOE),
    "cohere2_moe": Family(
        mixer=BIASED,
        experts=Experts(shared="shared_experts"),
        norms=("input_layernorm",),
    ),
    "aria_text": Family(
        mixer=BIASED,
        experts=Experts(
            router="router", shared="shared_experts", shared_count=("moe_num_shared_experts",)
        ),
    ),
    "granitemoe_swa": Family(mixer=replace(BIASED, sinks=True), feeds=granite_feeds),
    "deepseek": Family(mixer=BIASED, experts=replace(SHARED, correction="")),
    "bailing_moe": BAILING,
    "bailing_moe_v2": BAILING,
    "minicpm3": Family(mixer=Latent(), mlp=Mlp(bias="mlp_bias")),
    "longcat_flash": Family(mixer=double_latent, feeds=longcat_feeds, norms=()),
    "deepseek_v4": Family(
        mixer=compressed,
        feeds=v4_experts,
        norms=("attn_norm", "ffn_norm"),
        embedding="embed",
        head="head",
        extras=hyper_connections,
        prefix="",
    ),
}
"""Families by ``model_type``."""


SPARSE["granitemoe_shared"] = SPARSE["granitemoeshared"]
SPARSE["mimo_v2"] = SPARSE["mimo_v2_flash"]
SPARSE["step3p7_text"] = SPARSE["step3p7"] = SPARSE["step3p5"]


SPARSE["minimax_m3_vl_text"] = SPARSE["minimax_m3"]


SPARSE["longcat"] = SPARSE["longcat_flash"]
