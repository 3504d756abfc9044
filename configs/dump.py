"""A model as the YAML file that ``load_model`` reads: to keep, to edit, to ship."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from .patterns import NO_CACHE, SHARED
from .shapes import UNKNOWN
from .specs import STATE_KINDS, LayerSpec, ModelSpec

LONGEST_PATTERN = 24
"""Layers of a pattern that repetition is looked for in."""


def model_yaml(model: ModelSpec) -> str:
    """The file's text; reading it gives the same caches, sizes and notes."""
    names = _kind_names(model)
    data: dict[str, Any] = {
        "name": model.name,
        **({} if model.hf is None else {"hf": model.hf}),
        "source": model.source,
        "max_model_len": model.max_model_len,
        **({} if model.max_positions is None else {"max_positions": model.max_positions}),
        "num_layers": model.num_layers,
        "hidden_size": model.hidden_size or UNKNOWN,
        "vocab_size": model.vocab_size or UNKNOWN,
        **({"ffn_width": model.ffn_width} if model.ffn_width else {}),
        "params": {
            "total": model.params_total or UNKNOWN,
            "active": model.params_active or UNKNOWN,
        },
        "weights": {"dtype": model.weight_dtype, "bytes": model.weight_bytes or UNKNOWN},
        "tied_embeddings": model.tied_embeddings,
    }
    if model.kv_cache_dtype != "bf16":
        data["kv_cache_dtype"] = model.kv_cache_dtype
    if model.moe is not None:
        data["moe"] = {"experts": model.moe.experts, "top_k": model.moe.top_k}
    if model.overhead is not None:
        data["overhead"] = {"bytes": model.overhead.bytes, "source": model.overhead.source}
    if model.vision is not None:
        data["vision"] = model.vision.to_mapping()
    data["kinds"] = {name: _kind(layer, name) for layer, name in names.items()}
    data["layers"] = _runs(_items(model, names))
    if model.draft_layers:
        data["draft_layers"] = _drafts(model, names)
    if model.num_speculative_tokens:
        data["num_speculative_tokens"] = model.num_speculative_tokens
    if model.draft is not None:
        data["draft"] = asdict(model.draft)
    if model.notes:
        data["notes"] = list(model.notes)
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=98)


def _kind_names(model: ModelSpec) -> dict[LayerSpec, str]:
    """A name for every distinct cache: its variant, with the window where that is not enough."""
    names: dict[LayerSpec, str] = {}
    for layer in (*model.layers, *model.draft_layers):
        if layer in names:
            continue
        name = layer.variant
        if name in names.values():
            name = f"{layer.variant}_{layer.window}" if layer.window else f"{layer.variant}_2"
        number = 2
        while name in names.values():
            number += 1
            name = f"{layer.variant}_{number}"
        names[layer] = name
    return names


def _kind(layer: LayerSpec, name: str) -> dict[str, Any]:
    """The keys of one cache; what equals its default is left out."""
    fixed: dict[str, Any] = {"kind": layer.kind, "heads": max(layer.heads, 1)}
    if name != layer.variant:
        fixed["variant"] = layer.variant
    if layer.kind in STATE_KINDS:
        return fixed | _present(
            conv_channels=layer.conv_channels,
            conv_groups=layer.conv_groups,
            conv_group_channels=layer.conv_group_channels,
            conv_columns=layer.conv_columns,
            conv_dtype=layer.conv_dtype if layer.conv_dtype != "bf16" else None,
            ssm_elements=layer.ssm_elements,
            ssm_dtype=layer.ssm_dtype if layer.ssm_dtype != "bf16" else None,
        )
    if layer.kind == "mla":
        return fixed | _present(
            latent_dim=layer.k_dim,
            tokens_per_entry=_unless(layer.tokens_per_entry, 1),
            fp8_entry_bytes=layer.fp8_entry_bytes,
        )
    if layer.kind == "indexer":
        return fixed | {
            **_present(key_dim=layer.k_dim, tokens_per_entry=_unless(layer.tokens_per_entry, 1)),
            **({} if layer.dtype == "int8" else {"dtype": layer.dtype}),
        }
    if layer.kind == "compressor":
        return fixed | _present(
            elements=layer.k_dim,
            window=layer.window,
            block_size=layer.block_size,
            dtype=_unless(layer.dtype, "fp32"),
        )
    attention = _present(
        dtype=layer.dtype,
        fp8_entry_bytes=layer.fp8_entry_bytes,
        window=layer.window,
        block_size=layer.block_size,
        replicated=layer.replicated or None,
    )
    heads: dict[str, Any] = {"kv_heads": layer.kv_heads, "head_dim": layer.k_dim}
    if layer.v_dim != layer.k_dim:
        heads["v_head_dim"] = layer.v_dim
    return fixed | heads | attention


def _present(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}


def _unless(value: Any, default: Any) -> Any:
    return None if value == default else value


def _items(model: ModelSpec, names: Mapping[LayerSpec, str]) -> list[str]:
    """One item of a pattern per decoder layer."""
    caches: list[list[LayerSpec]] = [[] for _ in range(model.num_layers)]
    for layer in model.layers:
        caches[layer.block].append(layer)
    items = ["+".join(names[layer] for layer in block) or NO_CACHE for block in caches]
    for layer, owner in model.shared_layers:
        shared = next(each for each in caches[owner] if each.kind not in STATE_KINDS)
        prefix = "" if items[layer] == NO_CACHE else f"{items[layer]}+"
        items[layer] = f"{prefix}{SHARED}{names[shared]}"
    return items


def _drafts(model: ModelSpec, names: Mapping[LayerSpec, str]) -> list[str]:
    items: dict[int, list[str]] = {}
    for layer in model.draft_layers:
        items.setdefault(layer.block, []).append(names[layer])
    return ["+".join(each) for each in items.values()]


def _runs(items: Sequence[str]) -> list[dict[str, Any]]:
    """Patterns and how often they repeat: at each place the repetition that covers most."""
    runs: list[dict[str, Any]] = []
    at = 0
    while at < len(items):
        length, repeat = _best(items, at)
        pattern = list(items[at : at + length])
        if repeat == 1 and runs and "repeat" not in runs[-1]:
            runs[-1]["pattern"] += pattern
        else:
            runs.append(
                {"repeat": repeat, "pattern": pattern} if repeat > 1 else {"pattern": pattern}
            )
        at += length * repeat
    return runs


def _best(items: Sequence[str], at: int) -> tuple[int, int]:
    best = (1, 1)
    for length in range(1, LONGEST_PATTERN + 1):
        pattern = items[at : at + length]
        repeat = 1
        while items[at + repeat * length : at + (repeat + 1) * length] == pattern:
            repeat += 1
        if repeat > 1 and length * repeat > best[0] * best[1]:
            best = (length, repeat)
    return best


class _Dumper(yaml.SafeDumper):
    """Short mappings and lists on one line."""


def _is_short(values: Any) -> bool:
    return all(isinstance(value, str | int | float | bool | None) for value in values)


def _mapping(dumper: yaml.SafeDumper, data: dict[str, Any]) -> yaml.Node:
    short = _is_short(data.values()) or ("pattern" in data and len(data["pattern"]) < 12)
    flow = short and len(str(data)) < 98 and "name" not in data
    return dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=flow)


def _list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    flow = _is_short(data) and all(" " not in str(value) for value in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _list)
