"""Families that cache a latent vector (MLA), keys of an indexer, or compressed entries.

Sources: vLLM 0.33, ``model_executor/models/deepseek_v2.py`` (MLA and the indexer's 132 bytes),
``v1/attention/backends/mla`` (packed fp8 entries), ``models/deepseek_v4`` (compression).
"""

from dataclasses import replace

from ..specs import LayerSpec, cdiv
from .keys import Keys
from .reading import FULL, Reading, attention, layer_types, num_heads, num_layers

INDEXER_SCALE_BYTES = 4
"""One float32 scale beside the fp8 elements of an indexer's key."""
INDEXER_NOTE = "indexer keys are fp8 with one float32 scale, whatever the KV cache's dtype (vLLM)"
COMPRESSED, HEAVILY_COMPRESSED = "compressed_sparse_attention", "heavily_compressed_attention"
C4, C128 = 4, 128
"""Tokens that one compressed entry stands for (DeepSeek-V4)."""
C4_TOKENS = 8
"""Tokens kept for C4's next entry: entries overlap, so two blocks of four."""
V4_WINDOW_BLOCK = 64
V4_COMPRESSOR_BLOCKS = {C4: 4, C128: 8}
"""Tokens per block of the caches that do not follow ``--block-size`` in vLLM."""


def latent(text: Keys, *, packed: bool = False) -> LayerSpec:
    """MLA: one vector a token for all heads. ``packed``: vLLM's fp8 entry with scales."""
    rank = text.integer("kv_lora_rank")
    rope = text.integer("qk_rope_head_dim")
    # fp8 latent, a float32 scale per 128 elements, bf16 rotary part.
    packed_bytes = rank + 4 * cdiv(rank, 128) + 2 * rope
    return LayerSpec(
        kind="mla",
        variant="mla",
        heads=num_heads(text),
        kv_heads=1,
        k_dim=rank + rope,
        fp8_entry_bytes=packed_bytes if packed else 0,
        replicated=True,
    )


def mla(text: Keys) -> Reading:
    """Every layer keeps a latent vector; KV head counts in the file are decoys."""
    if keeps_heads(text):
        if text.optional_integer("kv_lora_rank"):
            text.fail("kv_lora_rank", "is the size of a latent, but other keys say there is none")
        notes = ["no latent: plain attention, keys and values of all KV heads are kept"]
        return Reading(blocks=[[attention(text)]] * num_layers(text), notes=notes)
    return Reading(blocks=[[latent(text)]] * num_layers(text), notes=_decoys(text))


def keeps_heads(text: Keys) -> bool:
    """Whether a file of an MLA family says that it has plain attention (DeepSeek-VL2-tiny).

    It says so by ``use_mla``, or by parts of a query's head that are both 0 (vLLM 0.33,
    ``deepseek_v2.py``). A missing ``kv_lora_rank`` alone says nothing: it may be a slip.
    """
    parts = ("qk_nope_head_dim", "qk_rope_head_dim")
    empty = all(name in text and text.integer(name, least=0) == 0 for name in parts)
    return not text.flag("use_mla", default=not empty)


def minicpm3(text: Keys) -> Reading:
    """MLA, which vLLM 0.33 has not among its MLA models."""
    reading = mla(text)
    note = "vLLM 0.33 serves this family without MLA: it keeps the keys and values of all heads"
    return replace(reading, notes=[*reading.notes, note])


def longcat(text: Keys) -> Reading:
    """LongCat-Flash: two attention sublayers in each layer; ``num_hidden_layers`` counts both."""
    count = text.optional_integer("num_layers") or num_layers(text) // 2
    own = latent(text)
    return Reading(blocks=[[own, own]] * count, notes=_decoys(text))


def sparse(text: Keys) -> Reading:
    """DeepSeek-V3.2 and GLM-5: an indexer beside the latent, in some layers another layer's."""
    count = num_layers(text)
    own, keys = latent(text, packed=True), indexer(text)
    has_indexer = _own_indexers(text, count)
    blocks = [[own, keys] if has_indexer[index] else [own] for index in range(count)]
    # vLLM's draft layers always run an indexer of their own.
    return Reading(blocks=blocks, notes=[*_decoys(text), INDEXER_NOTE], draft=[own, keys])


def indexer(text: Keys, tokens_per_entry: int = 1) -> LayerSpec:
    """Keys that choose what sparse attention reads."""
    return LayerSpec(
        kind="indexer",
        variant="indexer" if tokens_per_entry == 1 else f"indexer_c{tokens_per_entry}",
        heads=text.integer("index_n_heads"),
        kv_heads=1,
        k_dim=text.integer("index_head_dim") + INDEXER_SCALE_BYTES,
        dtype="int8",
        tokens_per_entry=tokens_per_entry,
        replicated=True,
    )


def _own_indexers(text: Keys, count: int) -> list[bool]:
    """Which layers run an indexer of their own: listed, by letters, or by frequency and offset."""
    kinds = layer_types(text, count, ("full", "shared"), lambda _: "", name="indexer_types")
    if any(kinds):
        if kinds[0] != "full":
            text.fail("indexer_types[0]", "is shared, but no layer before it has an indexer")
        return [kind == "full" for kind in kinds]
    pattern = text.text("index_topk_pattern")
    if pattern is not None:
        if len(pattern) != count or set(pattern) - set("FS"):
            text.fail("index_topk_pattern", f"must be {count} letters F (own) or S (shared)")
        return [letter == "F" for letter in pattern]
    period = text.integer("index_topk_freq", default=1)
    offset = text.integer("index_skip_topk_offset", default=2, least=0)
    return [max(index - offset + 1, 0) % period == 0 for index in range(count)]


def deepseek_v4(text: Keys) -> Reading:
    """A window in every layer; beside it compressed entries of 4 or 128 tokens, or none."""
    count = num_layers(text)
    ratios = _compress_ratios(text, count)
    notes = ["compress_ratios: 0 window alone, 4 compressed with an indexer, 128 compressed"]
    by_ratio = {ratio: _v4_block(text, ratio) for ratio in set(ratios)}
    draft = _v4_block(text, 0)
    return Reading(blocks=[by_ratio[ratio] for ratio in ratios], notes=notes, draft=draft)


def _compress_ratios(text: Keys, count: int) -> list[int]:
    drafts = text.integer("num_nextn_predict_layers", default=0, least=0)
    ratios = text.integers("compress_ratios")
    if ratios is None:
        types = {"sliding_attention": 0, COMPRESSED: C4, HEAVILY_COMPRESSED: C128}
        return [types[each] for each in layer_types(text, count, types, longer=True)]
    if len(ratios) not in (count, count + drafts):
        text.fail(
            "compress_ratios",
            f"has {len(ratios)} entries for {count} layers and {drafts} draft layers",
        )
    for index, ratio in enumerate(ratios):
        if ratio not in (0, C4, C128):
            text.fail(f"compress_ratios[{index}]", f"must be 0, {C4} or {C128}, not {ratio}")
    return ratios[:count]


def _v4_block(text: Keys, ratio: int) -> list[LayerSpec]:
    window = _v4_latent(text, "mla_swa", window=text.integer("sliding_window"))
    width = text.integer("head_dim")
    if ratio == C4:
        keys = text.integer("index_head_dim")
        return [
            window,
            _v4_latent(text, "mla_c4", tokens_per_entry=C4),
            _compressor(text, "compressor_state", 4 * width, C4_TOKENS, C4),
            indexer(text, C4),
            _compressor(text, "compressor_state_idx", 4 * keys, C4_TOKENS, C4),
        ]
    if ratio == C128:
        return [
            window,
            _v4_latent(text, "mla_c128", tokens_per_entry=C128),
            _compressor(text, "compressor_state", 2 * width, C128, C128),
        ]
    return [window]


def _v4_latent(
    text: Keys, variant: str, *, window: int = 0, tokens_per_entry: int = 1
) -> LayerSpec:
    width, rope = text.integer("head_dim"), text.integer("qk_rope_head_dim")
    if rope > width:
        text.fail("qk_rope_head_dim", f"{rope} is more than head_dim {width}; swapped?")
    # fp8 elements with a byte of scale per 64, padded to 8; bf16 rotary part.
    scales = 8 * cdiv(cdiv(width - rope, 64), 8)
    return LayerSpec(
        kind="sliding_window" if window else "mla",
        variant=variant,
        heads=num_heads(text),
        kv_heads=1,
        k_dim=width,
        window=window,
        block_size=V4_WINDOW_BLOCK if window else 0,
        tokens_per_entry=tokens_per_entry,
        fp8_entry_bytes=width - rope + scales + 2 * rope,
        replicated=True,
    )


def _compressor(text: Keys, variant: str, elements: int, tokens: int, ratio: int) -> LayerSpec:
    """Values and scores of the last ``tokens`` (vLLM's ``models/deepseek_v4/compressor.py``)."""
    return LayerSpec(
        kind="compressor",
        variant=variant,
        heads=num_heads(text),
        kv_heads=1,
        k_dim=elements,
        window=tokens,
        block_size=V4_COMPRESSOR_BLOCKS[ratio],
        dtype="fp32",
        replicated=True,
    )


def minimax_m3(text: Keys) -> Reading:
    """Keys and values of all tokens, and beside them keys of an indexer in sparse layers."""
    count = num_layers(text)
    settings = text.section("sparse_attention_config")
    if settings is not None and "sparse_attention_freq" in settings:
        sparse_layers = settings.integers("sparse_attention_freq", most=1) or []
        if len(sparse_layers) != count:
            settings.fail("sparse_attention_freq", f"has {len(sparse_layers)} entries for {count}")
        width = settings.integer("sparse_index_dim")
    else:
        types = layer_types(text, count, (FULL, "minimax_m3_sparse"))
        sparse_layers = [int(each != FULL) for each in types]
        width = text.integer("index_head_dim", default=128)
    own = attention(text)
    keys = LayerSpec(
        kind="indexer", variant="indexer", heads=1, kv_heads=1, k_dim=width, replicated=True
    )
    return Reading(blocks=[[own, keys] if each else [own] for each in sparse_layers])


def _decoys(text: Keys) -> list[str]:
    names = [name for name in ("num_key_value_heads", "head_dim") if name in text]
    return [f"{' and '.join(names)}: not used, MLA keeps one latent vector"] if names else []
