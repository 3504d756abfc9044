"""The compiler of the inner loops: functions over arrays, and contracts between them.

A function that Python calls is ``compiled`` and kept on disk; one that only such functions call is
``inner``. A ``contract`` is a function whose body is chosen by the type of its first argument, so
that one engine serves every policy and numba compiles it for the one at hand.

numba keeps compiled code next to the source and looks at the time of that one file; a function that
was inlined from another file may change unnoticed. Here the cache has a folder per content of all
files that may be compiled. ``NUMBA_DISABLE_JIT=1`` runs the same functions as plain Python, and
``NUMBA_BOUNDSCHECK=1`` raises IndexError where an index is out of range, as plain Python does.
"""

import ctypes
import hashlib
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numba
from llvmlite.binding import Linkage
from numba import _dynfunc as numba_functions  # pyright: ignore[reportAttributeAccessIssue]
from numba.core import config as numba_config
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, LoweringPass, register_pass
from numba.core.typed_passes import NativeLowering
from numba.core.types import unliteral
from numba.core.untyped_passes import TranslateByteCode
from numba.extending import overload

Function = TypeVar("Function", bound=Callable[..., Any])
_functions: Any = numba_functions
_settings: Any = numba_config
"""numba's settings: module attributes that it makes when it is imported."""


@register_pass(mutates_CFG=False, analysis_only=False)
class _LeaveToCallers(FunctionPass):
    """Machine code is made, and optimized, of the functions that Python calls only.

    numba does it for every function together with all that it calls, over and over again from the
    leaves to the root: that would take three quarters of the time.
    """

    _name = "leave_to_callers"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        library = state.targetctx.codegen().create_library(state.func_id.func_qualname)
        library._optimize_final_module = lambda: None
        library._finalize_final_module = lambda: setattr(library, "_finalized", True)
        state.library = library
        state.flags.no_compile = True
        return False


@register_pass(mutates_CFG=False, analysis_only=True)
class _OfferToCallers(LoweringPass):
    """Let other functions call what has no machine code of its own."""

    _name = "offer_to_callers"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        made = state["cr"]
        described = made.fndesc
        # numba's dispatcher needs a function of C; this one raises TypeError where it is called.
        refuses = ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value
        entry: Any = _functions.make_function(
            described.lookup_module(), described.qualname, "not for Python", refuses, made.env, ()
        )
        state.targetctx.insert_user_function(entry, described, [state.library])
        state["cr"] = made._replace(cfunc=entry)
        return False


class _InnerCompiler(CompilerBase):
    """numba's pipeline without machine code."""

    def define_pipelines(self) -> list[Any]:
        passes: Any = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_LeaveToCallers, TranslateByteCode)
        passes.add_pass_after(_OfferToCallers, NativeLowering)
        passes.finalize()
        return [passes]


@register_pass(mutates_CFG=False, analysis_only=False)
class _KeepToItself(FunctionPass):
    """Functions that an entry point is linked with are known to be called by nobody else.

    Every array is seven arguments or more. Only of a function whose callers are all known does the
    compiler drop those that it does not need; and one that is called once becomes a part of its
    caller. Otherwise passing arguments on takes half of the time.
    """

    _name = "keep_to_itself"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        library = state.targetctx.codegen().create_library(state.func_id.func_qualname)
        library.enable_object_caching()
        optimize = library._optimize_final_module

        def optimize_as_a_whole() -> None:
            for number, function in enumerate(library._final_module.functions):
                if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                    function.linkage = Linkage.internal
                    # Under its old name others that define it, too, would be led to this one.
                    function.name = f"{library.name}.{number}"
            optimize()

        library._optimize_final_module = optimize_as_a_whole
        state.library = library
        return False


class _EntryCompiler(CompilerBase):
    """numba's pipeline for what Python calls."""

    def define_pipelines(self) -> list[Any]:
        passes: Any = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_KeepToItself, TranslateByteCode)
        passes.finalize()
        return [passes]


# Kernels work in arrays that they are given. Without counting references to them they compile in
# two thirds of the time. A division by zero is a mistake that plain Python shows.
_KERNEL: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
_OPTIONS: dict[str, Any] = {"pipeline_class": _EntryCompiler, **_KERNEL}
_INNER: dict[str, Any] = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _InnerCompiler,
    **_KERNEL,
}


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
    if not _settings.DISABLE_JIT:
        made.get_call_template = partial(_for_any_value, made.get_call_template)
    return made


def _for_any_value(template: Callable[..., Any], args: Any, kws: Any) -> Any:
    """Compile once for all values: numba would do it for every constant among the arguments."""
    return template([unliteral(arg) for arg in args], kws)


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
    """Declare a contract by a function without a body; ``body_of`` registers the bodies."""
    made = Contract(declared)

    def dispatch(state: Any, *args: Any) -> Any:
        return made.bodies[type(state)](state, *args)

    def choose(state: Any, *args: Any) -> Any:
        del args
        body = made.bodies.get(getattr(state, "instance_class", type(None)))
        # As it was written: a call around it would double what there is to compile.
        return getattr(body, "py_func", body)

    options: Any = _INNER
    overload(dispatch, jit_options=options, strict=False)(choose)
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
