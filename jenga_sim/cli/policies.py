"""``jenga-sim policies``: what there is to choose from."""

import json
from dataclasses import asdict

import click

from .options import format_option


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@format_option
def command(output_format: str) -> int:
    """List the memory policies and what each consists of."""
    from ..policies.presets import PRESETS

    if output_format == "json":
        click.echo(json.dumps([asdict(policy) for policy in PRESETS.values()], indent=2))
        return 0
    for policy in PRESETS.values():
        click.echo(f"{policy.name:14} {policy.summary}")
        choices = f"grouping {policy.grouping}, carving {policy.carving}"
        click.echo(f"{'':14} {choices}, scheduler {policy.scheduler}, retention {policy.retention}")
    click.echo("Your own: --policy ./mine.py:MyCarving, a class derived from jenga_sim.Carving.")
    return 0
