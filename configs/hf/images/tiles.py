"""Vision towers that cut an image into square tiles: InternVL, Llama-4, mllama and LFM2-VL."""

from ...images.rules import FixedTokens
from ...images.tiles import CanvasTiles, ClosestTiles, GlobalTiles, MarkedTiles
from .source import Found, Unknown, VisionSource

INTERNVL_CHAT = {
    "downsample_ratio": 0.5,
    "dynamic_image_size": False,
    "use_thumbnail": False,
    "min_dynamic_patch": 1,
    "max_dynamic_patch": 6,
}
"""Defaults of ``InternVLChatConfig`` (``configuration_internvl_chat.py`` of the checkpoints)."""
INTERNVL_TILES = (1, 12)
"""Class defaults of ``GotOcr2ImageProcessor``, transformers 5.23, which InternVL uses."""
LLAMA4_TILES = 16
"""``max_patches`` of ``Llama4ImageProcessor``, transformers 5.23."""
LFM2 = {
    "tile_size": 512,
    "min_tiles": 2,
    "max_tiles": 10,
    "min_image_tokens": 64,
    "max_image_tokens": 256,
    "encoder_patch_size": 16,
    "downsample_factor": 2,
}
"""Class defaults of ``Lfm2VlImageProcessor``, transformers 5.23."""


def internvl_chat(source: VisionSource) -> Found:
    """InternVL 1.5 to 3 with the code of their checkpoints."""
    root = source.root.with_defaults(INTERNVL_CHAT)
    tile = root.optional_integer("force_image_size") or source.square(source.vision, "image_size")
    patches = (tile // source.vision.integer("patch_size", default=14)) ** 2
    dynamic = root.flag("dynamic_image_size")
    return Found(
        ClosestTiles(
            tile=tile,
            tile_tokens=int(patches * root.number("downsample_ratio") ** 2),
            min_tiles=root.integer("min_dynamic_patch") if dynamic else 1,
            max_tiles=root.integer("max_dynamic_patch") if dynamic else 1,
            thumbnail=root.flag("use_thumbnail"),
            wrap=2,
        )
    )


def internvl(source: VisionSource) -> Found:
    """InternVL converted to transformers."""
    tokens = source.root.integer("image_seq_length", default=256)
    if not source.processor_flag("crop_to_patches", default=True):
        return Found(FixedTokens(tokens=tokens, wrap=2))
    least, most = INTERNVL_TILES
    most = source.processor_integer("max_patches", default=most)
    source.assume(f"a limit of {most} tiles is the default of the image processor")
    return Found(
        ClosestTiles(
            tile=source.square(source.vision, "image_size", 448),
            tile_tokens=tokens,
            min_tiles=source.processor_integer("min_patches", default=least),
            max_tiles=most,
            wrap=2,
        )
    )


def llama4(source: VisionSource) -> Found:
    """Llama-4: pixel shuffling leaves ``pixel_shuffle_ratio`` of each side of a tile."""
    tiles = source.processor_integer("max_patches", default=LLAMA4_TILES)
    if source.processor_flag("resize_to_max_canvas", default=False):
        raise Unknown("resize_to_max_canvas is on, which no rule covers")
    source.assume(f"a limit of {tiles} tiles is the default of the image processor")
    tile = source.square(source.vision, "image_size", 336)
    patches = (tile // source.vision.integer("patch_size", default=14)) ** 2
    ratio = source.vision.number("pixel_shuffle_ratio", default=0.5)
    if not 0.01 <= ratio <= 1:
        source.vision.fail("pixel_shuffle_ratio", "must be from 0.01 to 1")
    return Found(
        GlobalTiles(tile=tile, tile_tokens=patches // round(1 / ratio**2), max_tiles=tiles)
    )


def mllama(source: VisionSource) -> Found:
    """Llama-3.2-Vision: every patch of a tile and the tile's class token, for cross attention."""
    tile = source.square(source.vision, "image_size", 448)
    patches = (tile // source.vision.integer("patch_size", default=14)) ** 2
    tiles = source.vision.integer("max_num_tiles", default=4)
    if source.processor is not None:
        tiles = source.processor.integer("max_image_tiles", default=tiles)
    rule = CanvasTiles(tile=tile, tile_tokens=patches + 1, max_tiles=tiles)
    return Found(rule, where="cross")


def lfm2(source: VisionSource) -> Found:
    """LFM2-VL and LFM2.5-VL."""

    def setting(name: str) -> int:
        return source.processor_integer(name, default=LFM2[name])

    split = source.processor_flag("do_image_splitting", default=True)
    marked = source.root.flag("use_image_special_tokens", default=True)
    tolerance = 2.0
    for keys in (source.root, source.processor):
        if keys is not None:
            tolerance = keys.number("max_pixels_tolerance", default=tolerance)
    return Found(
        MarkedTiles(
            patch=setting("encoder_patch_size"),
            merge=setting("downsample_factor"),
            tile=setting("tile_size"),
            min_tiles=setting("min_tiles") if split else 1,
            max_tiles=setting("max_tiles") if split else 1,
            min_tokens=setting("min_image_tokens"),
            max_tokens=setting("max_image_tokens"),
            tolerance=tolerance,
            thumbnail=source.processor_flag("use_thumbnail", default=True),
            marks=marked,
            wrap=2 if marked else 0,
        )
    )
