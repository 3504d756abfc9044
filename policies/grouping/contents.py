"""Shared by the groupings: from the caches of some layers to what their common page stores."""

from collections.abc import Sequence

from ...configs.specs import KVCacheSpec
from ..base import Content


def label_of(spec: KVCacheSpec) -> str:
    """Name of a cache in every per-kind result: variant, and window where it has one."""
    return f"{spec.variant}({spec.window})" if spec.window else spec.variant


def contents_of(specs: Sequence[KVCacheSpec]) -> tuple[Content, ...]:
    """Merge the caches of ``specs`` by label, in order of first appearance."""
    by_label: dict[str, list[KVCacheSpec]] = {}
    for spec in specs:
        by_label.setdefault(label_of(spec), []).append(spec)
    return tuple(
        Content(
            label=label,
            kind=same[0].kind,
            layers=len(same),
            entry_bytes=sum(spec.entry_bytes for spec in same),
            tokens_per_entry=same[0].tokens_per_entry,
            state_bytes=sum(spec.state_bytes for spec in same if spec.is_state),
            window=same[0].window,
        )
        for label, same in by_label.items()
    )
