"""What the order of the pool's axes allows (vLLM 0.33, ``v1/kv_cache_layout.py``)."""

from collections.abc import Sequence

from ...configs.specs import KVCacheSpec
from ..base import KVCacheLayout
from .layer_groups import LayerGroup, refused


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
