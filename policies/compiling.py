"""numba's pipeline for ``policies.compiled``: what is compiled how, and where it is kept.

numba keeps compiled code next to the source and looks at the time of that one file; a function that
was inlined from another file may change unnoticed. Here the cache has a folder per content of all
files that may be compiled.

Several passes use parts of numba and llvmlite that are not promised to stay (libraries, pass
objects, linkage), which is why pyproject.toml names one minor version of numba. They make a first
run three times as fast and a later one twice; tests/policies/test_compiled_code.py shows what they
must not break.
"""

import ctypes
import hashlib
import operator
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numba
from llvmlite.binding import Linkage
from numba import _dynfunc as numba_functions  # pyright: ignore[reportAttributeAccessIssue]
from numba.core import config as numba_config
from numba.core import types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, LoweringPass, register_pass
from numba.core.typed_passes import NativeLowering
from numba.core.types import unliteral
from numba.core.typing.arraydecl import GetItemBuffer, SetItemBuffer
from numba.core.typing.templates import infer_global, make_overload_template
from numba.core.untyped_passes import TranslateByteCode

from .compiled import Contract, Kernel, states
from .state_type import pass_by_reference

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

    Only of a function whose callers are all known does the compiler drop arguments that it does not
    need; and one that is called once becomes a part of its caller. numba would also run a first
    round of passes for the sake of reference counts, of which kernels have none, and look for loops
    to be done in vectors, which steps of a few dozen requests do not repay.
    """

    _name = "keep_to_itself"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        codegen = state.targetctx.codegen()
        library = codegen.create_library(state.func_id.func_qualname)
        library.enable_object_caching()

        def optimize_as_a_whole() -> None:
            for number, function in enumerate(library._final_module.functions):
                if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                    function.linkage = Linkage.internal
                    # Under its old name others that define it, too, would be led to this one.
                    function.name = f"{library.name}.{number}"
            manager, builder = codegen._module_pass_manager(
                loop_vectorize=False, slp_vectorize=False
            )
            manager.run(library._final_module, builder)

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


class _GetFromArray(GetItemBuffer):
    """What stands in brackets is taken for an array's index first, before lists and strings.

    That is what a more special target does to the order; what is found is the same.
    """

    metadata: ClassVar = {"target": "cpu"}


class _SetInArray(SetItemBuffer):
    """See _GetFromArray."""

    metadata: ClassVar = {"target": "cpu"}


_first: Any = infer_global
_first(operator.getitem)(_GetFromArray)
_first(operator.setitem)(_SetInArray)
for _state in states:
    pass_by_reference(_state)

# Kernels work in arrays that they are given. Without counting references to them they compile in
# two thirds of the time. A division by zero is a mistake that plain Python shows.
_KERNEL: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
_INNER: dict[str, Any] = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _InnerCompiler,
    **_KERNEL,
}
_ENTRY: dict[str, Any] = {"pipeline_class": _EntryCompiler, **_KERNEL}
_KEPT: dict[str, dict[str, Any]] = {"compiled": _ENTRY, "allocating": {"error_model": "numpy"}}


def is_off() -> bool:
    """Whether everything is plain Python."""
    return bool(_settings.DISABLE_JIT)


def make_dispatcher(kernel: Kernel) -> Any:
    """What compiles ``kernel`` for each combination of types that it meets."""
    if kernel.kind != "inner":
        return _kept(kernel.py_func, _KEPT[kernel.kind])
    made: Any = numba.njit(**_INNER)(kernel.py_func)
    made.get_call_template = partial(_for_any_value, made.get_call_template)
    return made


def _for_any_value(template: Callable[..., Any], args: Any, kws: Any) -> Any:
    """Compile once for all values: numba would do it for every constant among the arguments."""
    return template([unliteral(arg) for arg in args], kws)


def _kept(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    before = _settings.CACHE_DIR
    try:
        _settings.CACHE_DIR = str(cache_folder())
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # No home, or a folder that cannot be written: compile in every process.
        return numba.njit(**options)(function)
    finally:
        _settings.CACHE_DIR = before


def make_overload(contract: Contract) -> Any:
    """Numba's type of a function whose body belongs to the type of its first argument."""

    def choose(state: Any, *args: Any) -> Any:
        del args
        body = contract.bodies.get(getattr(state, "instance_class", type(None)))
        # As it was written: a call around it would double what there is to compile.
        return getattr(body, "py_func", None)

    return types.Function(make_overload_template(contract, choose, _INNER, False, "never"))


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
