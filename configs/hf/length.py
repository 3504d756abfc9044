"""The longest sequence of a model, as vLLM 0.33 derives it from a config.json."""

from ..specs import NO_LIMIT
from .keys import Keys

LENGTH_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
    "context_length",
)
"""vLLM's list (``transformers_utils/model_arch_config_convertor.py``), and RWKV's key."""

UNSCALED = frozenset(
    {"su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling", "default"}
)
"""Rotary scalings whose length in the file is already the long one (``config/model.py``)."""

CLASS_LENGTHS = {"gemma3_text": 131072, "gemma3n_text": 32768, "gemma4_text": 131072}
"""Lengths that released files leave to the class (transformers 5.23)."""

DEFAULT_LENGTH = 2048
"""What vLLM assumes where no key says it."""


def max_model_len(text: Keys, family: str) -> tuple[int, list[str]]:
    """Tokens, and a note where they had to be assumed.

    The smallest of the keys counts; Cohere's ``model_max_length`` wins if it is there. A linear or
    dynamic rotary scaling multiplies it, longrope goes back to the original length.
    """
    lengths = [text.integer(name) for name in LENGTH_KEYS if name in text]
    if not lengths:
        if family in CLASS_LENGTHS:
            length = CLASS_LENGTHS[family]
            return length, [f"no key gives the longest sequence: {length:,} tokens by class"]
        why = f"no key gives the longest sequence: {DEFAULT_LENGTH:,} tokens assumed, as in vLLM"
        return DEFAULT_LENGTH, [why]
    length = text.integer("model_max_length", default=min(lengths))
    scaling = text.section("rope_scaling") or text.section("rope_parameters")
    if scaling is None:
        return length, []
    kind = scaling.text("rope_type", "type", default="default")
    if kind in ("longrope", "su"):
        return text.integer("original_max_position_embeddings", default=length), []
    if kind in UNSCALED or "gemma3" in family or "factor" not in scaling:
        return length, []
    return max(1, int(length * scaling.number("factor"))), []


def max_positions(text: Keys, family: str) -> int | None:
    """Largest length that vLLM lets a user choose; None where it is that of ``max_model_len``."""
    lengths = [text.integer(name) for name in LENGTH_KEYS if name in text]
    if not lengths:
        return None if family in CLASS_LENGTHS else NO_LIMIT
    length = text.integer("model_max_length", default=min(lengths))
    return None if length <= max_model_len(text, family)[0] else length
