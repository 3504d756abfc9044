"""Layers that predict several tokens at once: a draft of their own, beside the model."""

from ..keys import Keys
from .blocks import hidden_of, layers_of
from .family import Family
from .tensors import Tensors

SAME_AS_LAST = frozenset(
    {"deepseek_v3", "deepseek_v32", "kimi_k2", "glm4_moe", "glm4_moe_lite", "glm_moe_dsa"}
)
"""Families whose extra layers are like their last one, with a projection and three norms."""


def prediction_layers(text: Keys, name: str, family: Family) -> int:
    """Parameters of the extra layers, without the tables that they share; 0 where unknown."""
    count = text.optional_integer("num_nextn_predict_layers")
    if count is None or name not in SAME_AS_LAST:
        return 0
    last = layers_of(text) - 1
    layer = sum(_one(tensor) for tensor in family.body(text) if last in tensor.layers)
    hidden = hidden_of(text)
    return count * (layer + 2 * hidden * hidden + 3 * hidden)


def _one(tensor: Tensors) -> int:
    return tensor.total // len(tensor.layers)
