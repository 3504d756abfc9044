"""Options that several verbs share, and sizes with units."""

import re
from collections.abc import Callable
from typing import Any

import click

_BINARY = {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_DECIMAL = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS = {"": 1, "b": 1, **_BINARY, **_DECIMAL}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)")


class Size(click.ParamType):
    """Bytes, with a unit if wanted: 19327352832, 18GiB, 18.5GB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse a size; a usage error names the units."""
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        unit = match.group(2).lower() if match else ""
        if match is None or unit not in _UNITS:
            self.fail(f"{value!r} is not a size; write 18GiB, 512MiB, 18GB or a count of bytes")
        size = float(match.group(1)) * _UNITS[unit]
        if size < 1:
            self.fail(f"{value!r} is no positive number of bytes")
        return int(size)


class Lengths(click.ParamType):
    """Numbers of tokens with commas between them: 1k,8k,128k,1M are powers of two times 1,024."""

    name = "lengths"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Parse them; a usage error shows how they are written."""
        if isinstance(value, tuple):
            return value
        lengths: list[int] = []
        for text in str(value).split(","):
            match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kKmM]?)", text.strip())
            scale = {"": 1, "k": 1 << 10, "m": 1 << 20}
            tokens = float(match.group(1)) * scale[match.group(2).lower()] if match else 0
            if not 1 <= tokens <= 1 << 40:
                self.fail(f"{text.strip()!r} is no number of tokens; write 1k,8k,128k,1M or 4000")
            lengths.append(int(tokens))
        return tuple(dict.fromkeys(lengths))


class Pixels(click.ParamType):
    """An image as width x height: 1024x768."""

    name = "pixels"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Parse it; a usage error shows how it is written."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", str(value).strip().lower())
        if match is None or "0" in (match.group(1), match.group(2)):
            self.fail(f"{value!r} is no image; write width x height in pixels, such as 1024x768")
        return int(match.group(1)), int(match.group(2))


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--format``, for every verb that prints a result."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="Print a table for people or JSON for programs.",
    )(command)


def parse_setting(text: str) -> tuple[str, str, Any]:
    """Split ``engine.max_num_seqs=64`` into section, name and a YAML value."""
    import yaml

    key, equals, raw = text.partition("=")
    section, dot, name = key.strip().partition(".")
    if not (equals and dot and name) or section not in ("engine", "policy"):
        raise click.BadParameter(
            f"{text!r}: write engine.NAME=VALUE or policy.NAME=VALUE", param_hint="--set"
        )
    try:
        return section, name, yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise click.BadParameter(f"{text!r}: not a YAML value", param_hint="--set") from error
