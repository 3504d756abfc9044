"""``jenga-sim calibrate import``: profiles from what others measured."""

from datetime import UTC, datetime
from pathlib import Path

import click

GPUS = {
    "a100_sxm": "a100-sxm-80gb",
    "b200_sxm": "b200-sxm",
    "gb200": "gb200",
    "h100_sxm": "h100-sxm",
    "h200_sxm": "h200-sxm",
    "l40s": "l40s",
    "rtx_pro_6000_server": "rtx-pro-6000",
}
"""The GPU of each system of aiconfigurator that the package has a data sheet of."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Make a profile from others' measurements."""


@command.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--system", default="h100_sxm", show_default=True, help="A folder of its systems.")
@click.option("--backend", default="vllm", show_default=True, help="vllm, sglang or trtllm.")
@click.option("--gpu", help="Packaged name or YAML file.  [default: that of the system]")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Its folder systems/data; default: that of the installed package.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing on standard error.")
def aiconfigurator(
    system: str, backend: str, gpu: str | None, data: Path | None, out: Path, quiet: bool
) -> None:
    """Kernel tables of the package aiconfigurator-core (pip install 'jenga-sim[aic]').

    \b
    jenga-sim calibrate import aiconfigurator --system h200_sxm --backend vllm --out ./h200
    """  # noqa: D301  (click reads the backspace character: "do not wrap this paragraph")
    from ...calibrate.files import write_about, write_measurements
    from ...calibrate.importers.aiconfigurator import read_system
    from ...configs.load import load_gpu
    from .fit import fit_folder

    if gpu is None and system not in GPUS:
        raise click.UsageError(f"--gpu: no data sheet is known for {system}; give one")
    sheet = load_gpu(gpu or GPUS[system])
    today = datetime.now(UTC).date().isoformat()
    about, tables = read_system(system, backend, sheet, date=today, data=data)
    entries = write_measurements(out, tables)
    write_about(out, about.model_copy(update={"measurements": entries}))
    if not quiet:
        rows = sum(entry.rows for entry in entries)
        click.echo(f"{rows:,} measurements of {about.device} written to {out}", err=True)
    fit_folder(out, quiet)
