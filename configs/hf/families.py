"""Which reader a family has: the table that decides what is known at all."""

from . import attention, latent, linear, mamba, uneven
from .reading import Reader

FULL_ATTENTION = """
llama gemma cohere glm glm4 glm4_moe minimax_m2 internlm2 internlm3 stablelm olmo olmo2 olmoe qwen
chatglm gpt_bigcode mimo molmo minicpm minicpmv gpt_neox gpt2 gptj opt bloom mpt falcon
codegen phi persimmon nemotron granite granitemoe granitemoeshared granitemoe_shared dbrx apertus
arcee bitnet ernie4_5 ernie4_5_moe ernie4_5_vl helium hunyuan_v1_dense hunyuan_v1_moe jais2
seed_oss solar_open baichuan xverse orion exaone bailing_moe bailing_moe_v2 grok-1
aria_text flex_olmo glm4v_text glm4v_moe_text deepseek
"""
"""Every layer keeps keys and values of every token."""

READERS: dict[str, Reader] = {
    **dict.fromkeys(FULL_ATTENTION.split(), attention.full),
    **dict.fromkeys(
        ("mistral", "ministral3", "mixtral", "phi3", "phi3_v", "phimoe", "starcoder2", "phi4mm"),
        attention.window_everywhere,
    ),
    **dict.fromkeys(
        (
            *("qwen2", "qwen2_moe", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"),
            *("qwen2_5_omni_text", "qwen3", "qwen3_moe", "qwen3_vl_text", "qwen3_vl_moe_text"),
            *("qwen3_omni_moe_text", "smollm3"),
        ),
        attention.window_by_switch,
    ),
    **dict.fromkeys(
        (
            *("cwm", "dots1", "exaone_moe", "cohere2_moe", "granite_swa", "granitemoe_swa"),
            *("mellum", "vaultgemma", "laguna"),
        ),
        attention.by_layer_types,
    ),
    "gemma2": attention.gemma2,
    "gemma3_text": attention.gemma3,
    "gemma3n_text": attention.gemma3n,
    "gemma4_text": uneven.gemma4,
    "cohere2": attention.cohere2,
    "exaone4": attention.exaone4,
    "olmo3": attention.olmo3,
    "afmoe": attention.afmoe,
    "ministral": attention.ministral,
    "gpt_oss": attention.gpt_oss,
    "llama4_text": attention.llama4,
    "mimo_v2_flash": uneven.mimo_v2,
    "mimo_v2": uneven.mimo_v2,
    "step3p5": uneven.step3p5,
    "step3p7": uneven.step3p5,
    "mllama_text_model": uneven.mllama,
    "nemotron-nas": uneven.nemotron_nas,
    **dict.fromkeys(
        ("deepseek_v2", "deepseek_v3", "kimi_k2", "glm4_moe_lite", "youtu"), latent.mla
    ),
    "minicpm3": latent.minicpm3,
    "longcat_flash": latent.longcat,
    "deepseek_v32": latent.sparse,
    "glm_moe_dsa": latent.sparse,
    "deepseek_v4": latent.deepseek_v4,
    "minimax_m3": latent.minimax_m3,
    "minimax_m3_vl_text": latent.minimax_m3,
    "mamba": mamba.pure_mamba1,
    "falcon_mamba": mamba.pure_mamba1,
    "mamba2": mamba.pure_mamba2,
    "jamba": mamba.jamba,
    "bamba": mamba.bamba,
    "granitemoehybrid": mamba.granite_hybrid,
    "nemotron_h": mamba.nemotron_h,
    "zamba2": mamba.zamba2,
    "falcon_h1": mamba.falcon_h1,
    "hymba": mamba.hymba,
    **dict.fromkeys(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"), linear.qwen3_next),
    "kimi_linear": linear.kimi_linear,
    "minimax": linear.minimax_01,
    "minimax_text_01": linear.minimax_01,
    "minimax_m1": linear.minimax_01,
    "bailing_hybrid": linear.bailing_hybrid,
    "bailing_moe_linear": linear.bailing_moe_linear,
    "lfm2": linear.lfm2,
    "lfm2_moe": linear.lfm2,
    "baichuan_m1": linear.baichuan_m1,
    "rwkv5": linear.rwkv5,
    "recurrent_gemma": linear.recurrent_gemma,
}
"""Reader by ``model_type`` of the language model."""
