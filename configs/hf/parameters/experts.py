"""Routed experts, and which layers have them."""

from dataclasses import dataclass, replace

from ..keys import Keys
from .blocks import Mlp, by_layer, hidden_of, layers_of
from .tensors import Flag, Tensors, inside, linear, norm, on

COUNTS = ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
"""Keys for the number of routed experts."""
TOP_K = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "moe_k",
    "moe_topk",
    "top_k_experts",
    "moe_top_k",
)
"""Keys for the number of experts that serve a token."""
INNER = ("moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size")
"""Keys for the inner size of a routed expert."""


LISTED = ("num_experts", *TOP_K, "moe_intermediate_size", "num_shared_expert")
"""Sizes of which some files list one for each layer (Hunyuan-A13B)."""


def with_even_lists(text: Keys) -> Keys:
    """The section with one number where a list says the same of every layer."""
    lists = {name: text.raw(name) for name in LISTED if isinstance(text.raw(name), list)}
    even = {
        name: by_layer(text, name, values)[0]
        for name, values in lists.items()
        if values and all(value == values[0] for value in values)
    }
    return text.with_values(even)


def experts_of(text: Keys) -> tuple[int, int] | None:
    """Routed experts and how many of them serve a token; None where all layers are dense."""
    experts = text.optional_integer(*COUNTS)
    return (experts, min(experts, text.integer(*TOP_K))) if experts else None


def sparse_layers(text: Keys) -> list[int]:
    """Numbers of the layers with routed experts, by whichever keys the family has."""
    layers = layers_of(text)
    if experts_of(text) is None:
        return []
    kinds = text.texts("mlp_layer_types")
    if kinds is not None:
        kinds = by_layer(text, "mlp_layer_types", kinds)
        return [layer for layer, kind in enumerate(kinds) if kind == "sparse"]
    listed = text.integers("moe_layers") or text.integers("moe_layers_enum")
    if listed is not None:
        return [layer for layer in listed if layer < layers]
    frequency = text.raw("moe_layer_freq")
    if isinstance(frequency, list):
        flags = by_layer(text, "moe_layer_freq", text.integers("moe_layer_freq") or [])
        return [layer for layer, flag in enumerate(flags) if flag]
    dense = text.integers("mlp_only_layers") or []
    return [layer for layer in _regular(text, layers) if layer not in dense]


def _regular(text: Keys, layers: int) -> range:
    """Layers of a rule: from the first sparse one, every so many."""
    if "decoder_sparse_step" in text:
        step = text.integer("decoder_sparse_step")
        return range(step - 1, layers, step)
    if "interleave_moe_layer_step" in text:
        step = text.integer("interleave_moe_layer_step")
        return range(step - 1, layers, step)
    if "expert_layer_period" in text:
        start = text.integer("expert_layer_offset", default=0, least=0)
        return range(start, layers, text.integer("expert_layer_period"))
    if "moe_layer_start_index" in text:
        start = text.integer("moe_layer_start_index", least=0)
        last = text.raw("moe_layer_end_index")
        last = layers - 1 if last in (None, -1) else text.integer("moe_layer_end_index", least=0)
        return range(start, min(last + 1, layers), text.integer("moe_layer_interval", default=1))
    first = text.integer("first_k_dense_replace", "num_dense_layers", default=0, least=0)
    return range(first, layers, text.integer("moe_layer_freq", default=1))


GATED = Mlp(path="experts.0", part="experts")
"""An expert with a gate; the first stands for all."""
SHARED = Mlp()


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A layer of routed experts with its router and the experts that always serve.

    Attributes:
        path: Module of the layer.
        expert: Matrices of an expert; ``up`` and ``down`` name them.
            bias: Biases of the experts.
        inner: Keys for the inner size of an expert.
        router: Matrix that scores the experts.
        router_bias: Its bias.
        correction: Stored numbers that balance the experts, of this name; not parameters.
        shared: Experts that always serve, in this module; their size is ``shared_inner`` keys, or
            as many times a routed expert as ``shared_count`` keys say.
        shared_as: Names of their matrices.
        shared_gate: One number that gates them.
        latent: Key for the width that experts work in where it is not the model's.
        latent_names: Matrices into that width and back.
        latent_norm: Norm in that width, if the flag says so.
    """

    path: str = "mlp"
    expert: Mlp = GATED
    bias: Flag = False
    inner: tuple[str, ...] = INNER
    router: str = "gate"
    router_bias: Flag = False
    correction: str = ""
    shared: str = ""
    shared_inner: tuple[str, ...] = ()
    shared_count: tuple[str, ...] = ("n_shared_experts", "num_shared_experts")
    shared_times: int | None = None
    shared_gate: str = ""
    shared_as: Mlp = SHARED
    latent: str = ""
    latent_names: tuple[str, str] = ("", "")
    latent_norm: str = ""
    latent_norm_if: Flag = False

    def tensors(self, text: Keys) -> list[Tensors]:
        """Weights of one layer."""
        found = experts_of(text)
        if found is None:
            return []
        (experts, top_k), hidden = found, hidden_of(text)
        inner = text.integer(*self.inner)
        width = (text.optional_integer(self.latent) if self.latent else None) or hidden
        each = self.expert.sized(width, inner, bias=on(text, self.bias))
        routed = [replace(tensor, count=experts, active=top_k) for tensor in each]
        router = linear("mlp", self.router, experts, hidden, bias=on(text, self.router_bias))
        routed += [replace(tensor, linear=False) for tensor in router]
        if self.correction:
            routed.append(Tensors("mlp", self.correction, (experts,), dtype="fp32", buffer=True))
        if width != hidden:
            routed += linear("mlp", self.latent_names[0], width, hidden)
            routed += linear("mlp", self.latent_names[1], hidden, width)
            if on(text, self.latent_norm_if):
                routed += norm(self.latent_norm, width)
        return inside(self.path, [*routed, *self._shared(text, hidden, inner)])

    def _shared(self, text: Keys, hidden: int, inner: int) -> list[Tensors]:
        if not self.shared:
            return []
        if self.shared_inner:
            size = text.integer(*self.shared_inner, default=0, least=0)
        else:
            times = self.shared_times
            if times is None:
                times = text.integer(*self.shared_count, default=0, least=0)
            size = inner * times
        if not size:
            return []
        found = replace(self.shared_as, path=self.shared).sized(hidden, size)
        return [*found, *(linear("mlp", self.shared_gate, 1, hidden) if self.shared_gate else [])]
