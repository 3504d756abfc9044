"""Engine options that verbs without a trace share with ``run``: one flag means one thing."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..run import engine_options

if TYPE_CHECKING:
    from ...configs.specs import ModelSpec

_ENGINE_NAMES = (
    "tensor_parallel_size",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "block_size",
    "gpu_memory_utilization",
    "kv_cache_dtype",
    "mamba_ssm_cache_dtype",
    "async_scheduling",
    "enable_prefix_caching",
    "kv_cache_memory_bytes",
)
"""Engine settings that the pool or the groups depend on."""


def some_engine_options(
    without: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of ``run`` that matter here, so that one flag means one thing."""

    @click.command
    @engine_options
    def all_of_them() -> None:
        """Carry the options; never called."""

    names = set(_ENGINE_NAMES).difference(without)
    options = [option for option in all_of_them.params if option.name in names]

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__dict__.setdefault("__click_params__", []).extend(reversed(options))
        return function

    return add


SPECULATIVE = "--speculative-config"


def speculative_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--speculative-config``, as vLLM takes it."""
    return click.option(
        SPECULATIVE,
        metavar="JSON",
        help='Draft beside the model, as vLLM takes it: \'{"model": "...", '
        '"num_speculative_tokens": 3}\' or \'{"method": "mtp", ...}\'.',
    )(command)


def load_target(
    name: str, config: str | None, otherwise: dict[str, Any] | None = None
) -> "ModelSpec":
    """The model that ``name`` means, with the draft of the option, or that of ``otherwise``."""
    from ...configs.load import load_model
    from ...configs.speculation import speculating

    found: Any = otherwise
    if config is not None:
        try:
            found = json.loads(config)
        except ValueError as error:
            raise click.BadParameter(f"no JSON: {error}", param_hint=SPECULATIVE) from error
        if not isinstance(found, dict):
            raise click.BadParameter("must be a mapping, such as {...}", param_hint=SPECULATIVE)
    target = load_model(name)
    return target if found is None else speculating(target, found)
