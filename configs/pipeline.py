"""Pipeline parallelism: which layers, caches and weights each stage has."""

from dataclasses import dataclass, replace
from itertools import pairwise

from .errors import ConfigError
from .specs import DraftSpec, ModelSpec


@dataclass(frozen=True)
class Stage:
    """One stage: decoder layers ``first`` to ``last`` and the model that they make."""

    first: int
    last: int
    """Inclusive; the draft's layers count, they are on the last stage."""
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

    The target's layers are dealt out; a draft is whole on the last stage, as vLLM 0.33 has it
    (``v1/worker/gpu_model_runner.py``).

    Raises:
        ConfigError: There are more stages than layers, or a layer reads a cache that lies on
            another stage.
    """
    own = model.num_layers - (model.draft.num_layers if model.draft else 0)
    if not 1 <= stages <= own:
        raise ConfigError(
            f"engine.pipeline_parallel_size: {stages} stages cannot share the "
            f"{own} layers of {model.name}"
        )
    if stages == 1:
        return (Stage(0, model.num_layers - 1, model),)
    *firsts, last = stage_layers(own, stages)
    deals = (*firsts, range(last.start, model.num_layers))
    for layer, owner in model.shared_layers:
        if not any(layer in deal and owner in deal for deal in deals):
            raise ConfigError(
                f"engine.pipeline_parallel_size: with {stages} stages layer {layer} of "
                f"{model.name} is parted from layer {owner}, whose cache it reads"
            )
    return tuple(Stage(deal.start, deal.stop - 1, _stage(model, deal, own)) for deal in deals)


def _stage(model: ModelSpec, deal: range, own: int) -> ModelSpec:
    """The stage of the layers ``deal``; ``own``: layers of the target."""
    draft = model.draft if model.draft and deal.stop == model.num_layers else None
    params, weight_bytes = _target_share(model, deal, own)
    params += draft.params if draft else 0
    return replace(
        model,
        name=f"{model.name}[{deal.start}-{deal.stop - 1}]",
        num_layers=len(deal),
        params_total=params,
        params_active=min(params, model.params_active),
        weight_bytes=weight_bytes + (draft.weight_bytes if draft else 0),
        layers=tuple(layer for layer in model.layers if layer.block in deal),
        shared_layers=tuple(pair for pair in model.shared_layers if pair[0] in deal),
        draft=draft,
    )


def _target_share(model: ModelSpec, deal: range, own: int) -> tuple[int, int]:
    """Parameters and weight bytes of a stage, a draft's left out; 0 where they are not known."""
    draft = model.draft or DraftSpec(num_layers=0)
    total = model.params_total - draft.params
    if not total:
        return 0, 0
    embedding = model.vocab_size * model.hidden_size
    ends = (deal.start == 0) + (deal.stop == model.num_layers)
    body = max(total - embedding * (1 if model.tied_embeddings else 2), 0)
    params = body * len(range(deal.start, min(deal.stop, own))) // own + embedding * ends
    return params, int(params * ((model.weight_bytes - draft.weight_bytes) / total))
