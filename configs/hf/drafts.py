"""Draft layers that a model brings along (multi-token prediction), and what they cache."""

from dataclasses import replace

from ..specs import LayerSpec
from .keys import Keys
from .reading import MOST_LAYERS, Reading

DRAFT_COUNTS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers")
"""Keys for their number: DeepSeek, GLM and most others; Qwen3.5; Ling."""


def draft_layers(text: Keys, reading: Reading) -> tuple[LayerSpec, ...]:
    """Caches of the draft layers, numbered from 0; none where the file names none.

    A draft layer is a full layer of its model, or what the family's reader says it is.
    """
    count = text.integer(*DRAFT_COUNTS, default=0, least=0, most=MOST_LAYERS)
    caches = _full_block(reading) if reading.draft is None else reading.draft
    return tuple(replace(layer, block=block) for block in range(count) for layer in caches)


def _full_block(reading: Reading) -> list[LayerSpec]:
    """The caches of the last layer that keeps every token, states beside it left out."""
    for block in reversed(reading.blocks):
        caches = [layer for layer in block if layer.role in ("kv", "indexer")]
        if caches and not any(layer.window for layer in caches):
            return caches
    return []
