"""A config.json as typed values: every value that is used is checked, every error names its key."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ConfigError
from ..strict import no_such_file

MAX_FILE_BYTES = 64 << 20
"""Quantisation lists make some files megabytes long; nothing sensible is longer than this."""
MOST = 10**9
"""Largest whole number that a size may have: beyond it is a slip."""


class UnknownSizeError(ConfigError):
    """The file does not say a size that is needed, or says it in a form that is not read."""


class MissingKeyError(UnknownSizeError):
    """A key that is needed is not there."""


class ListedSizeError(UnknownSizeError):
    """One size is needed, and the file lists one for each layer."""


class Keys:
    """One mapping of a file: the file itself, or a section of it.

    A key that is null counts as absent, as in transformers. Methods that take several names return
    the first that is present: families spell one thing differently.
    """

    def __init__(self, data: dict[str, Any], *, file: str, path: str = "", text: str = "") -> None:
        self._data = data
        self.file = file
        """The file as the user named it."""
        self.path = path
        """Keys that lead here, with dots; empty at the top."""
        self._text = text
        self._defaults: dict[str, bool] = {}

    def __contains__(self, name: str) -> bool:
        return self._data.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def raw(self, name: str) -> Any:
        """The value as it stands, or None."""
        return self._data.get(name)

    def integer(
        self, *names: str, default: int | None = None, least: int = 1, most: int = MOST
    ) -> int:
        """A whole number, such as 32 or 32.0, in a range; required unless there is a default."""
        name = self._first(names)
        if name is None:
            if default is None:
                self.missing(*names)
            return default
        value = self._data[name]
        if name in self._defaults:
            self._defaults[name] = True
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, list) and value and all(isinstance(each, int) for each in value):
            text = "lists a size for each layer, and they differ or are not read; one is needed"
            raise ListedSizeError(self._told(name, text))
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(name, f"must be a whole number, not {short(value)}")
        if not least <= value <= most:
            self.fail(name, f"must be from {least} to {most}, not {short(value)}")
        return value

    def optional_integer(self, *names: str, most: int = MOST) -> int | None:
        """A whole number, or None where it is absent, null or 0."""
        name = self._first(names)
        return (self.integer(name, least=0, most=most) or None) if name else None

    def number(self, *names: str, default: float | None = None) -> float:
        """A finite number >= 0; required unless there is a default."""
        name = self._first(names)
        if name is None:
            if default is None:
                self.missing(*names)
            return default
        value = self._data[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(name, f"must be a number, not {short(value)}")
        if not (abs(value) <= 1e15 and math.isfinite(value) and value >= 0):
            self.fail(name, f"must be a number >= 0, not {short(value)}")
        return float(value)

    def flag(self, *names: str, default: bool = False) -> bool:
        """True or false."""
        name = self._first(names)
        if name is None:
            return default
        value = self._data[name]
        if not isinstance(value, bool):
            self.fail(name, f"must be true or false, not {short(value)}")
        return value

    def text(self, *names: str, default: str | None = None) -> str | None:
        """A string, or the default."""
        name = self._first(names)
        if name is None:
            return default
        value = self._data[name]
        if not isinstance(value, str):
            self.fail(name, f"must be a text, not {short(value)}")
        return value

    def integers(self, name: str, *, least: int = 0, most: int = MOST) -> list[int] | None:
        """A list of whole numbers, or None where it is absent or empty."""
        values = self.items(name)
        for index, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, int):
                self.fail(f"{name}[{index}]", f"must be a whole number, not {short(value)}")
            if not least <= value <= most:
                self.fail(f"{name}[{index}]", f"must be from {least} to {most}, not {value}")
        return values or None

    def texts(self, name: str) -> list[str] | None:
        """A list of strings, or None where it is absent or empty."""
        values = self.items(name)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                self.fail(f"{name}[{index}]", f"must be a text, not {short(value)}")
        return values or None

    def items(self, name: str) -> list[Any]:
        """A list of anything; empty where it is absent."""
        value = self._data.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.fail(name, f"must be a list, not {short(value)}")
        return value

    def section(self, name: str) -> "Keys | None":
        """A mapping within this one, or None where it is absent."""
        value = self._data.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.fail(name, f"must be a mapping of keys, not {short(value)}")
        return Keys(value, file=self.file, path=self._at(name), text=self._text)

    def sections(self, name: str) -> list["Keys"]:
        """A list of mappings; empty where it is absent."""
        values = self.items(name)
        found: list[Keys] = []
        for index, value in enumerate(values):
            key = f"{name}[{index}]"
            if not isinstance(value, dict):
                self.fail(key, f"must be a mapping of keys, not {short(value)}")
            found.append(Keys(value, file=self.file, path=self._at(key), text=self._text))
        return found

    def with_defaults(self, defaults: dict[str, Any]) -> "Keys":
        """The same mapping with values for what is absent: what a model's class assumes."""
        present = {name: value for name, value in self._data.items() if value is not None}
        found = Keys(defaults | present, file=self.file, path=self.path, text=self._text)
        absent = {name: False for name in defaults if name not in present}
        found._defaults = {**absent, **self._defaults}
        return found

    def with_values(self, values: dict[str, Any]) -> "Keys":
        """The same mapping with other values for some keys."""
        found = Keys(self._data | values, file=self.file, path=self.path, text=self._text)
        found._defaults = {n: used for n, used in self._defaults.items() if n not in values}
        return found

    @property
    def assumed(self) -> list[str]:
        """Whole numbers that were asked for and that a default of the model's class answered."""
        return sorted(name for name, used in self._defaults.items() if used)

    def missing(self, name: str, *others: str) -> NoReturn:
        """Raise that none of the names is there."""
        instead = f" (or {', '.join(others)})" if others else ""
        what = f"is missing{instead}; the sizes of this model cannot be known without it"
        raise MissingKeyError(self._told(name, what))

    def fail(self, name: str, text: str) -> NoReturn:
        """Raise ConfigError: file, line, key, and what is wrong with it."""
        raise ConfigError(self._told(name, text))

    def _told(self, name: str, text: str) -> str:
        key = self._at(name)
        return f"{self.file}:{self._line(key)}: {key}: {text}"

    def _first(self, names: tuple[str, ...]) -> str | None:
        return next((name for name in names if name in self), None)

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def _line(self, key: str) -> int:
        """Line of a key, or of the innermost mapping around it that has one."""
        at, line_at = 0, 0
        for part in key.split("."):
            pattern = re.compile(re.escape(json.dumps(part.partition("[")[0])) + r"\s*:")
            match = pattern.search(self._text, at)
            if match is None:
                break
            at, line_at = match.end(), match.start()
        return self._text.count("\n", 0, line_at) + 1


def read_keys(path: Path) -> Keys:
    """Read a config.json, or the one in a folder.

    Raises:
        ConfigError: It cannot be read, or it is not one JSON mapping without contradictions.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{file}: is larger than {MAX_FILE_BYTES:,} bytes: no config.json")
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise no_such_file(file) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{file}: cannot be read as UTF-8 text: {reason}") from error
    try:
        data = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        message = f"{file}:{error.lineno}: broken JSON at column {error.colno}: {error.msg}"
        raise ConfigError(f"{message}; is the download complete?") from error
    except _TwiceError as error:
        raise ConfigError(f"{file}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: broken JSON: {error}; is the download complete?") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: must be a mapping of keys, not {short(data)}")
    return Keys(data, file=str(file), text=text)


def is_hf_config(path: Path) -> bool:
    """Whether a JSON file describes a model: a type or an architecture stands at its top."""
    try:
        keys = read_keys(path)
    except ConfigError:
        return path.name == "config.json"
    return "model_type" in keys or "architectures" in keys


def short(value: object) -> str:
    """A value for an error message, cut where it is long."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = str(type(value).__name__)
    return text if len(text) <= 40 else f"{text[:37]}..."


class _TwiceError(ValueError):
    """A key stands twice with different values."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, value in pairs:
        if name in data and data[name] != value:
            raise _TwiceError(
                f"{name}: stands twice, as {short(data[name])} and as {short(value)}; keep one"
            )
        data[name] = value
    return data
