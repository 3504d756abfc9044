"""Images of a model: the tokens they become, and the bytes that their embeddings take.

A file may hold a vision tower as a mapping (``VisionSpec.to_mapping``)::

    rule: patch-grid
    hidden: 3584
    patch: 14
    merge: 2
    min_pixels: 3136
    max_pixels: 12845056
"""

from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, NoReturn, get_args

from ..errors import ConfigError
from .crops import AnyResolution, HdCrops, OverlappingCrops, Slices
from .grids import PaddedGrid, PatchBudget, PatchGrid, RowGrid
from .rules import FixedTokens, ImageRule, ImageTokens, RuleError
from .tiles import CanvasTiles, ClosestTiles, GlobalTiles, MarkedTiles

Where = Literal["sequence", "cross"]
"""Whether image tokens stand in the sequence, or in a cache of their own for cross attention."""

RULES: dict[str, type[ImageRule]] = {
    rule.name: rule
    for rule in (
        FixedTokens,
        PatchGrid,
        PaddedGrid,
        PatchBudget,
        RowGrid,
        ClosestTiles,
        GlobalTiles,
        CanvasTiles,
        MarkedTiles,
        AnyResolution,
        HdCrops,
        Slices,
        OverlappingCrops,
    )
}
"""Every rule by the name that a file calls it."""

ELEMENT_BYTES = 2
"""Bytes of an element of an embedding: bf16 or fp16."""


@dataclass(frozen=True, kw_only=True)
class VisionSpec:
    """How a model turns an image into tokens, and what one token of its encoder cache takes."""

    sizes: ImageRule
    """The rule and its settings."""
    hidden: int
    """Elements of an embedding: the language model's hidden size."""
    deepstack_levels: int = 0
    """Further embeddings per token that join later layers (Qwen3-VL); cached with the first."""
    where: Where = "sequence"

    @property
    def rule(self) -> str:
        """What a file calls the rule."""
        return self.sizes.name

    def count(self, width: int, height: int) -> ImageTokens:
        """Tokens of an image of this many pixels, embeddings and separators told apart.

        Raises:
            ConfigError: The processor of the model refuses an image of this size.
        """
        return self.sizes.count(width, height)

    def image_tokens(self, width: int, height: int) -> int:
        """Tokens of an image of this many pixels, with the separators of the processor.

        They stand in the sequence, or, where ``where`` is ``cross``, in the cross-attention cache.
        """
        return self.count(width, height).total

    def sequence_tokens(self, width: int, height: int) -> int:
        """Tokens of an image in the sequence: one placeholder where cross attention keeps it."""
        return 1 if self.where == "cross" else self.image_tokens(width, height)

    def embedding_tokens(self, width: int, height: int) -> int:
        """Embeddings of an image: the entries that it takes in vLLM's encoder cache."""
        return self.count(width, height).embeddings

    @property
    def most_image_tokens(self) -> int:
        """No image takes more tokens than this."""
        return self.sizes.most

    @property
    def token_bytes(self) -> int:
        """Bytes of one token in the encoder cache.

        Source: vLLM 0.33 keeps embeddings at the language model's dtype; Qwen3-VL concatenates the
        levels (``model_executor/models/qwen3_vl.py``, ``deepstack_num_level``).
        """
        return self.hidden * ELEMENT_BYTES * (1 + self.deepstack_levels)

    def embedding_bytes(self, width: int, height: int) -> int:
        """Bytes of an image in the encoder cache."""
        return self.embedding_tokens(width, height) * self.token_bytes

    def to_mapping(self) -> dict[str, Any]:
        """The same as values that a YAML file holds; what equals its default is left out."""
        mapping: dict[str, Any] = {"rule": self.rule, "hidden": self.hidden}
        if self.deepstack_levels:
            mapping["deepstack_levels"] = self.deepstack_levels
        if self.where != "sequence":
            mapping["where"] = self.where
        for field in fields(self.sizes):
            value = getattr(self.sizes, field.name)
            if value != field.default:
                mapping[field.name] = _plain(value)
        return mapping


def vision_from_mapping(mapping: dict[str, Any], *, source: str = "vision") -> VisionSpec:
    """Read what ``VisionSpec.to_mapping`` wrote; ``source`` begins every error.

    Raises:
        ConfigError: The rule or a setting is unknown, missing, of the wrong type or out of range.
    """
    name = mapping.get("rule")
    rule = RULES.get(name) if isinstance(name, str) else None
    if rule is None:
        _fail(source, "rule", f"must be one of {', '.join(RULES)}, not {name!r}")
    known = {field.name: field for field in fields(rule)}
    for key in mapping:
        if key not in known and key not in ("rule", "hidden", "deepstack_levels", "where"):
            _fail(source, key, f"is no setting of the rule {name}")
    settings: dict[str, Any] = {}
    for key, field in known.items():
        if key in mapping:
            settings[key] = _typed(source, key, mapping[key], str(field.type))
        elif field.default is MISSING:
            _fail(source, key, f"is missing; the rule {name} needs it")
    where = mapping.get("where", "sequence")
    if where not in get_args(Where):
        _fail(source, "where", f"must be one of {', '.join(get_args(Where))}, not {where!r}")
    try:
        sizes = rule(**settings)
    except RuleError as error:
        raise ConfigError(f"{source}: {error}") from error
    return VisionSpec(
        sizes=sizes,
        hidden=_whole(source, "hidden", mapping.get("hidden"), 1),
        deepstack_levels=_whole(source, "deepstack_levels", mapping.get("deepstack_levels", 0), 0),
        where=where,
    )


def _plain(value: Any) -> Any:
    return [list(pair) for pair in value] if isinstance(value, tuple) else value


def _typed(source: str, key: str, value: Any, kind: str) -> Any:
    if "int" in kind and "tuple" not in kind:
        return _whole(source, key, value, 0)
    if "bool" in kind:
        return value if isinstance(value, bool) else _fail(source, key, "must be true or false")
    if "float" in kind:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            _fail(source, key, f"must be a number above 0, not {value!r}")
        return float(value)
    given = value if isinstance(value, list | tuple) else []
    pairs = [list(pair) if isinstance(pair, list | tuple) else [] for pair in given]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        _fail(source, key, "must be a list of [height, width]")
    return tuple((_whole(source, key, h, 1), _whole(source, key, w, 1)) for h, w in pairs)


def _whole(source: str, key: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 10**9:
        _fail(source, key, f"must be a whole number from {least} to {10**9}, not {value!r}")
    return value


def _fail(source: str, key: str, text: str) -> NoReturn:
    raise ConfigError(f"{source}: {key}: {text}")
