"""Vision towers that cut an image in a way of their own: LLaVA, Phi-3, MiniCPM-V and Molmo."""

import re

from ...images.crops import AnyResolution, HdCrops, OverlappingCrops, Slices
from ...images.rules import FixedTokens
from ..keys import Keys
from .source import Found, Unknown, VisionSource

NEXT_CANVASES = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
"""``image_grid_pinpoints`` of ``LlavaNextImageProcessor``, transformers 5.23."""
ONEVISION_CANVASES = tuple((384 * h, 384 * w) for h in range(1, 7) for w in range(1, 7))
"""``image_grid_pinpoints`` of ``LlavaOnevisionImageProcessor``, transformers 5.23."""
PHI_CROPS = {"Phi-3.5-vision": 4, "Phi-3-vision": 16}
"""``num_crops`` that the checkpoints are published with, by their name."""
MINICPM_SLICE = 448
"""``scale_resolution`` of ``MiniCPMVImageProcessor`` (``image_processing_minicpmv.py``)."""
MINICPM_SLICES = 9
"""``max_slice_nums`` of the same class."""
MINICPM_VERSION = 2.6
"""The first version whose processor numbers images and marks slices as counted here."""


def llava(source: VisionSource) -> Found:
    """LLaVA-1.5: every patch of one square; ``full`` keeps the class token too."""
    _needs_clip(source)
    side = _side(source)
    full = source.root.text("vision_feature_select_strategy", default="default") == "full"
    return Found(FixedTokens(tokens=side**2 + full))


def llava_next(source: VisionSource) -> Found:
    """LLaVA-NeXT (1.6)."""
    _needs_clip(source)
    if source.root.text("vision_feature_select_strategy", default="default") != "default":
        raise Unknown("vision_feature_select_strategy is not default, which no rule covers")
    tile = source.square(source.vision, "image_size", 336)
    return Found(
        AnyResolution(tile=tile, side=_side(source), canvases=_canvases(source, NEXT_CANVASES))
    )


def llava_onevision(source: VisionSource) -> Found:
    """LLaVA-OneVision: ``anyres_max_N`` says how many tiles are kept."""
    ratio = source.root.text("vision_aspect_ratio", default="anyres_max_9")
    kept = re.fullmatch(r"anyres_max_(\d{1,6})", ratio or "")
    if kept is None:
        source.root.fail("vision_aspect_ratio", "must be anyres_max_ and a number")
    if source.root.text("vision_feature_select_strategy", default="full") != "full":
        raise Unknown("vision_feature_select_strategy is not full, which no rule covers")
    return Found(
        AnyResolution(
            tile=source.square(source.vision, "image_size", 384),
            side=_side(source),
            canvases=_canvases(source, ONEVISION_CANVASES),
            max_tiles_kept=int(kept[1]),
        )
    )


def _needs_clip(source: VisionSource) -> None:
    kind = source.vision.text("model_type", default="clip_vision_model")
    if kind != "clip_vision_model":
        raise Unknown(f"{source.family} with a vision tower of type {kind} is not covered")


def _side(source: VisionSource) -> int:
    """Patches along one side of a tile."""
    tile = source.square(source.vision, "image_size", 336)
    return tile // source.vision.integer("patch_size", default=14)


def _canvases(
    source: VisionSource, default: tuple[tuple[int, int], ...]
) -> tuple[tuple[int, int], ...]:
    for keys in (source.processor, source.root):
        if keys is not None and "image_grid_pinpoints" in keys:
            return _pairs(keys)
    return default


def _pairs(keys: Keys) -> tuple[tuple[int, int], ...]:
    pairs: list[tuple[int, int]] = []
    for index, pair in enumerate(keys.items("image_grid_pinpoints")):
        sides = pair if isinstance(pair, list) else []
        whole = [side for side in sides if type(side) is int and 0 < side <= 10**6]
        if len(whole) != 2 or len(sides) != 2:
            keys.fail(f"image_grid_pinpoints[{index}]", "must be [height, width] in pixels")
        pairs.append((whole[0], whole[1]))
    if not pairs:
        keys.fail("image_grid_pinpoints", "must name at least one [height, width]")
    return tuple(pairs)


def phi3(source: VisionSource) -> Found:
    """Phi-3-vision and Phi-3.5-vision; only the processor's file, or the name, tells them apart."""
    if source.processor is not None and "num_crops" in source.processor:
        return Found(HdCrops(max_crops=source.processor.integer("num_crops")))
    name = source.root.text("_name_or_path", default="") or ""
    crops = next((count for known, count in PHI_CROPS.items() if known in name), None)
    if crops is None:
        raise Unknown("num_crops is in no preprocessor_config.json beside config.json")
    source.assume(f"a limit of {crops} crops is that of the published checkpoint")
    return Found(HdCrops(max_crops=crops))


def minicpm(source: VisionSource) -> Found:
    """MiniCPM-V from 2.6 on; ``query_num`` tokens a slice."""
    if source.root.number("version", default=0.0) < MINICPM_VERSION:
        raise Unknown(f"MiniCPM-V before {MINICPM_VERSION} is not covered")
    slices = source.root.section("slice_config") or source.root
    most = slices.integer("max_slice_nums", default=MINICPM_SLICES)
    side = slices.integer("scale_resolution", default=MINICPM_SLICE)
    numbered = True
    if source.processor is not None:
        most = source.processor.integer("max_slice_nums", default=most)
        side = source.processor.integer("scale_resolution", default=side)
        numbered = source.processor.flag("use_image_id", default=True)
    if not source.root.flag("slice_mode", default=True):
        most = 1
    tokens = source.root.integer("query_num", default=64)
    return Found(Slices(slice=side, slice_tokens=tokens, max_slices=most, numbered=numbered))


def molmo(source: VisionSource) -> Found:
    """Molmo: nothing of its vision is in config.json; class defaults of its image processor."""
    crops, margins = OverlappingCrops().max_crops, [4, 4]
    if source.processor is not None:
        crops = source.processor.integer("max_crops", default=crops)
        margins = source.processor.integers("overlap_margins") or margins
        if len(margins) != 2 or sum(margins) >= OverlappingCrops().crop_patches:
            source.processor.fail("overlap_margins", "must be two numbers, less than a crop")
    source.assume(f"a limit of {crops} crops is the default of the image processor")
    return Found(OverlappingCrops(max_crops=crops, left_margin=margins[0], right_margin=margins[1]))
