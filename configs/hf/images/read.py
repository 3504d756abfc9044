"""The images of a model from its config.json: which rule, with which settings.

Limits of the image processor are not in config.json. A ``preprocessor_config.json`` beside it (or
the image processor's part of ``processor_config.json``, which transformers prefers) has them;
without one the values stand in for it that a family's checkpoints are published with, or else those
of the processor's class, and a note says so.
"""

from collections.abc import Callable
from pathlib import Path

from ...errors import ConfigError
from ...images.rules import RuleError
from ...images.spec import VisionSpec
from ..keys import Keys, read_keys
from ..sections import text_section
from . import crops, grids, tiles
from .source import Found, Unknown, VisionSource

READERS: dict[str, Callable[[VisionSource], Found]] = {
    "qwen2_vl": grids.qwen2,
    "qwen2_5_vl": grids.qwen2,
    "qwen3_vl": grids.qwen3,
    "qwen3_vl_moe": grids.qwen3,
    "qwen3_5": grids.qwen3,
    "qwen3_5_moe": grids.qwen3,
    "glm4v": grids.glm4v,
    "glm4v_moe": grids.glm4v,
    "kimi_k25": grids.kimi,
    "kimi_k3": grids.kimi,
    "gemma3": grids.gemma3,
    "gemma3n": grids.gemma3n,
    "gemma4": grids.gemma4,
    "paligemma": grids.paligemma,
    "pixtral": grids.pixtral,
    "mistral3": grids.pixtral,
    "ministral3": grids.pixtral,
    "internvl_chat": tiles.internvl_chat,
    "internvl": tiles.internvl,
    "llama4": tiles.llama4,
    "mllama": tiles.mllama,
    "lfm2_vl": tiles.lfm2,
    "llava": crops.llava,
    "llava_next": crops.llava_next,
    "llava_onevision": crops.llava_onevision,
    "phi3_v": crops.phi3,
    "minicpmv": crops.minicpm,
    "molmo": crops.molmo,
}
"""How each ``model_type`` of a file's outermost mapping is read."""

ALWAYS_SEE = frozenset({"molmo", "phi3_v"})
"""Families whose files have no section for the vision tower, and whose models all have one."""


def read_vision(root: Keys, family: str) -> tuple[VisionSpec | None, list[str]]:
    """The rule for images of a model, and notes on what was assumed or is not known.

    Args:
        root: The whole config.json.
        family: The family of the language model; used where the file names no ``model_type``.

    Returns:
        The rule, or None where the model has no vision tower (no notes) or one whose rule is not
        known (a note says which).

    Raises:
        ConfigError: A value of config.json or of the processor's file is impossible.
    """
    vision, outer = vision_section(root), root.text("model_type") or family
    if vision is None and outer not in ALWAYS_SEE:
        return None, []
    if vision is not None and vision.text("model_type") == "pixtral":
        outer = "pixtral"  # The same tower under several model types
    reader = READERS.get(outer)
    if reader is None:
        return None, [f"images: the vision tower of {outer} is not known; image tokens are not"]
    hidden = text_section(root).optional_integer("hidden_size") or root.optional_integer(
        "hidden_size"
    )
    if hidden is None:
        return None, ["images: hidden_size is missing, so the size of an embedding is not known"]
    source = VisionSource(root, vision or root, processor_of(root), outer)
    try:
        found = reader(source)
    except Unknown as unknown:
        return None, [f"images: {unknown}; image tokens are not known"]
    except RuleError as error:
        raise ConfigError(f"{root.file}: images: {error}") from error
    spec = VisionSpec(
        sizes=found.sizes, hidden=hidden, deepstack_levels=found.levels, where=found.where
    )
    return spec, source.notes


def vision_section(root: Keys) -> Keys | None:
    """The section of the vision tower, at the top or beside a nested language model."""
    outer = root.section("thinker_config") or root
    return outer.section("vision_config")


def processor_of(root: Keys) -> Keys | None:
    """The settings of the image processor beside a config.json, if they are there."""
    if not Path(root.file).is_file():
        return None
    combined = Path(root.file).with_name("processor_config.json")
    own = Path(root.file).with_name("preprocessor_config.json")
    if combined.is_file():
        images = read_keys(combined).section("image_processor")
        if images is not None:
            return images
    return read_keys(own) if own.is_file() else None
