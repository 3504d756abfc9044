"""Strict YAML: each key is known, stands once and has the right type, or the user hears where."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.resources.abc import Traversable
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from .errors import ConfigError

Key = tuple[str | int, ...]
"""The way to a value: names of mappings and indices of lists."""

_TAG = "tag:yaml.org,2002:"
_TYPE_NAMES = {"model_type": "a mapping of keys", "dict_type": "a mapping of keys"}


class Shape(BaseModel):
    """Base of the mappings that a file may hold: no other keys, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


ShapeT = TypeVar("ShapeT", bound=Shape)


class StrictFile:
    """A YAML file as plain values, the line of each key, and the problems found so far."""

    def __init__(self, source: Traversable):
        self.name = str(source)
        self.data: dict[str, Any] = {}
        self._lines: dict[Key, int] = {(): 1}
        self._unread: set[Key] = set()
        self._problems: list[tuple[int, str]] = []
        node = self._compose(source)
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{self.name}:1: the file must be a mapping of keys to values")
        self.data = self._mapping(node, ())

    def report(self, key: Key, text: str) -> None:
        """Note a problem at ``key``, with its line or that of the nearest thing around it."""
        line = next(self._lines[key[:n]] for n in range(len(key), -1, -1) if key[:n] in self._lines)
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
        self._problems.append((line, f"{self.name}:{line}: {path.lstrip('.')}: {text}"))

    def parse(self, shape: type[ShapeT], value: object, at: Key = ()) -> ShapeT | None:
        """Return ``value`` as ``shape``, or report each thing that does not fit."""
        try:
            return shape.model_validate(value)
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                key = (*at, *problem["loc"])
                if key not in self._unread:
                    self.report(key, _explain(shape, problem))
        return None

    def raise_problems(self) -> None:
        """Raise all problems as one error, in the order of the file; none is a no-op.

        Raises:
            ConfigError: Something was reported.
        """
        if self._problems:
            ordered = sorted(self._problems, key=lambda problem: problem[0])
            raise ConfigError("\n".join(text for _, text in ordered))

    def _compose(self, source: Traversable) -> yaml.Node | None:
        try:
            text = source.read_text(encoding="utf-8-sig")
        except FileNotFoundError as error:
            raise no_such_file(self.name) from error
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.name}: cannot be read as UTF-8 text: {error}") from error
        try:
            return _Loader(text).get_single_node()
        # PyYAML lets ValueError and OverflowError of bad \U escapes through.
        except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
            raise ConfigError(f"{self.name}:{_broken(text, error)}") from error

    def _plain(self, node: yaml.Node, key: Key) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            for index, item in enumerate(node.value):
                self._lines[*key, index] = item.start_mark.line + 1
            return [self._plain(item, (*key, index)) for index, item in enumerate(node.value)]
        read = _SCALARS.get(node.tag.removeprefix(_TAG))
        if isinstance(node, yaml.ScalarNode) and read is not None:
            try:
                return read(node.value)
            except ValueError as error:
                return self._refuse(key, f"{_short(node.value)} {error}")
        return self._refuse(key, "is no text, number, list or mapping; put text in quotes")

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            name = str(name_node.value) if isinstance(name_node, yaml.ScalarNode) else "?"
            child = (*key, name)
            if name_node.tag != _TAG + "str":
                self._lines.setdefault(child, line)
                self.report(child, "is no plain text, so it cannot be a key; put it in quotes")
                continue
            if name in values:
                first, self._lines[child] = self._lines[child], line
                self.report(child, f"stands twice, first on line {first}; keep one of them")
                self._lines[child] = first
                continue
            self._lines[child] = line
            values[name] = self._plain(value_node, child)
        return values

    def _refuse(self, key: Key, text: str) -> None:
        self._unread.add(key)
        self.report(key, text)


def suggest(
    word: str, choices: Iterable[str], *, cutoff: float = 0.65, listed: str = "Known: {}"
) -> str:
    """Return the end of a message about an unknown ``word``: near matches, and where all are.

    Args:
        word: What the user wrote.
        choices: What it could have been.
        cutoff: How alike, 0 to 1, a choice must be to be called near (``difflib``).
        listed: The sentence on all choices; ``{}`` stands for them, where they are few.
    """
    known = sorted(choices)
    near = difflib.get_close_matches(word.lower(), known, cutoff=cutoff)
    question = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    return f"{question} {listed.format(', '.join(known))}"


def no_such_file(file: object) -> ConfigError:
    """The error of a path at which there is nothing."""
    return ConfigError(f"{file}: there is no such file")


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):  # a few nested aliases make gigabytes
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(
                problem="aliases (*) are not read; write the value out", problem_mark=mark
            )
        return super().compose_node(parent, index)


def _broken(text: str, error: Exception) -> str:
    line, what = 1, f"{type(error).__name__}: {error}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line, what = error.problem_mark.line + 1, str(error.problem)
    elif isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        what = f"character #x{error.character:04x} is not allowed"
    lines = text.splitlines()
    near = f" near {_short(lines[line - 1].strip())}" if line <= len(lines) else ""
    return f"{line}: broken YAML{near}: {what}"


def _read_int(text: str) -> int:
    if not re.fullmatch(r"[-+]?(0|[1-9][0-9_]{0,40})", text):
        raise ValueError("is no plain integer; write decimal digits only, such as 131072")
    return int(text.replace("_", ""))


def _read_float(text: str) -> float:
    if not re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+\.?[0-9]*([eE][-+]?[0-9]{1,3})?", text):
        raise ValueError("is no plain number; write it such as 3.35")
    return float(text)


def _read_null(text: str) -> None:
    return None


_SCALARS: Mapping[str, Callable[[str], object]] = {
    "str": str,
    "null": _read_null,
    "bool": lambda text: text.lower() in ("true", "yes", "on"),
    "int": _read_int,
    "float": _read_float,
}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _explain(shape: type[Shape], problem: ErrorDetails) -> str:
    kind, value = problem["type"], problem["input"]
    if kind == "missing":
        return "is missing; add it"
    if kind == "extra_forbidden":
        known = _keys_at(shape, problem["loc"])
        return f"unknown key{suggest(str(problem['loc'][-1]), known, cutoff=0.7)}"
    if kind == "too_short":
        return "must not be empty"
    text = re.sub(r"^\w+ should", "must", problem["msg"])
    if kind in _TYPE_NAMES:
        text = f"must be {_TYPE_NAMES[kind]}"
    if kind in ("int_type", "float_type") and isinstance(value, str):
        text += " in plain digits, without quotes, unit or exponent"
    return f"{text}, not {'empty' if value is None else _short(value)}"


def _keys_at(shape: type[Shape], loc: tuple[int | str, ...]) -> Iterable[str]:
    for part in loc[:-1]:
        if isinstance(part, str):
            annotation = shape.model_fields[part].annotation
            for inner in (annotation, *get_args(annotation)):
                if isinstance(inner, type) and issubclass(inner, Shape):
                    shape = inner
    return shape.model_fields
