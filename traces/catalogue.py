"""All trace formats by name."""

from __future__ import annotations

from .formats import canonical, weka
from .formats.format import Format

_ALL = (canonical.MOONCAKE, canonical.FORMAT, weka.FORMAT)

FORMATS: dict[str, Format] = {found.name: found for found in _ALL}
"""Formats by name; of two that fit a file equally well the first is taken."""

MAPPED = canonical.FORMAT
"""For files whose fields the user explains."""
