"""Retention: which full blocks stay cached for later requests, by name.

==============  ==================================================================================
``none``        no prefix cache
``dense``       every full block and every state at a block boundary
``junction``    full attention every block; windows and states only where a later request may
                resume: the end of a prompt, and junctions (vLLM 0.33's default)
``interval(N)`` ``junction``, and every N tokens (``prefix_cache_retention_interval``)
==============  ==================================================================================

A junction is a prefix that full attention has cached further than windows or states: the second
request that shares it makes it, the third one hits it.
"""

import re
from dataclasses import dataclass

from ..configs.errors import ConfigError

NAMES = ("none", "dense", "junction", "interval(N)")
_INTERVAL = re.compile(r"interval\((\d+)\)")


@dataclass(frozen=True)
class Retention:
    """What a name means."""

    enabled: bool
    """Whether anything is cached."""
    interval: int | None = None
    """``prefix_cache_retention_interval``: None everything, 0 junctions, else tokens."""


def parse_retention(name: str) -> Retention:
    """Return what ``name`` means; raises ConfigError with the known names."""
    if name == "none":
        return Retention(enabled=False)
    if name == "dense":
        return Retention(enabled=True)
    if name == "junction":
        return Retention(enabled=True, interval=0)
    match = _INTERVAL.fullmatch(name)
    if match is None or int(match.group(1)) == 0:
        raise ConfigError(f"policy.retention: {name!r} is none of {', '.join(NAMES)}")
    return Retention(enabled=True, interval=int(match.group(1)))
