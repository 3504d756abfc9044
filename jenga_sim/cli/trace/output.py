"""Where verbs that make a trace write it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ...traces import Trace


def to_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--to``: which keys are written."""
    return click.option(
        "--to",
        type=click.Choice(["jenga", "mooncake"]),
        default="jenga",
        show_default=True,
        help="All that is known, or only Mooncake's keys, with ids in full, for other tools.",
    )(command)


def write(
    trace: "Trace | Iterable[Trace]",
    output: Path,
    to: str,
    sources: tuple[Path, ...] = (),
    *,
    quiet: bool = False,
) -> None:
    """Write a trace and its sidecar, and say so on standard error."""
    from ...configs.errors import ConfigError
    from ...traces.write import write_trace

    if any(output.exists() and source.exists() and output.samefile(source) for source in sources):
        raise ConfigError(f"{output}: is what is read; write to another file")
    written = write_trace(trace, output, to="mooncake" if to == "mooncake" else "jenga")
    if quiet:
        return
    for note in written.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"wrote {output}: {written.requests:,} requests, {written.bytes:,} bytes", err=True)
