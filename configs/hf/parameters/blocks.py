"""Attention and feed-forward layers: what varies between families, as values.

Shapes are those of the classes in transformers 5.23, ``models/*/modeling_*.py``.
"""

from dataclasses import dataclass
from typing import TypeVar

from ..keys import Keys
from .tensors import Flag, Part, Tensors, inside, linear, norm, on, vector

Value = TypeVar("Value")

MOST_LAYERS = 10_000
"""More layers than any model has: beyond it is a slip."""


def heads_of(text: Keys) -> int:
    """Query heads."""
    return text.integer("num_attention_heads", "n_head", "n_heads", "num_heads")


def kv_heads_of(text: Keys) -> int:
    """KV heads: as many as query heads unless the file says otherwise."""
    names = (
        "num_key_value_heads",
        "num_kv_heads",
        "n_head_kv",
        "num_attention_groups",
        "multi_query_group_num",
    )
    return text.optional_integer(*names) or heads_of(text)


def hidden_of(text: Keys) -> int:
    """Width of the residual stream."""
    return text.integer("hidden_size", "n_embd", "d_model", "model_dim")


def head_dim_of(text: Keys) -> int:
    """Features of a head: the file's, or the width divided among the heads."""
    own = text.optional_integer("head_dim", "kv_channels", "attention_head_dim")
    return own or hidden_of(text) // heads_of(text)


def layers_of(text: Keys) -> int:
    """Decoder layers."""
    return text.integer("num_hidden_layers", "n_layer", "num_layers", "n_layers", most=MOST_LAYERS)


def by_layer(text: Keys, name: str, values: list[Value]) -> list[Value]:
    """What a list says of each layer; it may go on with layers that predict several tokens."""
    layers = layers_of(text)
    if len(values) < layers:
        text.fail(name, f"has {len(values)} entries for {layers} layers")
    return values[:layers]


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Softmax attention with its projections.

    Attributes:
        qkv_bias: Biases of the queries, keys and values.
        o_bias: Bias of the output.
        qk_norm: Norms of queries and keys: over one ``head``, over ``all`` heads at once.
        qk_norm_if: Whether the file asks for them.
        gate: Gates of the output: one number for each ``head``, one for ``all`` features, or
            ``twice`` where the query projection makes them.
        gate_name: Module of a gate of its own.
        sinks: A learnt sink for each head.
        fused: One matrix for queries, keys and values of this name.
    """

    qkv_bias: Flag = False
    o_bias: Flag = False
    qk_norm: str = ""
    qk_norm_if: Flag = True
    qk_names: tuple[str, str] = ("q_norm", "k_norm")
    gate: str = ""
    gate_if: Flag = True
    gate_name: str = "gate_proj"
    sinks: bool = False
    fused: str = ""
    out: str = "o_proj"
    path: str = "self_attn"

    def tensors(self, text: Keys) -> list[Tensors]:
        """Weights with the sizes of the whole model."""
        return self.sized(text, heads_of(text), kv_heads_of(text), head_dim_of(text))

    def sized(
        self, text: Keys, heads: int, kv_heads: int, dim: int, v_dim: int | None = None
    ) -> list[Tensors]:
        """Weights with sizes of its own."""
        hidden, v_dim = hidden_of(text), v_dim or dim
        gate = self.gate if on(text, self.gate_if) else ""
        q = heads * dim * (2 if gate == "twice" else 1)
        found = self._qkv(text, hidden, q, kv_heads * dim, kv_heads * v_dim)
        bias = on(text, self.o_bias)
        found += linear("attention", self.out, hidden, heads * v_dim, bias=bias)
        if gate in ("head", "all"):
            width = heads if gate == "head" else heads * v_dim
            found += linear("attention", self.gate_name, width, hidden)
        if self.qk_norm and on(text, self.qk_norm_if):
            each = self.qk_norm == "head"
            found += norm(self.qk_names[0], dim if each else heads * dim)
            found += norm(self.qk_names[1], dim if each else kv_heads * dim)
        if self.sinks:
            found.append(vector("attention", "sinks", heads))
        return inside(self.path, found)

    def _qkv(self, text: Keys, hidden: int, q: int, k: int, v: int) -> list[Tensors]:
        bias = on(text, self.qkv_bias)
        if self.fused:
            return linear("attention", self.fused, q + k + v, hidden, bias=bias)
        sizes = {"q_proj": q, "k_proj": k, "v_proj": v}
        return [
            tensor
            for name, size in sizes.items()
            for tensor in linear("attention", name, size, hidden, bias=bias)
        ]


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """A feed-forward layer: with a gate, two matrices in and one out; without, one and one."""

    path: str = "mlp"
    up: tuple[str, ...] = ("gate_proj", "up_proj")
    """Matrices into the inner features; a name with ``*2`` holds two in one."""
    down: str = "down_proj"
    bias: Flag = False
    inner: tuple[str, ...] = ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim")
    part: Part = "mlp"

    def tensors(self, text: Keys) -> list[Tensors]:
        """Weights with the inner size of the file; without a gate four times the width by class."""
        hidden = hidden_of(text)
        gated = len(self.up) > 1 or any("*" in name for name in self.up)
        inner = text.integer(*self.inner, default=None if gated else 4 * hidden)
        return self.sized(hidden, inner, bias=on(text, self.bias))

    def sized(self, hidden: int, inner: int, *, bias: bool = False) -> list[Tensors]:
        """Weights with sizes of its own."""
        found: list[Tensors] = []
        for name in self.up:
            name, _, times = name.partition("*")
            found += linear(self.part, name, inner * int(times or 1), hidden, bias=bias)
        found += linear(self.part, self.down, hidden, inner, bias=bias)
        return inside(self.path, found) if self.path else found
