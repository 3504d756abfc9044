"""``jenga-sim trace inspect``: what is in a trace."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from ..options import format_option
from .options import echo_notes, open_trace, reading_options, shaping, shaping_options

LINE_SECONDS = 5.0
"""Between two lines of progress."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("trace", type=click.Path(path_type=Path))
@format_option
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="Draw a picture.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no notes on standard error.")
@reading_options
@shaping_options
def command(
    trace: Path, output_format: str, png: Path | None, quiet: bool, sort: bool, **given: Any
) -> None:
    """Say what is in TRACE: load, lengths, shared prefixes, sessions.

    \b
    jenga-sim trace inspect conversation_trace.jsonl --png conversation.png
    jenga-sim trace inspect azure:code.csv --format json
    """  # noqa: D301  (click reads the backspace character: "do not wrap this paragraph")
    from ...traces.inspection import inspect_file

    changes = shaping(given)
    given["sort"] = sort
    figures = inspect_file(
        lambda: open_trace(trace, dict(given)), changes, None if quiet else _Lines().show
    )
    if not quiet:
        echo_notes(figures.meta, sort=sort)
    if png is not None:
        _draw(figures, png, quiet=quiet)
    if output_format == "json":
        click.echo(json.dumps(figures.summary(), indent=2, allow_nan=False))
    else:
        from .inspect_table import print_inspection

        print_inspection(figures)


class _Lines:
    """A line of progress now and then."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def show(self, requests: int) -> None:
        now = time.monotonic()
        if now - self._shown >= LINE_SECONDS:
            self._shown = now
            print(f"{requests:,} requests read", file=sys.stderr)


def _draw(figures: Any, png: Path, *, quiet: bool) -> None:
    from ...configs.errors import ConfigError
    from ...sim.trace_plots import draw_trace

    try:
        draw_trace(figures, png)
    except OSError as error:
        raise ConfigError(f"--png {png}: {error.strerror or error}") from error
    if not quiet:
        click.echo(f"wrote {png}", err=True)
