"""``jenga-sim trace convert``: any format to JSONL."""

from pathlib import Path
from typing import Any

import click

from .options import echo_notes, read_and_shape, reading_options, shaping_options
from .output import to_option, write


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("trace", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--quiet", "-q", is_flag=True, help="Say nothing on standard error.")
@to_option
@reading_options
@shaping_options
def command(trace: Path, output: Path, to: str, quiet: bool, **given: Any) -> None:
    """Read TRACE (a file or folder of any known format) and write OUTPUT (.jsonl or .jsonl.gz).

    \b
    jenga-sim trace convert AzureLLMInferenceTrace_code.csv code.jsonl
    jenga-sim trace convert weka:sessions/ agents.jsonl.gz --session-rate 0.05
    jenga-sim trace convert mine.csv mine.jsonl --column arrived_at=timestamp_ms --column p=input_length --column d=output_length
    """  # noqa: D301, E501  (click reads the backspace character: "do not wrap this paragraph")
    shaped = read_and_shape(trace, given)
    if not quiet:
        echo_notes(shaped.meta)
    write(shaped, output, to, sources=(trace,), quiet=quiet)
