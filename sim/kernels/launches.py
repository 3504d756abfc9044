"""Which kernels a step launches: matrices, experts and collectives of a model on one rank.

Most files of models hold no width of feed-forward layers, but all have exact numbers of parameters:
what embeddings and attention leave of these is feed-forward, three matrices a layer. That is exact
where all layers are alike and nothing else has parameters, and keeps the work where they are not.
"""

from collections import Counter
from dataclasses import dataclass

from ...configs.errors import ConfigError
from ...configs.specs import LayerSpec, ModelSpec

GRAIN = 16
"""Widths are multiples of it; biases and norms are a smaller part of the parameters."""
MATRICES = 3
"""Of a feed-forward layer: gate, up and down."""
KERNELS = 4
"""Of a layer beside matrices and attention: two norms, a rotation, an activation."""
PASSES = 9
"""How often these read or write the hidden states: norms with their residual 6, a rotation 1, an
activation of twice the width 2."""
TIMED = ("full", "sliding_window")
"""Kinds of attention that profiles have tables of."""


@dataclass(frozen=True)
class Matrix:
    """``count`` products per step with a matrix of ``k`` rows and ``n`` columns."""

    name: str
    count: int
    n: int
    k: int


@dataclass(frozen=True)
class Experts:
    """``count`` layers of routed experts; see the op ``moe``."""

    count: int
    hidden: int
    inner: int
    top_k: int
    experts: int


def require_timed(model: ModelSpec) -> None:
    """Raise ConfigError where a model launches kernels that this module does not know."""
    others = sorted({layer.variant for layer in model.layers if layer.kind not in TIMED})
    uneven = any(layer.k_dim != layer.v_dim for layer in model.layers)
    reason = ""
    if not model.params_total:
        reason = "its parameters are not known"
    elif others or uneven:
        reason = f"it has layers of {', '.join(others) or 'uneven heads'}"
    elif model.vision is not None and not model.ffn_width:
        reason = "its parameters are also those of a vision tower, and ffn_width is not given"
    if reason:
        raise ConfigError(
            f"profile: what {model.name} launches is not known yet ({reason}): leave --profile out"
        )


def attention_matrices(model: ModelSpec, tp: int = 1) -> list[Matrix]:
    """Projections before and after attention, by shape, on one of ``tp`` ranks."""
    found: Counter[tuple[str, int, int]] = Counter()
    for layer in _attention(model):
        heads, kv_heads = per_rank(layer.heads, tp), per_rank(layer.kv_heads, tp)
        into = heads * layer.k_dim + kv_heads * (layer.k_dim + layer.v_dim)
        found["qkv", into, model.hidden_size] += 1
        found["o", model.hidden_size, heads * layer.v_dim] += 1
    return [Matrix(name, count, n, k) for (name, n, k), count in found.items()]


def dense_matrices(model: ModelSpec, tp: int = 1) -> list[Matrix]:
    """Feed-forward layers that every token goes through, shared experts among them."""
    width = dense_width(model)
    if not width:
        return []
    layers, hidden, part = model.num_layers, model.hidden_size, per_rank(width, tp)
    return [Matrix("gate_up", layers, 2 * part, hidden), Matrix("down", layers, hidden, part)]


def routed_experts(model: ModelSpec) -> Experts | None:
    """Routed experts, before they are split; None without any."""
    if model.moe is None:
        return None
    count, top_k = model.moe.experts, model.moe.top_k
    width = _routed_params(model) / (model.num_layers * count * MATRICES * model.hidden_size)
    return Experts(model.num_layers, model.hidden_size, _grained(width), top_k, count)


def dense_width(model: ModelSpec) -> int:
    """Width of the feed-forward layers that every token goes through; 0 without any."""
    if model.ffn_width:
        return model.ffn_width
    copies = 1 if model.tied_embeddings else 2
    rest = model.params_total - copies * model.vocab_size * model.hidden_size
    rest -= sum(matrix.count * matrix.n * matrix.k for matrix in attention_matrices(model))
    if model.moe is not None:
        rest -= _routed_params(model) + model.num_layers * model.moe.experts * model.hidden_size
    return _grained(rest / (model.num_layers * MATRICES * model.hidden_size))


def per_rank(count: int, tp: int) -> int:
    """Split over ranks, and repeated where there are fewer than ranks."""
    return max(1, -(-count // tp))


def _routed_params(model: ModelSpec) -> float:
    """Parameters of all experts: a token leaves out those that it does not choose."""
    assert model.moe is not None
    share = model.moe.top_k / model.moe.experts
    return (model.params_total - model.params_active) / (1 - share)


def _attention(model: ModelSpec) -> list[LayerSpec]:
    """One layer per attention, those that read another's cache among them."""
    readers = Counter(owner for _, owner in model.shared_layers)
    own = [layer for layer in model.layers if layer.role == "kv"]
    return [layer for layer in own for _ in range(1 + readers[layer.block])]


def _grained(width: float) -> int:
    return max(0, round(width / GRAIN)) * GRAIN
