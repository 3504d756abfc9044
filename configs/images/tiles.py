"""Rules of models that cut an image into square tiles, most with the whole image as one more."""

import math
from dataclasses import dataclass
from typing import ClassVar

from .rules import ImageRule, ImageTokens, most_in_grid, single

Grid = tuple[int, int]
"""Tiles along the width and along the height."""


def grids(least: int, most: int) -> list[Grid]:
    """Every grid of ``least`` to ``most`` tiles, those of fewer tiles first."""
    found = [
        (columns, rows)
        for columns in range(1, most + 1)
        for rows in range(1, most // columns + 1)
        if columns * rows >= least
    ]
    return sorted(found, key=lambda grid: (grid[0] * grid[1], grid[0]))


def closest_grid(width: int, height: int, tile: int, candidates: list[Grid]) -> Grid:
    """The grid of the closest shape; of equally close ones the largest that the image half fills.

    Source: ``find_closest_aspect_ratio`` of InternVL2, kept by vLLM 0.33
    (``transformers_utils/processors/internvl.py``) and by transformers (LFM2-VL, GOT-OCR2).
    """
    best, best_distance = (1, 1), math.inf
    for grid in candidates:
        distance = abs(width / height - grid[0] / grid[1])
        if distance < best_distance:
            best, best_distance = grid, distance
        elif distance == best_distance and width * height > 0.5 * tile**2 * grid[0] * grid[1]:
            best = grid
    return best


def canvas_tiles(width: int, height: int, tile: int, max_tiles: int, *, as_single: bool) -> int:
    """Tiles of the smallest canvas that fits: enlarging least, or else reducing least.

    Source: ``get_best_fit`` (Llama-4, with 32-bit floats) and ``get_optimal_tiled_canvas`` (mllama,
    64-bit) of transformers 5.23.
    """
    scales: list[tuple[float, int]] = []
    for columns, rows in grids(1, max_tiles):
        across, down = columns * tile / width, rows * tile / height
        if as_single:
            across, down = single(across), single(down)
        scales.append((min(across, down), columns * rows))
    fitting = [scale for scale, _ in scales if scale >= 1]
    chosen = min(fitting) if fitting else max(scale for scale, _ in scales)
    return min(tiles for scale, tiles in scales if scale == chosen)


@dataclass(frozen=True, kw_only=True)
class ClosestTiles(ImageRule):
    """Tiles in the grid of the closest shape, and a thumbnail where they are more than one.

    InternVL2: tiles of 448 pixels, 256 tokens each, 1 to 12 tiles; ``<img>`` and ``</img>`` around
    them all (``wrap`` 2).

    Source: vLLM 0.33, ``calculate_internvl_targets`` and ``get_image_repl`` of
    ``transformers_utils/processors/internvl.py``.
    """

    name: ClassVar[str] = "closest-tiles"
    tile: int
    """Side of a tile in pixels."""
    tile_tokens: int
    min_tiles: int = 1
    max_tiles: int
    """Without the thumbnail."""
    thumbnail: bool = True
    wrap: int = 0

    @property
    def most(self) -> int:
        """All tiles and the thumbnail."""
        extra = self.thumbnail and self.max_tiles > 1
        return (self.max_tiles + extra) * self.tile_tokens + self.wrap

    def _count(self, width: int, height: int) -> ImageTokens:
        grid = closest_grid(width, height, self.tile, grids(self.min_tiles, self.max_tiles))
        tiles = grid[0] * grid[1]
        tiles += self.thumbnail and tiles > 1
        return ImageTokens(tiles * self.tile_tokens, self.wrap)


@dataclass(frozen=True, kw_only=True)
class GlobalTiles(ImageRule):
    """Tiles on the canvas that fits, and the whole image as one more where they are several.

    Llama-4: tiles of 336 pixels, 144 tokens each, at most 16. Separators: start, ``<|image|>`` and
    end, and one after every tile where there are several.

    Source: transformers 5.23, ``llama4/image_processing_llama4.py`` and ``_prompt_split_image`` of
    ``llama4/processing_llama4.py``.
    """

    name: ClassVar[str] = "global-tiles"
    tile: int
    tile_tokens: int
    max_tiles: int
    """Without the whole image."""

    @property
    def most(self) -> int:
        """All tiles and the whole image."""
        return self._tokens(self.max_tiles).total

    def _count(self, width: int, height: int) -> ImageTokens:
        return self._tokens(canvas_tiles(width, height, self.tile, self.max_tiles, as_single=True))

    def _tokens(self, tiles: int) -> ImageTokens:
        if tiles == 1:
            return ImageTokens(self.tile_tokens, 3)
        return ImageTokens((tiles + 1) * self.tile_tokens, tiles + 3)


@dataclass(frozen=True, kw_only=True)
class CanvasTiles(ImageRule):
    """Tiles on the canvas that fits and nothing else: what cross attention keeps.

    mllama (Llama-3.2-Vision): tiles of 560 pixels, (560 / 14)^2 + 1 = 1,601 tokens each, at most 4.
    The sequence holds one ``<|image|>`` token. These are the tiles that the image fills, which vLLM
    kept (0.7, ``mllama.py``); transformers pads its cache to 4 tiles.

    Source: transformers 5.23, ``mllama/image_processing_mllama.py``.
    """

    name: ClassVar[str] = "canvas-tiles"
    tile: int
    tile_tokens: int
    max_tiles: int

    @property
    def most(self) -> int:
        """All tiles."""
        return self.max_tiles * self.tile_tokens

    def _count(self, width: int, height: int) -> ImageTokens:
        tiles = canvas_tiles(width, height, self.tile, self.max_tiles, as_single=False)
        return ImageTokens(tiles * self.tile_tokens)


@dataclass(frozen=True, kw_only=True)
class MarkedTiles(ImageRule):
    """A small image as one grid; a large one as marked tiles and a marked thumbnail.

    LFM2-VL: tokens of 32 x 32 pixels (patch 16, merge 2); 64 to 256 for a small image or the
    thumbnail, 256 for each of 2 to 10 tiles of 512 pixels. ``wrap`` is the start and the end (2),
    and ``marks`` puts a token before each tile and the thumbnail.

    Source: transformers 5.23, ``lfm2_vl/image_processing_lfm2_vl.py`` and ``_build_image_tokens``
    of ``lfm2_vl/processing_lfm2_vl.py``.
    """

    name: ClassVar[str] = "marked-tiles"
    patch: int
    merge: int
    tile: int
    min_tiles: int
    max_tiles: int
    """1 for both: images are never split."""
    min_tokens: int
    max_tokens: int
    """Limits of an image that is not split, and of the thumbnail."""
    tolerance: float = 2.0
    """An image is split above this many times ``max_tokens``."""
    thumbnail: bool = True
    marks: bool = True
    wrap: int = 0

    @property
    def most(self) -> int:
        """All tiles and the thumbnail, or an image not split; sides differ at most 200-fold."""
        whole = most_in_grid(self.min_tokens, self.max_tokens)
        if self.max_tiles == 1:
            return whole + self.wrap
        return self.max_tiles * (self._tile_tokens + 1) + whole + 1 + self.wrap

    @property
    def _tile_tokens(self) -> int:
        return math.ceil(self.tile // self.patch / self.merge) ** 2

    def _count(self, width: int, height: int) -> ImageTokens:
        side = self.patch * self.merge
        rows, columns = (max(1, round(pixels / side)) for pixels in (height, width))
        whole = self._whole(width, height, rows, columns)
        large = max(self.patch, round(height / side) * side) * max(
            self.patch, round(width / side) * side
        )
        limit = self.max_tokens * side**2 * self.tolerance
        if large <= limit or self.min_tiles == self.max_tiles == 1:
            return ImageTokens(whole, self.wrap)
        grid = closest_grid(width, height, self.tile, grids(self.min_tiles, self.max_tiles))
        tiles = grid[0] * grid[1]
        if tiles == 1:
            return ImageTokens(whole, self.wrap)
        embeddings = tiles * self._tile_tokens + (whole if self.thumbnail else 0)
        marks = (tiles + self.thumbnail) * self.marks
        return ImageTokens(embeddings, marks + self.wrap)

    def _whole(self, width: int, height: int, rows: int, columns: int) -> int:
        """Tokens of the image as one grid: not split, or as the thumbnail."""
        side = self.patch * self.merge
        if rows * columns > self.max_tokens:
            beta = math.sqrt(height * width / (self.max_tokens * side**2))
            rows = max(1, math.floor(height / beta / side))
            columns = max(1, math.floor(width / beta / side))
        elif rows * columns < self.min_tokens:
            beta = math.sqrt(self.min_tokens * side**2 / (height * width))
            rows, columns = math.ceil(height * beta / side), math.ceil(width * beta / side)
        return rows * columns
