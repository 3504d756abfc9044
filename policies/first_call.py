"""Whether compiled code for some arguments is on disk already, so that a user hears why he waits.

The compiler knows by the types of the arguments. Asking it would take as long as compiling; a file
beside its own remembers for which types a call has come to its end.
"""

import hashlib
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import binding
from numba.core import config as numba_config

from .compiling import cache_folder

_known: set[str] = set()
"""Types of calls that came to their end in this process."""


@contextmanager
def first_call(tell: Callable[[], None] | None, *arguments: object) -> Generator[None]:
    """Around a compiled call: ``tell`` is called if it will be compiled first.

    Args:
        tell: Says so; None: nobody needs to know.
        arguments: Those whose types decide: arrays, NamedTuples of them, or anything else by class.
            Without any nothing is compiled.
    """
    types = " ".join(map(_type_of, arguments))
    settings: Any = numba_config
    if not types or types in _known or settings.DISABLE_JIT:
        yield
        return
    mark = _mark(types)
    is_on_disk = mark is not None and mark.exists()
    if tell is not None and not is_on_disk:
        tell()
    yield
    _known.add(types)
    if mark is not None and not is_on_disk:
        _write(mark)


def _type_of(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype.str}{value.ndim}{'' if value.flags.writeable else 'r'}"
    if isinstance(value, tuple):
        return f"{type(value).__qualname__}({' '.join(map(_type_of, value))})"
    return type(value).__qualname__


def _mark(types: str) -> Path | None:
    """The file that remembers; None where nothing is kept on disk."""
    machine = f"{sys.version} {numba.__version__} {binding.get_host_cpu_name()}"
    try:
        folder = cache_folder()
    except RuntimeError:
        return None
    return folder / f"{hashlib.sha256(f'{machine} {types}'.encode()).hexdigest()[:16]}.called"


def _write(mark: Path) -> None:
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        # What cannot be written is compiled in every process, and said in every one.
        return
