"""The KV cache groups of vLLM 0.33 (``v1/core/kv_cache_planning.py``), default memory layout.

All groups share pages of one size: layers are merged where one block table can serve them, block
sizes are scaled until pages are alike, and what remains is padded.
"""

from collections.abc import Sequence
from dataclasses import replace

from ...configs.errors import ConfigError
from ...configs.specs import KVCacheSpec, cdiv
from ..base import GroupingContext, PageGroup
from .contents import contents_of

Specs = list[KVCacheSpec]
_LOCAL = ("sliding_window", "chunked_local")
_MLA = ("mla", "indexer")


def vllm(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """Groups of the hybrid KV cache manager, vLLM's default."""
    del context
    return _to_page_groups(_group(list(specs)))


def vllm_nohybrid(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """Groups under ``--disable-hybrid-kv-cache-manager``: windows are kept like full attention.

    vLLM itself refuses that flag where states or cross attention stand beside the attention
    ("Failed to promote local KV cache specs"); there only the windows are promoted here.
    """
    del context
    return _to_page_groups(_group(promote_local(list(specs))))


def promote_local(specs: Specs) -> Specs:
    """Let windowed layers allocate like full attention if full attention is present.

    Uniform mixtures stay as they are, as in ``_promote_local_kv_cache_specs``.
    """
    sizes = {spec.block_size for spec in specs if spec.grows_as == "full"}
    if _uniform_type(specs) or not sizes:
        return specs
    block_size = sizes.pop() if len(sizes) == 1 else None
    return [
        replace(spec, keeps_all=True, block_size=block_size or spec.block_size)
        if spec.kind in _LOCAL
        else spec
        for spec in specs
    ]


def align_hybrid_block_size(specs: Sequence[KVCacheSpec], block_size: int) -> list[KVCacheSpec]:
    """Give attention a block so large that its page holds a state, and pad the states to it.

    ``vllm/platforms/interface.py``, ``_align_hybrid_block_size``: a multiple of the kernel's block
    (``block_size`` here; at least 128 with MLA). Models without states are returned unchanged.
    """
    state_page = max((spec.state_bytes for spec in specs if spec.is_state), default=0)
    per_token = max((spec.bytes_per_token for spec in specs if not spec.is_state), default=0)
    if state_page == 0 or per_token == 0:
        return list(specs)
    align = max(block_size, 128 if any(spec.kind == "mla" for spec in specs) else 16)
    aligned = align * cdiv(state_page, align * per_token)
    aligned = max(aligned, block_size)
    page = aligned * per_token
    return [
        replace(spec, page_size_padded=page) if spec.is_state else replace(spec, block_size=aligned)
        for spec in specs
    ]


def _group(specs: Specs) -> list[Specs]:
    if not specs:
        raise ConfigError("the model caches nothing: there are no layers to group")
    if _mergeable(specs) or _uniform_type(specs):
        return [specs]
    unified = _unify_page_size(specs)
    if unified is None:
        return [promote_local(specs)]
    return _split_evenly(_buckets(unified))


def _mergeable(specs: Specs) -> bool:
    """Whether one spec can stand for all (``KVCacheSpec.merge``)."""
    return len({_merge_key(spec) for spec in specs}) == 1


def _merge_key(spec: KVCacheSpec) -> tuple[object, ...]:
    """What must agree: a window only where pages are recycled by it."""
    family = "mla" if spec.kind in _MLA else spec.grows_as
    window = 0 if spec.grows_as == "full" else spec.window
    size = (spec.block_size, spec.shape, spec.page_size_padded)
    return family, window, size, spec.mamba_cache_mode, spec.num_speculative_blocks


def _uniform_type(specs: Specs) -> bool:
    """Whether all layers need the same number of token slots (``UniformTypeKVCacheSpecs``)."""
    first = specs[0]
    if len({spec.block_size for spec in specs}) > 1:
        return False
    if first.is_state:
        return all(
            spec.is_state and spec.page_size_bytes == first.page_size_bytes for spec in specs
        )
    if first.grows_as in _LOCAL:
        return all(spec.grows_as == first.kind and spec.window == first.window for spec in specs)
    return all(spec.grows_as == first.grows_as for spec in specs)


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
            ratio = largest // spec.page_size_bytes
            unified.append(replace(spec, block_size=spec.block_size * ratio))
        elif spec.kind in _MLA:
            return _full_allocation_or_refuse(specs, spec, largest)
        else:
            unified.append(replace(spec, page_size_padded=largest))
    return unified


def _full_allocation_or_refuse(specs: Specs, spec: KVCacheSpec, largest: int) -> None:
    """MLA rows cannot be padded: vLLM then promotes sliding windows, or gives up."""
    promoted = promote_local(specs)
    kinds = {each.kind for each in specs}
    if "chunked_local" in kinds or "sliding_window" not in kinds or not _uniform_type(promoted):
        raise ConfigError(
            f"vLLM 0.33 cannot group this model: the {spec.variant} page of {spec.page_size_bytes} "
            f"bytes does not divide the largest page, {largest} bytes, and MLA pages cannot be "
            "padded. Use another policy, or --block-size to change the pages."
        )


def _buckets(specs: Specs) -> list[Specs]:
    """Equal specs together, in order of first appearance; mergeable buckets become one."""
    buckets: list[Specs] = []
    for spec in specs:
        for bucket in buckets:
            if _mergeable([bucket[0], spec]):
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


def _to_page_groups(groups: list[Specs]) -> tuple[PageGroup, ...]:
    """Every page has the bytes of the largest group's (``_get_kv_cache_bytes_per_block``)."""
    page_bytes = max(sum(spec.page_size_bytes for spec in group) for group in groups)
    return tuple(_page_group(index, group, page_bytes) for index, group in enumerate(groups))


def _page_group(index: int, group: Specs, page_bytes: int) -> PageGroup:
    first = group[0]
    contents = contents_of(group)
    return PageGroup(
        name=f"{index}:{'+'.join(content.label for content in contents)}",
        kind=first.grows_as,
        block_size=first.block_size,
        page_bytes=page_bytes,
        contents=contents,
        layers=tuple(spec.layer for spec in group),
        window=0 if first.grows_as == "full" else first.window,
        source="cross" if first.kind == "cross" else "text",
        spec=first,
    )
