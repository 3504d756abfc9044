"""``jenga-sim calibrate show``: what a profile has, and how far off it is."""

import json
from typing import TYPE_CHECKING

import click

from ..options import format_option

if TYPE_CHECKING:
    from rich.console import Console

    from ...sim.kernels.profile import ErrorShape, Profile


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("profile", required=False)
@format_option
def command(profile: str | None, output_format: str) -> None:
    """Show PROFILE, a shipped name or a folder; without one, list those that are shipped.

    \b
    jenga-sim calibrate show h100-sxm
    jenga-sim calibrate show ./mine --format json
    """  # noqa: D301  (click reads the backspace character: "do not wrap this paragraph")
    from ...sim.kernels.profile import load_profile, profile_names

    if profile is None:
        for name in profile_names():
            click.echo(name)
        return
    found = load_profile(profile)
    if output_format == "json":
        tables = [entry.model_dump(mode="json") for entry in found.fits.values()]
        about = found.about.model_dump(by_alias=True, mode="json")
        click.echo(json.dumps({**about, "tables": tables}, indent=2))
        return
    from ..report import print_tables

    print_tables(lambda console, style: _print(console, found, style))


def _print(console: "Console", found: "Profile", style: object) -> None:
    from rich.table import Table

    about = found.about
    software = ", ".join(f"{name} {version}" for name, version in about.software.items())
    console.print(f"{about.name}: {about.device}", highlight=False)
    console.print(f"{about.origin.source}, {about.origin.licence}", highlight=False)
    console.print(software, highlight=False)
    table = Table()
    for name in ("kernels", "rows", "shapes", "points", "unseen", "beyond"):
        table.add_column(name, justify="left" if name == "kernels" else "right")
    table.box = style  # type: ignore[assignment]
    for entry in found.fits.values():
        errors = (entry.points, entry.unseen, entry.beyond)
        name = " ".join([entry.op, *entry.tags.values()])
        table.add_row(name, f"{entry.rows:,}", f"{entry.shapes:,}", *map(_error, errors))
    console.print(table)
    console.print(NOTE, highlight=False)


NOTE = """Errors in % of what was measured, median and 95th percentile, of measurements held out:
single points; shapes of which nothing was known; points up to four times as far as any known."""


def _error(error: "ErrorShape | None") -> str:
    return "" if error is None else f"{error.median_pct:.1f} {error.p95_pct:.0f}"
