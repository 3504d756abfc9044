"""``jenga-sim model groups``: vLLM's groups of a model's layers, and what its pool holds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import format_option
from ..run import DEFAULT_GPU
from .options import load_target, some_engine_options, speculative_option

if TYPE_CHECKING:
    from ...sim.startup import Startup

LAYOUTS = ("LBNHC", "LBHNC", "LHBNC", "BLNHC", "BLHNC", "BHLNC")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", metavar="MODEL|CASE")
@click.option("--gpu", help=f"Packaged name or YAML file.  [default: {DEFAULT_GPU}]")
@some_engine_options()
@speculative_option
@click.option(
    "--disable-hybrid-kv-cache-manager",
    "--no-hybrid",
    "no_hybrid",
    is_flag=True,
    default=None,
    help="Allocate windowed layers like full attention.",
)
@click.option(
    "--kv-cache-layout",
    type=click.Choice(LAYOUTS, case_sensitive=False),
    help="Order of the pool's axes, vLLM's VLLM_KV_CACHE_LAYOUT.  [default: the model's]",
)
@format_option
def command(model: str, output_format: str, **given: Any) -> int:
    """Show the KV cache groups that vLLM 0.33 makes of MODEL's layers, and what its pool holds.

    MODEL is a packaged name, a YAML file or the config.json of a Hugging Face model. A CASE is a
    .json file as `jenga-sim verify` reads it; its own settings count and its requests do not.

    \b
    jenga-sim model groups gemma-3-27b
    jenga-sim model groups qwen3-next-80b --tp 4 --no-enable-prefix-caching --format json
    jenga-sim model groups case.json
    """  # noqa: D301  (click reads the backspace character: "do not wrap this paragraph")
    from ...configs.hf.keys import is_hf_config

    settings = {name: value for name, value in given.items() if value is not None}
    if model.endswith(".json") and not is_hf_config(Path(model)):
        startup = _of_case(Path(model), settings)
    else:
        startup = _of_model(model, settings)
    if output_format == "json":
        click.echo(json.dumps(startup.describe(), indent=2, allow_nan=False))
    else:
        from .group_table import print_groups

        print_groups(startup)
    return 0


def _of_case(path: Path, settings: dict[str, Any]) -> "Startup":
    from ...sim.startup import startup_of_case

    if settings:
        flags = {
            option.name: max(option.opts, key=len)
            for option in command.params
            if isinstance(option, click.Option)
        }
        named = ", ".join(str(flags[name]) for name in settings)
        raise click.UsageError(f"{path}: a case brings its own settings; leave out {named}")
    return startup_of_case(path)


def _of_model(name: str, settings: dict[str, Any]) -> "Startup":
    from ...configs.engine import engine_config
    from ...configs.load import load_gpu
    from ...sim.caching import caches_prefixes
    from ...sim.startup import startup_of_model

    gpu_name = settings.pop("gpu", None)
    if gpu_name is None:
        click.echo(f"note: using the default --gpu {DEFAULT_GPU}", err=True)
    ours: dict[str, Any] = {
        "enable_prefix_caching": True,
        "no_hybrid": False,
        "kv_cache_layout": None,
    }
    ours |= {key: settings.pop(key) for key in tuple(settings) if key in ours}
    model = load_target(name, settings.pop("speculative_config", None))
    gpu = load_gpu(gpu_name or DEFAULT_GPU)
    caches = bool(ours["enable_prefix_caching"]) and caches_prefixes(model)
    startup = startup_of_model(
        model,
        gpu,
        engine_config(**settings).resolve(model, gpu),
        enable_prefix_caching=caches,
        hybrid=not ours["no_hybrid"],
        kv_cache_layout=ours["kv_cache_layout"],
    )
    click.echo(f"note: KV pool: {startup.pool.explanation}", err=True)
    return startup
