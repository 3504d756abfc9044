"""Families whose layers differ in more ways than their mixers: Gemma-3n, Gemma-4, Llama-3.2."""

from collections.abc import Iterable
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
from .dense import GEMMA_NORMS, NORMED
from .experts import Experts
from .family import Family
from .tensors import Tensors, inside, linear, norm, norms, repeated, vector

PER_LAYER_TABLE = "embed_tokens_per_layer"


def owners(text: Keys) -> list[int]:
    """Layers with keys and values of their own: the last ones read those of earlier layers."""
    return list(range(layers_of(text) - text.integer("num_kv_shared_layers", default=0, least=0)))


def full_layers(text: Keys) -> list[int]:
    """Layers with full attention: by ``layer_types``, or every so many; the last one always."""
    layers = layers_of(text)
    kinds = text.texts("layer_types")
    if kinds is None:
        every = text.integer("sliding_window_pattern", "_sliding_window_pattern", default=6)
        kinds = [
            "sliding_attention" if (layer + 1) % every else "full_attention"
            for layer in range(layers)
        ]
    named = enumerate(by_layer(text, "layer_types", kinds))
    return [layer for layer, kind in named if kind == "full_attention"]


def _attention(layers: Iterable[int], own: Iterable[int], tensors: list[Tensors]) -> list[Tensors]:
    """Attention of some layers, of which only some have keys and values."""
    keys = [each for each in tensors if each.path.split(".")[1][0] in "kv"]
    rest = [each for each in tensors if each not in keys]
    mine = [layer for layer in layers if layer in own]
    return [*repeated("layers", list(layers), rest), *repeated("layers", mine, keys)]


def gemma4_mixers(text: Keys) -> list[Tensors]:
    """Full attention has larger heads, of which values may be keys (``Gemma4TextAttention``)."""
    full = sorted({*full_layers(text), layers_of(text) - 1})
    sliding = [layer for layer in range(layers_of(text)) if layer not in full]
    heads, kv_heads = heads_of(text), kv_heads_of(text)
    same = text.flag("attention_k_eq_v")
    fewer = text.optional_integer("num_global_key_value_heads") if same else None
    dim = text.optional_integer("global_head_dim") or head_dim_of(text)
    wide = NORMED.sized(text, heads, fewer or kv_heads, dim)
    if same:
        wide = [tensor for tensor in wide if "v_proj" not in tensor.path]
    own = owners(text)
    return [
        *_attention(sliding, own, NORMED.sized(text, heads, kv_heads, head_dim_of(text))),
        *_attention(full, own, wide),
    ]


def gemma4_feeds(text: Keys) -> list[Tensors]:
    """A dense layer, and experts beside it (``Gemma4TextMLP``, ``Gemma4TextExperts``)."""
    layers, hidden = range(layers_of(text)), hidden_of(text)
    own = owners(text)
    inner = text.integer("intermediate_size")
    times = 2 if text.flag("use_double_wide_mlp") else 1
    found = repeated("layers", own, Mlp().sized(hidden, inner))
    shared = [layer for layer in layers if layer not in own]
    found += repeated("layers", shared, Mlp().sized(hidden, inner * times))
    if text.flag("enable_moe_block"):
        found += repeated("layers", layers, _gemma4_experts(text, hidden))
    return found


def _gemma4_experts(text: Keys, hidden: int) -> list[Tensors]:
    experts = Experts(
        inner=("moe_intermediate_size", "expert_intermediate_size"), router="proj"
    ).tensors(text)
    found = [
        replace(each, path=each.path.replace("mlp.", "router." if each.path[4:] == "proj" else ""))
        for each in experts
    ]
    found.append(vector("mlp", "router.scale", hidden))
    found.append(vector("mlp", "router.per_expert_scale", text.integer("num_experts")))
    names = ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2")
    return [*found, *norms([*names, "pre_feedforward_layernorm_2"], hidden)]


def per_layer_inputs(text: Keys) -> list[Tensors]:
    """A second embedding that each layer has a slice of (Gemma-3n, Gemma-4)."""
    hidden, layers = hidden_of(text), layers_of(text)
    width = text.optional_integer("hidden_size_per_layer_input")
    if width is None:
        return []
    rows = text.integer("vocab_size_per_layer_input")
    layer = linear("mlp", "per_layer_input_gate", width, hidden)
    layer += linear("mlp", "per_layer_projection", hidden, width)
    layer += norm("post_per_layer_input_norm", hidden)
    found = [vector("embedding", PER_LAYER_TABLE, rows, layers * width)]
    found += linear("mlp", "per_layer_model_projection", layers * width, hidden)
    found += norm("per_layer_projection_norm", width)
    return [*found, *repeated("layers", range(layers), layer)]


def gemma3n_mixers(text: Keys) -> list[Tensors]:
    """Layers of one size; the last ones have no keys and values."""
    return _attention(range(layers_of(text)), owners(text), NORMED.tensors(text))


def gemma3n_feeds(text: Keys) -> list[Tensors]:
    """The inner size may differ by layer."""
    layers, hidden = range(layers_of(text)), hidden_of(text)
    if not isinstance(text.raw("intermediate_size"), list):
        return repeated("layers", layers, Mlp().tensors(text))
    sizes = text.integers("intermediate_size", least=1) or []
    sizes = by_layer(text, "intermediate_size", sizes)
    found: list[Tensors] = []
    for size in sorted(set(sizes)):
        own = [layer for layer, each in enumerate(sizes) if each == size]
        found += repeated("layers", own, Mlp().sized(hidden, size))
    return found


def gemma3n_extras(text: Keys) -> list[Tensors]:
    """Alternating updates, augmented residuals, per-layer inputs (``Gemma3nTextDecoderLayer``)."""
    hidden = hidden_of(text)
    streams, rank = text.integer("altup_num_inputs"), text.integer("laurel_rank")
    altup = [
        vector("mlp", "correct_output_scale", hidden),
        vector("mlp", "correction_coefs", streams, streams),
        vector("mlp", "prediction_coefs", streams * streams, streams),
        vector("mlp", "modality_router", streams, hidden),
        *norm("router_norm", hidden),
    ]
    laurel = linear("mlp", "linear_left", rank, hidden)
    laurel += linear("mlp", "linear_right", hidden, rank)
    laurel += norm("post_laurel_norm", hidden)
    layer = [*inside("altup", altup), *inside("laurel", laurel)]
    projections = [
        Tensors("mlp", f"altup_{name}projections.0", (hidden, hidden), streams - 1, linear=True)
        for name in ("", "unembed_")
    ]
    return [
        *repeated("layers", range(layers_of(text)), layer),
        *projections,
        *per_layer_inputs(text),
    ]


def mllama_mixers(text: Keys) -> list[Tensors]:
    """Layers that attend to images instead (``MllamaCrossAttentionDecoderLayer``)."""
    cross = text.integers("cross_attention_layers") or []
    layers = [layer for layer in range(layers_of(text)) if layer not in cross]
    block = Attention(qk_norm="head", path="cross_attn").tensors(text)
    gates = [vector("attention", f"cross_attn_{name}_gate", 1) for name in ("attn", "mlp")]
    return [
        *repeated("layers", layers, Attention().tensors(text)),
        *repeated("layers", cross, [*block, *gates]),
    ]


def mllama_images(text: Keys) -> list[Tensors]:
    """Eight more rows of the embedding, for image tokens."""
    return [vector("embedding", "embed_tokens.images", 8, hidden_of(text))]


GEMMA = {
    "gemma3n_text": Family(
        mixer=gemma3n_mixers, feeds=gemma3n_feeds, norms=GEMMA_NORMS, extras=gemma3n_extras
    ),
    "gemma4_text": Family(
        mixer=gemma4_mixers, feeds=gemma4_feeds, norms=GEMMA_NORMS, extras=per_layer_inputs
    ),
    "mllama_text_model": Family(mixer=mllama_mixers, extras=mllama_images),
}
"""Families by ``model_type``."""
