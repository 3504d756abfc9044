"""How many tokens an image takes: what every rule has in common, and the simplest rule.

A rule turns the width and height of an image, in pixels, into tokens. Two kinds are told apart:
embeddings, which the vision encoder computes and vLLM's encoder cache keeps, and separators, which
are ordinary tokens of the vocabulary. Both stand in the sequence. Separators are those that the
processor puts there in place of the prompt's one image placeholder; those that a chat template
writes around the placeholder (Qwen's ``<|vision_start|>`` and ``<|vision_end|>``) are text.
"""

import math
import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar, NoReturn

from ..errors import ConfigError


def cdiv(a: int, b: int) -> int:
    """Return ``a / b`` rounded up, for integers."""
    return -(-a // b)


def single(value: float) -> float:
    """The nearest number of 32 bits: processors that compute with torch or float32 round so."""
    return struct.unpack("f", struct.pack("f", value))[0]


MOST_OBLONG = 200
"""Longest side over shortest that Qwen's and GLM's ``smart_resize`` accept."""


def most_in_grid(least: float, most: float) -> int:
    """Bound on the tokens of a grid that is rounded down to ``most`` or up to ``least`` tokens.

    A strip keeps one row although its share of the limit is less, and a tiny image is rounded up
    along both sides. Holds for sides that differ at most ``MOST_OBLONG``-fold.
    """
    strip = math.sqrt(most * MOST_OBLONG)
    tiny = least + math.sqrt(least) * (math.sqrt(MOST_OBLONG) + 1) + 1
    return math.ceil(max(most, strip, tiny))


class RuleError(ConfigError):
    """Settings of a rule that contradict each other or are out of range."""


def refuse(width: int, height: int, why: str) -> NoReturn:
    """Raise ConfigError: the processor of the model fails for an image of this size."""
    raise ConfigError(f"image of {width:,} x {height:,} pixels: {why}; the processor refuses it")


@dataclass(frozen=True)
class ImageTokens:
    """Tokens of one image.

    The embeddings are what the vision encoder computes; each takes a place in the sequence (or in
    the cross-attention cache) and in the encoder cache. The separators take a place in the sequence
    alone.
    """

    embeddings: int
    separators: int = 0

    @property
    def total(self) -> int:
        """All tokens of the image."""
        return self.embeddings + self.separators


@dataclass(frozen=True, kw_only=True)
class ImageRule(ABC):
    """A family's way from pixels to tokens. Fields are the settings that a file may hold."""

    name: ClassVar[str]
    """What a file calls the rule."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 1 if field.name not in _MAY_BE_ZERO else 0
            if isinstance(value, int) and not isinstance(value, bool) and value < least:
                self._fail(field.name, f"must be at least {least}, not {value}")
        for low, high in _ORDERED:
            most = getattr(self, high, math.inf)
            if getattr(self, low, 0) > most:
                self._fail(low, f"must be at most {high}, {most}")

    def _fail(self, setting: str, text: str) -> NoReturn:
        raise RuleError(f"{self.name}: {setting}: {text}")

    def count(self, width: int, height: int) -> ImageTokens:
        """Tokens of an image of this many pixels.

        Raises:
            ConfigError: A side is not positive, or the processor refuses such a shape.
        """
        if width < 1 or height < 1:
            refuse(width, height, "both sides must be at least 1")
        return self._count(width, height)

    @property
    @abstractmethod
    def most(self) -> int:
        """No image takes more tokens than this, separators included. Not every rule reaches it."""

    @abstractmethod
    def _count(self, width: int, height: int) -> ImageTokens: ...


_MAY_BE_ZERO = frozenset({"wrap", "max_tiles_kept", "left_margin", "right_margin"})
"""Settings for which 0 means something: no such tokens, no such limit."""

_ORDERED = (
    ("min_pixels", "max_pixels"),
    ("min_tiles", "max_tiles"),
    ("min_tokens", "max_tokens"),
)
"""Settings that are limits of one thing."""


@dataclass(frozen=True, kw_only=True)
class FixedTokens(ImageRule):
    """The same for every image, which is resized to one square.

    Gemma-3 (``mm_tokens_per_image``, 256) wraps them in two empty lines, a start and an end token:
    ``wrap`` 4. PaliGemma ((size / patch)^2) and LLaVA-1.5 (576) wrap them in nothing. Pan and scan
    of Gemma-3, off by default, is not counted.

    Source: transformers 5.23, ``gemma3/processing_gemma3.py`` (``full_image_sequence``),
    ``paligemma/processing_paligemma.py``, ``llava/processing_llava.py``.
    """

    name: ClassVar[str] = "fixed"
    tokens: int
    wrap: int = 0
    """Separators around the image, in tokens."""

    @property
    def most(self) -> int:
        """Tokens of every image."""
        return self.tokens + self.wrap

    def _count(self, width: int, height: int) -> ImageTokens:
        return ImageTokens(self.tokens, self.wrap)
