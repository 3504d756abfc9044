"""All trace formats by name."""

from __future__ import annotations

from .formats import (
    aiperf,
    azure,
    bailian,
    blis,
    burstgpt,
    canonical,
    guidellm,
    lengths,
    llmservingsim,
    lmcache,
    mapped,
    otel,
    servegen,
    sharegpt,
    tracelab,
    vllm_bench,
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
    vllm_bench.FORMAT,
    aiperf.FORMAT,
    guidellm.FORMAT,
    otel.FORMAT,
    otel.OTLP_FORMAT,
    sharegpt.FORMAT,
    lmcache.FORMAT,
    blis.FORMAT,
    servegen.FORMAT,
)

FORMATS: dict[str, Format] = {found.name: found for found in _ALL}
"""Formats by name; of two that fit a file equally well the first is taken."""

MAPPED = mapped.FORMAT
"""For files whose fields the user explains."""
