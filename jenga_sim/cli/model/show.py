"""``jenga-sim model show``: everything about a model's memory that needs no trace."""

import json
from typing import TYPE_CHECKING, Any

import click

from ..options import Lengths, Pixels, Size
from ..run import DEFAULT_GPU
from .options import load_target, some_engine_options, speculative_option

if TYPE_CHECKING:
    from ...configs.vllm_args import VLLMArgs


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", metavar="MODEL|FILE", required=False)
@click.option("--gpu", help=f"Packaged name or YAML file.  [default: {DEFAULT_GPU}]")
@some_engine_options()
@click.option(
    "--at",
    "lengths",
    type=Lengths(),
    default="1k,8k,32k,128k",
    show_default=True,
    help="Tokens of a request; k is 1,024 and M 1,048,576.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    help="Preset or ./mine.py:MyCarving; may be repeated.  [default: every preset]",
)
@speculative_option
@click.option(
    "--image", type=Pixels(), multiple=True, help="Count the tokens of an image: 1024x768."
)
@click.option(
    "--overhead",
    type=Size(),
    help="Memory of each GPU beside weights and caches, e.g. 18GB; default: as the model's file "
    "says, else estimated.",
)
@click.option(
    "--vllm-args",
    help='A "vllm serve ..." line to take settings from; options of this command win.',
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="Print tables, JSON, or the model as a YAML file that can be edited.",
)
def command(
    model: str | None,
    gpu: str | None,
    lengths: tuple[int, ...],
    policies: tuple[str, ...],
    speculative_config: str | None,
    image: tuple[tuple[int, int], ...],
    overhead: int | None,
    vllm_args: str | None,
    output_format: str,
    **given: Any,
) -> int:
    """Show what a model keeps per token and request, and what each policy makes of it.

    MODEL is a packaged name, a name on Hugging Face that a packaged model has, a YAML file, or a
    config.json (or its folder). Nothing is downloaded.

    \b
    jenga-sim model show gemma-3-27b --gpu h100-sxm --tp 2 --at 1k,8k,128k
    jenga-sim model show ./config.json --format json
    jenga-sim model show --vllm-args "vllm serve openai/gpt-oss-120b -tp 2 --max-num-seqs 256"
    """  # noqa: D301  (click reads the backspace character: "do not wrap this paragraph")
    line = _line(vllm_args)
    name = model or (line.model if line else None)
    if name is None:
        raise click.UsageError("Missing argument 'MODEL|FILE' (and --vllm-args names no model)")
    spec = load_target(name, speculative_config, otherwise=line.speculative if line else None)
    if output_format == "yaml":
        from ...configs.dump import model_yaml

        click.echo(model_yaml(spec), nl=False)
        return 0
    if gpu is None:
        click.echo(f"note: using the default --gpu {DEFAULT_GPU}", err=True)
    settings = {key: value for key, value in given.items() if value is not None}
    settings = (line.settings if line else {}) | settings
    from ...configs.load import load_gpu
    from ...policies.presets import PRESETS
    from ...sim.model_card import model_card

    card = model_card(
        spec,
        load_gpu(gpu or DEFAULT_GPU),
        lengths=lengths,
        policies=policies or tuple(PRESETS),
        settings=settings,
        overhead=overhead,
        hybrid=not (line and line.no_hybrid),
        images=image,
        stages=line.pipeline_parallel_size if line else 1,
    )
    if output_format == "json":
        click.echo(json.dumps(card.describe(), indent=2, allow_nan=False))
    else:
        from .show_table import print_card

        print_card(card)
    return 0


def _line(vllm_args: str | None) -> "VLLMArgs | None":
    if vllm_args is None:
        return None
    from ...configs.vllm_args import parse_vllm_args

    line = parse_vllm_args(vllm_args)
    for note in line.notes():
        click.echo(f"note: {note}", err=True)
    return line
