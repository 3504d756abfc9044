"""The compiler of the inner loops: functions over arrays, and contracts between them.

A function that Python calls is ``compiled`` and kept on disk; one that only such functions call is
``inner``. A ``contract`` is a function whose body is chosen by the type of its first argument, so
that one engine serves every policy and numba compiles it for the one at hand.

numba keeps compiled code next to the source and looks at the time of that one file; a function that
was inlined from another file may change unnoticed. Here the cache has a folder per content of all
files that may be compiled. ``NUMBA_DISABLE_JIT=1`` runs the same functions as plain Python, and
``NUMBA_BOUNDSCHECK=1`` raises IndexError where an index is out of range, as plain Python does.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import numba
from numba.core import config as numba_config
from numba.extending import overload

Function = TypeVar("Function", bound=Callable[..., Any])
_settings: Any = numba_config
"""numba's settings: module attributes that it makes when it is imported."""

# Kernels work in arrays that they are given. Without counting references to them they compile in
# two thirds of the time. A division by zero is a mistake that plain Python shows.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
_INNER: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **_OPTIONS}


def compiled(function: Function) -> Function:
    """Compile ``function`` on its first call; kept on disk where a cache folder can be written.

    It must not make arrays; see ``allocating``.
    """
    return _kept(function, _OPTIONS)


def allocating(function: Function) -> Function:
    """Like ``compiled``, for a function that makes arrays or lists."""
    return _kept(function, {"error_model": "numpy"})


def inner(function: Function) -> Function:
    """Compile ``function`` into those that call it; Python cannot."""
    made: Any = numba.njit(**_INNER)(function)
    return made


def _kept(function: Function, options: dict[str, Any]) -> Function:
    before = _settings.CACHE_DIR
    try:
        _settings.CACHE_DIR = str(cache_folder())
        result: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # No home, or a folder that cannot be written: compile in every process.
        result = numba.njit(**options)(function)
    finally:
        _settings.CACHE_DIR = before
    return result


class Contract(Generic[Function]):
    """A function whose body depends on the type of its first argument, a NamedTuple of arrays."""

    def __init__(self, declared: Function) -> None:
        self.declared = declared
        self.bodies: dict[type, Callable[..., Any]] = {}

    def register(self, state: type) -> Callable[[Function], Function]:
        """Make the decorated function, which is ``inner`` or ``compiled``, the body for a type."""

        def keep(function: Function) -> Function:
            self.bodies[state] = function
            return function

        return keep


def contract(declared: Function) -> Function:
    """Declare a contract by a function without a body; ``bodies_of`` registers the bodies."""
    made = Contract(declared)

    def dispatch(state: Any, *args: Any) -> Any:
        return made.bodies[type(state)](state, *args)

    def choose(state: Any, *args: Any) -> Any:
        del args
        body = made.bodies.get(getattr(state, "instance_class", type(None)))
        if body is None:
            return None

        def call(state: Any, *args: Any) -> Any:
            return body(state, *args)

        return call

    overload(dispatch, jit_options=_INNER)(choose)
    dispatch.__name__, dispatch.__doc__ = declared.__name__, declared.__doc__
    result: Any = dispatch
    result.contract = made
    return result


def body_of(declared: Callable[..., Any], state: type) -> Callable[[Function], Function]:
    """Decorator: the function is the body of the contract ``declared`` for states of one type."""
    made: Contract[Any] = declared.contract  # type: ignore[attr-defined]
    return made.register(state)


@cache
def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/jenga-sim/<digest of the sources>``; raises RuntimeError without a home."""
    digest = hashlib.sha256(f"{_settings.BOUNDSCHECK} {_settings.OPT}".encode())
    root = Path(__file__).parent.parent
    for folder in ("policies", "sim"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "jenga-sim" / digest.hexdigest()[:16]
