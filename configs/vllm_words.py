"""The words of a ``vllm serve`` line: which one names the model, and which are flags."""

import re
from collections.abc import Sequence

_START = re.compile(r"^(?:\S+/)?vllm$|^vllm\.entrypoints\.")

_IMAGE = re.compile(r"^(?:\S+/)?vllm-openai(?:[:@]\S+)?$")
"""An image whose entry point is ``vllm serve``, or was the API server's module."""

_SWITCH = re.compile(r"--(?:enable|disable|no)-.+")
"""Flags that take no value by their names."""

_SWITCHES = frozenset(
    [
        "--aggregate-engine-logging",
        "--allow-credentials",
        "--allow-deprecated-quantization",
        "--async-scheduling",
        "--cudagraph-metrics",
        "--data-parallel-external-lb",
        "--data-parallel-hybrid-lb",
        "--dcp-q-replicate",
        "--enforce-eager",
        "--fail-on-environ-validation",
        "--fully-sharded-loras",
        "--headless",
        "--interleave-mm-strings",
        "--kv-cache-metrics",
        "--kv-sharing-fast-prefill",
        "--language-model-only",
        "--mm-encoder-only",
        "--monokernel",
        "--numa-bind",
        "--ray-workers-use-nsight",
        "--return-sampling-mask",
        "--scheduler-reserve-full-isl",
        "--skip-mm-profiling",
        "--skip-tokenizer-init",
        "--sleep-mode-offload-cudagraph",
        "--specialize-active-lora",
        "--swa-bounded-replay",
        "--tokens-only",
        "--trust-remote-code",
        "--use-fp64-gumbel",
        "--use-replayssm",
        "--use-tqdm-on-load",
    ]
)
"""Others that take no value (vLLM 0.33, ``engine/arg_utils.py``)."""

_LISTS = frozenset(
    [
        "--allowed-media-domains",
        "--api-key",
        "--collect-detailed-traces",
        "--cpu-offload-params",
        "--cudagraph-capture-sizes",
        "--device-ids",
        "--ignore-patterns",
        "--kv-cache-dtype-skip-layers",
        "--logits-processors",
        "--lora-modules",
        "--lora-target-modules",
        "--middleware",
        "--numa-bind-cpus",
        "--numa-bind-nodes",
        "--offload-params",
        "--served-model-name",
        "--sleep-preserve-parameter-names",
    ]
)
"""Flags that take every word up to the next flag."""


def model_and_flags(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The model where it stands by itself, before or after flags, and the other words.

    A flag that is not known here takes one value, as most do.
    """
    rest = [_underscores_to_dashes(word) for word in words]
    place = _first_alone(rest)
    if place is None:
        return None, rest
    return rest[place], rest[:place] + rest[place + 1 :]


def command_words(words: Sequence[str]) -> list[str]:
    """What stands behind ``vllm serve``, an API server's module or a container's image.

    Up to the end of the command: what another one says is none of vLLM's.
    """
    start = _after(words, _IMAGE) or _after(words, _START)
    rest = list(words[start:])
    if start and _after(rest[:2], _START):
        rest = rest[_after(rest[:2], _START) :]
    if rest[:1] == ["serve"]:
        rest = rest[1:]
    for at, word in enumerate(rest):
        if word in (";", "&&", "||", "|", "&"):
            return rest[:at]
        if word.endswith(";"):
            return [*rest[:at], word.removesuffix(";")]
    return rest


def _after(words: Sequence[str], pattern: re.Pattern[str]) -> int:
    """The place behind the first word that matches; 0 if none does."""
    return next((at + 1 for at, word in enumerate(words) if pattern.match(word)), 0)


def _first_alone(words: Sequence[str]) -> int | None:
    """Where the first word stands that is neither a flag nor the value of one."""
    at = 0
    while at < len(words):
        word = words[at]
        if not word.startswith("-"):
            return at
        at += 1
        if "=" in word or word in _SWITCHES or _SWITCH.fullmatch(word):
            continue
        at += 1
        while word in _LISTS and at < len(words) and not words[at].startswith("-"):
            at += 1
    return None


def _underscores_to_dashes(word: str) -> str:
    """VLLM takes ``--max_model_len`` for ``--max-model-len``."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else word
