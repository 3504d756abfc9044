"""``jenga-sim verify``: the engine against a recording of the real one."""

import json
from pathlib import Path
from typing import Any, Literal

import click

from .options import format_option

SHOWN = 10


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--golden", type=click.Path(path_type=Path), help="Recording to compare with.")
@click.option(
    "--engine",
    type=click.Choice(["vllm", "jenga"]),
    help="Who serves the case: vLLM 0.33 or Jenga's artifact. Default: who made the recording, "
    "else who can read the case.",
)
@format_option
def command(
    case: Path, golden: Path | None, engine: Literal["vllm", "jenga"] | None, output_format: str
) -> int:
    """Replay CASE, step by step without a clock, and print its log as JSON.

    With --golden the log is compared with a recording at tolerance 0, step by step or, where it
    holds totals only, field by field: exit 0 if they agree, else 4 with the first step and field
    that differ.
    """
    from ..sim.verify import differences, engine_of, read_golden, replay

    recording = None if golden is None else read_golden(golden)
    log = replay(case, engine or (None if recording is None else engine_of(recording)))
    if recording is None:
        click.echo(json.dumps(log, sort_keys=True, separators=(",", ":")))
        return 0
    found = list(differences(log, recording))
    outcome: dict[str, Any] = {
        "case": log["case"],
        "agrees": not found,
        "steps": log["total_steps"],
        "differences": len(found),
        "first": found[:SHOWN],
    }
    if output_format == "json":
        click.echo(json.dumps(outcome, indent=2))
    elif found:
        for line in found[:SHOWN]:
            click.echo(line)
        more = f" ... and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
        click.echo(f"{log['case']}: {len(found):,} differences{more}")
    else:
        click.echo(f"{log['case']}: agrees in all {log['total_steps']:,} steps")
    return 4 if found else 0
