"""Where a config.json keeps the language model, and which family it is of.

Families are transformers' ``model_type`` of the language model. Files of vision-language models
nest it; some leave its type, or every type, out.
"""

from .keys import Keys

NESTED = ("text_config", "llm_config", "language_config", "thinker_config")
"""Sections that hold the language model, in the order in which they are tried."""

OUTER_FAMILIES = {
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen2_vl": "qwen2_vl_text",
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_text",
    "gemma4_unified_text": "gemma4_text",
    "llama4": "llama4_text",
    "mllama": "mllama_text_model",
    "qwen2_5_omni": "qwen2_5_omni_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text",
    "minimax_m3_vl": "minimax_m3",
    "lfm2_vl": "lfm2",
    "kimi_k25": "kimi_k2",
    "kimi_k3": "kimi_linear",
    "ministral3": "ministral3",
    "mistral3": "mistral",
    "step3p7": "step3p5",
    "glm4v": "glm4",
    "glm4v_moe": "glm4_moe",
    "paligemma": "gemma",
    "llava": "llama",
    "llava_next": "llama",
    "llava_onevision": "qwen2",
}
"""Family of the language model in a file that names the outer model alone."""

ARCHITECTURE_FAMILIES = {
    "MiniCPM3ForCausalLM": "minicpm3",
    "DeepseekV2ForCausalLM": "deepseek_v2",
    "DeepseekV3ForCausalLM": "deepseek_v3",
    "DeepseekV32ForCausalLM": "deepseek_v32",
    "DeepseekV4ForCausalLM": "deepseek_v4",
    "GlmMoeDsaForCausalLM": "glm_moe_dsa",
    "Grok1ForCausalLM": "grok-1",
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "HymbaForCausalLM": "hymba",
    "RwkvForCausalLM": "rwkv5",
}
"""Family by the first of ``architectures``, where ``model_type`` is absent or a placeholder."""

PLACEHOLDERS = frozenset({"deepseek_ref", "git"})
"""Values of ``model_type`` that name nothing; ``git`` is what Grok-2's file has."""


def text_section(root: Keys) -> Keys:
    """The section of the language model: a nested one, or the file itself."""
    for name in NESTED:
        nested = root.section(name)
        if nested is not None and any(True for _ in nested):
            return text_section(nested)
    return root


def family_of(root: Keys, text: Keys) -> str:
    """The family of the language model; ConfigError if the file does not say."""
    own = _named(text)
    if own is not None:
        return OUTER_FAMILIES.get(own, own)
    outer = _named(root)
    if outer is not None:
        if outer in OUTER_FAMILIES:
            return OUTER_FAMILIES[outer]
        text.fail("model_type", f"is missing, and model_type {outer!r} does not imply one")
    architectures = root.texts("architectures") or text.texts("architectures") or []
    for name in architectures[:1]:
        if name in ARCHITECTURE_FAMILIES:
            return ARCHITECTURE_FAMILIES[name]
        root.fail("architectures", f"{name!r} is not known, and there is no model_type to go by")
    given = root.raw("model_type")
    what = "is missing" if given is None else f"{given!r} is a placeholder"
    root.fail("model_type", f"{what}, and there are no architectures to go by")


def _named(section: Keys) -> str | None:
    name = section.text("model_type")
    return None if not name or name in PLACEHOLDERS else name
