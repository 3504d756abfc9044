"""Which mixer each layer of a hybrid model has."""

from ..keys import Keys
from .blocks import by_layer, layers_of

OLD_KINDS = {
    "mamba": "linear_attention",
    "attention": "full_attention",
    "sliding_attention": "full_attention",
}
"""Names of kinds whose weights are those of another."""


NEMOTRON_KINDS = {
    "M": "mamba",
    "linear_attention": "mamba",
    "*": "attention",
    "full_attention": "attention",
    "-": "mlp",
    "E": "moe",
}


def layer_kinds(text: Keys) -> list[str]:
    """The kind of each layer by ``layer_types``, or attention in every so many layers."""
    kinds = text.texts("layer_types")
    if kinds is not None:
        return [OLD_KINDS.get(kind, kind) for kind in by_layer(text, "layer_types", kinds)]
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


def nemotron_kinds(text: Keys) -> list[str]:
    """The kind of each block: a letter of the pattern, or its name."""
    pattern = text.text("hybrid_override_pattern")
    kinds = list(pattern) if pattern else text.texts("layers_block_type") or []
    return [NEMOTRON_KINDS.get(kind, kind) for kind in kinds]


def zamba_kinds(text: Keys) -> list[str]:
    """Layers with a call of a shared attention block."""
    kinds = text.texts("layers_block_type")
    if kinds is not None:
        return by_layer(text, "layers_block_type", kinds)
    hybrid = text.integers("hybrid_layer_ids") or []
    return ["hybrid" if layer in hybrid else "mamba" for layer in range(layers_of(text))]


def minimax_kinds(text: Keys) -> list[str]:
    """Softmax or lightning attention: 1 or 0 in the file's list, or by ``layer_types``."""
    flags = text.integers("attn_type_list")
    if flags is None:
        return layer_kinds(text)
    flags = by_layer(text, "attn_type_list", flags)
    return ["full_attention" if flag else "linear_attention" for flag in flags]


def griffin_kinds(text: Keys) -> list[str]:
    """The listed blocks, over and over (``RecurrentGemmaModel``)."""
    kinds = text.texts("block_types") or text.texts("_block_types") or ["recurrent"]
    return [kinds[layer % len(kinds)] for layer in range(layers_of(text))]
