"""The compiler of the inner loops: functions over arrays, and contracts between them.

A function that Python calls is ``compiled`` and kept on disk; one that only such functions call is
``inner``, and plain Python where Python calls it all the same. A ``contract`` is a function whose
body is chosen by the type of its first argument, so that one engine serves every policy and numba
compiles it for the one at hand. Such an argument, a NamedTuple of arrays, is passed on
``by_reference``.

Nothing here needs numba before the first ``compiled`` function is called: ``policies.compiling`` is
imported then. ``NUMBA_DISABLE_JIT=1`` runs the same functions as plain Python, and
``NUMBA_BOUNDSCHECK=1`` raises IndexError where an index is out of range, as plain Python does.
"""

import sys
from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any, Literal, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])
State = TypeVar("State", bound=type)

states: list[type] = []
"""Classes that were declared ``by_reference``; numba learns of them when it is imported."""


class Kernel:
    """A function that numba compiles when compiled code or Python calls it first."""

    def __init__(
        self, function: Callable[..., Any], kind: Literal["compiled", "allocating", "inner"]
    ) -> None:
        update_wrapper(self, function)
        self.py_func = function
        self.kind = kind

    def __call__(self, *args: Any) -> Any:
        """What Python calls."""
        return self.native(*args)

    @cached_property
    def native(self) -> Any:
        """The function as Python should call it: numba's dispatcher, or plain Python."""
        if self.kind == "inner":
            return self.py_func
        from .compiling import is_off

        return self.py_func if is_off() else self.dispatcher

    @cached_property
    def dispatcher(self) -> Any:
        """The function as numba has it."""
        from .compiling import make_dispatcher

        return make_dispatcher(self)

    @property
    def _numba_type_(self) -> Any:
        """Compiled code that names this kernel calls the dispatcher."""
        from numba import typeof

        return typeof(self.dispatcher)


def compiled(function: Function) -> Function:
    """Compile ``function`` on its first call; kept on disk where a cache folder can be written.

    It must not make arrays; see ``allocating``.
    """
    return cast(Function, Kernel(function, "compiled"))


def allocating(function: Function) -> Function:
    """Like ``compiled``, for a function that makes arrays or lists."""
    return cast(Function, Kernel(function, "allocating"))


def inner(function: Function) -> Function:
    """Compile ``function`` into those that call it."""
    return cast(Function, Kernel(function, "inner"))


def by_reference(state: State) -> State:
    """Class decorator: compiled code passes such a NamedTuple on as one pointer.

    Without it every call passes all arrays one by one, which takes long to compile.
    """
    compiling = sys.modules.get(f"{__package__}.compiling")
    if compiling is None:
        states.append(state)
    else:
        compiling.pass_by_reference(state)
    return state


class Contract:
    """A function whose body depends on the type of its first argument, a NamedTuple of arrays."""

    def __init__(self, declared: Callable[..., Any]) -> None:
        update_wrapper(self, declared)
        self.bodies: dict[type, Kernel] = {}

    def __call__(self, state: Any, *args: Any) -> Any:
        """What plain Python calls."""
        return self.bodies[type(state)](state, *args)

    @cached_property
    def _numba_type_(self) -> Any:
        """Compiled code chooses the body when it is compiled."""
        from .compiling import make_overload

        return make_overload(self)


def contract(declared: Function) -> Function:
    """Declare a contract by a function without a body; ``body_of`` registers the bodies."""
    return cast(Function, Contract(declared))


def body_of(declared: Callable[..., Any], state: type) -> Callable[[Function], Function]:
    """Decorator: the function is the body of the contract ``declared`` for states of one type.

    The function is ``inner`` or ``compiled``.
    """

    def keep(function: Function) -> Function:
        cast(Contract, declared).bodies[state] = cast(Kernel, function)
        return function

    return keep
