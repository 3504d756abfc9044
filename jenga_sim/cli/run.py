"""``jenga-sim run``: the main job."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .options import Size, format_option, parse_setting
from .trace.options import read_and_shape, reading_options, shaping_options

DEFAULT_MODEL, DEFAULT_GPU, DEFAULT_POLICY = "gemma-3-27b", "h100-sxm", "lcm"

FORMULAS = """\b
Formulas:
  TTFT        first output token - arrival, queueing included
  TPOT        (E2E - TTFT) / (output tokens - 1), per request
  ITL         gaps between the tokens of a request, pooled over requests
  E2E         last output token - arrival
  throughput  finished requests or tokens / (last token - first arrival)
  memory      share of the KV pool, weighted by time
  waste       (dead + padding + internal + external) / bytes held
"""


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Engine settings under vLLM's flag names; what is left out follows vLLM 0.33."""
    options = [
        click.option(
            "--tensor-parallel-size", "--tp", "-tp", type=int, help="GPUs of the replica."
        ),
        click.option("--max-model-len", type=int, help="Longest sequence; default: the model's."),
        click.option(
            "--max-num-seqs", type=int, help="Requests in a step; default: by GPU memory."
        ),
        click.option("--max-num-batched-tokens", type=int, help="Token budget of a step."),
        click.option(
            "--block-size", type=int, help="Tokens per block; default 16, with MLA 16 to 64."
        ),
        click.option(
            "--gpu-memory-utilization", type=float, help="Share of the GPU; default 0.92."
        ),
        click.option(
            "--kv-cache-dtype", help="auto (the model's, mostly bf16), bf16, fp16 or fp8."
        ),
        click.option(
            "--mamba-ssm-cache-dtype", help="auto (the model's), float32, float16 or bfloat16."
        ),
        click.option("--scheduling-policy", help="fcfs or priority."),
        click.option("--watermark", type=float, help="Share of the pool kept free at admission."),
        click.option("--long-prefill-token-threshold", type=int, help="Longest chunk of a prompt."),
        click.option(
            "--scheduler-reserve-full-isl/--no-scheduler-reserve-full-isl",
            default=None,
            help="Admit a request only if its whole prompt fits (default).",
        ),
        click.option(
            "--enable-chunked-prefill/--no-enable-chunked-prefill", default=None, help="Default on."
        ),
        click.option(
            "--async-scheduling/--no-async-scheduling",
            default=None,
            help="Two batches in flight, the next one scheduled while one runs (default).",
        ),
        click.option(
            "--enable-prefix-caching/--no-enable-prefix-caching",
            default=None,
            help="Keep full blocks for later requests; default on, as far as the policy caches.",
        ),
        click.option(
            "--kv-bytes",
            "--kv-cache-memory",
            "--kv-cache-memory-bytes",
            "kv_cache_memory_bytes",
            type=Size(),
            help="KV pool of one GPU, e.g. 18GiB; default: derived from GPU and weights.",
        ),
        click.option(
            "--num-gpu-blocks",
            "--num-gpu-blocks-override",
            "num_gpu_blocks_override",
            type=int,
            help="KV pool in blocks of vLLM's own grouping of the model.",
        ),
        click.option("--step-overhead-us", type=float, help="Host time per step; default 126."),
        click.option(
            "--request-overhead-us", type=float, help="Host time per request and step; default 4."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(
    epilog=FORMULAS,
    short_help="Replay a trace against a memory policy.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("trace", type=click.Path(path_type=Path), required=False)
@click.option("--sample", is_flag=True, help="Use the embedded sample trace (ten minutes of chat).")
@click.option("--model", help=f"Packaged name or YAML file.  [default: {DEFAULT_MODEL}]")
@click.option("--gpu", help=f"Packaged name or YAML file.  [default: {DEFAULT_GPU}]")
@click.option("--policy", help=f"Preset or ./mine.py:MyCarving.  [default: {DEFAULT_POLICY}]")
@engine_options
@click.option(
    "--vllm-log",
    type=click.Path(path_type=Path),
    help="Read the KV pool from the start-up log of a real vLLM.",
)
@click.option(
    "--profile",
    help="Take step times from measured kernels: a packaged profile (`jenga-sim calibrate show`) "
    "or a folder.  [default: a roofline]",
)
@click.option("--set", "settings", multiple=True, help="engine.NAME=VALUE or policy.NAME=VALUE.")
@click.option(
    "--replay",
    type=click.Choice(["open", "session", "closed"]),
    default="open",
    show_default=True,
    help="When requests arrive: at their times; a turn after the answer before it; N sessions.",
)
@click.option("--concurrency", type=int, help="Sessions in flight, for --replay closed.")
@click.option(
    "--zero-output",
    type=click.Choice(["one", "prefill", "skip"]),
    default="one",
    show_default=True,
    help="Requests without output: one token, only their prompt, or left out.",
)
@reading_options
@shaping_options
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for files.")
@format_option
@click.option(
    "--fast/--no-fast", default=True, help="Leap over alike steps; same result, slower off."
)
@click.option("--check", is_flag=True, help="Check every invariant after every step.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no notes on standard error.")
def command(
    trace: Path | None,
    sample: bool,
    model: str | None,
    gpu: str | None,
    policy: str | None,
    vllm_log: Path | None,
    profile: str | None,
    settings: tuple[str, ...],
    replay: str,
    concurrency: int | None,
    zero_output: str,
    out: Path | None,
    output_format: str,
    fast: bool,
    check: bool,
    quiet: bool,
    **given: Any,
) -> int:
    """Replay TRACE (any format of `trace formats`); say where the memory goes, and how fast it is.

    \b
    jenga-sim run trace.jsonl --policy lcm
    jenga-sim run trace.jsonl --model llama-3.1-70b --gpu h200-sxm --tp 4 --policy vllm --out run1
    jenga-sim run sessions.jsonl.gz --replay closed --concurrency 16 --policy vllm
    jenga-sim run --sample --policy paged --format json
    """  # noqa: D301  (click reads the backspace character: "do not wrap this paragraph")
    from ..sim.run import prepare, simulate
    from ..traces import sample_path
    from .progress import Progress
    from .report import print_result

    if replay == "closed" and (given["rate"] or given["session_rate"]):
        raise click.UsageError("in closed loop the load is --concurrency: leave the rate out")
    if sample == (trace is not None):
        raise click.UsageError("give either TRACE or --sample")
    notes = _default_notes(model, gpu, policy)
    requests = read_and_shape(trace or sample_path(), given)
    engine = {name: value for name, value in given.items() if value is not None}
    engine_settings, policy_settings = _split_settings(settings)
    engine |= engine_settings
    setup = prepare(
        requests,
        model=model or DEFAULT_MODEL,
        gpu=gpu or DEFAULT_GPU,
        policy=_policy(policy or DEFAULT_POLICY, policy_settings),
        vllm_log=vllm_log,
        replay=_replay(replay, concurrency, zero_output),
        profile=profile,
        **engine,
    )
    if not quiet:
        for note in (*notes, f"KV pool: {setup.pool.explanation}", *setup.warnings):
            click.echo(f"note: {note}", err=True)
    if out is not None:
        _check_writable(out)
    with Progress(len(requests), quiet=quiet) as progress:
        result = simulate(setup, fast=fast, check=check, hooks=progress.hooks)
    if out is not None:
        # Before anything is printed: whoever reads our output may go away (``| head``).
        result.save(out)
        if not quiet:
            click.echo(f"wrote {out}/", err=True)
    if output_format == "json":
        click.echo(json.dumps(result.summary, indent=2, allow_nan=False))
    else:
        print_result(result.summary)
    if not result.complete:
        click.echo("interrupted: the figures cover what was done", err=True)
        return 130
    return 0


def _replay(mode: Any, concurrency: int | None, zero_output: Any) -> Any:
    from ..configs.replay import ReplayConfig

    return ReplayConfig(mode=mode, concurrency=concurrency, zero_output=zero_output)


def _default_notes(model: str | None, gpu: str | None, policy: str | None) -> list[str]:
    chosen = (("model", model, DEFAULT_MODEL), ("gpu", gpu, DEFAULT_GPU))
    chosen += (("policy", policy, DEFAULT_POLICY),)
    taken = [f"--{name} {default}" for name, value, default in chosen if value is None]
    return [f"using the default {', '.join(taken)}"] if taken else []


def _split_settings(settings: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    sections: dict[str, dict[str, Any]] = {"engine": {}, "policy": {}}
    for text in settings:
        section, name, value = parse_setting(text)
        sections[section][name] = value
    return sections["engine"], sections["policy"]


def _policy(name: str, settings: dict[str, Any]) -> Any:
    from ..policies.presets import customize, get_policy

    return customize(get_policy(name), settings)


def _check_writable(out: Path) -> None:
    """Fail before the run, not after it, if the folder cannot be made."""
    from ..configs.errors import ConfigError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror or error}") from error
