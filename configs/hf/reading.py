"""What the readers of all families share: the result, and sizes that most files spell alike."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from ..specs import LayerSpec
from .keys import Keys

MOST_LAYERS = 2000
MOST_HEADS = 10**5
HIDDEN_SIZES = ("hidden_size", "n_embd", "d_model", "dim")
FULL, SLIDING, CHUNKED = "full_attention", "sliding_attention", "chunked_attention"
"""Names of layer types in transformers 5 (``configuration_utils.py``)."""

LAYER_TYPE_SPELLINGS = {
    "attention": FULL,
    "global": FULL,
    "local": SLIDING,
    "mamba": "linear_attention",
    "mamba2": "linear_attention",
}
"""Names that older files use for them."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The caches of a model, and what a user should know about the file."""

    blocks: Sequence[Sequence[LayerSpec]]
    """Per decoder layer: its caches; none for a layer that keeps nothing."""
    shared: dict[int, int] = field(default_factory=dict[int, int])
    """Layers that read another layer's cache, and that layer."""
    notes: Sequence[str] = ()
    draft: Sequence[LayerSpec] | None = None
    """Caches of one draft layer (MTP) where they are not those of a full layer."""


Reader = Callable[[Keys], Reading]
"""From the section of the language model to its caches; ConfigError names a key."""


def num_layers(text: Keys) -> int:
    """Decoder layers."""
    return text.integer("num_hidden_layers", "n_layer", "num_layers", "n_layers", most=MOST_LAYERS)


def num_heads(text: Keys) -> int:
    """Query heads."""
    return text.integer("num_attention_heads", "n_head", "n_heads", "num_heads", most=MOST_HEADS)


def num_kv_heads(text: Keys, heads: int) -> int:
    """KV heads, in vLLM's order of spellings; as many as query heads where none is given."""
    nested = text.section("attn_config")
    if nested is not None and "kv_n_heads" in nested:
        return nested.integer("kv_n_heads", most=heads)
    shared = text.flag("multi_query", "multi_query_attention")
    if shared and not text.flag("new_decoder_architecture"):
        return text.optional_integer("multi_query_group_num", most=MOST_HEADS) or 1
    names = (
        "n_head_kv",
        "num_kv_heads",
        "num_key_value_heads",
        "multi_query_group_num",
        "num_attention_groups",
    )
    kv_heads = text.integer(*names, default=heads, most=MOST_HEADS)
    if kv_heads > heads or heads % kv_heads:
        name = next(name for name in names if name in text)
        text.fail(
            name,
            f"{kv_heads} KV heads cannot serve {heads} query heads evenly; one of the two is wrong",
        )
    return kv_heads


def head_dim(text: Keys, heads: int) -> int:
    """Elements of a head: the key if it is given, else hidden size / heads."""
    given = text.optional_integer("head_dim") or text.optional_integer("kv_channels")
    if given:
        return given
    hidden = hidden_size(text)
    if hidden % heads:
        text.fail(
            "hidden_size", f"{hidden} is no multiple of {heads} heads; then head_dim is needed"
        )
    return hidden // heads


def hidden_size(text: Keys) -> int:
    """Elements of a token between the layers."""
    return text.integer(*HIDDEN_SIZES)


def attention(
    text: Keys,
    *,
    window: int | None = None,
    chunk: int = 0,
    heads: int | None = None,
    kv_heads: int | None = None,
    k_dim: int | None = None,
    v_dim: int | None = None,
) -> LayerSpec:
    """Keys and values of one layer: full, in a ``window`` of tokens, or in chunks of ``chunk``."""
    heads = heads or num_heads(text)
    kv_heads = kv_heads or num_kv_heads(text, heads)
    k_dim = k_dim or head_dim(text, heads)
    return LayerSpec(
        kind="chunked_local" if chunk else "sliding_window" if window else "full",
        variant="chunk" if chunk else "swa" if window else "full",
        heads=heads,
        kv_heads=kv_heads,
        k_dim=k_dim,
        v_dim=v_dim or k_dim,
        window=chunk or window or 0,
    )


def layer_types(
    text: Keys,
    count: int,
    known: Collection[str],
    derive: Callable[[int], str] | None = None,
    *,
    name: str = "layer_types",
    longer: bool = False,
) -> list[str]:
    """The type of each layer: as listed, or as the model's class derives it.

    Older spellings are translated. ``longer`` lists may go on with draft layers.
    """
    given = text.texts(name)
    if given is None:
        if derive is None:
            text.missing(name)
        return [derive(index) for index in range(count)]
    if len(given) < count or (len(given) > count and not longer):
        text.fail(name, f"has {len(given)} entries for {count} layers")
    types = [LAYER_TYPE_SPELLINGS.get(each, each) for each in given[:count]]
    for index, each in enumerate(types):
        if each not in known:
            text.fail(
                f"{name}[{index}]", f"{each!r} is not known; known: {', '.join(sorted(known))}"
            )
    return types


def indices(text: Keys, name: str, count: int, *, first: int = 0) -> frozenset[int] | None:
    """A list of layer numbers from ``first`` on, as numbers from 0; None where it is absent."""
    if name not in text:
        return None
    return frozenset(
        index - first for index in text.integers(name, least=first, most=count - 1 + first) or ()
    )


def every(period: int, otherwise: str, last: str = FULL) -> Callable[[int], str]:
    """A pattern in which the last of each ``period`` layers is ``last``."""
    return lambda index: last if (index + 1) % period == 0 else otherwise
