"""Families that cache keys and values alone: full, in windows, in chunks, for an encoder, shared.

Rules: ``configuration_*.py`` of transformers 5.23, model files of vLLM 0.33.
"""

from dataclasses import replace

from .keys import Keys
from .reading import (
    CHUNKED,
    FULL,
    SLIDING,
    Reading,
    attention,
    every,
    layer_types,
    num_layers,
)

WINDOWED = (FULL, SLIDING)


def full(text: Keys) -> Reading:
    """Every layer keeps every token. A window in the file is a decoy."""
    if text.flag("use_cla"):
        text.fail("use_cla", "layers share caches in a way that is not read here (Hunyuan's CLA)")
    notes: list[str] = []
    if text.optional_integer("sliding_window"):
        notes.append("sliding_window is present, but this family has no windows: ignored")
    if text.raw("attention_chunk_size"):
        notes.append("attention_chunk_size is present, but this family has no chunks: ignored")
    return Reading(blocks=[[attention(text)]] * num_layers(text), notes=notes)


def window_everywhere(text: Keys) -> Reading:
    """One window for every layer (Mistral, Phi-3, StarCoder2), or none.

    A window that no sequence outgrows is none.
    """
    if "layer_types" in text:
        return by_layer_types(text)
    window = text.optional_integer("sliding_window")
    longest = text.optional_integer("max_position_embeddings")
    notes: list[str] = []
    if window and longest and window >= longest:
        notes.append(
            f"sliding_window {window:,} is not below max_position_embeddings {longest:,}: no effect"
        )
        window = None
    return Reading(blocks=[[attention(text, window=window)]] * num_layers(text), notes=notes)


def window_by_switch(text: Keys) -> Reading:
    """Qwen2 and Qwen3: a window only with ``use_sliding_window``, from ``max_window_layers`` on."""
    count = num_layers(text)
    window = text.optional_integer("sliding_window")
    if not text.flag("use_sliding_window"):
        if SLIDING in (text.texts("layer_types") or ()):
            if window is None:
                text.fail("layer_types", "names windows, but sliding_window has no size")
            return by_layer_types(text)
        notes = ["sliding_window is present, but use_sliding_window is false: ignored"]
        return Reading(blocks=[[attention(text)]] * count, notes=notes if window else [])
    if window is None:
        text.fail("use_sliding_window", "is true, but sliding_window has no size")
    first = text.integer("max_window_layers", default=28, least=0)
    types = layer_types(text, count, WINDOWED, lambda index: SLIDING if index >= first else FULL)
    return _windowed(text, types, window)


def by_layer_types(text: Keys) -> Reading:
    """``layer_types`` says it for each layer; without it nothing can be known."""
    return _windowed(text, layer_types(text, num_layers(text), WINDOWED))


def gemma2(text: Keys) -> Reading:
    """Every other layer is full, a window first."""
    text = text.with_defaults(
        {
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "sliding_window": 4096,
        }
    )
    return _windowed(text, layer_types(text, num_layers(text), WINDOWED, every(2, SLIDING)))


def gemma3(text: Keys) -> Reading:
    """Every sixth layer is full unless the file says otherwise; sizes may be the class's."""
    text = text.with_defaults(
        {
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "sliding_window": 4096,
        }
    )
    period = text.integer("sliding_window_pattern", "_sliding_window_pattern", default=6)
    return _windowed(text, layer_types(text, num_layers(text), WINDOWED, every(period, SLIDING)))


def gemma3n(text: Keys) -> Reading:
    """As Gemma 3 with every fifth layer full; the last layers read caches of earlier ones."""
    text = text.with_defaults(
        {
            "num_hidden_layers": 35,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "head_dim": 256,
            "sliding_window": 512,
            "num_kv_shared_layers": 15,
        }
    )
    types = layer_types(text, num_layers(text), WINDOWED, every(5, SLIDING))
    return share_tail(text, _windowed(text, types), types)


def cohere2(text: Keys) -> Reading:
    """Every fourth layer is full."""
    text = text.with_defaults({"sliding_window": 4096})
    period = text.integer("sliding_window_pattern", "_sliding_window_pattern", default=4)
    return _windowed(text, layer_types(text, num_layers(text), WINDOWED, every(period, SLIDING)))


def exaone4(text: Keys) -> Reading:
    """A pattern as a number or as text ("LLLG"); the last layer is always full."""
    count = num_layers(text)
    pattern = text.raw("sliding_window_pattern")
    if "layer_types" in text:
        return _windowed(text, layer_types(text, count, WINDOWED))
    if text.optional_integer("sliding_window") is None or pattern is None:
        return full(text)
    if isinstance(pattern, str):
        if not pattern or set(pattern) - set("LG"):
            text.fail("sliding_window_pattern", f"{pattern!r} must be made of L and G")
        types = [FULL if pattern[i % len(pattern)] == "G" else SLIDING for i in range(count)]
    else:
        types = [every(text.integer("sliding_window_pattern"), SLIDING)(i) for i in range(count)]
    return _windowed(text, [*types[:-1], FULL])


def olmo3(text: Keys) -> Reading:
    """Every fourth layer is full."""
    text = text.with_defaults({"sliding_window": 4096})
    return _windowed(text, layer_types(text, num_layers(text), WINDOWED, every(4, SLIDING)))


def afmoe(text: Keys) -> Reading:
    """Trinity: every ``global_attn_every_n_layers``-th layer is full."""
    text = text.with_defaults({"sliding_window": 1024})
    period = text.integer("global_attn_every_n_layers", default=4)
    return _windowed(text, layer_types(text, num_layers(text), WINDOWED, every(period, SLIDING)))


def ministral(text: Keys) -> Reading:
    """Ministral 8B: one full layer, then three with windows."""
    types = layer_types(
        text,
        num_layers(text),
        WINDOWED,
        (lambda index: SLIDING if index % 4 else FULL)
        if "sliding_window" in text
        else every(1, ""),
    )
    return _windowed(text, types)


def gpt_oss(text: Keys) -> Reading:
    """Every other layer is full, a window of 128 first."""
    text = text.with_defaults({"head_dim": 64, "num_key_value_heads": 8, "sliding_window": 128})
    return _windowed(text, layer_types(text, num_layers(text), WINDOWED, every(2, SLIDING)))


def llama4(text: Keys) -> Reading:
    """Chunked where rotary embeddings are used; every fourth layer has none and is full."""
    text = text.with_defaults(
        {
            "num_attention_heads": 40,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "attention_chunk_size": 8192,
        }
    )
    count = num_layers(text)
    period = text.integer("no_rope_layer_interval", default=4)
    rotary = text.integers("no_rope_layers", most=1)
    if rotary is not None and len(rotary) != count:
        text.fail("no_rope_layers", f"has {len(rotary)} entries for {count} layers")
    notes: list[str] = []
    if rotary is None:
        rotary = [int((index + 1) % period != 0) for index in range(count)]
        notes.append(f"no_rope_layers is absent or empty: every layer {period} is full, by class")
    types = layer_types(
        text, count, (FULL, CHUNKED), lambda index: CHUNKED if rotary[index] else FULL
    )
    by_type = {
        FULL: attention(text),
        CHUNKED: attention(text, chunk=text.integer("attention_chunk_size")),
    }
    return Reading(blocks=[[by_type[each]] for each in types], notes=notes)


def share_tail(text: Keys, reading: Reading, types: list[str]) -> Reading:
    """The last ``num_kv_shared_layers`` read the cache of the last own layer of their type."""
    count = len(types)
    own = count - text.integer("num_kv_shared_layers", default=0, least=0, most=count - 1)
    shared: dict[int, int] = {}
    for index in range(own, count):
        owners = [at for at in range(own) if types[at] == types[index]]
        if not owners:
            text.fail("num_kv_shared_layers", f"layer {index} has no earlier layer to share with")
        shared[index] = owners[-1]
    blocks = [each if index < own else [] for index, each in enumerate(reading.blocks)]
    return replace(reading, blocks=blocks, shared=shared)


def _windowed(text: Keys, types: list[str], window: int | None = None) -> Reading:
    """Layers by type; the size of the window is needed only where there are some."""
    by_type = {FULL: attention(text)}
    if SLIDING in types:
        by_type[SLIDING] = attention(text, window=window or text.integer("sliding_window"))
    return Reading(blocks=[[by_type[each]] for each in types])
