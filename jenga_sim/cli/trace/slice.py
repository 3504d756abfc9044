"""``jenga-sim trace slice``: a part of a trace."""

from pathlib import Path
from typing import Any

import click

from .options import echo_notes, open_trace, reading_options
from .output import to_option, write


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("trace", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--start", type=float, default=0.0, help="Leave out the first seconds.")
@click.option("--duration", type=float, help="Keep so many seconds after that.")
@click.option("--sessions", type=int, help="Keep the first so many sessions of that, whole.")
@click.option("--requests", type=int, help="Keep the first so many requests of that.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing on standard error.")
@to_option
@reading_options
def command(
    trace: Path,
    output: Path,
    start: float,
    duration: float | None,
    sessions: int | None,
    requests: int | None,
    to: str,
    quiet: bool,
    **given: Any,
) -> None:
    """Write a part of TRACE to OUTPUT (.jsonl or .jsonl.gz).

    Requests that came after one that is left out no longer wait for it.

    \b
    jenga-sim trace slice conversation_trace.jsonl ten_minutes.jsonl --start 600 --duration 600
    """  # noqa: D301  (click reads the backspace character: "do not wrap this paragraph")
    from ...traces.transform.cuts import first_sessions
    from ...traces.transform.shaping import cut

    sort = bool(given["sort"])
    part = cut(open_trace(trace, given).whole(), start_s=start, duration_s=duration)
    if sessions is not None:
        part = first_sessions(part, sessions)
    if requests is not None:
        part = part.head(requests)
    if not quiet:
        echo_notes(part.meta, sort=sort)
    write(part, output, to, sources=(trace,), quiet=quiet)
