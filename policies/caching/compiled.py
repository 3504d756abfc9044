"""The compiler of the inner loops, with a disk cache that cannot go stale.

numba keeps compiled code next to the source and looks at the time of that one file; a function that
was inlined from another file may change unnoticed. Here the cache has a folder per content of all
files of this package. ``NUMBA_DISABLE_JIT=1`` runs the same functions as plain Python.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config as numba_config

Function = TypeVar("Function", bound=Callable[..., Any])
_settings: Any = numba_config
"""numba's settings: module attributes that it makes when it is imported."""


def compiled(function: Function) -> Function:
    """Compile ``function`` on its first call; kept on disk where a cache folder can be written.

    An index out of range raises IndexError, as in plain Python; that costs about a sixth.
    """
    before = _settings.CACHE_DIR
    try:
        _settings.CACHE_DIR = str(cache_folder())
        result: Any = numba.njit(cache=True, boundscheck=True)(function)
    except RuntimeError:
        # No home, or a folder that cannot be written: compile in every process.
        result = numba.njit(boundscheck=True)(function)
    finally:
        _settings.CACHE_DIR = before
    return result


def needs_compiling() -> bool:
    """Whether the first call of each function will wait for the compiler."""
    if _settings.DISABLE_JIT:
        return False
    try:
        return not any(cache_folder().rglob("*.nbc"))
    except RuntimeError:
        return True


@cache
def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/jenga-sim/<digest of the sources>``; raises RuntimeError without a home."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "jenga-sim" / digest.hexdigest()[:16]
