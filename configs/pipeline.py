"""Pipeline parallelism: which layers, caches and weights each stage has."""

from dataclasses import dataclass, replace
from itertools import pairwise

from .errors import ConfigError
from .specs import ModelSpec


@dataclass(frozen=True)
class Stage:
    """One stage: decoder layers ``first`` to ``last`` and the model that they make."""

    first: int
    last: int
    """Inclusive."""
    model: ModelSpec
    """Caches of these layers; weights by the share of layers, embeddings at both ends."""


def stage_layers(num_layers: int, stages: int) -> tuple[range, ...]:
    """Layers per stage as vLLM 0.33 deals them out (``distributed/utils.py``, ``get_pp_indices``).

    What does not divide evenly goes to the last stages but one, which have no output head.
    """
    each, rest = divmod(num_layers, stages)
    last = stages - 1
    counts = [each + (last - rest <= index < last) for index in range(stages)]
    starts = [sum(counts[:index]) for index in range(stages + 1)]
    return tuple(range(start, end) for start, end in pairwise(starts))


def pipeline_stages(model: ModelSpec, stages: int) -> tuple[Stage, ...]:
    """The stages of a model.

    Raises:
        ConfigError: There are more stages than layers, or a layer reads a cache that lies on
            another stage.
    """
    if not 1 <= stages <= model.num_layers:
        raise ConfigError(
            f"engine.pipeline_parallel_size: {stages} stages cannot share the "
            f"{model.num_layers} layers of {model.name}"
        )
    if stages == 1:
        return (Stage(0, model.num_layers - 1, model),)
    deals = stage_layers(model.num_layers, stages)
    for layer, owner in model.shared_layers:
        if not any(layer in deal and owner in deal for deal in deals):
            raise ConfigError(
                f"engine.pipeline_parallel_size: with {stages} stages layer {layer} of "
                f"{model.name} is parted from layer {owner}, whose cache it reads"
            )
    return tuple(
        Stage(deal.start, deal.stop - 1, _stage(model, deal, index, stages))
        for index, deal in enumerate(deals)
    )


def _stage(model: ModelSpec, deal: range, index: int, stages: int) -> ModelSpec:
    embedding = model.vocab_size * model.hidden_size
    per_param = model.weight_bytes / model.params_total
    ends = (index == 0) + (index == stages - 1)
    tables = embedding * (ends if stages > 1 or not model.tied_embeddings else 1)
    body = max(model.params_total - embedding * (1 if model.tied_embeddings else 2), 0)
    params = body * len(deal) // model.num_layers + tables
    return replace(
        model,
        name=f"{model.name}[{deal.start}-{deal.stop - 1}]",
        num_layers=len(deal),
        params_total=params,
        params_active=min(params, model.params_active),
        weight_bytes=int(params * per_param),
        layers=tuple(layer for layer in model.layers if layer.block in deal),
        shared_layers=tuple(pair for pair in model.shared_layers if pair[0] in deal),
    )
