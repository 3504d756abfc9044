"""Models and GPUs by shipped name or by path, as frozen specs."""

import os
import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .images.spec import VisionSpec, vision_from_mapping
from .patterns import lay_out, names_of
from .shapes import GPU, LAYER_SHAPES, Model
from .specs import DraftSpec, GPUSpec, LayerSpec, ModelSpec, MoESpec, OverheadSpec
from .strict import StrictFile, suggest

_SHIPPED = resources.files(__package__ or "jenga_sim.configs")
_ALL = {"models": "`jenga-sim model list` lists all", "gpus": "Known: {}"}
"""Where all names are, by folder: GPUs are few."""


def model_names() -> tuple[str, ...]:
    """Return the names of the models that the package ships, sorted."""
    return _names("models")


def gpu_names() -> tuple[str, ...]:
    """Return the names of the GPUs that the package ships, sorted."""
    return _names("gpus")


def load_model(name_or_path: str | Path) -> ModelSpec:
    """Return a shipped model by name, or the model of a file.

    Args:
        name_or_path: A name of ``model_names()``, or a path: a ``Path``, or text that holds a
            ``/`` or ends in ``.yaml``, ``.yml`` or ``.json``. A .json file is read as the
            config.json of a Hugging Face model, and a folder as the one that holds it. Where
            there is no such path, a shipped model of that name on Hugging Face is meant.

    Raises:
        ConfigError: No model has this name, or the file has problems.
    """
    if _is_hf_config(name_or_path):
        from .hf.read import read_hf_config

        return read_hf_config(name_or_path)
    name_or_path = _by_hf_name(name_or_path) or name_or_path
    file = StrictFile(_find(name_or_path, "models", "model"))
    model = file.parse(Model, file.data)
    kinds = _read_kinds(file)
    _check_patterns(file)
    _check_labels(file, kinds)
    if model is not None:
        _check_sizes(file, model)
    file.raise_problems()
    assert model is not None, "parse reports a problem whenever it returns None"
    layers, shared = _layers(file, model, kinds)
    drafts, _ = lay_out(model.draft_layers, kinds)
    vision = _vision(file, model)
    file.raise_problems()
    return ModelSpec(
        name=model.name,
        source=model.source,
        max_model_len=model.max_model_len,
        num_layers=model.num_layers,
        hidden_size=model.hidden_size,
        vocab_size=model.vocab_size,
        params_total=model.params.total,
        params_active=model.params.active,
        weight_bytes=model.weights.bytes,
        weight_dtype=model.weights.dtype,
        layers=layers,
        shared_layers=shared,
        draft_layers=drafts,
        num_speculative_tokens=model.num_speculative_tokens,
        draft=None if model.draft is None else DraftSpec(**model.draft.model_dump()),
        moe=None if model.moe is None else MoESpec(**model.moe.model_dump()),
        overhead=None if model.overhead is None else OverheadSpec(**model.overhead.model_dump()),
        tied_embeddings=model.tied_embeddings,
        ffn_width=model.ffn_width,
        vision=vision,
        kv_cache_dtype=model.kv_cache_dtype,
        notes=tuple(model.notes),
        hf=model.hf,
        max_positions=model.max_positions,
    )


def load_gpu(name_or_path: str | Path) -> GPUSpec:
    """Return a shipped GPU by name, or the GPU of a file.

    Args:
        name_or_path: A name of ``gpu_names()``, or a path, as for ``load_model``.

    Raises:
        ConfigError: No GPU has this name, or the file has problems: it lists all of them.
    """
    file = StrictFile(_find(name_or_path, "gpus", "GPU"))
    gpu = file.parse(GPU, file.data)
    file.raise_problems()
    assert gpu is not None, "parse reports a problem whenever it returns None"
    peaks: dict[str, float] = gpu.flops_tflops.model_dump(exclude_none=True)
    return GPUSpec(
        name=gpu.name,
        source=gpu.source,
        memory_bytes=gpu.memory_mib * 2**20,
        memory_bandwidth=gpu.memory_bandwidth_gbs * 1e9,
        flops={dtype: peak * 1e12 for dtype, peak in peaks.items()},
        link_bandwidth=gpu.link_gbs * 1e9,
        compute_capability=gpu.compute_capability,
    )


def _is_hf_config(value: str | Path) -> bool:
    if str(value).endswith(".json"):
        return True
    is_path = isinstance(value, Path) or "/" in value or os.sep in value
    return is_path and Path(value).is_dir()


def _by_hf_name(value: str | Path) -> str | None:
    """The shipped model that ``google/gemma-3-27b-it`` and the like mean; None for none."""
    if isinstance(value, Path) or value.count("/") != 1 or Path(value).exists():
        return None
    for name in model_names():
        text = (_SHIPPED / "models" / f"{name}.yaml").read_text(encoding="utf-8")
        found = re.search(r"^hf: *(\S+) *$", text, re.MULTILINE)
        if found is not None and _hf_key(found.group(1)) == _hf_key(value):
            return name
    return None


def _hf_key(name: str) -> str:
    """What stays the same in the names of a base model and its tuned version."""
    return re.sub(r"-(instruct|it|chat|base|hf)$", "", name.casefold().replace("/meta-", "/"))


def _names(folder: str) -> tuple[str, ...]:
    files = (_SHIPPED / folder).iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


def _find(value: str | Path, folder: str, what: str) -> Traversable:
    if isinstance(value, Path):
        return value
    if "/" in value or os.sep in value or value.endswith((".yaml", ".yml")):
        path = Path(value)
        if not path.name.endswith((".yaml", ".yml")) and not path.exists():
            raise ConfigError(
                f"{value}: there is no such file, and no packaged {what} of this name. "
                f"{_ALL[folder].format(', '.join(_names(folder)))}"
            )
        return path
    names = _names(folder)
    if value not in names:
        raise ConfigError(
            f"unknown {what} {value!r}{suggest(value, names, listed=_ALL[folder])}. "
            "A file of your own is given by its path, such as ./mine.yaml"
        )
    return _SHIPPED / folder / f"{value}.yaml"


def _read_kinds(file: StrictFile) -> dict[str, LayerSpec]:
    found: dict[str, LayerSpec] = {}
    for variant, entry in _mapping(file.data.get("kinds")).items():
        if not isinstance(entry, dict):
            continue
        kind = entry.get("kind")
        shape = LAYER_SHAPES.get(kind) if isinstance(kind, str) else None
        if shape is None:
            what = "is missing" if kind is None else f"unknown kind {kind!r}"
            file.report(("kinds", variant, "kind"), f"{what}{suggest(str(kind), LAYER_SHAPES)}")
        elif layer := file.parse(shape, entry, ("kinds", variant)):
            if problem := layer.problem():
                file.report(("kinds", variant), problem)
            found[variant] = layer.spec(layer.variant or variant)
    return found


def _check_patterns(file: StrictFile) -> None:
    kinds = _mapping(file.data.get("kinds"))
    runs = _list(file.data.get("layers"))
    used: set[str] = set()
    for i, run in enumerate(runs):
        for j, name in enumerate(_list(_mapping(run).get("pattern"))):
            if not isinstance(name, str):
                continue
            for part in names_of(name):
                used.add(part)
                if kinds and part not in kinds:
                    text = f"{part!r} is not one of kinds{suggest(part, kinds)}"
                    file.report(("layers", i, "pattern", j), text)
    for i, name in enumerate(_list(file.data.get("draft_layers"))):
        for part in names_of(name) if isinstance(name, str) else ():
            used.add(part)
            if kinds and part not in kinds:
                text = f"{part!r} is not one of kinds{suggest(part, kinds)}"
                file.report(("draft_layers", i), text)
    if not used <= kinds.keys():
        return
    for variant in kinds:
        if runs and variant not in used:
            file.report(("kinds", variant), "is in no pattern of layers; use it or remove it")


def _check_labels(file: StrictFile, kinds: dict[str, LayerSpec]) -> None:
    """Results are kept by variant and window: entries that share both must count entries alike."""
    seen: dict[tuple[str, int], tuple[str, LayerSpec]] = {}
    for name, layer in kinds.items():
        first, other = seen.setdefault((layer.variant, layer.window), (name, layer))
        if (other.kind, other.tokens_per_entry) != (layer.kind, layer.tokens_per_entry):
            text = f"{layer.variant!r} is {first!r} already, of another kind; give it another name"
            file.report(("kinds", name, "variant"), text)


def _check_sizes(file: StrictFile, model: Model) -> None:
    described = sum(run.repeat * len(run.pattern) for run in model.layers)
    if described != model.num_layers:
        text = f"describes {described} layers, but num_layers is {model.num_layers}; check repeat"
        file.report(("layers",), text)
    if model.draft is not None and model.draft.num_layers >= model.num_layers:
        text = f"{model.draft.num_layers} leaves none of num_layers {model.num_layers} to a target"
        file.report(("draft", "num_layers"), text)
    total, active = model.params.total, model.params.active
    if total and active > total:
        file.report(("params", "active"), f"{active} is more than total {total}; swapped?")
    bits = 8 * model.weights.bytes / max(total, 1)
    if total and model.weights.bytes and not 1 <= bits <= 64:
        text = f"makes {bits:.3g} bits a parameter; check it against params.total"
        file.report(("weights", "bytes"), text)
    if model.moe is not None and model.moe.top_k > model.moe.experts:
        text = f"{model.moe.top_k} is more than experts {model.moe.experts}; swapped?"
        file.report(("moe", "top_k"), text)


def _layers(
    file: StrictFile, model: Model, kinds: dict[str, LayerSpec]
) -> tuple[tuple[LayerSpec, ...], tuple[tuple[int, int], ...]]:
    try:
        items = [item for run in model.layers for item in run.pattern * run.repeat]
        return lay_out(items, kinds)
    except ValueError as error:
        file.report(("layers",), str(error))
        return (), ()


def _vision(file: StrictFile, model: Model) -> VisionSpec | None:
    if model.vision is None:
        return None
    try:
        return vision_from_mapping(model.vision)
    except ConfigError as error:
        key, _, text = str(error).removeprefix("vision: ").partition(": ")
        file.report(("vision", key) if text else ("vision",), text or key)
        return None


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
