"""``jenga-sim max-context``: the longest request under each policy, with the arithmetic."""

import json
from typing import TYPE_CHECKING, Any

import click

from .model.options import load_target, some_engine_options, speculative_option
from .options import Size, format_option
from .run import DEFAULT_GPU, DEFAULT_MODEL

if TYPE_CHECKING:
    from ..sim.max_context import MaxContext


@click.command(
    short_help="Say how long a request may be under each policy.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--model", help=f"Packaged name or YAML file.  [default: {DEFAULT_MODEL}]")
@click.option("--gpu", help=f"Packaged name or YAML file.  [default: {DEFAULT_GPU}]")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    help="Preset or ./mine.py:MyCarving; may be repeated.  [default: every preset]",
)
@some_engine_options(without=("enable_prefix_caching",))
@speculative_option
@click.option(
    "--overhead",
    type=Size(),
    help="Memory of each GPU beside weights and caches, e.g. 18GB; default: as the model's file "
    "says, else estimated.",
)
@format_option
def command(
    model: str | None,
    gpu: str | None,
    policies: tuple[str, ...],
    speculative_config: str | None,
    overhead: int | None,
    output_format: str,
    **given: Any,
) -> int:
    """Show the longest single request that an empty pool serves, policy by policy.

    Everything is per GPU. A prompt is computed in chunks, so windows and states count with what
    they hold at most meanwhile; prefixes are not cached.

    \b
    jenga-sim max-context --model llama-4-scout --gpu h200-sxm --tp 8
    jenga-sim max-context --model gemma-3-27b --tp 2 --policy paged --policy lcm --format json
    """  # noqa: D301  (click reads the backspace character: "do not wrap this paragraph")
    from ..sim.max_context import max_context

    for name, value, default in (("model", model, DEFAULT_MODEL), ("gpu", gpu, DEFAULT_GPU)):
        if value is None:
            click.echo(f"note: using the default --{name} {default}", err=True)
    found = max_context(
        load_target(model or DEFAULT_MODEL, speculative_config),
        gpu or DEFAULT_GPU,
        policies,
        overhead=overhead,
        **{name: value for name, value in given.items() if value is not None},
    )
    if output_format == "json":
        click.echo(json.dumps(found.describe(), indent=2, allow_nan=False))
    else:
        _print(found)
    return 0


def _print(found: "MaxContext") -> None:
    from .context_table import print_contexts

    print_contexts(found)
