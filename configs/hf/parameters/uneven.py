"""Layers of families with experts that no option of a block describes."""

from dataclasses import replace

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
from .dense import NORMED
from .experts import Experts, sparse_layers
from .family import Build
from .tensors import Tensors, inside, norms, repeated, vector

GRANITE_MOE = Experts(
    path="block_sparse_moe",
    expert=Mlp(up=("input_linear*2",), down="output_linear", part="experts", path=""),
    router="router.layer",
)


def shared_mlp(text: Keys) -> list[Tensors]:
    """A dense layer beside the experts (``GraniteMoeSharedMLP``)."""
    inner = text.integer("shared_intermediate_size", default=0, least=0)
    if not inner:
        return []
    mlp = Mlp(path="shared_mlp", up=("input_linear*2",), down="output_linear")
    return repeated("layers", range(layers_of(text)), mlp.sized(hidden_of(text), inner))


def granite_feeds(text: Keys) -> list[Tensors]:
    """Experts and a shared layer; either may be missing."""
    return [
        *repeated("layers", sparse_layers(text), GRANITE_MOE.tensors(text)),
        *shared_mlp(text),
    ]


def llama4_feeds(text: Keys) -> list[Tensors]:
    """Experts of one size, dense layers of another (``Llama4TextMoe``)."""
    experts = Experts(
        path="feed_forward",
        inner=("intermediate_size",),
        router="router",
        shared="shared_expert",
        shared_times=1,
    )
    sparse = sparse_layers(text)
    dense = [layer for layer in range(layers_of(text)) if layer not in sparse]
    mlp = Mlp(path="feed_forward", inner=("intermediate_size_mlp",))
    return [
        *repeated("layers", sparse, experts.tensors(text)),
        *(repeated("layers", dense, mlp.tensors(text)) if dense else []),
    ]


def dense_inner(key: str, experts: Experts) -> Build:
    """Dense layers have an inner size of their own, of this key."""

    def build(text: Keys) -> list[Tensors]:
        sparse = sparse_layers(text)
        dense = [layer for layer in range(layers_of(text)) if layer not in sparse]
        mlp = Mlp(inner=(key, "intermediate_size"))
        return [
            *repeated("layers", sparse, experts.tensors(text)),
            *(repeated("layers", dense, mlp.tensors(text)) if dense else []),
        ]

    return build


def longcat_feeds(text: Keys) -> list[Tensors]:
    """Two dense layers, and experts of which some do nothing (``LongcatFlashMoE``).

    The class makes room for the idle experts too; checkpoints hold none, and neither does this.
    """
    layers, hidden = range(layers_of(text)), hidden_of(text)
    found: list[Tensors] = []
    for number in ("0", "1"):
        inner = text.integer("ffn_hidden_size")
        found += Mlp(path=f"mlps.{number}").sized(hidden, inner)
        found += norms([f"{name}.{number}" for name in LONGCAT_NORMS], hidden)
    experts = Experts(router="router.classifier", correction="router.e_score_correction_bias")
    idle = text.integer("zero_expert_num", default=0, least=0)
    router = vector("mlp", "mlp.router.classifier", idle, hidden)
    found += [*experts.tensors(text), *([router] if idle else [])]
    return repeated("layers", layers, found)


LONGCAT_NORMS = ("input_layernorm", "post_attention_layernorm")


def mimo_mixers(text: Keys) -> list[Tensors]:
    """Windowed layers have KV heads, and sinks, of their own (``MiMoV2FlashAttention``)."""
    pattern = text.integers("hybrid_layer_pattern") or _windowed_kinds(text)
    pattern = by_layer(text, "hybrid_layer_pattern", pattern)
    full = [layer for layer, windowed in enumerate(pattern) if not windowed]
    windowed = [layer for layer, flag in enumerate(pattern) if flag]
    dim, v_dim = head_dim_of(text), text.integer("v_head_dim")
    own = Attention(qkv_bias="attention_bias", sinks=text.flag("add_full_attention_sink_bias"))
    found = own.sized(text, heads_of(text), kv_heads_of(text), dim, v_dim)
    sinks = text.flag("add_swa_attention_sink_bias", default=True)
    swa = Attention(qkv_bias="attention_bias", sinks=sinks).sized(
        text,
        text.integer("swa_num_attention_heads"),
        text.integer("swa_num_key_value_heads"),
        text.integer("swa_head_dim", default=dim),
        text.integer("swa_v_head_dim", default=v_dim),
    )
    return [*repeated("layers", full, found), *repeated("layers", windowed, swa)]


def _windowed_kinds(text: Keys) -> list[int]:
    return [int(kind != "full_attention") for kind in text.texts("layer_types") or []]


def step_mixers(text: Keys) -> list[Tensors]:
    """Windowed layers have other numbers of heads (``Step3p7Attention``)."""
    layers = layers_of(text)
    block = Attention(qk_norm="head", gate="head", gate_name="g_proj")
    other = text.section("attention_other_setting")
    kinds = text.texts("layer_types") or ["full_attention"] * layers
    kinds = by_layer(text, "layer_types", kinds)
    found: list[Tensors] = []
    for kind in sorted(set(kinds)):
        own = other if other is not None and kind == other.text("attention_type") else text
        heads = own.integer("num_attention_heads")
        kv_heads = own.integer("num_attention_groups", "num_key_value_heads")
        tensors = block.sized(text, heads, kv_heads, head_dim_of(text))
        found += repeated("layers", [i for i, each in enumerate(kinds) if each == kind], tensors)
    return found


def m3_mixers(text: Keys) -> list[Tensors]:
    """Attention with an indexer of its own in sparse layers (``MiniMaxM3VLAttention``)."""
    found = repeated("layers", range(layers_of(text)), replace(NORMED).tensors(text))
    sparse = text.section("sparse_attention_config")
    if sparse is None:
        return found
    flags = sparse.integers("sparse_attention_freq") or []
    layers = [layer for layer, flag in enumerate(flags) if flag]
    dim, heads = sparse.integer("sparse_index_dim"), sparse.integer("sparse_num_index_heads")
    index = [
        vector("attention", "index_q_proj", heads * dim, hidden_of(text)),
        vector("attention", "index_k_proj", dim, hidden_of(text)),
        *norms(["index_q_norm", "index_k_norm"], dim),
    ]
    return [*found, *repeated("layers", layers, inside("self_attn", index))]


def v4_experts(text: Keys) -> list[Tensors]:
    """Experts of DeepSeek-V4; the first layers choose them by a table of token ids."""
    layers = range(layers_of(text))
    expert = Mlp(path="experts.0", up=("w1", "w3"), down="w2", part="experts")
    shared = Experts(
        path="ffn",
        expert=expert,
        shared="shared_experts",
        shared_as=Mlp(up=("w1", "w3"), down="w2"),
        shared_times=1,
    )
    hashed = min(text.integer("num_hash_layers", default=0, least=0), len(layers))
    vocabulary, top_k = text.integer("vocab_size"), text.integer("num_experts_per_tok")
    table = Tensors("mlp", "ffn.gate.tid2eid", (vocabulary, top_k), dtype="int64", buffer=True)
    experts = text.integer("n_routed_experts", "num_local_experts")
    correction = Tensors("mlp", "ffn.gate.bias", (experts,), dtype="fp32", buffer=True)
    found = repeated("layers", layers, shared.tensors(text))
    found += repeated("layers", layers[:hashed], [table])
    return [*found, *repeated("layers", layers[hashed:], [correction])]


def dbrx_sizes(text: Keys) -> Keys:
    """DBRX keeps its KV heads and its experts in sections of their own."""
    attention, feed = text.section("attn_config"), text.section("ffn_config")
    if attention is None or feed is None:
        text.missing("attn_config" if attention is None else "ffn_config")
    names = ("ffn_hidden_size", "moe_num_experts", "moe_top_k")
    values = {name: feed.integer(name) for name in names}
    return text.with_values({**values, "num_key_value_heads": attention.integer("kv_n_heads")})


def hunyuan_sizes(text: Keys) -> Keys:
    """The shared expert is as wide as a dense layer, and as often as the file says."""
    inner = text.integer("intermediate_size") * text.integer("num_shared_expert", default=1)
    return text.with_values({"shared_intermediate_size": inner})
