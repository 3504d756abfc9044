"""Weights of a checkpoint as a short list: one entry for all that are alike, whatever the layer.

A path follows the checkpoint's module paths, since quantisation rules go by them. It holds ``*``
where the number of a layer stands; the first of several experts stands for all.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..keys import Keys

Part = Literal["embedding", "attention", "state", "mlp", "experts", "norm", "vision", "head"]
"""What a weight belongs to."""

Flag = bool | str
"""Always, never, or as a key of the file says: ``attention_bias``."""


@dataclass(frozen=True, slots=True)
class Tensors:
    """Weights that differ in nothing but the layer or the expert that they belong to."""

    part: Part
    path: str
    """Path of the module, without ``.weight``."""
    shape: tuple[int, ...]
    count: int = 1
    """How many there are in a layer: the experts."""
    active: int | None = None
    """How many of them serve a token; None for all."""
    layers: tuple[int, ...] = ()
    """Numbers that ``*`` in the path stands for; empty outside the layers."""
    linear: bool = False
    """Whether it is the matrix of a linear layer: what quantisation replaces."""
    dtype: str | None = None
    """Fixed dtype; None for the model's."""
    buffer: bool = False
    """Stored, but not a parameter: the corrections that balance experts."""

    @property
    def copies(self) -> int:
        """How many tensors of this shape there are."""
        return self.count * max(1, len(self.layers))

    @property
    def elements(self) -> int:
        """Numbers that all of them hold."""
        return math.prod(self.shape) * self.copies

    @property
    def total(self) -> int:
        """Parameters."""
        return 0 if self.buffer else self.elements

    @property
    def used(self) -> int:
        """Parameters that one token multiplies or looks up."""
        return self.total if self.active is None else self.total // self.count * self.active


def on(text: Keys, flag: Flag) -> bool:
    """Whether a flag is set: by itself, or by the key that it names."""
    return text.flag(flag) if isinstance(flag, str) else flag


def vector(part: Part, path: str, *shape: int, dtype: str | None = None) -> Tensors:
    """A weight that no quantisation touches: of a norm, a convolution, a table."""
    return Tensors(part, path, shape, dtype=dtype)


def linear(part: Part, path: str, out: int, inner: int, *, bias: bool = False) -> list[Tensors]:
    """A linear layer from ``inner`` to ``out`` features."""
    found = [Tensors(part, path, (out, inner), linear=True)]
    return [*found, Tensors(part, f"{path}.bias", (out,))] if bias else found


def norm(path: str, size: int, *, bias: bool = False, part: Part = "norm") -> list[Tensors]:
    """A norm's weight, with the bias of a layer norm where it has one."""
    found = [Tensors(part, path, (size,))]
    return [*found, Tensors(part, f"{path}.bias", (size,))] if bias else found


def norms(names: Iterable[str], size: int, *, bias: bool = False) -> list[Tensors]:
    """Norms of one size."""
    return [tensor for name in names for tensor in norm(name, size, bias=bias)]


def inside(path: str, tensors: Iterable[Tensors]) -> list[Tensors]:
    """The same weights in a module further out."""
    return [replace(tensor, path=f"{path}.{tensor.path}") for tensor in tensors]


def repeated(path: str, layers: Sequence[int], tensors: Iterable[Tensors]) -> list[Tensors]:
    """The same weights in each of the numbered layers of a stack."""
    numbers = tuple(layers)
    if not numbers:
        return []
    return [replace(each, path=f"{path}.*.{each.path}", layers=numbers) for each in tensors]


def belonging(part: Part, tensors: Iterable[Tensors]) -> list[Tensors]:
    """The same weights as another part of the model: all of a vision tower."""
    return [replace(tensor, part=part) for tensor in tensors]
