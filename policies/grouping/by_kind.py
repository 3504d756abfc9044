"""Jenga's grouping (SOSP 2025, section 4): the layers of one kind share a page of their own."""

from collections.abc import Sequence

from ...configs.specs import KVCacheSpec
from ..base import GroupingContext, PageGroup
from .contents import contents_of, label_of


def by_kind(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """One group per kind, window and size; a page is one block of all its layers, unpadded.

    The artifact groups by "app property" and page size (``custom_block_manager.py``), so that
    layers of one kind with different bytes per token stay apart.
    """
    del context
    groups: dict[tuple[object, ...], list[KVCacheSpec]] = {}
    for spec in specs:
        size = (spec.entry_bytes, spec.tokens_per_entry, spec.state_bytes)
        key = (label_of(spec), spec.block_size, *size)
        groups.setdefault(key, []).append(spec)
    return tuple(group_of(same) for same in groups.values())


def by_kind_exact(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """``by_kind`` with one entry per page: what a byte-exact allocator would keep."""
    return tuple(
        PageGroup(
            name=group.name,
            kind=group.kind,
            block_size=group.block_size
            if group.contents[0].state_bytes
            else group.contents[0].tokens_per_entry,
            page_bytes=group.contents[0].state_bytes or group.contents[0].entry_bytes,
            contents=group.contents,
            layers=group.layers,
            window=group.window,
            source=group.source,
        )
        for group in by_kind(specs, context)
    )


def group_of(same: Sequence[KVCacheSpec]) -> PageGroup:
    """The group of caches that are alike: a page is one block of all of them, unpadded."""
    first = same[0]
    contents = contents_of(same)
    return PageGroup(
        name=contents[0].label,
        kind=first.grows_as,
        block_size=first.block_size,
        page_bytes=len(same) * first.content_bytes,
        contents=contents,
        layers=tuple(spec.layer for spec in same),
        window=first.window,
        source="cross" if first.kind == "cross" else "text",
    )
