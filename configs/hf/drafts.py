"""Draft layers that a model brings along (multi-token prediction), and what they cache."""

from dataclasses import replace

from ..specs import LayerSpec
from .keys import Keys
from .reading import MOST_LAYERS, Reading

DRAFT_COUNTS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers")
"""Keys for their number: DeepSeek, GLM and most others; Qwen3.5; Ling."""

UNNAMED = {"qwen3_next": 1}
"""Draft layers of families whose released files leave the key out: the default of vLLM 0.33's
``models/qwen3_next_mtp.py``."""


def draft_layers(text: Keys, reading: Reading, family: str) -> tuple[LayerSpec, ...]:
    """Caches of the draft layers, numbered from 0; none where neither file nor family has any.

    A draft layer is a full layer of its model, or what the family's reader says it is.
    """
    default = UNNAMED.get(family, 0)
    count = text.integer(*DRAFT_COUNTS, default=default, least=0, most=MOST_LAYERS)
    caches = _full_block(reading) if reading.draft is None else reading.draft
    return tuple(replace(layer, block=block) for block in range(count) for layer in caches)


def _full_block(reading: Reading) -> list[LayerSpec]:
    """The caches of the last layer that keeps every token, states beside it left out."""
    for block in reversed(reading.blocks):
        caches = [layer for layer in block if layer.role in ("kv", "indexer")]
        if caches and not any(layer.window for layer in caches):
            return caches
    return []
