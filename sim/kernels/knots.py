"""Places of a dense table over lengths: each up to 16, then eight per octave.

Found with shifts alone, so that it is the same on every machine; between two places values are
blended linearly. The finer steps of a table of measurements that are lost lie within an octave's
eighth.
"""

import numpy as np
import numpy.typing as npt

from ...policies.compiled import inner

PER_OCTAVE_BITS = 3


@inner
def knot_below(value: int) -> tuple[int, int, int]:
    """The last place at or below a length, what it stands for, and how far the next one is."""
    shift = 0
    while value >> (shift + PER_OCTAVE_BITS + 1):
        shift += 1
    return (shift << PER_OCTAVE_BITS) + (value >> shift), (value >> shift) << shift, 1 << shift


def knots(most: int) -> npt.NDArray[np.float64]:
    """Lengths of all places up to the first that is not below ``most``, and one more."""
    last = knot_below(most)[0] + 2
    whole, eighths = 1 << (PER_OCTAVE_BITS + 1), 1 << PER_OCTAVE_BITS
    small = list(range(min(last + 1, whole)))
    large = [
        ((place & (eighths - 1)) + eighths) << ((place >> PER_OCTAVE_BITS) - 1)
        for place in range(whole, last + 1)
    ]
    return np.array(small + large, dtype=float)
