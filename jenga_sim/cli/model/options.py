"""Engine options that verbs without a trace share with ``run``: one flag means one thing."""

from collections.abc import Callable
from typing import Any

import click

from ..run import engine_options

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
