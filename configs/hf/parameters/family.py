"""A language model from its blocks: what a family consists of, and its list of weights."""

from collections.abc import Callable
from dataclasses import dataclass

from ..keys import Keys
from .blocks import Attention, Mlp, hidden_of, layers_of
from .experts import Experts, sparse_layers
from .latent import Latent
from .tensors import Flag, Tensors, linear, norm, norms, on, repeated, vector

Build = Callable[[Keys], list[Tensors]]
"""Makes weights from the section of the language model."""


GATED = Mlp()


@dataclass(frozen=True, kw_only=True)
class Family:
    """What the language models of one ``model_type`` consist of.

    Attributes:
        mixer: The attention that all layers have, or a function that gives the mixers of all.
        mlp: Feed-forward layer where there are no experts; None where the mixers are all.
        experts: Feed-forward layer with experts, where the file has some.
        feeds: Function that gives the feed-forward layers of all, in place of those two.
        norms: Norms of each layer, as wide as the model.
        norm_bias: Whether norms have biases: layer norms.
        embedding: Name of the table of embeddings.
        positions: Key for the number of learnt positions, and the name of their table.
        final: Name of the last norm; empty where it has no weight.
        layers: Name of the stack of layers.
        head: Name of the output head; its place is next to the model.
        head_bias: Whether the head has a bias; such a head is not the embedding again.
        extras: Function that gives what no other family has.
        sizes: Function that puts sizes at the top which the file keeps in sections of its own.
        prefix: Place of the model in a file of a plain language model.
    """

    mixer: Attention | Latent | Build
    mlp: Mlp | None = GATED
    experts: Experts | None = None
    feeds: Build | None = None
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    norm_bias: Flag = False
    embedding: str = "embed_tokens"
    positions: tuple[str, str] | None = None
    final: str = "norm"
    layers: str = "layers"
    head: str = "lm_head"
    head_bias: Flag = False
    extras: Build | None = None
    prefix: str = "model"
    sizes: Callable[[Keys], Keys] = lambda text: text

    def body(self, text: Keys) -> list[Tensors]:
        """Weights of the model without its output head; paths begin within the model."""
        hidden, bias = hidden_of(text), on(text, self.norm_bias)
        vocabulary = text.integer("vocab_size", "padded_vocab_size")
        found = [vector("embedding", self.embedding, vocabulary, hidden)]
        if self.positions is not None:
            count = text.integer(self.positions[0])
            found.append(vector("embedding", self.positions[1], count, hidden))
        found += self._mixers(text)
        found += self.feeds(text) if self.feeds else self._feeds(text)
        if self.norms:
            every = norms(self.norms, hidden, bias=bias)
            found += repeated(self.layers, range(layers_of(text)), every)
        if self.final:
            found += norm(self.final, hidden, bias=bias)
        return [*found, *(self.extras(text) if self.extras else [])]

    def output(self, text: Keys) -> list[Tensors]:
        """Weights of the output head."""
        vocabulary = text.integer("vocab_size", "padded_vocab_size")
        bias = on(text, self.head_bias)
        return linear("head", self.head, vocabulary, hidden_of(text), bias=bias)

    def _mixers(self, text: Keys) -> list[Tensors]:
        if isinstance(self.mixer, Attention | Latent):
            return repeated(self.layers, range(layers_of(text)), self.mixer.tensors(text))
        return self.mixer(text)

    def _feeds(self, text: Keys) -> list[Tensors]:
        if self.mlp is None:
            return []
        sparse = sparse_layers(text) if self.experts else []
        dense = [layer for layer in range(layers_of(text)) if layer not in sparse]
        found = repeated(self.layers, dense, self.mlp.tensors(text)) if dense else []
        if self.experts is not None and sparse:
            found += repeated(self.layers, sparse, self.experts.tensors(text))
        return found


def by_kind(kinds: Callable[[Keys], list[str]], **blocks: Build) -> Build:
    """Mixers that differ by layer: ``kinds`` names the block of each."""

    def build(text: Keys) -> list[Tensors]:
        names = kinds(text)
        found: list[Tensors] = []
        for name in sorted(set(names)):
            if name not in blocks:
                text.fail("layer_types", f"{name!r} is no kind of layer of this family")
            layers = [layer for layer, kind in enumerate(names) if kind == name]
            found += repeated("layers", layers, blocks[name](text))
        return found

    return build
