"""Arithmetic beyond 64 bits agrees with Python's integers."""

from hypothesis import example, given
from hypothesis import strategies as st

from jenga_sim.policies.carving.wide import is_less, share
from jenga_sim.policies.compiled import compiled
from tests.sim.strategies import examples

MOST = (1 << 61) - 1
FACTORS = st.integers(0, 61).flatmap(lambda bits: st.integers(0, (1 << bits) - 1))


@compiled
def compiled_is_less(a: int, b: int, c: int, d: int) -> bool:
    return is_less(a, b, c, d)


@compiled
def compiled_share(a: int, b: int, c: int) -> int:
    return share(a, b, c)


@examples(400)
@given(a=FACTORS, b=FACTORS, c=FACTORS, d=FACTORS)
@example(a=MOST, b=MOST, c=MOST, d=MOST)
@example(a=MOST, b=MOST - 1, c=MOST, d=MOST)
@example(a=1 << 31, b=1 << 31, c=1 << 30, d=1 << 32)
def test_products_are_compared_exactly(a: int, b: int, c: int, d: int) -> None:
    assert compiled_is_less(a, b, c, d) == (a * b < c * d)


@examples(400)
@given(a=FACTORS, b=FACTORS, c=FACTORS)
@example(a=MOST, b=MOST, c=MOST)
@example(a=MOST, b=MOST - 1, c=MOST)
@example(a=MOST - 1, b=MOST - 2, c=MOST)
def test_shares_are_rounded_down_exactly(a: int, b: int, c: int) -> None:
    b, c = min(b, c), max(b, c, 1)
    assert compiled_share(a, b, c) == a * b // c
