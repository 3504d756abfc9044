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

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile ``function`` on its first call; kept on disk where a cache folder can be written."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_cache_folder())
    try:
        result: Function = numba.njit(cache=True)(function)
    except RuntimeError:
        # "no locator available": the folder cannot be written; compile in every process.
        result = numba.njit(function)
    finally:
        numba.config.CACHE_DIR = before
    return result


@cache
def _cache_folder() -> Path:
    """``$XDG_CACHE_HOME/jenga-sim/<digest of the sources>``."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "jenga-sim" / digest.hexdigest()[:16]
