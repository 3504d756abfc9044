"""A model's caches summed up by type: what each keeps per token and per request, in bytes."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .specs import STATE_KINDS, LayerSpec, ModelSpec, Role, cdiv


@dataclass(frozen=True, kw_only=True)
class CacheType:
    """Layers whose caches are alike, all tensor-parallel ranks together."""

    variant: str
    role: Role
    layers: int
    bf16_bytes: int
    """Bytes of an entry in one layer with a bf16 cache; 0 for states."""
    fp8_bytes: int
    """The same with an fp8 cache, as vLLM packs it."""
    window: int | None
    tokens_per_entry: int
    conv_state: int
    """Bytes of the convolution's state in one layer, per request."""
    ssm_state: int
    """Bytes of the recurrent state in one layer, per request."""
    ssm_dtype: str | None

    @property
    def label(self) -> str:
        """Variant, and window where it has one: as results call it."""
        return f"{self.variant}({self.window})" if self.window else self.variant

    def bytes_at(self, tokens: int, kv_dtype: str = "bf16") -> int:
        """What a request of ``tokens`` needs of this type; nothing of an encoder's cache.

        An entry of several tokens counts in full once it is begun.
        """
        if self.role == "cross":
            return 0
        if self.role == "state":
            return self.layers * (self.conv_state + self.ssm_state)
        entry = self.fp8_bytes if kv_dtype == "fp8" else self.bf16_bytes
        kept = tokens if self.window is None else min(tokens, self.window)
        return self.layers * entry * cdiv(kept, self.tokens_per_entry)

    def describe(self) -> dict[str, Any]:
        """For JSON: ``kind`` is the variant."""
        return {
            "kind": self.variant,
            "role": self.role,
            "layers": self.layers,
            "bytes_per_token_bf16": self.bf16_bytes,
            "bytes_per_token_fp8": self.fp8_bytes,
            "window": self.window,
            "tokens_per_entry": self.tokens_per_entry,
            "conv_state": self.conv_state,
            "ssm_state": self.ssm_state,
            "ssm_dtype": self.ssm_dtype,
        }


def cache_types(model: ModelSpec, ssm_dtype: str | None = None) -> tuple[CacheType, ...]:
    """The types of a model's caches, in the order in which its layers first have them.

    ``ssm_dtype`` replaces the dtype of recurrent states, here and below; None is the model's own.
    """
    counts = Counter(_key(layer, ssm_dtype) for layer in model.layers)
    return tuple(CacheType(**dict(key), layers=count) for key, count in counts.items())


def labelled(types: Iterable[CacheType]) -> dict[str, CacheType]:
    """Types by label; a label that stood before gets a number."""
    found: dict[str, CacheType] = {}
    for each in types:
        label, number = each.label, 2
        while label in found:
            label, number = f"{each.label}#{number}", number + 1
        found[label] = each
    return found


def kv_bytes(
    model: ModelSpec, tokens: int, kv_dtype: str = "bf16", ssm_dtype: str | None = None
) -> int:
    """Bytes that a request of ``tokens`` needs, all ranks together, encoder caches left out."""
    return sum(each.bytes_at(tokens, kv_dtype) for each in cache_types(model, ssm_dtype))


def kv_bytes_at(
    model: ModelSpec, lengths: Iterable[int], ssm_dtype: str | None = None
) -> dict[str, int]:
    """``kv_bytes`` with a bf16 cache for each length, the lengths as text for JSON."""
    types = cache_types(model, ssm_dtype)
    return {str(tokens): sum(each.bytes_at(tokens) for each in types) for tokens in lengths}


def _key(layer: LayerSpec, ssm_dtype: str | None) -> tuple[tuple[str, Any], ...]:
    is_state = layer.kind in STATE_KINDS
    conv, ssm = layer.state_sizes(ssm_dtype=ssm_dtype) if is_state else (0, 0)
    values = {
        "variant": layer.variant,
        "role": layer.role,
        "bf16_bytes": 0 if is_state else layer.entry_bytes("bf16"),
        "fp8_bytes": 0 if is_state else layer.entry_bytes("fp8"),
        "window": layer.window or None,
        "tokens_per_entry": layer.tokens_per_entry,
        "conv_state": conv,
        "ssm_state": ssm,
        "ssm_dtype": ((ssm_dtype if ssm else None) or layer.ssm_dtype) if is_state else None,
    }
    return tuple(values.items())
