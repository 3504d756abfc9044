"""What the order of the pool's axes allows (vLLM 0.33, ``v1/kv_cache_layout.py``)."""

from collections.abc import Sequence
from dataclasses import replace

from ...configs.specs import KVCacheSpec, cdiv
from ..base import KVCacheLayout
from .layer_groups import LayerGroup, is_vector, refused


def is_compressed(specs: Sequence[KVCacheSpec]) -> bool:
    """Whether these are the caches of DeepSeek-V4's compressed attention."""
    return any(spec.kind == "compressor" for spec in specs)


def layout_of(specs: Sequence[KVCacheSpec]) -> KVCacheLayout:
    """What vLLM takes unless told otherwise: LBNHC, as no backend of other models objects.

    DeepSeek-V4's indexer asks for blocks outermost (``v1/attention/backends/mla/indexer.py``).
    """
    return "BLHNC" if is_compressed(specs) else "LBNHC"


def aligned_pages(specs: Sequence[KVCacheSpec]) -> list[KVCacheSpec]:
    """Pages padded as DeepSeek-V4's caches ask for: to 576 bytes at fp8, else to 512.

    ``get_kv_cache_spec`` in ``models/deepseek_v4/attention.py`` and ``compressor.py``, and in
    ``v1/attention/backends/mla/sparse_swa.py``. Caches of other models are returned unchanged.
    """
    if not is_compressed(specs):
        return list(specs)
    packed = any(spec.kind == "mla" and spec.shape[-1] == "fp8" for spec in specs)
    alignment = 576 if packed else 512
    return [
        replace(spec, page_size_padded=cdiv(spec.content_bytes, alignment) * alignment)
        if is_vector(spec) and spec.content_bytes % alignment
        else spec
        for spec in specs
    ]


def block_outermost(layout: KVCacheLayout) -> bool:
    """Whether a block of all layers is one piece of memory."""
    return layout.startswith("B")


def check_layout(layout: KVCacheLayout, groups: Sequence[LayerGroup]) -> None:
    """Refuse pages that the layout cannot express.

    ``validate_kv_cache_layout``, and the assertion of ``compute_layout_strides`` on padded pages:
    where the heads lie outside the page, only a page of one head can be padded.
    """
    specs = [spec for group in groups for spec in group.specs]
    sizes = sorted({spec.page_size_bytes for spec in specs})
    page_is_compact = set(layout[:2]) == {"L", "B"}
    mixed_groups = len(groups) > 1 and not block_outermost(layout)
    if len(sizes) > 1 and (not page_is_compact or mixed_groups):
        raise refused(
            f"ValueError: KV cache layout {layout} cannot express this model's mixed page sizes "
            f"({sizes})",
            "Use a block-outermost layout, such as BLHNC.",
        )
    if page_is_compact:
        return
    for spec in specs:
        if spec.page_size_padded is not None and _heads(spec) > 1:
            raise refused(
                "AssertionError: Page padding requires dimensions outside the page tail to be L, "
                f"B, or singleton; got {layout}",
                "Use a layout with the heads inside the page, such as LBNHC, vLLM's default.",
            )


def _heads(spec: KVCacheSpec) -> int:
    """Heads in one page; a state counts as one."""
    heads = spec.shape[0] if spec.shape else 1
    return heads if isinstance(heads, int) and not spec.is_state else 1
