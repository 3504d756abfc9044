"""Python that compiled code calls: integers in, an integer out.

A ``Callback`` is a field of a state (``policies.compiled``); a call costs a tenth of a microsecond
beside what the Python function takes. An exception cannot pass through compiled code: it is kept,
compiled code raises CallbackError, and ``guarded`` raises the kept one.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from numba import types
from numba.experimental import function_type

Answer = TypeVar("Answer")
Function = Callable[[int, int, int], int]
"""Takes three numbers, of which it uses what it needs; the answer is not negative."""

FAILED = -1
"""The answer of a function that raised."""

_SIGNATURE: Any = types.int64(*[types.int64] * 4)
_PROTOTYPE = ctypes.CFUNCTYPE(*[ctypes.c_int64] * 5)
del function_type  # imported to tell numba what a WrapperAddressProtocol is


class CallbackError(Exception):
    """A function that was called back raised; ``guarded`` puts its exception in the place."""


class Callback(types.WrapperAddressProtocol):
    """Several Python functions as one that compiled code can call: the number of one comes first.

    Compiled code that gets FAILED must raise CallbackError, and touch nothing before.
    """

    def __init__(self, functions: Sequence[Function]) -> None:
        self.kept: BaseException | None = None
        """What the last function to fail raised."""

        def call(number: int, a: int, b: int, c: int) -> int:
            try:
                return functions[number](a, b, c)
            except BaseException as error:
                self.kept = error
                return FAILED

        self._call = call
        self._native = _PROTOTYPE(call)

    def __wrapper_address__(self) -> int:
        """Where compiled code finds it; it lives as long as this object."""
        return ctypes.cast(self._native, ctypes.c_void_p).value or 0

    def signature(self) -> Any:
        """Of the function, as numba has it."""
        return _SIGNATURE

    def __call__(self, number: int, a: int, b: int, c: int) -> int:
        """What compiled code does, where it runs as plain Python."""
        return self._call(int(number), int(a), int(b), int(c))


def guarded(function: Callable[..., Answer], *args: Any) -> Answer:
    """``function(*args)``; raises what a callback raised that is among ``args`` or in a state."""
    try:
        return function(*args)
    except CallbackError as error:
        failed = error
    for callback in _callbacks(args):
        kept, callback.kept = callback.kept, None
        if kept is not None:
            raise kept
    raise failed


def _callbacks(values: Sequence[Any]) -> Iterator[Callback]:
    for value in values:
        if isinstance(value, Callback):
            yield value
        elif isinstance(value, tuple):
            yield from _callbacks(value)
