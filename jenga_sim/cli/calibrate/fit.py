"""``jenga-sim calibrate fit``: the constants of a profile."""

from pathlib import Path

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--quiet", "-q", is_flag=True, help="Say nothing on standard error.")
def command(folder: Path, quiet: bool) -> None:
    """Write fit.yaml of the profile in FOLDER: a prior for each table, and its errors.

    Errors are those of measurements that were held out: single points, whole shapes, and all that
    is longer than a quarter of the longest. What is written depends on the measurements alone.
    """
    fit_folder(folder, quiet)


def fit_folder(folder: Path, quiet: bool) -> None:
    """Fit the profile of a folder, with a line per table on standard error."""
    try:
        from ...calibrate.fit import fit_profile
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"fitting needs scipy ({error}): pip install 'jenga-sim[aic]'"
        ) from error
    from ...calibrate.files import write_fit
    from ...sim.kernels.profile import load_profile

    def tell(name: str) -> None:
        if not quiet:
            click.echo(f"fitting {name}", err=True)

    write_fit(folder, fit_profile(load_profile(folder), tell))
