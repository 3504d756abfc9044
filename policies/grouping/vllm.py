"""The KV cache groups of vLLM 0.33 (``v1/core/kv_cache_planning.py``).

In the default layout all groups share pages of one size: layers are merged where one block table
can serve them, block sizes are scaled until pages are alike, and what remains is padded. Layouts
with the blocks outermost pack pages of several sizes instead (``packed.py``).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from ...configs.errors import ConfigError
from ...configs.pairs import DRAFT
from ...configs.specs import KVCacheSpec, cdiv
from ..base import GroupingContext, KVCacheLayout, PageGroup
from .contents import contents_of
from .layer_groups import (
    MLA,
    LayerGroup,
    Specs,
    bytes_per_block,
    has_vector_windows,
    layer_name,
    mergeable,
    promote_local,
    promote_or_refuse,
    refused,
    uniform_type,
)
from .layout import block_outermost, check_layout, layout_of
from .packed import packed_groups


def vllm(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """Groups of the hybrid KV cache manager, vLLM's default."""
    return to_page_groups(vllm_layer_groups(specs, context))


def vllm_nohybrid(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """Groups under ``--disable-hybrid-kv-cache-manager``: windows are kept like full attention.

    vLLM itself refuses that flag where states or cross attention stand beside the attention
    ("Failed to promote local KV cache specs"), where windows differ, and for DeepSeek-V4 (it trips
    over its own specs); there the windows are promoted here all the same. ``vllm_layer_groups``
    refuses as vLLM does.
    """
    return to_page_groups(vllm_layer_groups(promote_local(list(specs)), context))


def vllm_layer_groups(
    specs: Sequence[KVCacheSpec], context: GroupingContext, *, hybrid: bool = True
) -> list[LayerGroup]:
    """Groups exactly as vLLM makes them, or ConfigError with its words where it refuses.

    ``get_kv_cache_groups`` and the check of the layout that follows it.
    """
    if not specs:
        raise ConfigError("the model caches nothing: there are no layers to group")
    layers = list(specs) if hybrid else promote_or_refuse(list(specs))
    layout = context.kv_cache_layout or layout_of(specs)
    groups = _group(layers, layout)
    check_layout(layout, groups)
    return groups


def align_hybrid_block_size(specs: Sequence[KVCacheSpec], block_size: int) -> list[KVCacheSpec]:
    """Give attention a block so large that its page holds a state, and pad the states to it.

    ``vllm/platforms/interface.py``, ``_align_hybrid_block_size``: a multiple of the kernel's block
    (``block_size`` here; at least 128 with MLA), and of the tokens at which prefills can export
    states in mode ``align`` (``get_mamba_prefill_checkpoint_alignment``). Models without
    states are returned unchanged, as are layers with blocks of their own. A draft's layers take
    the target's block; ``_unify_page_size`` pads states to their pages where those are larger.
    """
    state_page = max((spec.state_bytes for spec in specs if spec.is_state), default=0)
    attention = [spec for spec in specs if not spec.is_state and spec.block_size == block_size]
    # vLLM takes the page of one token as if an entry stood for no more.
    target = [spec for spec in attention if not spec.variant.startswith(DRAFT)]
    per_token = max((spec.entry_bytes for spec in target or attention), default=0)
    if state_page == 0 or per_token == 0:
        return list(specs)
    align = max(block_size, 128 if any(spec.kind == "mla" for spec in specs) else 16)
    align = math.lcm(
        align, _checkpoint_alignment(specs), *(spec.tokens_per_entry for spec in attention)
    )
    aligned = align * cdiv(state_page, align * per_token)
    aligned = max(aligned, block_size)
    page = aligned * per_token
    return [
        replace(spec, page_size_padded=page)
        if spec.is_state
        else replace(spec, block_size=aligned if spec in attention else spec.block_size)
        for spec in specs
    ]


def _checkpoint_alignment(specs: Sequence[KVCacheSpec]) -> int:
    """Multiple of tokens on which all states can be exported in mid-prefill; 1 if some cannot."""
    states = [spec for spec in specs if spec.is_state]
    if not all(spec.num_checkpoint_blocks for spec in states):
        return 1
    return math.lcm(*(spec.checkpoint_alignment for spec in states))


def _group(specs: Specs, layout: KVCacheLayout) -> list[LayerGroup]:
    if mergeable(specs):
        return [LayerGroup(tuple(specs))]
    if uniform_type(specs):
        return [LayerGroup(tuple(specs), uniform_type=True)]
    sizes = {spec.page_size_bytes for spec in specs}
    if block_outermost(layout) and len(sizes) > 1:
        return packed_groups(specs)
    unified = _unify_page_size(specs)
    if unified is None:
        return [LayerGroup(tuple(promote_local(specs)), uniform_type=True)]
    return [LayerGroup(tuple(group)) for group in _split_evenly(_buckets(unified))]


def _unify_page_size(specs: Specs) -> Specs | None:
    """Scale or pad every page to the largest; None where vLLM falls back to full allocation."""
    largest = max(spec.page_size_bytes for spec in specs)
    unified: Specs = []
    for spec in specs:
        if spec.page_size_bytes == largest:
            unified.append(spec)
        elif spec.is_state:
            unified.append(replace(spec, page_size_padded=largest))
        elif largest % spec.page_size_bytes == 0:
            unified.append(_scaled(spec, largest // spec.page_size_bytes))
        elif spec.kind in MLA:
            return _full_allocation_or_refuse(specs, spec, largest)
        else:
            unified.append(replace(spec, page_size_padded=largest))
    return unified


def _scaled(spec: KVCacheSpec, ratio: int) -> KVCacheSpec:
    """A block ``ratio`` times as long; vLLM asserts that the page grows with it."""
    if spec.page_size_padded is not None:
        raise refused(
            "AssertionError",
            f"{layer_name(spec)} has a page padded to {spec.page_size_padded} bytes, smaller than "
            "that of other layers; leave its padding out.",
        )
    return replace(spec, block_size=spec.block_size * ratio)


def _full_allocation_or_refuse(specs: Specs, spec: KVCacheSpec, largest: int) -> None:
    """MLA rows cannot be padded: vLLM then promotes sliding windows, or gives up."""
    promoted = promote_local(specs)
    kinds = {each.kind for each in specs}
    none = "chunked_local" in kinds or has_vector_windows(specs) or "sliding_window" not in kinds
    if none or not uniform_type(promoted):
        raise refused(
            f"NotImplementedError: Layer {layer_name(spec)}: page size is not divisible by the "
            "maximum page size and cannot be padded.",
            f"The {spec.variant} page of {spec.page_size_bytes} bytes does not divide the largest "
            f"page, {largest} bytes, and MLA pages cannot be padded. Use another policy, or "
            "--block-size to change the pages.",
        )


def _buckets(specs: Specs) -> list[Specs]:
    """Layers that merge together, in order of first appearance."""
    buckets: list[Specs] = []
    for spec in specs:
        for bucket in buckets:
            if mergeable([bucket[0], spec]):
                bucket.append(spec)
                break
        else:
            buckets.append([spec])
    return buckets


def _split_evenly(buckets: list[Specs]) -> list[Specs]:
    """Groups of one size: the smallest bucket's, or the largest's if that is under 1.5 times it."""
    sizes = [len(bucket) for bucket in buckets]
    group_size = max(sizes) if max(sizes) < min(sizes) * 1.5 else min(sizes)
    groups: list[Specs] = []
    for bucket in buckets:
        count = cdiv(len(bucket), group_size)
        groups.extend(bucket[i::count] for i in range(count))
    return groups


def to_page_groups(groups: Sequence[LayerGroup]) -> tuple[PageGroup, ...]:
    """Every page has the bytes of the largest group's."""
    page_bytes = bytes_per_block(groups)
    return tuple(_page_group(index, group, page_bytes) for index, group in enumerate(groups))


def _page_group(index: int, group: LayerGroup, page_bytes: int) -> PageGroup:
    first = group.first
    contents = contents_of(group.specs)
    return PageGroup(
        name=f"{index}:{'+'.join(content.label for content in contents)}",
        kind=first.grows_as,
        block_size=group.block_size,
        page_bytes=page_bytes,
        contents=contents,
        layers=tuple(spec.layer for spec in group.specs),
        window=0 if first.grows_as == "full" else first.window,
        source="cross" if first.kind == "cross" else "text",
        spec=first,
    )
