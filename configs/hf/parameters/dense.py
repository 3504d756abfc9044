"""Families with softmax attention and a dense feed-forward layer in every layer.

Each row follows the class ``<Family>ForCausalLM`` of transformers 5.23; families that it lacks
(baichuan, chatglm, internlm2, mimo, minicpm, molmo, qwen) follow vLLM 0.33,
``model_executor/models``.
"""

from dataclasses import replace

from ..keys import Keys
from .blocks import Attention, Mlp, head_dim_of, heads_of, hidden_of, layers_of
from .family import Family
from .tensors import Tensors, norms, repeated

BIASED = Attention(qkv_bias="attention_bias", o_bias="attention_bias")
"""Biases everywhere or nowhere, as the file says."""
QKV = Attention(qkv_bias=True)
"""Biases of queries, keys and values: Qwen-2."""
QKV_BY_FILE = Attention(qkv_bias="attention_bias")
NORMED = replace(BIASED, qk_norm="head")
"""Queries and keys normed by head: Qwen-3, Gemma-3."""
ALL_NORMED = replace(BIASED, qk_norm="all")
"""Queries and keys normed over all heads at once: OLMo-2."""
GEMMA_NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)
POST_NORMS = ("post_attention_layernorm", "post_feedforward_layernorm")
GLM_NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "post_self_attn_layernorm",
    "post_mlp_layernorm",
)
FUSED_MLP = Mlp(up=("gate_up_proj*2",))
PLAIN = Mlp(up=("c_fc",), down="c_proj", bias=True)
"""Two matrices without a gate: GPT-2."""
FOUR_H = Mlp(up=("dense_h_to_4h",), down="dense_4h_to_h", bias=True)

LLAMA = Family(mixer=BIASED, mlp=Mlp(bias="mlp_bias"))
PHI3 = Family(mixer=Attention(fused="qkv_proj"), mlp=FUSED_MLP)
QWEN2 = Family(mixer=QKV)
QWEN3 = Family(mixer=NORMED)


def serial_norms(text: Keys) -> list[Tensors]:
    """A norm before the feed-forward layer, unless that runs beside attention (StableLM)."""
    if text.flag("use_parallel_residual"):
        return []
    found = norms(["post_attention_layernorm"], hidden_of(text), bias=True)
    return repeated("layers", range(layers_of(text)), found)


def decilm(text: Keys) -> list[Tensors]:
    """Layers that each have a size of their own, or none (``DeciLMForCausalLM`` in vLLM)."""
    hidden, found = hidden_of(text), list[Tensors]()
    for layer, block in enumerate(text.sections("block_configs")):
        attention, feed = block.section("attention"), block.section("ffn")
        if attention is not None and not attention.flag("no_op"):
            kv_heads = heads_of(text) // attention.integer("n_heads_in_group")
            mixer = BIASED.sized(text, heads_of(text), kv_heads, head_dim_of(text))
            found += repeated("layers", [layer], [*mixer, *norms(["input_layernorm"], hidden)])
        if feed is not None and not feed.flag("no_op"):
            inner = -(-int(2 * feed.number("ffn_mult") * hidden / 3) // 256) * 256
            mlp = [*Mlp().sized(hidden, inner), *norms(["post_attention_layernorm"], hidden)]
            found += repeated("layers", [layer], mlp)
    return found


def diff_llama(text: Keys) -> list[Tensors]:
    """Attention less another attention (``DiffLlamaAttention``)."""
    dim = head_dim_of(text)
    found = [*BIASED.tensors(text)]
    for name in ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"):
        found += [Tensors("attention", f"self_attn.{name}", (dim,))]
    return repeated("layers", range(layers_of(text)), found)


def _halved(text: Keys) -> list[Tensors]:
    """Qwen-1 counts both halves of the gated layer in ``intermediate_size``."""
    inner = text.integer("intermediate_size") // 2
    mlp = Mlp(up=("w1", "w2"), down="c_proj").sized(hidden_of(text), inner)
    return repeated("h", range(layers_of(text)), mlp)


def _molmo(text: Keys) -> list[Tensors]:
    inner = text.integer("intermediate_size") // 2
    mlp = Mlp(up=("ff_proj*2",), down="ff_out").sized(hidden_of(text), inner)
    return repeated("layers", range(layers_of(text)), mlp)


DENSE = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "ministral": LLAMA,
    "ministral3": LLAMA,
    "internlm3": LLAMA,
    "granite": LLAMA,
    "granite_swa": Family(mixer=replace(BIASED, sinks=True), mlp=Mlp(bias="mlp_bias")),
    "cwm": LLAMA,
    "helium": Family(mixer=QKV_BY_FILE, mlp=Mlp(bias="mlp_bias")),
    "smollm3": LLAMA,
    "gemma": LLAMA,
    "emu3_text_model": LLAMA,
    "qwen2": QWEN2,
    "qwen2_vl": QWEN2,
    "qwen2_vl_text": QWEN2,
    "qwen2_5_vl": QWEN2,
    "qwen2_5_vl_text": QWEN2,
    "qwen2_5_omni_text": QWEN2,
    "minicpmv": QWEN2,
    "mimo": QWEN2,
    "seed_oss": Family(
        mixer=Attention(qkv_bias="attention_bias", o_bias="attention_out_bias"),
        mlp=Mlp(bias="mlp_bias"),
    ),
    "qwen3": QWEN3,
    "qwen3_vl_text": QWEN3,
    "hunyuan_v1_dense": Family(
        mixer=replace(NORMED, qk_names=("query_layernorm", "key_layernorm"))
    ),
    "exaone4": Family(mixer=replace(NORMED, qkv_bias=False, o_bias=False), norms=POST_NORMS),
    "olmo": Family(mixer=BIASED, norms=(), final=""),
    "olmo2": Family(mixer=ALL_NORMED, norms=POST_NORMS),
    "olmo3": Family(mixer=ALL_NORMED, norms=POST_NORMS),
    "gemma2": Family(mixer=BIASED, norms=GEMMA_NORMS),
    "vaultgemma": Family(mixer=BIASED, norms=("input_layernorm", "pre_feedforward_layernorm")),
    "gemma3_text": Family(mixer=NORMED, norms=GEMMA_NORMS),
    "glm": Family(mixer=QKV_BY_FILE, mlp=FUSED_MLP),
    "glm4": Family(mixer=QKV_BY_FILE, mlp=FUSED_MLP, norms=GLM_NORMS),
    "glm4v_text": Family(mixer=QKV, mlp=FUSED_MLP, norms=GLM_NORMS),
    "glm4v": Family(mixer=QKV, mlp=FUSED_MLP, norms=GLM_NORMS),
    "glm46v_text": Family(mixer=QKV, mlp=FUSED_MLP, norms=GLM_NORMS),
    "phi3": PHI3,
    "phi3_v": PHI3,
    "phi4_multimodal": PHI3,
    "phi4mm": PHI3,
    "phi": Family(
        mixer=Attention(qkv_bias=True, o_bias=True, out="dense"),
        mlp=Mlp(up=("fc1",), down="fc2", bias=True),
        norms=("input_layernorm",),
        norm_bias=True,
        final="final_layernorm",
        head_bias=True,
    ),
    "cohere": Family(
        mixer=replace(BIASED, qk_norm="all", qk_norm_if="use_qk_norm"), norms=("input_layernorm",)
    ),
    "cohere2": Family(mixer=BIASED, norms=("input_layernorm",)),
    "starcoder2": Family(
        mixer=Attention(qkv_bias="use_bias", o_bias="use_bias"),
        mlp=replace(PLAIN, bias="use_bias"),
        norm_bias=True,
    ),
    "stablelm": Family(
        mixer=Attention(qkv_bias="use_qkv_bias", qk_norm="all", qk_norm_if="qk_layernorm"),
        norms=("input_layernorm",),
        norm_bias=True,
        extras=serial_norms,
    ),
    "ernie4_5": Family(
        mixer=Attention(qkv_bias="use_bias", o_bias="use_bias"), mlp=Mlp(bias="use_bias")
    ),
    "hyperclovax": Family(
        mixer=BIASED,
        mlp=Mlp(bias="mlp_bias"),
        norms=("input_layernorm", "post_attention_layernorm", "post_norm1", "post_norm2"),
    ),
    "arcee": Family(mixer=BIASED, mlp=Mlp(up=("up_proj",), bias="mlp_bias")),
    "nemotron": Family(mixer=BIASED, mlp=Mlp(up=("up_proj",), bias="mlp_bias"), norm_bias=True),
    "jais2": Family(mixer=BIASED, mlp=Mlp(up=("up_proj",), bias="mlp_bias"), norm_bias=True),
    "apertus": Family(
        mixer=NORMED,
        mlp=Mlp(up=("up_proj",)),
        norms=("attention_layernorm", "feedforward_layernorm"),
        extras=lambda text: repeated(
            "layers",
            range(layers_of(text)),
            [Tensors("mlp", f"mlp.act_fn.alpha_{sign}", (1,)) for sign in "pn"],
        ),
    ),
    "diffllama": Family(mixer=diff_llama),
    "internlm2": Family(
        mixer=Attention(qkv_bias="bias", o_bias="bias", fused="wqkv", out="wo", path="attention"),
        mlp=Mlp(up=("w1", "w3"), down="w2", path="feed_forward"),
        norms=("attention_norm", "ffn_norm"),
        embedding="tok_embeddings",
        head="output",
    ),
    "chatglm": Family(
        mixer=Attention(qkv_bias="add_qkv_bias", fused="query_key_value", out="dense"),
        mlp=Mlp(up=("dense_h_to_4h*2",), down="dense_4h_to_h"),
        embedding="embedding.word_embeddings",
        final="final_layernorm",
        head="output_layer",
        prefix="transformer.encoder",
    ),
    "qwen": Family(
        mixer=lambda text: repeated(
            "h",
            range(layers_of(text)),
            Attention(qkv_bias=True, fused="c_attn", out="c_proj", path="attn").tensors(text),
        ),
        feeds=_halved,
        norms=("ln_1", "ln_2"),
        embedding="wte",
        final="ln_f",
        layers="h",
        prefix="transformer",
    ),
    "molmo": Family(
        mixer=Attention(qkv_bias="qkv_bias", fused="att_proj", out="attn_out"),
        feeds=_molmo,
        norms=("attn_norm", "ff_norm"),
        embedding="wte",
        final="ln_f",
    ),
    "nemotron-nas": Family(mixer=decilm, mlp=None, norms=()),
    "gpt2": Family(
        mixer=Attention(qkv_bias=True, o_bias=True, fused="c_attn", out="c_proj", path="attn"),
        mlp=PLAIN,
        norms=("ln_1", "ln_2"),
        norm_bias=True,
        embedding="wte",
        positions=("n_positions", "wpe"),
        final="ln_f",
        layers="h",
        prefix="transformer",
    ),
    "gpt_neox": Family(
        mixer=Attention(
            qkv_bias="attention_bias",
            o_bias="attention_bias",
            fused="query_key_value",
            out="dense",
            path="attention",
        ),
        mlp=FOUR_H,
        norm_bias=True,
        embedding="embed_in",
        final="final_layer_norm",
        head="embed_out",
        prefix="gpt_neox",
    ),
    "mpt": Family(
        mixer=Attention(fused="Wqkv", out="out_proj", path="attn"),
        mlp=Mlp(up=("up_proj",), path="ffn"),
        norms=("norm_1", "norm_2"),
        embedding="wte",
        final="norm_f",
        layers="blocks",
        prefix="transformer",
    ),
}
"""Families by ``model_type``."""


def _multi_query(text: Keys) -> list[Tensors]:
    """One KV head for all where ``multi_query`` says so (``GPTBigCodeAttention``)."""
    fused = Attention(qkv_bias=True, o_bias=True, fused="c_attn", out="c_proj", path="attn")
    heads = heads_of(text)
    kv_heads = 1 if text.flag("multi_query", default=True) else heads
    return repeated(
        "h", range(layers_of(text)), fused.sized(text, heads, kv_heads, head_dim_of(text))
    )


DENSE["gpt_bigcode"] = replace(DENSE["gpt2"], mixer=_multi_query)
