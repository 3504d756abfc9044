"""Families whose attention layers differ in heads: each kind, or each layer, has its own.

Rules: ``configuration_*.py`` of transformers 5.23, model files of vLLM 0.33.
"""

from dataclasses import replace

from ..specs import LayerSpec
from .attention import WINDOWED, share_tail
from .keys import Keys
from .reading import (
    FULL,
    SLIDING,
    Reading,
    attention,
    every,
    indices,
    layer_types,
    num_heads,
    num_kv_heads,
    num_layers,
)


def gemma4(text: Keys) -> Reading:
    """Global layers have heads of their own size and number; the last layers may share caches."""
    text = text.with_defaults(
        {
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "global_head_dim": 512,
            "sliding_window": 512,
        }
    )
    count, heads = num_layers(text), num_heads(text)
    period = text.integer("sliding_window_pattern", "_sliding_window_pattern", default=6)
    types = layer_types(text, count, WINDOWED, every(period, SLIDING))
    types[-1] = FULL
    kv_heads, notes = num_kv_heads(text, heads), list[str]()
    if text.flag("attention_k_eq_v"):
        kv_heads = text.optional_integer("num_global_key_value_heads") or kv_heads
        notes.append("attention_k_eq_v: K = V in global layers; vLLM stores both all the same")
    by_type = {
        SLIDING: attention(text, window=text.integer("sliding_window")),
        FULL: attention(
            text, kv_heads=kv_heads, k_dim=text.integer("global_head_dim"), heads=heads
        ),
    }
    reading = Reading(blocks=[[by_type[each]] for each in types], notes=notes)
    return share_tail(text, reading, types)


def mimo_v2(text: Keys) -> Reading:
    """MiMo-V2: V narrower than K, other head counts in windows."""
    count = num_layers(text)
    pattern = text.integers("hybrid_layer_pattern", most=1)
    types = (
        [SLIDING if each else FULL for each in pattern]
        if pattern
        else layer_types(text, count, WINDOWED)
    )
    if len(types) != count:
        text.fail("hybrid_layer_pattern", f"has {len(types)} entries for {count} layers")
    whole = attention(text, v_dim=text.optional_integer("v_head_dim"))
    windowed = attention(
        text,
        window=text.integer("sliding_window", "sliding_window_size"),
        heads=text.optional_integer("swa_num_attention_heads"),
        kv_heads=text.optional_integer("swa_num_key_value_heads") or whole.kv_heads,
        k_dim=text.optional_integer("swa_head_dim") or whole.k_dim,
        v_dim=text.optional_integer("swa_v_head_dim") or whole.v_dim,
    )
    notes: list[str] = []
    if text.raw("attention_chunk_size"):
        notes.append("attention_chunk_size is present and not used by this family")
    by_type = {FULL: whole, SLIDING: windowed}
    return Reading(blocks=[[by_type[each]] for each in types], notes=notes)


def step3p5(text: Keys) -> Reading:
    """Step 3.5 and 3.7: windows with more query heads; the list goes on with draft layers."""
    types = layer_types(text, num_layers(text), WINDOWED, longer=True)
    other = text.section("attention_other_setting")
    heads = num_heads(text)
    whole = attention(text)
    windowed = attention(text, window=text.integer("sliding_window", "sliding_window_size"))
    if other is not None:
        groups = other.integer("num_attention_groups", default=whole.kv_heads)
        windowed = attention(
            text,
            window=windowed.window,
            heads=other.integer("num_attention_heads", default=heads),
            kv_heads=groups,
            k_dim=other.integer("head_dim", default=whole.k_dim),
        )
    by_type = {FULL: whole, SLIDING: windowed}
    listed = text.texts("layer_types") or []
    draft = [by_type[each] for each in listed[len(types) : len(types) + 1] if each in by_type]
    return Reading(blocks=[[by_type[each]] for each in types], draft=draft or None)


def mllama(text: Keys) -> Reading:
    """Llama 3.2 Vision: some layers attend to the image alone and cache nothing of the text."""
    count = num_layers(text)
    cross = indices(text, "cross_attention_layers", count)
    if not cross:
        text.missing("cross_attention_layers")
    own = attention(text)
    encoder = replace(own, kind="cross", variant="cross")
    blocks = [[encoder if index in cross else own] for index in range(count)]
    return Reading(blocks=blocks)


def nemotron_nas(text: Keys) -> Reading:
    """Layers found by search: each says its own heads, or that it has no attention at all."""
    count, heads = num_layers(text), num_heads(text)
    configs = text.sections("block_configs")
    if len(configs) != count:
        text.fail("block_configs", f"has {len(configs)} entries for {count} layers")
    blocks: list[list[LayerSpec]] = []
    for block in configs:
        own = block.section("attention")
        if own is None:
            block.missing("attention")
        if own.flag("no_op") or own.flag("replace_with_linear"):
            blocks.append([])
            continue
        per_group = own.integer("n_heads_in_group")
        if heads % per_group:
            own.fail("n_heads_in_group", f"{per_group} does not divide {heads} query heads")
        window = own.optional_integer("window_length")
        blocks.append([attention(text, window=window, heads=heads, kv_heads=heads // per_group)])
    notes = ["block_configs: layers with no_op or linear attention keep nothing"]
    return Reading(blocks=blocks, notes=notes)
