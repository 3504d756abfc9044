"""``jenga-sim trace formats``: what can be read."""

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List the formats that are read; force one with NAME:path."""
    from ...traces.catalogue import FORMATS

    width = max(map(len, FORMATS))
    for found in FORMATS.values():
        click.echo(f"{found.name:<{width}}  {found.summary}")
