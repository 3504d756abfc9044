"""Parameters on one line: ``chat:turns=3,gap=60`` becomes a frozen dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, field, fields
from typing import Any, ClassVar, Protocol, TypeVar

from ..configs.errors import TraceError
from .text import shown

_UNITS = ("_tokens", "_per_s", "_s")

_MOST = 2.0**40
"""No parameter is larger, whatever it counts."""


class Parameters(Protocol):
    """A frozen dataclass whose fields are made by ``number`` and ``word``."""

    NAME: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


_P = TypeVar("_P", bound=Parameters)
_N = TypeVar("_N", int, float)


def number(default: _N, *, least: float = 0.0, most: float = _MOST) -> _N:
    """Declare a field that holds a number, an integer if ``default`` is one."""
    return field(default=default, metadata={"least": least, "most": most})


def word(default: str, *choices: str) -> str:
    """Declare a field that holds one of these words."""
    return field(default=default, metadata={"choices": choices})


def key_of(name: str) -> str:
    """Return what a field is called in words: its name without the unit."""
    for unit in _UNITS:
        if name.endswith(unit):
            return name.removesuffix(unit)
    return name


def check(parameters: Parameters) -> None:
    """Refuse values out of range, and a quantile ``x_p90`` or ``x_p99`` below the median ``x``.

    Raises:
        TraceError: It names the word, the key, the range and the value.
    """
    values: dict[str, Any] = {}
    for item in fields(parameters):
        key, value = key_of(item.name), getattr(parameters, item.name)
        base, mark, _ = key.rpartition("_p")
        least = values[base] if mark and base in values else item.metadata.get("least", 0)
        values[key] = value
        problem = _problem(value, item, least)
        if problem:
            place = f"{parameters.NAME}: {key}"
            raise TraceError(f"{place}: must be {problem}, is {shown(str(value))}")


def _problem(value: Any, item: Field[Any], least: float) -> str:
    if "choices" in item.metadata:
        choices = item.metadata["choices"]
        return "" if value in choices else " or ".join(choices)
    most = item.metadata["most"]
    if least <= value <= most:
        return ""
    kind = "an integer" if isinstance(item.default, int) else "a number"
    return f"{kind} from {least:.15g} to {most:.15g}"


def parse(text: str, choices: Mapping[str, type[_P]], what: str) -> _P:
    """Read ``NAME`` or ``NAME:KEY=VALUE,KEY=VALUE``.

    Args:
        text: The words.
        choices: Classes by name.
        what: What is chosen, for messages.

    Raises:
        TraceError: The name or a key is unknown, or a value is out of range.
    """
    name, _, rest = text.partition(":")
    if name not in choices:
        known = ", ".join(choices)
        raise TraceError(f"{what} '{shown(name)}': is unknown; known are {known}")
    return choices[name](**_values(name, rest, choices[name]))


def _values(name: str, text: str, chosen: type[Parameters]) -> dict[str, Any]:
    known = {key_of(item.name): item for item in fields(chosen)}
    values: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise TraceError(f"{name}: '{shown(part)}': must have the form KEY=VALUE")
        if key not in known:
            keys = ", ".join(known) or "none"
            raise TraceError(f"{name}: {shown(key)}: is no parameter; there are: {keys}")
        if known[key].name in values:
            raise TraceError(f"{name}: {key}: is given twice; give it once")
        values[known[key].name] = _value(f"{name}: {key}", value, known[key].default)
    return values


def _value(place: str, text: str, default: Any) -> Any:
    kind = type(default)
    try:
        return kind(text)
    except ValueError:
        wanted = "an integer" if kind is int else "a number"
        raise TraceError(f"{place}: must be {wanted}, is '{shown(text)}'") from None


def described(parameters: Parameters, *, defaults: bool = False) -> str:
    """Return the words for some parameters.

    Args:
        parameters: The parameters.
        defaults: Whether to name those too that are the default.
    """
    values = {item.name: getattr(parameters, item.name) for item in fields(parameters)}
    parts = [
        f"{key_of(item.name)}={str(values[item.name]).removesuffix('.0')}"
        for item in fields(parameters)
        if defaults or values[item.name] != item.default
    ]
    return ":".join((parameters.NAME, ",".join(parts))) if parts else parameters.NAME
