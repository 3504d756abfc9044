"""Model and GPU files by shipped name or by path, as frozen specs."""

import os
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .patterns import lay_out, names_of
from .shapes import GPU, LAYER_SHAPES, Model
from .specs import GPUSpec, LayerSpec, ModelSpec, MoESpec
from .strict import StrictFile, suggest

_SHIPPED = resources.files(__package__ or "jenga_sim.configs")


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
            ``/`` or ends in ``.yaml`` or ``.yml``.

    Raises:
        ConfigError: No model has this name, or the file has problems: it lists all of them.
    """
    file = StrictFile(_find(name_or_path, "models", "model"))
    model = file.parse(Model, file.data)
    kinds = _read_kinds(file)
    _check_patterns(file)
    _check_labels(file, kinds)
    if model is not None:
        _check_sizes(file, model)
    file.raise_problems()
    assert model is not None, "parse reports a problem whenever it returns None"
    try:
        layers, shared = lay_out(model.layers, kinds)
    except ValueError as error:
        file.report(("layers",), str(error))
        file.raise_problems()
        raise
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
        moe=None if model.moe is None else MoESpec(**model.moe.model_dump()),
        tied_embeddings=model.tied_embeddings,
        kv_cache_dtype=model.kv_cache_dtype,
        notes=tuple(model.notes),
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
    )


def _names(folder: str) -> tuple[str, ...]:
    files = (_SHIPPED / folder).iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


def _find(value: str | Path, folder: str, what: str) -> Traversable:
    if isinstance(value, Path):
        return value
    if "/" in value or os.sep in value or value.endswith((".yaml", ".yml")):
        return Path(value)
    names = _names(folder)
    if value not in names:
        raise ConfigError(
            f"unknown {what} {value!r}{suggest(value, names)}. "
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
    total, active = model.params.total, model.params.active
    if active > total:
        file.report(("params", "active"), f"{active} is more than total {total}; swapped?")
    bits = 8 * model.weights.bytes / total
    if not 1 <= bits <= 64:
        text = f"makes {bits:.3g} bits a parameter; check it against params.total"
        file.report(("weights", "bytes"), text)
    if model.moe is not None and model.moe.top_k > model.moe.experts:
        text = f"{model.moe.top_k} is more than experts {model.moe.experts}; swapped?"
        file.report(("moe", "top_k"), text)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
