"""Latent attention: DeepSeek's MLA, its indexer, and the compressed attention of DeepSeek-V4."""

from dataclasses import dataclass, replace

from ..keys import Keys
from ..latent import keeps_heads
from .blocks import Attention, by_layer, heads_of, hidden_of, layers_of
from .tensors import Flag, Tensors, inside, linear, norm, on, repeated, vector


@dataclass(frozen=True, kw_only=True)
class Latent:
    """MLA: queries, keys and values made from low-rank latents (``DeepseekV3Attention``).

    Attributes:
        bias: Biases of the projections into the latents and of the output.
        gate: Width of an output gate: a number for each ``head``, one for ``all`` features.
        gate_if: Whether the file asks for it.
    """

    bias: Flag = "attention_bias"
    gate: str = ""
    gate_if: Flag = True
    path: str = "self_attn"

    def tensors(self, text: Keys) -> list[Tensors]:
        """Weights of one layer; those of plain attention where the file says it has no latent."""
        if keeps_heads(text):
            return Attention(path=self.path).tensors(text)
        hidden, heads, bias = hidden_of(text), heads_of(text), on(text, self.bias)
        nope = text.integer("qk_nope_head_dim", least=0)
        rope = text.integer("qk_rope_head_dim", least=0)
        latent, v_dim = text.integer("kv_lora_rank"), _value_dim(text)
        queries = text.optional_integer("q_lora_rank")
        found = _queries(hidden, queries, heads * (nope + rope), bias=bias)
        found += linear("attention", "kv_a_proj_with_mqa", latent + rope, hidden, bias=bias)
        found += norm("kv_a_layernorm", latent)
        found += linear("attention", "kv_b_proj", heads * (nope + v_dim), latent)
        found += linear("attention", "o_proj", hidden, heads * v_dim, bias=bias)
        if self.gate and on(text, self.gate_if):
            width = heads if self.gate == "head" else heads * v_dim
            found += linear("attention", "g_proj", width, hidden)
        return inside(self.path, found)


def _value_dim(text: Keys) -> int:
    return text.integer("v_head_dim", default=hidden_of(text) // heads_of(text))


def _queries(hidden: int, rank: int | None, out: int, *, bias: bool) -> list[Tensors]:
    if rank is None:
        return linear("attention", "q_proj", out, hidden)
    found = linear("attention", "q_a_proj", rank, hidden, bias=bias)
    return [*found, *norm("q_a_layernorm", rank), *linear("attention", "q_b_proj", out, rank)]


def indexer(text: Keys) -> list[Tensors]:
    """Picks the tokens to attend to (``DeepseekV32Indexer``); scores stay unquantised."""
    heads, dim = text.integer("index_n_heads"), text.integer("index_head_dim")
    hidden = hidden_of(text)
    found = linear("attention", "wq_b", heads * dim, text.integer("q_lora_rank"))
    found += linear("attention", "wk", dim, hidden)
    found += norm("k_norm", dim, bias=True)
    found.append(vector("attention", "weights_proj", heads, hidden))
    return inside("self_attn.indexer", found)


def sparse_latent(text: Keys) -> list[Tensors]:
    """MLA in every layer, an indexer in those that do not share another's."""
    layers = range(layers_of(text))
    kinds = text.texts("indexer_types")
    if kinds is not None:
        kinds = by_layer(text, "indexer_types", kinds)
    own = [layer for layer in layers if kinds is None or kinds[layer] == "full"]
    return [
        *repeated("layers", layers, Latent().tensors(text)),
        *repeated("layers", own, indexer(text)),
    ]


def double_latent(text: Keys) -> list[Tensors]:
    """Two attentions and two dense layers in each layer (``LongcatFlashDecoderLayer``)."""
    layers = range(layers_of(text))
    found: list[Tensors] = []
    for number in ("0", "1"):
        found += Latent(path=f"self_attn.{number}").tensors(text)
    return repeated("layers", layers, found)


def compressed(text: Keys) -> list[Tensors]:
    """Attention of DeepSeek-V4 in the names of its checkpoint (``DeepseekV4Attention``)."""
    layers = range(layers_of(text))
    ratios = _ratios(text)
    found = repeated("layers", layers, inside("attn", _windowed(text)))
    for ratio in sorted(set(ratios) - {0}):
        own = [layer for layer in layers if ratios[layer] == ratio]
        found += repeated("layers", own, inside("attn", _compressor(text, ratio)))
    return found


def _ratios(text: Keys) -> list[int]:
    """Tokens that an entry stands for, by layer: 0 where nothing is compressed."""
    ratios = text.integers("compress_ratios")
    if ratios is not None:
        return by_layer(text, "compress_ratios", ratios)
    kinds = by_layer(text, "layer_types", text.texts("layer_types") or [])
    rates = text.section("compress_rates")
    found = {"sliding_attention": 0}
    for kind in set(kinds) - set(found):
        if rates is None:
            text.missing("compress_rates")
        found[kind] = rates.integer(kind)
    return [found[kind] for kind in kinds]


def _windowed(text: Keys) -> list[Tensors]:
    hidden, heads, dim = hidden_of(text), heads_of(text), text.integer("head_dim")
    rank, groups = text.integer("q_lora_rank"), text.integer("o_groups")
    out = groups * text.integer("o_lora_rank")
    return [
        vector("attention", "attn_sink", heads, dtype="fp32"),
        *linear("attention", "wq_a", rank, hidden),
        *norm("q_norm", rank),
        *linear("attention", "wq_b", heads * dim, rank),
        *linear("attention", "wkv", dim, hidden),
        *norm("kv_norm", dim),
        *linear("attention", "wo_a", out, heads * dim // groups),
        *linear("attention", "wo_b", hidden, out),
    ]


def _compressor(text: Keys, ratio: int) -> list[Tensors]:
    """Makes entries that stand for several tokens; overlapping ones at the finest ratio."""
    hidden, dim = hidden_of(text), text.integer("head_dim")
    overlaps = ratio == 4
    found = inside("compressor", _pooling(hidden, dim, ratio, times=2 if overlaps else 1))
    if not overlaps:
        return found
    heads, index = text.integer("index_n_heads"), text.integer("index_head_dim")
    queries = linear("attention", "wq_b", heads * index, text.integer("q_lora_rank"))
    scores = vector("attention", "weights_proj", heads, hidden)
    pooling = inside("compressor", _pooling(hidden, index, ratio, times=2))
    return [*found, *inside("indexer", [*queries, scores, *pooling])]


def _pooling(hidden: int, dim: int, ratio: int, *, times: int) -> list[Tensors]:
    return [
        vector("attention", "ape", ratio, times * dim, dtype="fp32"),
        vector("attention", "wkv", times * dim, hidden),
        vector("attention", "wgate", times * dim, hidden),
        *norm("norm", dim),
    ]


def hyper_connections(text: Keys) -> list[Tensors]:
    """Several residual streams, mixed around each block (``DeepseekV4HyperConnection``)."""
    streams, hidden = text.integer("hc_mult"), hidden_of(text)
    mixes = streams * (2 + streams)
    layer: list[Tensors] = []
    for block in ("attn", "ffn"):
        layer.append(vector("attention", f"hc_{block}_fn", mixes, streams * hidden))
        layer.append(vector("attention", f"hc_{block}_base", mixes))
        layer.append(vector("attention", f"hc_{block}_scale", 3))
    found = repeated("layers", range(layers_of(text)), layer)
    found.append(vector("attention", "hc_head_fn", streams, streams * hidden))
    found += [vector("attention", "hc_head_base", streams), vector("attention", "hc_head_scale", 1)]
    return [replace(tensor, dtype="fp32") for tensor in found]
