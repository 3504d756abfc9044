"""The batch form of the contract: a carving as arrays, and functions that numba compiles.

A compiled engine asks the same questions as ``Carving`` without going back to Python. Every
function here is a *contract*: its body belongs to the type of its first argument, the arrays of one
carving. Meaning and promises are those of the method of ``Carving`` of the same name. Instead of
slots there are *holders*, numbers below what ``Carving.batch`` was told; what a carving does must
not depend on which number a request has, only on who came first.

Built-in carvings are written this way, once: ``CompiledCarving`` makes the methods out of it. A
plain Python carving is called back (``CalledCarving``).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from .compiled import contract

IntArray = npt.NDArray[np.int64]
NEVER_DUE = (1 << 63) - 1
"""What ``due_ns`` says instead of None."""
NOTHING_REFUSED = -1
"""First entry of ``refused`` where nothing was refused."""
BYTES, LAUNCHES = range(2)
"""Entries of ``moved``."""


def slack_size(groups: int) -> int:
    """Length of the array that ``slack`` fills.

    Internal bytes of each group, external ones, cached ones, then reserved and free bytes: the
    fields of ``Slack`` one after the other.
    """
    return 3 * groups + 2


@contract
def could_fit(pool: Any, need: IntArray) -> bool:
    """See Carving. ``need``: pages per group."""
    ...


@contract
def fits(pool: Any, need: IntArray, watermark: float) -> bool:
    """See Carving."""
    ...


@contract
def take(pool: Any, holder: int, need: IntArray) -> bool:
    """See Carving."""
    ...


@contract
def give(pool: Any, holder: int, group: int, count: int) -> None:
    """See Carving."""
    ...


@contract
def free(pool: Any, holder: int) -> None:
    """See Carving."""
    ...


@contract
def slack(pool: Any, refused: IntArray, watermark: float, out: IntArray) -> None:
    """See Carving. Fills all of ``out``, which has ``slack_size`` entries."""
    ...


@contract
def tick(pool: Any, now_ns: int, moved: IntArray) -> None:
    """See Carving. Adds what was copied to ``moved``."""
    ...


@contract
def due_ns(pool: Any) -> int:
    """See Carving; NEVER_DUE instead of None."""
    ...
