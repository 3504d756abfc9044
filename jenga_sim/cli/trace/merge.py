"""``jenga-sim trace merge``: several traces as one."""

from pathlib import Path
from typing import Any

import click

from .options import echo_notes, open_trace, reading_options
from .output import to_option, write


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("traces", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--same-ids", is_flag=True, help="Equal hash ids in two traces are equal blocks.")
@click.option("--from-zero", is_flag=True, help="Let every trace start at time 0.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing on standard error.")
@to_option
@reading_options
def command(
    traces: tuple[Path, ...],
    output: Path,
    same_ids: bool,
    from_zero: bool,
    to: str,
    quiet: bool,
    **given: Any,
) -> None:
    """Write the requests of all TRACES, each at its own times, to OUTPUT (.jsonl or .jsonl.gz).

    \b
    jenga-sim trace merge chat.jsonl agents.jsonl.gz mixed.jsonl
    """  # noqa: D301  (click reads the backspace character: "do not wrap this paragraph")
    from ...traces.transform.combine import merged
    from ...traces.transform.times import from_zero as started_at_zero

    sort = bool(given["sort"])
    parts = [open_trace(path, dict(given)).whole() for path in traces]
    for part in parts:
        if not quiet:
            echo_notes(part.meta, sort=sort)
    if from_zero:
        parts = [started_at_zero(part) for part in parts]
    write(merged(parts, same_ids=same_ids), output, to, sources=traces, quiet=quiet)
