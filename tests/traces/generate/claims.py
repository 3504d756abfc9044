"""Stated statistics of random samples, with tolerances that follow from the size of the sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SIGMAS = 4.5
"""A correct seeded sample fails such a test with a probability of less than 1e-5."""

Values = npt.NDArray[Any]


def assert_quantile(values: Values, at: float, expected: float) -> None:
    """Fail unless about a share ``at`` of independent values is below ``expected``.

    Of whole numbers some may equal it: they count as below or above as it suits.
    """
    slack = SIGMAS * float(np.sqrt(at * (1.0 - at) / len(values)))
    below, not_above = float(np.mean(values < expected)), float(np.mean(values <= expected))
    assert below - slack <= at <= not_above + slack, (at, expected, below, not_above)


def assert_mean(values: Values, expected: float) -> None:
    """Fail unless the mean of independent values is about ``expected``."""
    error = float(np.std(values)) / float(np.sqrt(len(values)))
    assert abs(float(np.mean(values)) - expected) <= SIGMAS * error, (np.mean(values), expected)


def assert_share(chosen: Values, expected: float) -> None:
    """Fail unless about this share of independent values is true."""
    slack = SIGMAS * float(np.sqrt(expected * (1.0 - expected) / len(chosen)))
    assert abs(float(np.mean(chosen)) - expected) <= slack, (np.mean(chosen), expected)
