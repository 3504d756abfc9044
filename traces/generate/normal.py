"""Quantiles of the normal distribution.

M. J. Wichura, Algorithm AS 241: the percentage points of the normal distribution, Applied
Statistics 37 (1988) 477-484: a ratio of polynomials in the middle and two for the tails, exact to
about 16 digits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .elementary import FloatColumn, log, polynomial

_MIDDLE = (
    (
        3.3871328727963666080,
        133.14166789178437745,
        1971.5909503065514427,
        13731.693765509461125,
        45921.953931549871457,
        67265.770927008700853,
        33430.575583588128105,
        2509.0809287301226727,
    ),
    (
        1.0,
        42.313330701600911252,
        687.18700749205790830,
        5394.1960214247511077,
        21213.794301586595867,
        39307.895800092710610,
        28729.085735721942674,
        5226.4952788528545610,
    ),
)
_TAIL = (
    (
        1.42343711074968357734,
        4.63033784615654529590,
        5.76949722146069140550,
        3.64784832476320460504,
        1.27045825245236838258,
        0.241780725177450611770,
        0.0227238449892691845833,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187,
        1.67638483018380384940,
        0.689767334985100004550,
        0.148103976427480074590,
        0.0151986665636164571966,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_FAR_TAIL = (
    (
        6.65790464350110377720,
        5.46378491116411436990,
        1.78482653991729133580,
        0.296560571828504891230,
        0.0265321895265761230930,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        0.599832206555887937690,
        0.136929880922735805310,
        0.0148753612908506148525,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)


def quantile(p: npt.ArrayLike) -> FloatColumn:
    """Return the points below which a standard normal number lies with probability ``p``.

    Args:
        p: Probabilities above 0 and below 1.
    """
    p = np.asarray(p, dtype=np.float64)
    q = np.atleast_1d(p - 0.5)
    x = _ratio(_MIDDLE, 0.180625 - q * q) * q
    outside = np.abs(q) > 0.425
    if outside.any():
        tail = np.atleast_1d(p)[outside]
        x[outside] = np.copysign(_in_tail(np.minimum(tail, 1.0 - tail)), q[outside])
    return x.reshape(p.shape)


def _in_tail(p: FloatColumn) -> FloatColumn:
    r = np.sqrt(-log(p))
    far = r > 5.0
    return np.where(far, _ratio(_FAR_TAIL, r - 5.0), _ratio(_TAIL, r - 1.6))


def _ratio(pair: tuple[tuple[float, ...], tuple[float, ...]], x: FloatColumn) -> FloatColumn:
    return polynomial(pair[0], x) / polynomial(pair[1], x)
