"""Rules of models that cut an image into crops of their own kind: LLaVA, Phi-3, MiniCPM, Molmo."""

import math
from dataclasses import dataclass
from typing import ClassVar

from .rules import ImageRule, ImageTokens, cdiv, single
from .tiles import Grid, grids


@dataclass(frozen=True, kw_only=True)
class AnyResolution(ImageRule):
    """The whole image, and the part of a canvas of tiles that the image covers, with row ends.

    LLaVA-NeXT: tiles of 336 pixels in patches of 14. LLaVA-OneVision: 384 pixels, 27 patches a
    side, and above 1.21 * ``max_tiles_kept`` tiles the canvas is scaled down to ``max_tiles_kept``
    (anyres_max_9). A learned embedding ends each row, so that all tokens are embeddings.

    Source: transformers 5.23, ``_get_number_of_features`` of
    ``llava_next/processing_llava_next.py`` and ``llava_onevision/processing_llava_onevision.py``.
    """

    name: ClassVar[str] = "any-resolution"
    tile: int
    """Side of a tile in pixels."""
    side: int
    """Tokens along one side of a tile."""
    canvases: tuple[tuple[int, int], ...]
    """Heights and widths that an image may be brought to, in pixels (``image_grid_pinpoints``)."""
    max_tiles_kept: int = 0
    """0: no limit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.canvases or min(map(min, self.canvases)) < self.tile:
            self._fail("canvases", f"there must be one or more, each at least a tile ({self.tile})")

    @property
    def most(self) -> int:
        """The largest canvas in full, or what is kept of it."""
        shapes = [
            (h // self.tile * self.side, w // self.tile * self.side) for h, w in self.canvases
        ]
        area = max(rows * columns for rows, columns in shapes)
        if self.max_tiles_kept:
            area = min(area, math.floor(1.21 * self.max_tiles_kept * self.side**2) + 1)
        return area + max(rows for rows, _ in shapes) + self.side**2

    def _count(self, width: int, height: int) -> ImageTokens:
        tall, wide = self._canvas(width, height)
        rows, columns = tall // self.tile * self.side, wide // self.tile * self.side
        if width / height > columns / rows:
            rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
        else:
            columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
        if self.max_tiles_kept:
            ratio = math.sqrt(rows * columns / (self.max_tiles_kept * self.side**2))
            if ratio > 1.1:
                rows, columns = int(rows // ratio), int(columns // ratio)
        return ImageTokens(rows * columns + rows + self.side**2)

    def _canvas(self, width: int, height: int) -> tuple[int, int]:
        """Height and width of the canvas that keeps most of the image, then wastes least."""
        best = self.canvases[0]
        most_kept, least_wasted = 0, math.inf
        for tall, wide in self.canvases:
            scale = min(wide / width, tall / height)
            kept = min(int(width * scale) * int(height * scale), width * height)
            wasted = tall * wide - kept
            if kept > most_kept or (kept == most_kept and wasted < least_wasted):
                best, most_kept, least_wasted = (tall, wide), kept, wasted
        return best


@dataclass(frozen=True, kw_only=True)
class HdCrops(ImageRule):
    """As many crops of 336 pixels as the budget allows, small images enlarged, and the whole image.

    Phi-3-vision (16 crops) and Phi-3.5-vision (4): 144 tokens a crop, 12 row ends for each row of
    crops and for the whole image, one divider. All are learned, so that all are embeddings.

    Source: ``calc_num_image_tokens_from_image_size`` in ``processing_phi3_v.py`` of the
    checkpoints, which vLLM 0.33 (``model_executor/models/phi3v.py``) calls.
    """

    name: ClassVar[str] = "hd-crops"
    max_crops: int
    crop: int = 336
    """Side of a crop in pixels."""
    side: int = 12
    """Tokens along one side of a crop."""

    @property
    def most(self) -> int:
        """All crops one above the other: that has most row ends."""
        return self._tokens(self.max_crops, self.max_crops)

    def _count(self, width: int, height: int) -> ImageTokens:
        ratio = max(width, height) / min(width, height)
        longer = 1
        while (longer + 1) * math.ceil((longer + 1) / ratio) <= self.max_crops:
            longer += 1
        shorter = cdiv(int(longer * self.crop / ratio), self.crop)
        rows = longer if width < height else shorter
        return ImageTokens(self._tokens(longer * shorter, rows))

    def _tokens(self, crops: int, rows: int) -> int:
        return (crops + 1) * self.side**2 + 1 + (rows + 1) * self.side


@dataclass(frozen=True, kw_only=True)
class Slices(ImageRule):
    """The whole image, and slices of it where it is larger than one: 64 tokens each.

    MiniCPM-V 2.6 and later: slices of about 448 x 448 pixels, at most 9. Separators: a start and an
    end around the image and each slice, a line end between rows of slices, and the image's number
    between two more (``<image_id>0</image_id>``; one digit, so for the first ten of a prompt).

    Source: ``get_sliced_grid`` and ``get_slice_image_placeholder`` in
    ``image_processing_minicpmv.py`` of the checkpoint, which vLLM 0.33
    (``model_executor/models/minicpmv.py``) calls.
    """

    name: ClassVar[str] = "slices"
    slice: int
    """Side in pixels of a square of as many pixels as a slice has."""
    slice_tokens: int
    max_slices: int
    numbered: bool = True

    @property
    def most(self) -> int:
        """All slices one above the other: that has most line ends."""
        return self._tokens((1, self.max_slices)).total

    def _count(self, width: int, height: int) -> ImageTokens:
        wanted = min(math.ceil(width * height / self.slice**2), self.max_slices)
        if wanted <= 1:
            return self._tokens(None)
        best, least = (1, 1), math.inf
        for tiles in range(wanted - 1, min(wanted + 1, self.max_slices) + 1):
            for columns in range(1, tiles + 1):
                grid = (columns, tiles // columns)
                if tiles == 1 or tiles % columns:
                    continue
                error = abs(math.log(width / height) - math.log(grid[0] / grid[1]))
                if error < least:
                    best, least = grid, error
        return self._tokens(best)

    def _tokens(self, grid: Grid | None) -> ImageTokens:
        columns, rows = grid or (0, 0)
        separators = 2 + 2 * columns * rows + max(0, rows - 1) + 3 * self.numbered
        return ImageTokens((1 + columns * rows) * self.slice_tokens, separators)


@dataclass(frozen=True, kw_only=True)
class OverlappingCrops(ImageRule):
    """The whole image, and overlapping crops of it joined into one grid.

    Molmo: crops of 336 pixels in patches of 14, 4 of them shared on each side, at most 12 crops,
    2 x 2 patches a token. Separators: a start and an end around the whole image and around the
    grid, and one after each row of either.

    Source: vLLM 0.33, ``get_num_image_tokens`` and ``select_tiling`` of
    ``model_executor/models/molmo.py``.
    """

    name: ClassVar[str] = "overlapping-crops"
    patch: int = 14
    merge: int = 2
    crop_patches: int = 24
    """Patches along one side of a crop."""
    left_margin: int = 4
    right_margin: int = 4
    """Patches that a crop shares with its neighbours."""
    max_crops: int = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.left_margin + self.right_margin >= self.crop_patches:
            self._fail("left_margin", "must leave some of the crop, together with right_margin")

    @property
    def most(self) -> int:
        """The grid of crops with most tokens."""
        return max(self._tokens(grid).total for grid in grids(1, self.max_crops))

    def _count(self, width: int, height: int) -> ImageTokens:
        shared = self.left_margin + self.right_margin
        window, margin = (self.crop_patches - shared) * self.patch, shared * self.patch
        fits: list[tuple[float, Grid]] = []
        for columns, rows in sorted(grids(1, self.max_crops), key=lambda g: (g[0] * g[1], g[1])):
            across = _scale(columns * window, width - margin)
            down = _scale(rows * window, height - margin)
            fits.append((min(across, down), (columns, rows)))
        if all(scale < 1 for scale, _ in fits):
            return self._tokens(max(fits, key=lambda fit: fit[0])[1])
        return self._tokens(min((fit for fit in fits if fit[0] >= 1), key=lambda fit: fit[0])[1])

    def _tokens(self, grid: Grid) -> ImageTokens:
        columns, rows = (self._along(crops) for crops in grid)
        whole = cdiv(self.crop_patches, self.merge)
        return ImageTokens(whole**2 + columns * rows, 4 + whole + rows)

    def _along(self, crops: int) -> int:
        """Tokens along one side of a grid of crops."""
        window = self.crop_patches - self.left_margin - self.right_margin
        if crops == 1:
            return cdiv(self.crop_patches, self.merge)
        ends = cdiv(window + self.left_margin, self.merge) + cdiv(
            window + self.right_margin, self.merge
        )
        return ends + (crops - 2) * cdiv(window, self.merge)


def _scale(target: int, pixels: int) -> float:
    """How much an image is enlarged; images smaller than the margins make it negative, as there."""
    return math.inf if pixels == 0 else single(target / pixels)
