"""Where real traces are, if they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def real(name: str) -> Path:
    """Return a file or folder below ``traces`` of the data; skip the test where it is absent."""
    path = ROOT / os.environ.get("JENGA_SIM_DATA", "../shared/data") / "traces" / name
    if not path.exists():
        pytest.skip(f"{path} is absent; set JENGA_SIM_DATA to the folder with traces/{name}")
    return path
