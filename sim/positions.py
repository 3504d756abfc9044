"""Lengths that vLLM 0.33 refuses because the model has fewer positions (``config/model.py``)."""

from ..configs.specs import ModelSpec


def beyond_positions(model: ModelSpec, max_model_len: int) -> list[str]:
    """What to say of a ``max_model_len`` beyond the model's positions; nothing within them."""
    if max_model_len <= model.positions:
        return []
    return [
        f"max_model_len {max_model_len:,} is beyond the model's {model.positions:,} positions; "
        'vLLM 0.33 refuses it ("User-specified max_model_len ... is greater than the derived '
        'max_model_len") unless VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 is set'
    ]
