"""What groups mean for prefix caching: block sizes, lookup classes, and what vLLM 0.33 refuses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...configs.errors import ConfigError
from ...configs.specs import KVCacheSpec
from ..base import PageGroup
from ..demand import admission_pages
from ..demand_kernels import rule_rows
from . import layout
from .layout import IntArray

NO_LIMIT = 1 << 60


@dataclass(frozen=True, kw_only=True)
class CacheRules:
    """How prefixes of a set of groups are hashed and hit."""

    groups: tuple[PageGroup, ...]
    """Each with the ``spec`` that stands for it."""
    enabled: bool
    retention: int | None
    """``prefix_cache_retention_interval``: tokens; 0 boundaries only; None everything."""

    @property
    def specs(self) -> tuple[KVCacheSpec, ...]:
        """The cache that stands for each group."""
        return tuple(group.spec for group in self.groups if group.spec is not None)

    @property
    def scheduler_block_size(self) -> int:
        """Hits are a multiple of it."""
        return self._block_sizes[0]

    @property
    def hash_block_size(self) -> int:
        """Tokens per key."""
        return self._block_sizes[1]

    @property
    def _block_sizes(self) -> tuple[int, int]:
        whole = any(spec.is_state and spec.mamba_cache_mode == "none" for spec in self.specs)
        sizes = [group.block_size for group in self.groups]
        return resolve_block_sizes(sizes, whole_states=whole, enabled=self.enabled)

    @property
    def hits_within_blocks(self) -> bool:
        """Whether hits may end inside a block (``partial_hash_hits_enabled``)."""
        unit = self.hash_block_size
        if not self.enabled or len(self.groups) == 1:
            return False
        coarse = any(g.block_size > unit for g in self.groups if g.is_aligned)
        fine = (g.kind == "full" or g.is_aligned or g.block_size == unit for g in self.groups)
        return coarse and all(fine)

    @property
    def has_aligned_states(self) -> bool:
        """Whether some group keeps states at block boundaries."""
        return any(group.is_aligned for group in self.groups)

    def state_blocks(self) -> dict[str, int]:
        """Settings of the scheduler that make chunks end where states are kept."""
        if not (self.enabled and self.has_aligned_states):
            return {}
        unit = self.hash_block_size if self.hits_within_blocks else 0
        smallest = min(group.block_size for group in self.groups)
        return {"state_block_size": smallest, "state_hash_size": unit}

    @property
    def lookup_classes(self) -> tuple[int, ...]:
        """For each group, which of the equal groups it is looked up with; full attention first."""
        keys = [_lookup_key(spec) for spec in self.specs]
        full = {key for key, group in zip(keys, self.groups, strict=True) if group.kind == "full"}
        order = sorted(dict.fromkeys(keys), key=lambda key: key not in full)
        return tuple(order.index(key) for key in keys)


def resolve_block_sizes(
    sizes: Sequence[int], *, whole_states: bool, enabled: bool
) -> tuple[int, int]:
    """Block sizes of the scheduler and of the keys, from those of the groups.

    ``resolve_kv_cache_block_sizes``: the least common multiple, and the greatest common divisor
    unless nothing is cached or a state stands for a whole request.
    """
    common = math.lcm(*sizes)
    return common, math.gcd(*sizes) if enabled and not whole_states else common


def cache_rules(groups: Sequence[PageGroup], *, enabled: bool, retention: int | None) -> CacheRules:
    """Rules for ``groups``; raises ConfigError for what vLLM 0.33 does not start with."""
    if any(group.spec is None for group in groups):
        raise ConfigError("prefix caching needs groups of one kind each; use grouping 'vllm'")
    rules = CacheRules(groups=tuple(groups), enabled=enabled, retention=retention)
    if enabled:
        _check_kinds(rules)
    _check_retention(rules)
    return rules


def _check_kinds(rules: CacheRules) -> None:
    if any(spec.is_state and spec.mamba_cache_mode == "none" for spec in rules.specs):
        raise ConfigError(
            "prefix caching keeps states at block boundaries: mode 'none' of a Mamba layer needs "
            "enable_prefix_caching false"
        )
    if any(g.kind == "cross" for g in rules.groups):
        raise ConfigError("vLLM 0.33 caches no prefix of a model with cross attention")
    if any(g.kind == "chunked_local" for g in rules.groups):
        block = rules.scheduler_block_size
        alignment = rules.hash_block_size if rules.hits_within_blocks else block
        if any(g.kind == "chunked_local" and g.block_size != alignment for g in rules.groups):
            raise ConfigError(
                "vLLM 0.33 itself stops here: it cannot look up chunked local attention beside "
                "groups of another block size; switch prefix caching or the hybrid manager off"
            )


def _check_retention(rules: CacheRules) -> None:
    block = rules.scheduler_block_size
    retained = any(g.kind == "sliding_window" for g in rules.groups) or any(
        spec.is_state for spec in rules.specs
    )
    interval = rules.retention
    if interval and not retained:
        raise ConfigError(
            f"retention interval {interval}: the model has no sliding window and no states, so all "
            "blocks are kept anyway; use junction or dense (in a case: 0 or null)"
        )
    if interval is not None and (interval < 0 or interval % block):
        raise ConfigError(
            f"retention interval {interval}: must be a multiple of all block sizes, that is of "
            f"{block} tokens"
        )


def _lookup_key(spec: KVCacheSpec) -> tuple[object, ...]:
    window = 0 if spec.grows_as == "full" else spec.window
    family = "mla" if spec.kind in ("mla", "indexer") else spec.grows_as
    return (family, window, spec.block_size, spec.shape, spec.page_size_padded)


def rule_arrays(
    rules: CacheRules, *, max_in_flight_tokens: int, max_model_len: int
) -> tuple[IntArray, IntArray]:
    """The arrays ``rules`` and ``settings`` of ``layout``."""
    columns = np.zeros((layout.NUM_RULES, len(rules.groups)), dtype=np.int64)
    of_demand = rule_rows(rules.groups)
    columns[: len(of_demand)] = of_demand
    columns[layout.CAP] = NO_LIMIT
    columns[layout.LOOKUP] = classes = rules.lookup_classes
    for index, group in enumerate(rules.groups):
        if group.is_aligned:
            columns[layout.KIND, index] = layout.ALIGNED
        if group.kind in ("sliding_window", "chunked_local"):
            limits = (max_in_flight_tokens, max_model_len)
            columns[layout.CAP, index] = admission_pages(group, NO_LIMIT, 0, *limits)
    within = rules.hits_within_blocks
    block, unit = rules.scheduler_block_size, rules.hash_block_size
    settings = np.zeros(6, dtype=np.int64)
    settings[layout.HASH_BLOCK] = unit
    settings[layout.ALIGNMENT] = unit if within else block
    settings[layout.ROUNDING] = 1 if within or len(rules.groups) == 1 else block
    settings[layout.RETENTION] = layout.DENSE if rules.retention is None else rules.retention
    settings[layout.CACHING] = int(rules.enabled)
    settings[layout.CLASSES] = max(classes) + 1
    return columns, settings
