"""Prefix caching of a run: whether it is on, and what the trace can say about it."""

from ..configs.engine import EngineConfig
from ..configs.errors import ConfigError
from ..configs.specs import STATE_KINDS, ModelSpec
from ..policies.caching.rules import CacheRules
from ..policies.presets import Policy
from ..policies.retention import Retention, parse_retention
from ..traces import Trace

OFF = Retention(enabled=False)


def chosen_retention(
    policy: Policy, model: ModelSpec, engine: EngineConfig
) -> tuple[Retention, list[str]]:
    """What stays cached, by policy, flag and model; and what the user should know about it.

    Raises ConfigError if caching is asked for where there is none.
    """
    retention = parse_retention(policy.retention)
    asked = engine.enable_prefix_caching
    if asked and not retention.enabled:
        raise ConfigError(
            f"engine.enable_prefix_caching: policy {policy.name} caches nothing (retention none); "
            "use --policy vllm, or --policy vllm --set policy.retention=dense"
        )
    if asked is False or not retention.enabled:
        return OFF, []
    if not (policy.carving == "single" and policy.grouping.startswith("vllm")):
        raise ConfigError(
            f"policy.retention: {policy.retention} needs grouping vllm or vllm_nohybrid and "
            f"carving single; policy {policy.name} has {policy.grouping} and {policy.carving}"
        )
    if model.has_cross:
        return OFF, ["vLLM caches no prefix of a model with cross attention: caching is off"]
    if all(layer.kind in STATE_KINDS for layer in model.layers):
        return OFF, ["vLLM caches no prefix of a model without attention: caching is off"]
    if model.has_state and not engine.enable_chunked_prefill:
        raise ConfigError(
            "engine.enable_chunked_prefill: a prefix cache of recurrent states cuts prompts at "
            "block boundaries; switch chunked prefill on or prefix caching off"
        )
    return retention, []


def hash_warnings(trace: Trace, cache: CacheRules | None) -> list[str]:
    """What the trace's hash ids can and cannot say about this cache."""
    if not len(trace.hash_ids):
        return ["the trace has no hash_ids: no prefix is shared"] if cache is not None else []
    if cache is None:
        return [
            "prefix caching is off: the trace's hash_ids are not used, and an engine that caches "
            "computes less"
        ]
    warnings: list[str] = []
    unit, block = cache.hash_block_size, trace.block_size
    sparse = sorted({group.kind for group in cache.groups if group.kind != "full"})
    if unit < block and sparse:
        warnings.append(
            f"pages of {unit} tokens are finer than the trace's hash ids ({block} tokens): where "
            f"two prompts part is known to {block} tokens only, so hits that need a {sparse[0]} "
            "block at the end of a prompt are underestimated"
        )
    if unit > block or block % unit:
        warnings.append(
            f"blocks of {unit} tokens do not divide the trace's hash blocks of {block}: a shared "
            "prefix counts up to the last block that ends inside it, so hits are underestimated"
        )
    return warnings
