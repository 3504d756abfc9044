"""A target and its draft as one model: both keep caches of the same tokens in one pool.

vLLM 0.33 plans the draft's layers together with the target's (``v1/core/kv_cache_planning.py``); a
recurrent layer of the target keeps a state for every proposed token.
"""

from dataclasses import replace

from .errors import ConfigError
from .specs import DraftSpec, LayerSpec, ModelSpec

DRAFT = "draft."
"""Prefix of the variants of a draft's layers, so that results tell them apart."""


def with_draft(target: ModelSpec, draft: ModelSpec, num_speculative_tokens: int) -> ModelSpec:
    """A target with a draft model or head (EAGLE, DFlash, ...) that proposes some tokens a step."""
    _check_tokens(num_speculative_tokens)
    layers = tuple(_as_draft(layer, target.num_layers) for layer in draft.layers)
    offset = target.num_layers
    shared = tuple((layer + offset, owner + offset) for layer, owner in draft.shared_layers)
    known = bool(target.params_total and draft.params_total)
    return replace(
        target,
        name=f"{target.name}+{draft.name}",
        source=f"{target.source}; draft: {draft.source}",
        num_layers=target.num_layers + draft.num_layers,
        params_total=known * (target.params_total + draft.params_total),
        params_active=known * (target.params_active + draft.params_active),
        weight_bytes=known * (target.weight_bytes + draft.weight_bytes),
        layers=(*target.layers, *layers),
        shared_layers=(*target.shared_layers, *shared),
        num_speculative_tokens=num_speculative_tokens,
        draft=DraftSpec(
            num_layers=draft.num_layers,
            params=known * draft.params_total,
            weight_bytes=known * draft.weight_bytes,
        ),
        notes=(*target.notes, *(f"draft: {note}" for note in draft.notes)),
    )


def with_mtp(target: ModelSpec, num_speculative_tokens: int) -> ModelSpec:
    """A target that proposes tokens with draft layers of its own (multi-token prediction).

    Raises:
        ConfigError: The model has no such layers.
    """
    _check_tokens(num_speculative_tokens)
    if not target.draft_layers:
        raise ConfigError(
            f"{target.name} has no draft layers of its own (MTP); give a draft model instead"
        )
    layers = tuple(_as_draft(layer, target.num_layers) for layer in target.draft_layers)
    count = 1 + max(layer.block for layer in target.draft_layers)
    return replace(
        target,
        name=f"{target.name}+mtp",
        num_layers=target.num_layers + count,
        layers=(*target.layers, *layers),
        num_speculative_tokens=num_speculative_tokens,
        draft=DraftSpec(num_layers=count),
        notes=(*target.notes, "the weights of the draft layers are not counted"),
    )


def without_draft_model(target: ModelSpec, num_speculative_tokens: int) -> ModelSpec:
    """A target whose tokens are proposed without a model (n-grams): states alone keep more."""
    _check_tokens(num_speculative_tokens)
    return replace(target, num_speculative_tokens=num_speculative_tokens)


def _as_draft(layer: LayerSpec, offset: int) -> LayerSpec:
    return replace(layer, variant=f"{DRAFT}{layer.variant}", block=layer.block + offset)


def _check_tokens(num_speculative_tokens: int) -> None:
    if num_speculative_tokens < 1:
        raise ConfigError(
            f"num_speculative_tokens: {num_speculative_tokens} must be 1 or more; without "
            "speculation leave the draft out"
        )
