"""How many pages of each group a typical request holds; TensorRT-LLM's idea of it.

Root mean squares of pages per group, in which late samples weigh more. Additions, divisions and
roots alone: the same on every machine. See ``rebalance.py`` for the source, and for what is
different there.
"""

from math import sqrt

import numpy as np
import numpy.typing as npt

from ...configs.specs import STATE_KINDS
from ..base import PageGroup
from ..compiled import inner
from ..demand import demand, expired

FloatArray = npt.NDArray[np.float64]
FIRST_TOKENS = 2049
"""Length of the request that the first division is made for; all but the last are computed."""
DECAY, WEIGHT, SQUARES = range(3)
"""Entries of ``typical``: weight of a sample next to the one after it; that of all samples; from
SQUARES on the mean square of the pages of each group."""


def make_typical(num_groups: int, decay: float) -> FloatArray:
    """Before the first sample."""
    typical = np.zeros(SQUARES + num_groups)
    typical[DECAY] = decay
    return typical


@inner
def begin_sample(typical: FloatArray) -> None:
    """A request left. What it held of each group must be told next."""
    typical[WEIGHT] = 1.0 + typical[DECAY] * typical[WEIGHT]


@inner
def add_to_sample(typical: FloatArray, group: int, pages: int) -> None:
    """It held ``pages`` of ``group``."""
    square = typical[SQUARES + group]
    typical[SQUARES + group] = square + (pages * pages - square) / typical[WEIGHT]


@inner
def typical_pages(typical: FloatArray, group: int) -> float:
    """Pages of ``group`` that a typical request holds."""
    return sqrt(typical[SQUARES + group])


def first_pages(group: PageGroup) -> int:
    """Pages of ``group`` in a decode step of the request that the first division is made for."""
    if group.kind in STATE_KINDS:
        return group.pages_per_block
    pages = demand(group, FIRST_TOKENS, FIRST_TOKENS)
    return pages - expired(group, FIRST_TOKENS - 1, 0)
