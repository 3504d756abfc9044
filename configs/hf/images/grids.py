"""Vision towers that see one grid of an image: Qwen, GLM, Kimi, Gemma, Pixtral and Mistral."""

from ...images.grids import PaddedGrid, PatchBudget, PatchGrid, RowGrid
from ...images.rules import FixedTokens
from .source import Found, VisionSource

PUBLISHED_PIXELS = {
    "qwen2_vl": (3136, 12_845_056),
    "qwen2_5_vl": (3136, 12_845_056),
    "qwen3_vl": (65_536, 16_777_216),
    "qwen3_vl_moe": (65_536, 16_777_216),
    "qwen3_5": (65_536, 16_777_216),
    "qwen3_5_moe": (65_536, 16_777_216),
    "glm4v": (12_544, 9_633_792),
    "glm4v_moe": (12_544, 9_633_792),
}
"""Least and most pixels in ``preprocessor_config.json`` of the published checkpoints.

The processor's class alone would allow 1,003,520 pixels for all of Qwen (``Qwen2VLImageProcessor``)
and 11,760,000 for GLM (``Glm4vImageProcessor``, transformers 5.23).
"""

KIMI_PATCHES = {"kimi_k25": 16_384, "kimi_k3": 65_536}
"""``in_patch_limit`` of the published checkpoints; ``max_patches`` 16,384 in transformers 5.23."""
KIMI_SIDE = 512
"""``patch_limit_on_one_side``; ``size`` 512 in transformers 5.23."""


def qwen2(source: VisionSource) -> Found:
    """Qwen2-VL and Qwen2.5-VL; class defaults of the tower: patch 14, merge 2."""
    patch = source.vision.integer("patch_size", "spatial_patch_size", default=14)
    return Found(_grid(source, patch))


def qwen3(source: VisionSource) -> Found:
    """Qwen3-VL (three deepstack levels unless the file says otherwise) and Qwen3.5 (none)."""
    given = source.vision.raw("deepstack_visual_indexes")
    levels = len(source.vision.items("deepstack_visual_indexes"))
    if given is None and source.family.startswith("qwen3_vl"):
        levels = 3
    return Found(_grid(source, source.vision.integer("patch_size", default=16)), levels=levels)


def glm4v(source: VisionSource) -> Found:
    """GLM-4.1V and GLM-4.5V: limits on two frames, ``temporal_patch_size``."""
    frames = source.vision.integer("temporal_patch_size", default=2)
    patch = source.vision.integer("patch_size", default=14)
    return Found(_grid(source, patch, frames=frames, enlarge_first=True))


def _grid(
    source: VisionSource, patch: int, *, frames: int = 1, enlarge_first: bool = False
) -> PatchGrid:
    least, most = PUBLISHED_PIXELS[source.family]
    if source.processor is not None:
        size = source.processor.section("size") or source.processor
        least = size.integer("min_pixels", "shortest_edge", default=least)
        most = size.integer("max_pixels", "longest_edge", default=most)
        least = source.processor.integer("min_pixels", default=least)
        most = source.processor.integer("max_pixels", default=most)
        patch = source.processor.integer("patch_size", default=patch)
    source.assume(f"limits of {least:,} to {most:,} pixels are those of the published checkpoints")
    return PatchGrid(
        patch=patch,
        merge=source.vision.integer("spatial_merge_size", default=2),
        min_pixels=least,
        max_pixels=most,
        frames=frames,
        enlarge_first=enlarge_first,
    )


def kimi(source: VisionSource) -> Found:
    """Kimi-K2.5 and K3 (MoonViT)."""
    patches, side = KIMI_PATCHES[source.family], KIMI_SIDE
    if source.processor is not None:
        keys = source.processor.section("media_proc_cfg") or source.processor
        patches = keys.integer("in_patch_limit", "max_patches", default=patches)
        side = keys.integer("patch_limit_on_one_side", default=side)
        size = keys.section("size")
        side = side if size is None else size.integer("max_height", default=side)
    source.assume(f"a limit of {patches:,} patches is that of the published checkpoint")
    k3 = source.family == "kimi_k3"
    if k3:
        source.notes.append(
            'images: the words "image WxH" that Kimi-K3 puts before each image are not counted'
        )
    merge = source.vision.integers("merge_kernel_size", least=1) or [2, 2]
    if len(set(merge)) != 1:
        source.vision.fail("merge_kernel_size", "must be the same along both sides")
    patch = source.vision.integer("patch_size", default=14)
    return Found(
        PaddedGrid(
            patch=patch,
            merge=merge[0],
            max_patches=patches,
            max_side=side,
            wrap=3 if k3 else 0,
        )
    )


def gemma3(source: VisionSource) -> Found:
    """Gemma-3: ``mm_tokens_per_image`` and four separators; pan and scan is not counted."""
    return _gemma3(source, source.root.integer("mm_tokens_per_image", default=256))


def gemma3n(source: VisionSource) -> Found:
    """Gemma-3n: ``vision_soft_tokens_per_image`` and four separators."""
    return _gemma3(source, source.root.integer("vision_soft_tokens_per_image", default=256))


def _gemma3(source: VisionSource, tokens: int) -> Found:
    if source.processor_flag("do_pan_and_scan", default=False):
        source.notes.append("images: pan and scan is on, but its crops are not counted")
    return Found(FixedTokens(tokens=tokens, wrap=4))


def gemma4(source: VisionSource) -> Found:
    """Gemma-4: the budget of the processor, or of config.json, or 280 (the class's default)."""
    budget = source.root.optional_integer("vision_soft_tokens_per_image")
    budget = source.vision.integer("default_output_length", default=budget or 280)
    if source.processor is not None:
        budget = source.processor.integer("max_soft_tokens", default=budget)
    return Found(
        PatchBudget(
            patch=source.vision.integer("patch_size", default=16),
            merge=source.vision.integer("pooling_kernel_size", default=3),
            max_tokens=budget,
            wrap=2,
        )
    )


def paligemma(source: VisionSource) -> Found:
    """PaliGemma: every patch of the square that an image is resized to."""
    side = source.vision.integer("image_size", default=224)
    tokens = (side // source.vision.integer("patch_size", default=14)) ** 2
    return Found(FixedTokens(tokens=tokens))


def pixtral(source: VisionSource) -> Found:
    """Pixtral, Mistral-3 and Ministral-3: the longest edge is the tower's ``image_size``."""
    longest = source.square(source.vision, "image_size", 1024)
    size = None if source.processor is None else source.processor.section("size")
    if size is not None:
        longest = size.integer("longest_edge", default=longest)
    default = 1 if source.root.text("model_type") in ("llava", "pixtral") else 2
    return Found(
        RowGrid(
            patch=source.square(source.vision, "patch_size", 16),
            merge=source.root.integer("spatial_merge_size", default=default),
            longest_edge=longest,
        )
    )
