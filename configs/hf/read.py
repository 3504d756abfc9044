"""A Hugging Face config.json as a ModelSpec: no network, no transformers, nothing guessed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..specs import LayerSpec, ModelSpec
from ..strict import suggest
from .drafts import draft_layers
from .families import READERS
from .images.read import read_vision
from .keys import Keys, UnknownSizeError, read_keys
from .kv_dtype import kv_cache_dtype
from .length import max_model_len, max_positions
from .parameters.count import Parameters, count_parameters, unknown_parameters
from .parameters.defaults import class_defaults
from .reading import HIDDEN_SIZES, Reading
from .sections import family_of, text_section

LISTED = f"{len(READERS)} families are known: see docs/models.md"
NESTED_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "llama": {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32},
    "mistral": {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "gemma": {"head_dim": 256},
    "gemma2": {"hidden_size": 2304, "num_hidden_layers": 26},
    "gemma3_text": {"hidden_size": 2304},
    "qwen2": {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32},
}
"""Sizes that a vision-language file leaves to the class of its language model (transformers 5.23).

They hold for nested sections alone: where the language model is the file, its sizes must be there.
"""


def read_hf_config(path: str | Path) -> ModelSpec:
    """Read a config.json, or the one in a folder.

    Raises:
        ConfigError: The file cannot be read, its family is not known, a size is missing, or two
            keys contradict each other. The message names file, line and key.
    """
    root = read_keys(Path(path))
    text, family, notes = language_model(root)
    reading = READERS[family](text)
    _check_caches(text, reading)
    length, length_notes = max_model_len(text, family)
    kv_dtype, dtype_notes = kv_cache_dtype(root, text, family)
    vision, vision_notes = read_vision(root, family)
    weights = _weights(root, text, family)
    sized = class_defaults(text, family)
    all_notes = [*notes, *reading.notes, *length_notes, *dtype_notes, *vision_notes, *weights.notes]
    return ModelSpec(
        name=model_name(root),
        source=f"{_place(root)} (Hugging Face, {family})",
        max_model_len=length,
        max_positions=max_positions(text, family),
        num_layers=len(reading.blocks),
        hidden_size=sized.integer(*HIDDEN_SIZES, default=0),
        vocab_size=sized.integer("vocab_size", "padded_vocab_size", default=0),
        params_total=weights.total,
        params_active=weights.active,
        weight_bytes=weights.weight_bytes,
        weight_dtype=weights.weight_dtype,
        moe=weights.moe,
        tied_embeddings=weights.tied_embeddings,
        layers=_in_order(reading),
        shared_layers=tuple(sorted(reading.shared.items())),
        draft_layers=draft_layers(text, reading, family),
        kv_cache_dtype=kv_dtype,
        vision=vision,
        notes=tuple(dict.fromkeys(all_notes)),
    )


def language_model(root: Keys) -> tuple[Keys, str, list[str]]:
    """The section of the language model with what its class fills in, its family, and notes."""
    text = text_section(root)
    family = family_of(root, text)
    if family not in READERS:
        text.fail(
            "model_type",
            f"{family!r} is not known{suggest(family, READERS, listed=LISTED)}. Nothing is assumed "
            "about models that are not known; describe it in a YAML file instead",
        )
    if text is root:
        return text, family, []
    defaults = NESTED_DEFAULTS.get(family, {})
    filled = [name for name in defaults if name not in text]
    if not filled:
        return text, family, []
    note = f"{', '.join(filled)}: left to the model's class by the file"
    return text.with_values({name: defaults[name] for name in filled}), family, [note]


def model_name(root: Keys) -> str:
    """The name in the file, or the name of its folder or of the file itself."""
    given = root.text("_name_or_path", default="") or ""
    if given and not given.startswith((".", "/")):
        return given.rpartition("/")[2]
    file = Path(root.file)
    stem = file.resolve().parent.name if file.name == "config.json" else file.stem
    return stem.rpartition("__")[2] or "model"


def _place(root: Keys) -> str:
    """The file and its folder: the way there is the user's own and says nothing to others."""
    return "/".join(Path(root.file).resolve().parts[-2:])


def _in_order(reading: Reading) -> tuple[LayerSpec, ...]:
    return tuple(
        replace(layer, block=block)
        for block, caches in enumerate(reading.blocks)
        for layer in caches
    )


def _weights(root: Keys, text: Keys, family: str) -> Parameters:
    """Parameters and bytes; unknown, with a note, where the file does not say their sizes."""
    try:
        counted = count_parameters(root, text, family)
        return _as_served(counted) if counted.weight_dtype == "fp32" else counted
    except UnknownSizeError as error:
        return unknown_parameters(str(error).replace(root.file, _place(root)))


def _as_served(weights: Parameters) -> Parameters:
    """A float32 checkpoint as vLLM serves it: in bf16."""
    note = "weights are float32 in the file; counted in bf16, as vLLM serves them"
    return replace(
        weights,
        weight_bytes=weights.weight_bytes // 2,
        weight_dtype="bf16",
        notes=(*weights.notes, note),
    )


def _check_caches(text: Keys, reading: Reading) -> None:
    if not any(reading.blocks):
        text.fail("model_type", "describes a model that caches nothing")
