"""Rules of models that see an image at its own resolution: a grid of patches over all of it."""

import math
from dataclasses import dataclass
from typing import ClassVar

from .rules import MOST_OBLONG, ImageRule, ImageTokens, cdiv, most_in_grid, refuse


@dataclass(frozen=True, kw_only=True)
class PatchGrid(ImageRule):
    """Sides rounded to multiples of ``patch * merge`` pixels, within limits on the whole image.

    Qwen2-VL and Qwen2.5-VL (patch 14), Qwen3-VL and Qwen3.5 (patch 16), GLM-4.1V (patch 14), all
    with ``merge`` 2: one token is a square of ``patch * merge`` pixels. GLM counts a still image as
    two ``frames`` against its limits and first enlarges an image smaller than one token. No
    separators: start and end of the image are in the chat template.

    Source: transformers 5.23, ``smart_resize`` of ``qwen2_vl/image_processing_qwen2_vl.py`` and of
    ``glm4v/image_processing_glm4v.py``; vLLM 0.33 calls the same.
    """

    name: ClassVar[str] = "patch-grid"
    patch: int
    """Side of a patch in pixels."""
    merge: int = 2
    """Patches along one side of a token."""
    min_pixels: int
    """Least pixels of all frames together; smaller images are enlarged."""
    max_pixels: int
    """Most pixels of all frames together; larger images are reduced."""
    frames: int = 1
    """Frames that a still image counts as."""
    enlarge_first: bool = False
    """Bring the shorter side to one token before anything else."""

    @property
    def most(self) -> int:
        """The limit in tokens, or what a strip or a tiny image may take above it."""
        token = (self.patch * self.merge) ** 2 * self.frames
        return most_in_grid(self.min_pixels / token, self.max_pixels / token)

    def _count(self, width: int, height: int) -> ImageTokens:
        side, given = self.patch * self.merge, (width, height)
        if self.enlarge_first and (height < side or width < side):
            scale = max(side / height, side / width)
            height, width = int(height * scale), int(width * scale)
        if max(height, width) / min(height, width) > MOST_OBLONG:
            refuse(*given, f"one side is more than {MOST_OBLONG} times the other")
        rows, columns = round(height / side), round(width / side)
        pixels = self.frames * rows * columns * side**2
        if pixels > self.max_pixels:
            beta = math.sqrt(self.frames * height * width / self.max_pixels)
            rows = max(1, math.floor(height / beta / side))
            columns = max(1, math.floor(width / beta / side))
        elif pixels < self.min_pixels:
            beta = math.sqrt(self.min_pixels / (self.frames * height * width))
            rows, columns = math.ceil(height * beta / side), math.ceil(width * beta / side)
        return ImageTokens(rows * columns)


@dataclass(frozen=True, kw_only=True)
class PaddedGrid(ImageRule):
    """Images are never enlarged, reduced to a number of patches, and padded to whole tokens.

    MoonViT of Kimi-K2.5 and Kimi-K3: patch 14, merge 2, at most 512 patches along a side. No
    separators for K2.5. For K3 vLLM 0.33 writes ``image WxH`` and three media tokens (``wrap`` 3)
    around the image; the words depend on the tokenizer and are not counted.

    Source: transformers 5.23, ``navit_resize`` of ``kimi_k25/image_processing_kimi_k25.py``; vLLM
    0.33, ``transformers_utils/processors/kimi_k25_vision_fused.py`` and
    ``models/kimi_k3/common/mm_preprocess.py``.
    """

    name: ClassVar[str] = "padded-grid"
    patch: int
    merge: int = 2
    max_patches: int
    """Patches of the reduced image, before padding, to about which it is brought."""
    max_side: int
    """Patches along one side."""
    wrap: int = 0

    @property
    def most(self) -> int:
        """A bound above the limit: partial patches and padding come on top of it.

        With ``h`` whole patches along the shorter side before reducing, the reduced image has less
        than ``(h + 1) * (max_patches / h + 1)`` of them; long strips are held by ``max_side``.
        """
        limit, longest = self.max_patches, self.max_side / self.merge
        side, square, most = cdiv(self.max_side, self.merge), math.isqrt(limit), 0
        for h in range(1, square + 1):
            area = (h + 1) * (limit / h + 1) / self.merge**2
            rows = max(h + 1, h * (h + 1) * self.max_side / limit) / self.merge
            rows = side if h == square else min(side, math.ceil(rows))
            padded = math.floor(area + longest + area / longest) + 1
            most = max(most, min(rows * side, padded))
        return most + self.wrap

    def _count(self, width: int, height: int) -> ImageTokens:
        patches = max(1, height // self.patch) * max(1, width // self.patch)
        longest = self.max_side * self.patch
        scale = min(1.0, math.sqrt(self.max_patches / patches), longest / height, longest / width)
        rows, columns = (
            cdiv(min(max(1, int(pixels * scale)), longest), self.patch * self.merge)
            for pixels in (height, width)
        )
        return ImageTokens(rows * columns, self.wrap)


@dataclass(frozen=True, kw_only=True)
class PatchBudget(ImageRule):
    """The largest grid of the image's shape that keeps a number of tokens; small images grow.

    Gemma-4: patch 16, pooled 3 x 3, 280 tokens (70, 140, 560 and 1,120 may be chosen), and a start
    and an end token around them (``wrap`` 2).

    Source: transformers 5.23, ``get_aspect_ratio_preserving_size`` of
    ``gemma4/image_processing_gemma4.py``, ``gemma4/processing_gemma4.py``.
    """

    name: ClassVar[str] = "patch-budget"
    patch: int
    merge: int
    """Patches along one side of a token."""
    max_tokens: int
    wrap: int = 0

    @property
    def most(self) -> int:
        """The budget and the tokens around it."""
        return self.max_tokens + self.wrap

    def _count(self, width: int, height: int) -> ImageTokens:
        side = self.patch * self.merge
        pixels = self.max_tokens * self.merge**2 * self.patch**2
        factor = math.sqrt(pixels / (height * width))
        rows, columns = math.floor(factor * height / side), math.floor(factor * width / side)
        if rows == 0 and columns == 0:
            refuse(width, height, f"it has no room in {self.max_tokens} tokens")
        if rows == 0:
            rows, columns = 1, min(width // height, self.max_tokens)
        elif columns == 0:
            rows, columns = min(height // width, self.max_tokens), 1
        return ImageTokens(rows * columns, self.wrap)


@dataclass(frozen=True, kw_only=True)
class RowGrid(ImageRule):
    """A grid whose rows end with a separator: the last with the image's end.

    Pixtral (patch 16, merge 1, longest edge 1,024) and Mistral-3 / Ministral-3 (patch 14, merge 2,
    1,540). Images are reduced to the longest edge and never enlarged.

    Source: transformers 5.23, ``get_resize_output_image_size`` of
    ``pixtral/image_processing_pixtral.py``, ``replace_image_token`` of
    ``pixtral/processing_pixtral.py``.
    """

    name: ClassVar[str] = "row-grid"
    patch: int
    merge: int = 1
    longest_edge: int
    """Longest side of the reduced image in pixels."""

    @property
    def most(self) -> int:
        """A square of the longest edge."""
        side = cdiv(self.longest_edge, self.patch * self.merge)
        return side * (side + 1)

    def _count(self, width: int, height: int) -> ImageTokens:
        given, ratio = (width, height), max(height / self.longest_edge, width / self.longest_edge)
        if ratio > 1:
            height, width = math.floor(height / ratio), math.floor(width / ratio)
        if min(height, width) == 0:
            refuse(*given, "the shorter side vanishes when the longer one is reduced")
        side = self.patch * self.merge
        rows, columns = cdiv(height, side), cdiv(width, side)
        return ImageTokens(rows * columns, rows)
