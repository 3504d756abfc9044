"""Families with linear attention or short convolutions: GDN, KDA, lightning, RWKV, Griffin.

Shapes: ``model_executor/layers/mamba/mamba_utils.py`` of vLLM 0.33; rules: ``configuration_*.py``
of transformers 5.23.
"""

from ..specs import LayerSpec
from .keys import Keys
from .latent import latent
from .reading import (
    FULL,
    Reading,
    attention,
    every,
    head_dim,
    hidden_size,
    indices,
    layer_types,
    num_heads,
    num_kv_heads,
    num_layers,
)
from .states import LINEAR, state_dtype


def gated_delta_net(text: Keys, dtype: str = "bf16") -> LayerSpec:
    """GDN (Qwen3-Next, Qwen3.5)."""
    key_heads = text.integer("linear_num_key_heads")
    value_heads = text.integer("linear_num_value_heads")
    key, value = text.integer("linear_key_head_dim"), text.integer("linear_value_head_dim")
    if value_heads % key_heads:
        text.fail(
            "linear_num_value_heads", f"{value_heads} is no multiple of {key_heads} key heads"
        )
    return LayerSpec(
        kind="linear",
        variant="gdn",
        heads=value_heads,
        conv_channels=2 * key_heads * key + value_heads * value,
        conv_columns=text.integer("linear_conv_kernel_dim", default=4) - 1,
        ssm_elements=value_heads * value * key,
        ssm_dtype=state_dtype(text, dtype),
    )


def qwen3_next(text: Keys) -> Reading:
    """GDN, and full attention in the last of every four layers."""
    period = text.integer("full_attention_interval", default=4)
    types = layer_types(text, num_layers(text), (FULL, LINEAR), every(period, LINEAR))
    by_type = {FULL: attention(text), LINEAR: gated_delta_net(text)}
    return Reading(blocks=[[by_type[each]] for each in types])


def kimi_delta(heads: int, width: int, kernel: int, dtype: str = "fp32") -> LayerSpec:
    """KDA: convolutions of q, k and v, and a square state per head."""
    return LayerSpec(
        kind="linear",
        variant="kda",
        heads=heads,
        conv_channels=3 * heads * width,
        conv_columns=kernel - 1,
        ssm_elements=heads * width * width,
        ssm_dtype=dtype,
    )


def kimi_linear(text: Keys) -> Reading:
    """KDA and MLA by lists of layer numbers that count from 1."""
    count = num_layers(text)
    settings = text.section("linear_attn_config")
    if settings is None:
        text.missing("linear_attn_config")
    recurrent = indices(settings, "kda_layers", count, first=1)
    whole = indices(settings, "full_attn_layers", count, first=1)
    if recurrent is None or whole is None:
        settings.missing("kda_layers" if recurrent is None else "full_attn_layers")
    if recurrent & whole or len(recurrent | whole) != count:
        settings.fail("kda_layers", f"and full_attn_layers do not name each of {count} layers once")
    state = kimi_delta(
        settings.integer("num_heads"),
        settings.integer("head_dim"),
        settings.integer("short_conv_kernel_size", default=4),
    )
    own = latent(text)
    notes = ["layer numbers count from 1; num_key_value_heads and head_dim are not used"]
    return Reading(blocks=[[own if i in whole else state] for i in range(count)], notes=notes)


def lightning(heads: int, width: int) -> LayerSpec:
    """Lightning attention: a square state per head, no convolution."""
    return LayerSpec(
        kind="linear",
        variant="lightning",
        heads=heads,
        ssm_elements=heads * width * width,
    )


def bailing_moe_linear(text: Keys) -> Reading:
    """Ring 2.0 linear: full attention in the last layer of each group, lightning attention else."""
    count, heads = num_layers(text), num_heads(text)
    types = layer_types(
        text, count, (FULL, LINEAR), every(text.integer("layer_group_size"), LINEAR)
    )
    by_type = {FULL: attention(text), LINEAR: lightning(heads, head_dim(text, heads))}
    return Reading(blocks=[[by_type[each]] for each in types])


def minimax_01(text: Keys) -> Reading:
    """MiniMax-Text-01 and M1: ``attn_type_list`` has 1 for softmax, 0 for lightning attention."""
    count, heads = num_layers(text), num_heads(text)
    kinds = text.integers("attn_type_list", most=1)
    if kinds is None:
        types = layer_types(text, count, (FULL, LINEAR))
        kinds = [int(each == FULL) for each in types]
    if len(kinds) != count:
        text.fail("attn_type_list", f"has {len(kinds)} entries for {count} layers")
    own, state = attention(text), lightning(heads, head_dim(text, heads))
    notes = ["attn_type_list: 1 softmax attention, 0 lightning attention"]
    return Reading(blocks=[[own if each else state] for each in kinds], notes=notes)


def bailing_hybrid(text: Keys) -> Reading:
    """Ling and Ring: MLA in the last layer of each group, else KDA (3.0) or lightning (2.5)."""
    count, heads = num_layers(text), num_heads(text)
    group = text.integer("layer_group_size", default=6)
    delta = not any("V2_5" in name for name in text.texts("architectures") or ())
    tail = count // group * group if delta else count
    types = layer_types(
        text,
        count,
        (FULL, LINEAR),
        lambda index: FULL if (index + 1) % group == 0 or index >= tail else LINEAR,
    )
    width = head_dim(text, heads)
    state = (
        kimi_delta(heads, width, text.integer("short_conv_kernel_size", default=4))
        if delta
        else lightning(heads, width)
    )
    own = latent(text)
    return Reading(blocks=[[own if each == FULL else state] for each in types])


def lfm2(text: Keys) -> Reading:
    """LFM2: short convolutions and some full attention; only L - 1 columns are kept."""
    count = num_layers(text)
    types = layer_types(text, count, (FULL, "conv"), lambda _: "")
    whole = indices(text, "full_attn_idxs", count)
    if whole is None:
        if not any(types):
            text.missing("layer_types", "full_attn_idxs")
        whole = frozenset(index for index, each in enumerate(types) if each == FULL)
    channels = text.integer("conv_dim", default=hidden_size(text))
    state = short_conv(channels, text.integer("conv_L_cache", default=3) - 1)
    own = attention(text)
    notes = ["vLLM keeps conv_L_cache - 1 columns of a convolution"]
    return Reading(blocks=[[own if i in whole else state] for i in range(count)], notes=notes)


def short_conv(channels: int, columns: int) -> LayerSpec:
    """The last columns of a convolution, and no other state."""
    return LayerSpec(
        kind="linear",
        variant="short_conv",
        heads=1,
        conv_channels=channels,
        conv_columns=columns,
    )


def baichuan_m1(text: Keys) -> Reading:
    """Convolutions over K and V beside the attention; windows have heads of their own."""
    count = num_layers(text)
    windowed_layers = indices(text, "sliding_window_layers", count)
    if windowed_layers is None:
        text.missing("sliding_window_layers")
    columns = text.integer("conv_window", default=2) - 1
    hidden = hidden_size(text)
    whole = attention(text)
    heads = text.integer("num_swa_attention_heads", default=whole.heads)
    kv_heads = text.integer("num_swa_key_value_heads", default=whole.kv_heads)
    windowed = attention(
        text,
        window=text.integer("sliding_window"),
        heads=heads,
        kv_heads=kv_heads,
        k_dim=text.optional_integer("swa_head_dim") or hidden // heads,
    )
    blocks = [
        [own, short_conv(2 * own.kv_heads * own.k_dim, columns)]
        for own in (windowed if index in windowed_layers else whole for index in range(count))
    ]
    return Reading(blocks=blocks)


def rwkv5(text: Keys) -> Reading:
    """RWKV-5: the last token's input of both sublayers, and a square state per head in float32."""
    hidden = hidden_size(text)
    width = text.integer("head_size", "head_dim", default=64)
    inner = text.integer("attention_hidden_size", default=hidden)
    if inner % width:
        text.fail("head_size", f"{width} does not divide {inner} channels")
    layer = LayerSpec(
        kind="linear",
        variant="rwkv5",
        heads=inner // width,
        conv_channels=2 * hidden,
        conv_columns=1,
        ssm_elements=inner * width,
        ssm_dtype="fp32",
    )
    return Reading(blocks=[[layer]] * num_layers(text))


def recurrent_gemma(text: Keys) -> Reading:
    """Griffin: two recurrent blocks, then a window."""
    count, hidden = num_layers(text), hidden_size(text)
    griffin = ["recurrent", "recurrent", "attention"]
    pattern = text.texts("block_types") or text.texts("_block_types") or griffin
    for each in pattern:
        if each not in ("recurrent", "attention"):
            text.fail("block_types", f"{each!r} is not known; known: attention, recurrent")
    inner = text.optional_integer("lru_width") or hidden
    state = LayerSpec(
        kind="linear",
        variant="rglru",
        heads=num_heads(text),
        conv_channels=inner,
        conv_columns=text.integer("conv1d_width", default=4) - 1,
        ssm_elements=inner,
        ssm_dtype="fp32",
    )
    window = attention(
        text,
        window=text.integer("attention_window_size", default=2048),
        kv_heads=num_kv_heads(text, num_heads(text)),
    )
    blocks = [[window if pattern[i % len(pattern)] == "attention" else state] for i in range(count)]
    return Reading(blocks=blocks)
