"""A pasted ``vllm serve`` line as settings: those that memory depends on, the others by name."""

import argparse
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from .errors import ConfigError
from .vllm_words import command_words, model_and_flags

_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "K": 1 << 10,
    "M": 1 << 20,
    "G": 1 << 30,
    "T": 1 << 40,
}
"""vLLM's human-readable integers: small letters are decimal, capitals binary."""
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kmgtKMGT]?)")

_KV_DTYPES = {"fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "fp8_ds_mla": "fp8", "bfloat16": "bf16"}
"""vLLM's spellings of cache dtypes, and ours."""

_NOT_MODELLED = frozenset(
    [
        "--config",
        "--cpu-offload-gb",
        "--decode-context-parallel-size",
        "-dcp",
        "--disable-sliding-window",
        "--enable-lora",
        "--hf-overrides",
        "--kv-cache-dtype-skip-layers",
        "--mamba-block-size",
        "--mamba-cache-dtype",
        "--mamba-cache-mode",
        "--offload-backend",
        "--prefill-context-parallel-size",
        "-pcp",
        "--spec-method",
        "--spec-model",
        "--spec-tokens",
        "--use-replayssm",
    ]
)
"""Flags that caches, or the memory left for them, depend on and that are not read here."""


@dataclass(frozen=True, kw_only=True)
class VLLMArgs:
    """What a line says."""

    model: str | None = None
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    """By the names of ``EngineConfig``."""
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    expert_parallel: bool = False
    no_hybrid: bool = False
    """``--disable-hybrid-kv-cache-manager``."""
    speculative: dict[str, Any] | None = None
    """``--speculative-config``: model, method, num_speculative_tokens."""
    quantization: str | None = None
    not_modelled: tuple[str, ...] = ()
    """Flags that would change the figures."""
    ignored: tuple[str, ...] = ()
    """Flags that no memory depends on, or that are not known here."""

    def notes(self) -> list[str]:
        """What a user should know about what was left out."""
        notes: list[str] = []
        if self.not_modelled:
            one = len(self.not_modelled) == 1
            does = "changes the figures and is" if one else "change the figures and are"
            notes.append(f"--vllm-args: {', '.join(self.not_modelled)} {does} not modelled")
        if self.ignored:
            notes.append(f"--vllm-args: not used here: {', '.join(self.ignored)}")
        if self.quantization is not None:
            notes.append(
                f"--vllm-args: --quantization {self.quantization} is not applied: weights are "
                "counted as the model's file says"
            )
        if self.data_parallel_size > 1:
            notes.append(
                f"--vllm-args: each of the {self.data_parallel_size} data-parallel replicas has "
                "caches of its own; the figures are those of one"
            )
        if self.expert_parallel:
            notes.append("--vllm-args: expert parallelism divides weights, not caches")
        return notes


def human_readable_int(text: str) -> int:
    """Read ``131072``, ``128K`` (binary) or ``128k`` (decimal), as vLLM does."""
    match = _NUMBER.fullmatch(text.strip().replace("_", "").replace(",", ""))
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number such as 131072 or 128K")
    return int(float(match.group(1)) * _UNITS[match.group(2)])


def parse_vllm_args(line: str) -> VLLMArgs:
    """Read a line as it stands in a shell: with ``vllm serve``, line ends, variables, or without.

    Raises:
        ConfigError: A quote does not end, or a value that is needed cannot be read.
    """
    try:
        words = shlex.split(line.replace("\\\n", " "), comments=True)
        if words[:1] in (["bash"], ["sh"]) and len(words) > 2:
            words = shlex.split(words[2], comments=True)
    except ValueError as error:
        raise ConfigError(f"--vllm-args: {error}; check the quotes") from error
    model, flags = model_and_flags(command_words(words))
    known, rest = _parser().parse_known_args(flags)
    values = {name: value for name, value in vars(known).items() if value is not None}
    model = values.pop("model", None) or model
    others = {name: values.pop(name) for name in tuple(values) if name in _NOT_ENGINE}
    if "kv_cache_dtype" in values:
        given = values["kv_cache_dtype"]
        values["kv_cache_dtype"] = _KV_DTYPES.get(given, given)
    if values.get("max_model_len") == -1:
        del values["max_model_len"]
    unread = [word.partition("=")[0] for word in rest if word.startswith("-")]
    return VLLMArgs(
        model=model,
        settings=values,
        not_modelled=tuple(flag for flag in unread if _matters(flag)),
        ignored=tuple(flag for flag in unread if not _matters(flag)),
        **others,
    )


def _matters(flag: str) -> bool:
    return flag in _NOT_MODELLED or flag.startswith(("--speculative-config.", "--hf-overrides."))


_NOT_ENGINE = (
    "pipeline_parallel_size",
    "data_parallel_size",
    "expert_parallel",
    "no_hybrid",
    "speculative",
    "quantization",
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"--vllm-args: {message}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False, argument_default=None)
    whole = human_readable_int
    typed: dict[tuple[str, ...], tuple[str, Callable[[str], Any]]] = {
        ("--model",): ("model", str),
        ("--tensor-parallel-size", "-tp"): ("tensor_parallel_size", whole),
        ("--pipeline-parallel-size", "-pp"): ("pipeline_parallel_size", whole),
        ("--data-parallel-size", "-dp"): ("data_parallel_size", whole),
        ("--max-model-len",): ("max_model_len", _length),
        ("--max-num-seqs",): ("max_num_seqs", whole),
        ("--max-num-batched-tokens",): ("max_num_batched_tokens", whole),
        ("--block-size",): ("block_size", whole),
        ("--gpu-memory-utilization",): ("gpu_memory_utilization", float),
        ("--kv-cache-memory-bytes", "--kv-cache-memory"): ("kv_cache_memory_bytes", whole),
        ("--num-gpu-blocks-override",): ("num_gpu_blocks_override", whole),
        ("--kv-cache-dtype",): ("kv_cache_dtype", str),
        ("--mamba-ssm-cache-dtype",): ("mamba_ssm_cache_dtype", str),
        ("--quantization", "-q"): ("quantization", str),
        ("--speculative-config", "-sc"): ("speculative", _json),
    }
    for names, (target, read) in typed.items():
        parser.add_argument(*names, dest=target, type=read)
    for name, target in {
        "--enable-prefix-caching": "enable_prefix_caching",
        "--enable-chunked-prefill": "enable_chunked_prefill",
        "--async-scheduling": "async_scheduling",
    }.items():
        parser.add_argument(name, dest=target, action=argparse.BooleanOptionalAction)
        # vLLM pairs --enable-x with --disable-x, and hides --no-enable-x.
        off = name.replace("--enable-", "--disable-")
        if off != name:
            parser.add_argument(off, dest=target, action="store_const", const=False)
    for name, target in {
        "--disable-hybrid-kv-cache-manager": "no_hybrid",
        "--enable-expert-parallel": "expert_parallel",
    }.items():
        parser.add_argument(name, dest=target, action="store_true", default=None)
    parser.add_argument(
        "--enable-hybrid-kv-cache-manager", dest="no_hybrid", action="store_const", const=False
    )
    return parser


def _length(text: str) -> int:
    """A length, or vLLM's ``auto`` and ``-1``: as long as fits."""
    return -1 if text in ("auto", "-1") else human_readable_int(text)


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} must be a mapping, such as {{...}}")
    return value
