"""The front door: parameters and weight bytes of a model from its config.json."""

from dataclasses import dataclass, field, replace

from ...specs import MoESpec
from ..keys import Keys
from ..quantization import read_quantization
from .defaults import assumed, class_defaults
from .drafts import prediction_layers
from .experts import experts_of, with_even_lists
from .family import Family
from .layouts import LAYOUTS, Layout, tower_tensors
from .older import UNSURE
from .stored import Quantization
from .table import FAMILIES
from .tensors import Tensors, inside

PLAIN = Layout(model="", tower="")
"""A file of a language model alone: the family knows its own place."""


DRAFTS = ("Eagle", "DFlash", "DSpark", "Domino", "Draft", "Medusa")
"""Marks of draft models in the name of an architecture."""


class UnknownParametersError(Exception):
    """A family whose weights are not known."""


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What a checkpoint holds.

    Attributes:
        total: Parameters, tied ones once; without layers that predict several tokens.
        active: Those that one token multiplies or looks up, embeddings and towers in full.
        weight_bytes: Bytes as the checkpoint stores them, scales of quantisation included.
        weight_dtype: Dtype of most elements: bf16, fp16, fp32, fp8, int8, int4, mxfp4, nvfp4.
        moe: Routed experts and how many serve a token.
        tied_embeddings: Whether the output head is the embedding.
        parts: Parameters by what they belong to; ``mtp`` are not in ``total``.
        notes: What is guessed or left out.
        estimated: Whether something is guessed or left out, as the notes say.
    """

    total: int
    active: int
    weight_bytes: int
    weight_dtype: str
    moe: MoESpec | None = None
    tied_embeddings: bool = False
    parts: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    estimated: bool = False


def count_parameters(root: Keys, text: Keys, family: str) -> Parameters:
    """Count what the checkpoint of a config.json holds.

    Args:
        root: The whole file.
        text: Its section of the language model.
        family: ``model_type`` of the language model.

    Raises:
        ConfigError: A size that is needed is missing or makes no sense.
    """
    if family in FAMILIES:
        return _counted(root, text, family, [UNSURE[family]] if family in UNSURE else [])
    return unknown_parameters(f"how family {family!r} stores its weights is not known")


def unknown_parameters(reason: str) -> Parameters:
    """No count: a model of another family with the same keys may be many times as large."""
    note = f"parameters and weights are not known: {reason}"
    return Parameters(total=0, active=0, weight_bytes=0, weight_dtype="bf16", notes=(note,))


def _counted(root: Keys, text: Keys, name: str, notes: list[str]) -> Parameters:
    known = FAMILIES[name]
    notes = [*notes, *_draft_notes(root)]
    text = _sized(text, name)
    tied = _tied(root, text)
    tensors, lost = _tensors(root, text, known, tied=tied)
    notes += lost
    extra = prediction_layers(text, name, known)
    quantization = read_quantization(root, text)
    notes += quantization.notes
    counted = _summed(tensors, extra, quantization, text, tied=tied, notes=notes)
    return replace(counted, notes=(*counted.notes, *assumed(text)))


def _sized(text: Keys, name: str) -> Keys:
    """The section with what its class assumes, and sizes that it nests or lists at its top."""
    return FAMILIES[name].sizes(class_defaults(with_even_lists(text), name))


def list_tensors(root: Keys, text: Keys, family: str) -> list[Tensors]:
    """The weights that ``count_parameters`` adds up.

    Raises:
        UnknownParametersError: The family is not known.
    """
    if family not in FAMILIES:
        raise UnknownParametersError(family)
    text = _sized(text, family)
    return _tensors(root, text, FAMILIES[family], tied=_tied(root, text))[0]


def _tensors(
    root: Keys, text: Keys, family: Family, *, tied: bool
) -> tuple[list[Tensors], list[str]]:
    layout = LAYOUTS.get(root.text("model_type") or "", PLAIN)
    place = layout.model or family.prefix
    body = family.body(text)
    found = inside(place, body) if place else body
    if not tied:
        head = family.output(text)
        found += inside(layout.head, head) if layout.head else head
    if layout is PLAIN:
        towers = [kind for kind in ("vision", "audio") if f"{kind}_config" in root]
        return found, [f"Not counted: its {kind} tower." for kind in towers]
    tower, notes = tower_tensors(root, text, layout)
    return [*found, *tower], notes


def _tied(root: Keys, text: Keys) -> bool:
    """Whether the head is the embedding: the outer section has the last word."""
    outer = root.flag("tie_word_embeddings") if "tie_word_embeddings" in root else None
    return text.flag("tie_word_embeddings") if outer is None else outer


def _draft_notes(root: Keys) -> list[str]:
    """A draft model has other weights than the plain model whose keys its file has."""
    names = root.texts("architectures") or []
    if not any(mark in name for name in names for mark in DRAFTS):
        return []
    return [f"{names[0]} is a draft model: its parameters are estimated as those of a plain model."]


def _summed(
    tensors: list[Tensors],
    extra: int,
    quantization: Quantization,
    text: Keys,
    *,
    tied: bool,
    notes: list[str],
) -> Parameters:
    parts: dict[str, int] = {}
    for tensor in tensors:
        parts[tensor.part] = parts.get(tensor.part, 0) + tensor.total
    if extra:
        parts["mtp"] = extra
    stored = quantization.stored(tensors)
    experts = experts_of(text) if parts.get("experts") else None
    return Parameters(
        total=sum(tensor.total for tensor in tensors),
        active=sum(tensor.used for tensor in tensors),
        weight_bytes=sum(size for _, size in stored.values()),
        weight_dtype=max(stored, key=lambda dtype: stored[dtype][0]),
        moe=MoESpec(experts=experts[0], top_k=experts[1]) if experts else None,
        tied_embeddings=tied,
        parts=parts,
        notes=tuple(notes),
        estimated=bool(notes),
    )
