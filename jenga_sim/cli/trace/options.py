"""Options of every verb that reads a trace: how it is read, how it is changed."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ...traces import Meta, Reading, Trace
    from ...traces.transform.shaping import Shaping

READING = ("trace_block_size", "columns", "on_bad_line", "sort", "tokenizer", "recorded_run")
SHAPING = (
    "start",
    "duration",
    "requests",
    "prefix_model",
    "spread_quantum",
    "max_gap",
    "time_scale",
    "rate",
    "session_rate",
    "copies",
    "seed",
)


class Quantum(click.ParamType):
    """Milliseconds, or auto (None is no value of an option, so auto is 0)."""

    name = "ms"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse it; a usage error shows how it is written."""
        if isinstance(value, float):
            return value
        if str(value) == "auto":
            return 0.0
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not number > 0:
            self.fail(f"{value!r} is no time; write a number of milliseconds, or auto")
        return number


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a trace file is read."""
    options = [
        click.option(
            "--trace-block-size",
            type=int,
            help="Tokens per hash id; default: what the sidecar or the format says (Mooncake 512).",
        ),
        click.option(
            "--column",
            "columns",
            multiple=True,
            metavar="NAME=MEANING",
            help="Field of a file with other names, e.g. arrived_at=timestamp_ms. Repeatable.",
        ),
        click.option(
            "--tokenizer",
            metavar="FILE",
            help="tokenizer.json for traces of text; default: an estimate, 4 bytes per token.",
        ),
        click.option(
            "--recorded-run", type=int, help="Which run of a result file with several; from 1."
        ),
        click.option(
            "--on-bad-line",
            type=click.Choice(["error", "skip"]),
            default="error",
            show_default=True,
            help="Refuse a trace with bad lines, or skip and count them.",
        ),
        click.option("--sort", is_flag=True, help="Do not warn if lines are out of order."),
    ]
    return _added(command, options)


def shaping_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is changed in a trace before it is used."""
    options = [
        click.option("--start", type=float, default=0.0, help="Leave out the first seconds."),
        click.option("--duration", type=float, help="Keep so many seconds."),
        click.option("--requests", type=int, help="Keep so many requests, at most."),
        click.option("--rate", type=float, help="Mean arrivals per second; pauses stay."),
        click.option(
            "--session-rate", type=float, help="Sessions that start per second (Poisson)."
        ),
        click.option("--time-scale", type=float, help="Factor of all times; 0.5: twice as fast."),
        click.option(
            "--spread-quantum",
            type=Quantum(),
            metavar="[auto|MS]",
            help="Spread arrivals that were rounded to so many milliseconds over them.",
        ),
        click.option("--max-gap", type=float, help="Longest pause in seconds."),
        click.option("--copies", type=int, default=1, help="N times the load, nothing shared."),
        click.option(
            "--prefix-model",
            metavar="WORDS",
            help="Shared prefixes for a trace without hash ids: none, shared:k=..,len=.., "
            "sessions, split, tree:FILE, hit:0.37 (docs/traces.md).",
        ),
        click.option("--seed", type=int, default=0, show_default=True, help="Of what is drawn."),
    ]
    return _added(command, options)


def _added(command: Callable[..., Any], options: list[Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def open_trace(path: Path, given: dict[str, Any]) -> "Reading":
    """The trace ``path`` as the options of ``reading_options`` say; takes them out of ``given``."""
    from ...traces import Reading

    values = {name: given.pop(name) for name in READING}
    return Reading(
        path,
        block_size=values["trace_block_size"],
        columns=dict(_pair(text) for text in values["columns"]),
        tokenizer=values["tokenizer"],
        run=values["recorded_run"],
        on_bad_line="skip" if values["on_bad_line"] == "skip" else "error",
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, meaning = text.partition("=")
    if not (equals and name and meaning):
        raise click.BadParameter(
            f"{text!r}: write NAME=MEANING, e.g. arrived_at=timestamp_ms", param_hint="--column"
        )
    return name, meaning


def shaping(given: dict[str, Any]) -> "Shaping":
    """What the options of ``shaping_options`` say; takes them out of ``given``."""
    from ...traces.transform.shaping import Shaping

    values = {name: given.pop(name) for name in SHAPING}
    return Shaping(
        start_s=values["start"],
        duration_s=values["duration"],
        requests=values["requests"],
        prefix_model=values["prefix_model"],
        spread_quantum_ms=values["spread_quantum"],
        max_gap_s=values["max_gap"],
        time_scale=values["time_scale"],
        rate_per_s=values["rate"],
        session_rate_per_s=values["session_rate"],
        copies=values["copies"],
        seed=values["seed"],
    )


def echo_notes(meta: "Meta", *, sort: bool = False) -> None:
    """Say on standard error what the user should know about a trace that was read."""
    for note in notes_of(meta, sort=sort):
        click.echo(f"note: {note}", err=True)


def notes_of(meta: "Meta", *, sort: bool = False) -> list[str]:
    """What the user should know about a trace that was read."""
    notes = list(meta.notes)
    if meta.skipped_lines:
        notes.append(f"{meta.skipped_lines} bad lines of {meta.name} were skipped")
    if meta.sorted_lines and not sort:
        notes.append(
            f"{meta.sorted_lines} requests of {meta.name} stood behind later ones: it was sorted "
            "by time (--sort says that this is known)"
        )
    return notes


def read_and_shape(path: Path, given: dict[str, Any]) -> "Trace":
    """Read a trace and change it as the options say."""
    known = bool(given["sort"])
    trace = shaping(given).apply(open_trace(path, given).whole())
    return trace.with_meta(sorted_lines=0) if known else trace
