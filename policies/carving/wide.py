"""Products of integers that need more than 64 bits; all factors are below 2^61 and not negative."""

from ..compiled import inner

_HALF = 31
_LOW = (1 << _HALF) - 1


@inner
def is_less(a: int, b: int, c: int, d: int) -> bool:
    """Whether a times b is less than c times d."""
    high, low = _product(a, b)
    other_high, other_low = _product(c, d)
    return high < other_high or (high == other_high and low < other_low)


@inner
def _product(a: int, b: int) -> tuple[int, int]:
    """A times b as multiples of 2^62, and the rest."""
    low = (a & _LOW) * (b & _LOW)
    middle = (a >> _HALF) * (b & _LOW) + (a & _LOW) * (b >> _HALF) + (low >> _HALF)
    high = (a >> _HALF) * (b >> _HALF) + (middle >> _HALF)
    return high, (middle & _LOW) << _HALF | low & _LOW


@inner
def share(a: int, b: int, c: int) -> int:
    """A times b divided by c, rounded down; it must be below 2^63."""
    whole, rest = 0, 0
    for bit in range(60, -1, -1):
        whole, rest = 2 * whole, 2 * rest
        if b >> bit & 1:
            whole, rest = whole + a // c, rest + a % c
        # ``rest`` is below 3 c.
        whole, rest = whole + rest // c, rest % c
    return whole
