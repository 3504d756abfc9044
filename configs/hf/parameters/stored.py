"""Bytes of weights as a checkpoint stores them: which matrices are quantised, and how."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate

from ...specs import DTYPE_BYTES, cdiv
from .tensors import Part, Tensors

BYTES = {**DTYPE_BYTES, "int64": 8.0}
"""Bytes of an element that is not quantised."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How one matrix is quantised.

    Attributes:
        dtype: Name of the dtype.
        bits: Bits of an element.
        rows: Outputs that one scale stands for; 0 for all.
        columns: Inputs that one scale stands for; 0 for all.
        scale_bytes: Bytes of a scale.
        zero_bits: Bits of the zero point beside each scale.
        matrix_bytes: Bytes beside each matrix, whatever its size.
        input_bytes: Bytes beside each input: the order in which GPTQ went.
    """

    dtype: str
    bits: int
    rows: int = 0
    columns: int = 0
    scale_bytes: int = 0
    zero_bits: int = 0
    matrix_bytes: int = 0
    input_bytes: int = 0

    def bytes_of(self, shape: tuple[int, ...]) -> int:
        """Bytes of one matrix, outputs first, with its scales."""
        out, inner = shape[0], math.prod(shape[1:])
        scales = cdiv(out, self.rows or out) * cdiv(inner, self.columns or inner)
        bits = out * inner * self.bits + scales * self.zero_bits
        beside = scales * self.scale_bytes + self.matrix_bytes + inner * self.input_bytes
        return cdiv(bits, 8) + beside


class Names:
    """Module names as quantisation lists spell them.

    Plain names stand for the module, all within it, and all that end so (``gate``, ``lm_head``);
    with stars they are shell patterns (ModelOpt), after ``re:`` regular expressions
    (compressed-tensors).
    """

    def __init__(self, entries: Iterable[str]) -> None:
        plain: set[str] = set()
        starts: set[str] = set()
        patterns: list[str] = []
        for entry in entries:
            if entry.startswith("re:"):
                patterns.append(f"(?:{entry[3:]})")
            elif "*" not in entry:
                plain.add(entry)
            elif entry.index("*") == len(entry) - 1:
                starts.add(entry[:-1])
            else:
                patterns.append(f"(?:{translate(entry)})|(?:{translate(entry + '.*')})")
        self._plain = frozenset(plain)
        self._starts = tuple(starts)
        self._patterns = [_compiled(pattern) for pattern in patterns]

    def __bool__(self) -> bool:
        return bool(self._plain or self._starts or self._patterns)

    def __contains__(self, path: str) -> bool:
        if self._starts and path.startswith(self._starts):
            return True
        if self._plain and not self._plain.isdisjoint(_ends(path)):
            return True
        return any(pattern.match(path) for pattern in self._patterns)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error:
        return re.compile(re.escape(pattern))


def _ends(path: str) -> list[str]:
    """A path, and all that it begins or ends with."""
    names = path.split(".")
    found = [path]
    for index in range(1, len(names)):
        found += [".".join(names[:index]), ".".join(names[index:])]
    return found


NO_NAMES = Names(())


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """What a file says of its weights.

    Attributes:
        dtype: Dtype of what is not quantised.
        default: Scheme of all matrices but the ignored ones; None for none.
        parts: Parts of the model that ``default`` may apply to.
        ignored: Modules that ``default`` leaves alone.
        named: Schemes of single modules, which come first.
        notes: What is estimated.
    """

    dtype: str = "bf16"
    default: Scheme | None = None
    parts: frozenset[Part] = frozenset({"attention", "state", "mlp", "experts", "vision"})
    ignored: Names = NO_NAMES
    named: tuple[tuple[Names, Scheme], ...] = ()
    notes: tuple[str, ...] = ()

    def stored(self, tensors: Iterable[Tensors]) -> dict[str, tuple[int, int]]:
        """Elements and bytes by dtype."""
        found: dict[str, list[int]] = {}
        for tensor in tensors:
            for scheme, copies in self._schemes(tensor):
                dtype = scheme.dtype if scheme else (tensor.dtype or self.dtype)
                elements = math.prod(tensor.shape)
                size = scheme.bytes_of(tensor.shape) if scheme else int(elements * BYTES[dtype])
                counts = found.setdefault(dtype, [0, 0])
                counts[0] += elements * copies
                counts[1] += size * copies
        return {dtype: (elements, size) for dtype, (elements, size) in found.items()}

    def _schemes(self, tensor: Tensors) -> list[tuple[Scheme | None, int]]:
        """Schemes with how many copies have them: layers may differ."""
        if not tensor.linear or (self.default is None and not self.named):
            return [(None, tensor.copies)]
        if not self.named and (tensor.part not in self.parts or not self.ignored):
            scheme = self.default if tensor.part in self.parts else None
            return [(scheme, tensor.copies)]
        counts: dict[Scheme | None, int] = {}
        for layer in tensor.layers or (None,):
            path = tensor.path if layer is None else tensor.path.replace("*", str(layer), 1)
            scheme = self._scheme(path, tensor.part)
            counts[scheme] = counts.get(scheme, 0) + tensor.count
        return list(counts.items())

    def _scheme(self, path: str, part: Part) -> Scheme | None:
        for names, scheme in self.named:
            if path in names:
                return scheme
        if self.default is None or part not in self.parts or path in self.ignored:
            return None
        return self.default
