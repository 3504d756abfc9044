"""Python that compiled code calls: integers in, an integer out.

A ``Callback`` is a field of a state (``policies.compiled``); a call costs a tenth of a microsecond
beside what the Python function takes. An exception cannot pass through compiled code: it is kept,
compiled code raises CallbackError, and ``reraising`` puts the kept one in its place.
"""

import ctypes
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from numba import types
from numba.experimental import function_type

Function = Callable[[int, int, int], int]
"""Takes three numbers, of which it uses what it needs; the answer is not negative."""

FAILED = -1
"""The answer of a function that raised."""

_SIGNATURE: Any = types.int64(*[types.int64] * 4)
_PROTOTYPE = ctypes.CFUNCTYPE(*[ctypes.c_int64] * 5)
del function_type  # imported to tell numba what a WrapperAddressProtocol is


class CallbackError(Exception):
    """A function that was called back raised; see ``reraising``."""


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


@contextmanager
def reraising(*states: Any) -> Generator[None]:
    """In here a CallbackError becomes the exception that a callback in one of ``states`` raised."""
    try:
        yield
    except CallbackError:
        for callback in _callbacks(states):
            kept, callback.kept = callback.kept, None
            if kept is not None:
                context = kept.__context__
                try:
                    raise kept
                finally:
                    kept.__context__ = context
        raise


def _callbacks(values: Sequence[Any]) -> Iterator[Callback]:
    for value in values:
        if isinstance(value, Callback):
            yield value
        elif isinstance(value, tuple):
            yield from _callbacks(value)
