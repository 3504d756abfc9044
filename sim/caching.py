"""Prefix caching of a run: whether it is on, and what the trace can say about it."""

from collections.abc import Sequence

from ..configs.engine import EngineConfig
from ..configs.errors import ConfigError
from ..configs.specs import STATE_KINDS, ModelSpec
from ..policies.base import PageGroup
from ..policies.presets import Policy
from ..policies.retention import Retention, parse_retention
from ..traces import Trace
from ..traces.inspection import sharing_of
from ..traces.stats import PrefixFigures

OFF = Retention(enabled=False)
NO_IDS = (
    "the trace has no hash_ids: no prefix is shared; --prefix-model makes some up (docs/traces.md)"
)


def chosen_retention(
    policy: Policy, model: ModelSpec, engine: EngineConfig
) -> tuple[Retention, list[str]]:
    """What stays cached, by policy, flag and model; and what the user should know about it.

    Raises ConfigError if caching is asked for where there is none.
    """
    retention = parse_retention(policy.retention)
    asked = engine.enable_prefix_caching
    if asked and not retention.enabled:
        advice = "use --policy vllm"
        if policy.grouping.startswith("vllm"):
            advice = "set policy.retention to junction or dense"
        raise ConfigError(
            f"engine.enable_prefix_caching: policy {policy.name} caches nothing (retention none); "
            f"{advice}"
        )
    if asked is False or not retention.enabled:
        return OFF, []
    if policy.has_large_pages:
        if retention.interval is not None:
            raise ConfigError(
                f"policy.retention: carving {policy.carving} keeps all (dense) or nothing (none), "
                f"not {policy.retention}"
            )
    elif not (policy.carving == "single" and policy.grouping.startswith("vllm")):
        raise ConfigError(
            f"policy.retention: {policy.retention} needs grouping vllm or vllm_nohybrid and "
            f"carving single, or carving lcm or lcm-frugal; policy {policy.name} has "
            f"{policy.grouping} and {policy.carving}. Set policy.retention=none"
        )
    if not caches_prefixes(model):
        what = "with cross attention" if model.has_cross else "without attention"
        return OFF, [f"no prefix of a model {what} is cached: caching is off"]
    if policy.has_large_pages:
        return retention, []
    if policy.scheduler == "v0" and model.has_state:
        raise ConfigError(
            "policy.scheduler: v0 computes prompts whole; vLLM's cache of recurrent states needs "
            "chunks that end at block boundaries. Use v1, or policy.retention=none"
        )
    if model.has_state and not engine.enable_chunked_prefill:
        raise ConfigError(
            "engine.enable_chunked_prefill: a prefix cache of recurrent states cuts prompts at "
            "block boundaries; switch chunked prefill on or prefix caching off"
        )
    return retention, []


def caches_prefixes(model: ModelSpec) -> bool:
    """Whether vLLM keeps prefixes of this model at all."""
    return not model.has_cross and any(layer.kind not in STATE_KINDS for layer in model.layers)


def vllm_caches(model: ModelSpec, engine: EngineConfig) -> bool:
    """Whether vLLM caches prefixes of this model under these settings."""
    return engine.enable_prefix_caching is not False and caches_prefixes(model)


def hash_warnings(trace: Trace, groups: Sequence[PageGroup], unit: int) -> list[str]:
    """What the trace's hash ids can and cannot say about a cache of these groups.

    ``unit``: tokens per key; 0 where nothing is cached.
    """
    if not trace.has_hashes:
        return [NO_IDS] if unit else []
    if not unit:
        return [
            "prefix caching is off: the trace's hash_ids are not used, and an engine that caches "
            "computes less"
        ]
    sharing = sharing_of(trace)
    assert sharing is not None
    warnings = _odd_ids(trace, sharing.conflicts)
    block = trace.block_size
    sparse = any(group.kind not in ("full", "chunked_local") for group in groups)
    if unit < block and sparse:
        warnings.append(_too_fine(sharing, block, unit))
    if block % unit and unit % block:
        warnings.append(
            f"blocks of {unit} tokens do not divide the trace's hash blocks of {block}: a shared "
            "prefix counts up to the last block that ends inside it, so hits are underestimated"
        )
    return warnings


def _odd_ids(trace: Trace, conflicts: int) -> list[str]:
    """Ids that do not name prefixes, and prompts without any."""
    warnings: list[str] = []
    if conflicts:
        warnings.append(
            f"the trace's hash ids name contents, not prefixes ({conflicts} of them follow "
            "different ids): prompts that share blocks after different beginnings hit them here"
        )
    without = int(trace.lacks_hashes.sum())
    if without:
        warnings.append(f"{without} of {len(trace)} requests have no hash_ids: they share nothing")
    return warnings


def _too_fine(sharing: PrefixFigures, block: int, unit: int) -> str:
    """How much hangs on ends of prompts, which ids know to a block of the trace only.

    Windows and states are kept where a prompt ends. That is inside a block whose id no other prompt
    has, although a prompt that goes on from there shares its tokens.
    """
    ideal = sharing.token_hit
    chain = 1.0 if sharing.chain_share is None else sharing.chain_share
    return (
        f"pages of {unit} tokens are finer than the trace's hash ids ({block} tokens), "
        f"and windows and states are kept where prompts end: {ideal * chain:.1%} of the prompt "
        f"tokens (of an ideal hit of {ideal:.1%}) continue an earlier prompt whose end is known to "
        f"{block} tokens only, so hits are underestimated by up to that"
    )
