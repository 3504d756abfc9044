"""Block tables as the compiled engine has them, from those of the plain one."""

from typing import Any

from ..table_contract import Tables
from ..tables import BlockTables
from .counted import make_counted


def table_state(tables: Tables, seats: int, slots: int) -> Any:
    """The arrays of ``tables``, which hold nothing yet, for ``seats`` running requests."""
    if isinstance(tables, BlockTables):
        return make_counted(tables, seats, slots)
    # Tables over numbered pages are arrays already.
    return tables.state  # type: ignore[attr-defined]
