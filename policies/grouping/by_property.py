"""Grouping of Jenga's artifact: by page size and "app property" of every single cache.

Unlike ``by_kind`` the tensors of a state (convolution, SSM) are caches of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...configs.specs import KVCacheSpec
from ..base import GroupingContext, PageGroup
from .by_kind import group_of

STATE_CHUNK = 512
"""Tokens between states that later requests can resume from."""


def by_property(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """One group per page size, kind and window, in the order in which page sizes first appear."""
    del context
    caches: dict[int, dict[tuple[str, int], list[KVCacheSpec]]] = {}
    for spec in specs:
        for cache in tensors_of(spec):
            same_size = caches.setdefault(cache.content_bytes, {})
            same_size.setdefault((cache.kind, cache.window), []).append(cache)
    return tuple(group_of(same) for groups in caches.values() for same in groups.values())


def tensors_of(spec: KVCacheSpec) -> Iterator[KVCacheSpec]:
    """The cache of a layer, or one for every tensor of its state."""
    if not spec.is_state:
        yield spec
        return
    for index, size in enumerate(spec.state_sizes or (spec.state_bytes,)):
        yield replace(spec, variant=f"{spec.variant}.{index}", state_bytes=size, state_sizes=())
