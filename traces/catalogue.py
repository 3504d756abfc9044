"""All trace formats by name."""

from __future__ import annotations

from .formats import (
    azure,
    bailian,
    burstgpt,
    canonical,
    lengths,
    llmservingsim,
    mapped,
    tracelab,
    vllm_run,
    weka,
)
from .formats.format import Format

_ALL = (
    canonical.MOONCAKE,
    canonical.FORMAT,
    weka.FORMAT,
    azure.FORMAT,
    burstgpt.FORMAT,
    lengths.FORMAT,
    bailian.FORMAT,
    tracelab.FORMAT,
    llmservingsim.FORMAT,
    vllm_run.FORMAT,
    mapped.FORMAT,
)

FORMATS: dict[str, Format] = {found.name: found for found in _ALL}
"""Formats by name; of two that fit a file equally well the first is taken."""

MAPPED = mapped.FORMAT
"""For files whose fields the user explains."""
