"""Block tables over arrays for Python: each contract of theirs as a function that it can call."""

from typing import Any

from ...policies.compiled import compiled
from . import contract
from .state import IntArray


@compiled
def begin_step(tables: Any) -> None:
    """See the contract."""
    contract.begin_step(tables)


@compiled
def end_step(tables: Any) -> None:
    """See the contract."""
    contract.end_step(tables)


@compiled
def possible(tables: Any, table: IntArray, slot: int, tokens: int) -> bool:
    """See the contract."""
    return contract.possible(tables, table, slot, tokens)


@compiled
def look_up(tables: Any, table: IntArray, slot: int) -> tuple[int, int]:
    """See the contract."""
    return contract.look_up(tables, table, slot)


@compiled
def lacking(
    tables: Any,
    table: IntArray,
    slot: int,
    hit: int,
    new: int,
    watermark: float,
    whole: bool,
    need: IntArray,
) -> bool:
    """See the contract."""
    return contract.lacking(tables, table, slot, hit, new, watermark, whole, need)


@compiled
def allocate(tables: Any, table: IntArray, slot: int, new: int, hit: int) -> bool:
    """See the contract."""
    return contract.allocate(tables, table, slot, new, hit)


@compiled
def commit(tables: Any, table: IntArray, slot: int, tokens: int) -> None:
    """See the contract."""
    contract.commit(tables, table, slot, tokens)


@compiled
def release(tables: Any, table: IntArray, slot: int) -> None:
    """See the contract."""
    contract.release(tables, table, slot)
