"""Families with Mamba states, alone, among attention layers, or beside attention in every layer.

Shapes: ``model_executor/layers/mamba/mamba_utils.py`` of vLLM 0.33; rules: ``configuration_*.py``
of transformers 5.23.
"""

from ..specs import LayerSpec
from .keys import Keys
from .reading import (
    FULL,
    Reading,
    attention,
    head_dim,
    hidden_size,
    indices,
    layer_types,
    num_heads,
    num_layers,
)
from .states import LINEAR, state_dtype

MAMBA_HEADS = ("mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads")


def mamba1(text: Keys, inner: int, *, prefix: str = "mamba_") -> LayerSpec:
    """Mamba-1: every one of ``inner`` channels has a convolution and a state by itself."""
    return LayerSpec(
        kind="mamba",
        variant="mamba1",
        heads=inner,
        conv_channels=inner,
        conv_columns=text.integer(f"{prefix}d_conv", "conv_kernel", default=4) - 1,
        ssm_elements=inner * text.integer(f"{prefix}d_state", "state_size", default=16),
        ssm_dtype=state_dtype(text, "bf16"),
    )


def mamba2(
    text: Keys, *, inner: int, heads: int, width: int, d_state: int = 128, dtype: str = "bf16"
) -> LayerSpec:
    """Mamba-2: heads of ``width`` channels; B and C are shared by groups of heads."""
    if heads * width != inner:
        name = next((each for each in MAMBA_HEADS if each in text), "hidden_size")
        text.fail(name, f"{heads} heads of {width} are not the {inner} channels of a Mamba layer")
    state = text.integer("mamba_d_state", "ssm_state_size", "state_size", default=d_state)
    return LayerSpec(
        kind="mamba",
        variant="mamba2",
        heads=heads,
        conv_channels=inner,
        conv_groups=text.integer("mamba_n_groups", "mamba_ngroups", "n_groups", default=1),
        conv_group_channels=2 * state,
        conv_columns=text.integer("mamba_d_conv", "conv_kernel", default=4) - 1,
        ssm_elements=heads * width * state,
        ssm_dtype=state_dtype(text, dtype),
    )


def pure_mamba1(text: Keys) -> Reading:
    """Mamba and Falcon-Mamba: ``intermediate_size`` counts, Falcon's ``expand`` is wrong."""
    expanded = hidden_size(text) * text.integer("expand", default=2)
    inner = text.optional_integer("intermediate_size") or expanded
    notes = [] if inner == expanded else ["expand is not used: intermediate_size differs from it"]
    return Reading(blocks=[[mamba1(text, inner)]] * num_layers(text), notes=notes)


def pure_mamba2(text: Keys) -> Reading:
    """Mamba-2 without attention."""
    text = text.with_defaults({"num_heads": 128, "head_dim": 64, "expand": 2, "n_groups": 8})
    heads, width = text.integer("num_heads"), text.integer("head_dim")
    inner = text.integer("expand") * hidden_size(text)
    layer = mamba2(text, inner=inner, heads=heads, width=width)
    return Reading(blocks=[[layer]] * num_layers(text))


def jamba(text: Keys) -> Reading:
    """Attention every ``attn_layer_period`` layers; the channels follow from mamba_expand."""
    period = text.integer("attn_layer_period", default=8)
    offset = text.integer("attn_layer_offset", default=4, least=0)
    if offset >= period:
        text.fail("attn_layer_offset", f"{offset} is not below attn_layer_period {period}")
    state = mamba1(text, text.integer("mamba_expand", default=2) * hidden_size(text))
    own, count = attention(text), num_layers(text)
    types = layer_types(
        text,
        count,
        (FULL, LINEAR),
        lambda index: FULL if index % period == offset else LINEAR,
        name="layers_block_type",
    )
    return Reading(blocks=[[own if each == FULL else state] for each in types])


def bamba(text: Keys) -> Reading:
    """Attention in ``attn_layer_indices``, Mamba-2 elsewhere."""
    count = num_layers(text)
    types = layer_types(text, count, (FULL, LINEAR), lambda _: "")
    own_layers = indices(text, "attn_layer_indices", count)
    if own_layers is None and not any(types):
        text.missing("attn_layer_indices", "layer_types")
    own_layers = own_layers or frozenset(i for i, each in enumerate(types) if each == FULL)
    own, state = attention(text), _expanded_mamba2(text)
    return Reading(blocks=[[own if index in own_layers else state] for index in range(count)])


def granite_hybrid(text: Keys) -> Reading:
    """Granite 4.0 H: ``layer_types`` of mamba and attention."""
    count = num_layers(text)
    if "layers_block_type" in text and "layer_types" not in text:
        types = layer_types(text, count, (FULL, LINEAR), name="layers_block_type")
    else:
        types = layer_types(text, count, (FULL, LINEAR), lambda _: LINEAR)
    by_type = {LINEAR: _expanded_mamba2(text)}
    if FULL in types:
        by_type[FULL] = attention(text)
    return Reading(blocks=[[by_type[each]] for each in types])


def _expanded_mamba2(text: Keys) -> LayerSpec:
    """Channels are mamba_expand x hidden size; the width of a head may be left to follow."""
    inner = text.integer("mamba_expand", default=2) * hidden_size(text)
    heads = text.integer("mamba_n_heads", default=128)
    given = text.raw("mamba_d_head")
    width = inner // heads if given in (None, "auto") else text.integer("mamba_d_head")
    return mamba2(text, inner=inner, heads=heads, width=width, d_state=256)


def nemotron_h(text: Keys) -> Reading:
    """A pattern of letters, or a list of words; MLP and expert blocks keep nothing."""
    letters = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
    pattern = text.text("hybrid_override_pattern")
    words: list[str] = text.texts("layers_block_type") or text.texts("layer_types") or []
    if pattern is not None:
        unknown = set(pattern) - set(letters)
        if unknown:
            text.fail("hybrid_override_pattern", f"{min(unknown)!r} is not known; known: M * - E")
        words = [letters[letter] for letter in pattern]
    if not words:
        text.missing("hybrid_override_pattern", "layers_block_type")
    count = text.integer("num_hidden_layers", default=len(words))
    if count != len(words):
        text.fail("num_hidden_layers", f"{count} is not the {len(words)} blocks of the pattern")
    heads, width = text.integer("mamba_num_heads"), text.integer("mamba_head_dim")
    kept = {
        "mamba": [mamba2(text, inner=heads * width, heads=heads, width=width, dtype="fp32")],
        "mlp": [],
        "moe": [],
    }
    if "attention" in words or FULL in words:
        own = [attention(text, k_dim=text.optional_integer("attention_head_dim"))]
        kept |= {"attention": own, FULL: own}
    kept |= {"linear_attention": kept["mamba"]}
    for word in words:
        if word not in kept:
            text.fail(
                "layers_block_type", f"{word!r} is not known; known: {', '.join(sorted(kept))}"
            )
    notes = ["hybrid pattern: M Mamba-2, * attention, - MLP, E experts; states float32 by default"]
    return Reading(blocks=[kept[word] for word in words], notes=notes)


def zamba2(text: Keys) -> Reading:
    """Hybrid layers have a Mamba-2 state and call a shared attention block with its own cache."""
    count, heads = num_layers(text), num_heads(text)
    hybrid = indices(text, "hybrid_layer_ids", count)
    if hybrid is None:
        types = layer_types(text, count, (LINEAR, "hybrid"), name="layers_block_type")
        hybrid = frozenset(i for i, each in enumerate(types) if each == "hybrid")
    inner = text.integer("mamba_expand", default=2) * hidden_size(text)
    given = text.optional_integer("mamba_headdim")
    mamba_heads = text.integer("n_mamba_heads", default=inner // given if given else 8)
    width = given or inner // mamba_heads
    state = mamba2(text, inner=inner, heads=mamba_heads, width=width, d_state=64)
    k_dim = text.optional_integer("attention_head_dim") or 2 * hidden_size(text) // heads
    own = attention(text, k_dim=k_dim)
    return Reading(blocks=[[state, own] if i in hybrid else [state] for i in range(count)])


def falcon_h1(text: Keys) -> Reading:
    """Attention and Mamba-2 side by side in every layer; the channels are ``mamba_d_ssm``."""
    inner = text.optional_integer("mamba_d_ssm") or text.integer(
        "mamba_expand", default=2
    ) * hidden_size(text)
    heads = text.integer("mamba_n_heads", default=128)
    given = text.raw("mamba_d_head")
    width = inner // heads if given in (None, "auto") else text.integer("mamba_d_head")
    state = mamba2(text, inner=inner, heads=heads, width=width, d_state=256)
    return Reading(blocks=[[attention(text), state]] * num_layers(text))


def hymba(text: Keys) -> Reading:
    """Attention and Mamba-1 heads side by side; windows but for a few layers; shared caches."""
    count, width = num_layers(text), head_dim(text, num_heads(text))
    whole = indices(text, "global_attn_idx", count)
    if whole is None:
        text.missing("global_attn_idx")
    owner_of = _reuse_groups(text, count)
    full_layer = attention(text, k_dim=width)
    windowed = attention(
        text, window=text.integer("attn_window_size", "sliding_window"), k_dim=width
    )
    state = mamba1(text, text.integer("mamba_expand", default=2) * hidden_size(text))
    blocks = [
        [*([] if index in owner_of else [full_layer if index in whole else windowed]), state]
        for index in range(count)
    ]
    kept = text.integer("num_memory_tokens", default=0, least=0)
    notes = [f"beside the cache {kept} meta tokens per attention layer are always kept"]
    return Reading(blocks=blocks, shared=owner_of, notes=notes if kept else [])


def _reuse_groups(text: Keys, count: int) -> dict[int, int]:
    """Layers that reuse a cache, and its owner: the first of each group of ``kv_reuse_group``."""
    owner_of: dict[int, int] = {}
    for number, group in enumerate(text.items("kv_reuse_group")):
        valid = isinstance(group, list) and all(
            isinstance(index, int) and 0 <= index < count for index in group
        )
        if not valid or not group:
            text.fail(f"kv_reuse_group[{number}]", f"must be a list of layers below {count}")
        owner_of |= dict.fromkeys(group[1:], group[0])
    return owner_of
