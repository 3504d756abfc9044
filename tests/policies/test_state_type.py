"""States that are passed on by reference: what compiled code sees through the pointer."""

import os
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

from jenga_sim.policies.batch import IntArray
from jenga_sim.policies.compiled import (
    allocating,
    body_of,
    by_reference,
    compiled,
    contract,
    inner,
)

OFF = os.environ.get("NUMBA_DISABLE_JIT") == "1"
needs_compiler = pytest.mark.skipif(OFF, reason="the compiler is switched off")


@by_reference
class Part(NamedTuple):
    cells: IntArray
    share: float


@by_reference
class Whole(NamedTuple):
    table: IntArray
    part: Part
    number: int


def make_whole(value: int) -> Whole:
    table = np.arange(12, dtype=np.int64).reshape(3, 4) + value
    return Whole(table, Part(np.full(5, value, dtype=np.int64), value / 2), 10 * value)


@contract
def size_of(state: Any) -> int: ...


@body_of(size_of, Whole)
@inner
def _size_of_whole(whole: Whole) -> int:
    return whole.table.shape[1] * size_of(whole.part)


@body_of(size_of, Part)
@inner
def _size_of_part(part: Part) -> int:
    return len(part.cells)


@inner
def _sum(part: Part, start: int) -> int:
    total = start
    for cell in part.cells:
        total += cell
    return total


@compiled
def summary(whole: Whole) -> tuple[int, int, float, int]:
    return whole.table[2, 3], _sum(whole.part, whole.number), whole.part.share, size_of(whole)


@compiled
def written_then_read(whole: Whole) -> int:
    seen = whole.part.cells[1]
    for step in range(1, 4):
        whole.part.cells[1] += step
        seen = 10 * seen + whole.part.cells[1]
    return seen


@compiled
def first_cell(part: Part) -> int:
    return part.cells[0]


@allocating
def doubled(whole: Whole) -> IntArray:
    cells = whole.part.cells
    again = cells
    return 2 * again + whole.table[0, 0]


def test_members_and_members_of_members_are_seen() -> None:
    assert summary(make_whole(1)) == (12, 15, 0.5, 20)
    assert summary(make_whole(4)) == (15, 60, 2.0, 20)


def test_what_is_written_into_an_array_is_read_again() -> None:
    whole = make_whole(0)
    assert written_then_read(whole) == 136
    assert whole.part.cells.tolist() == [0, 6, 0, 0, 0]


def test_each_call_sees_the_state_that_it_was_given() -> None:
    """The smallest kernels become a part of what Python calls, where the pointer is made."""
    parts = [make_whole(value).part for value in range(20)]
    assert [first_cell(part) for part in parts] == list(range(20))
    replaced = parts[3]._replace(cells=parts[7].cells)
    assert first_cell(replaced) == 7


@needs_compiler
def test_a_kernel_that_counts_references_leaves_them_as_they_were() -> None:
    whole = make_whole(3)
    expected = [9] * 5
    assert doubled(whole).tolist() == expected
    arrays = (whole.table, whole.part.cells)
    before = [sys.getrefcount(array) for array in arrays]
    for _ in range(100):
        assert doubled(whole).tolist() == expected
    assert [sys.getrefcount(array) for array in arrays] == before


@needs_compiler
def test_a_member_that_is_not_there_is_named() -> None:
    @compiled
    def wrong(part: Any) -> int:
        return part.cell[0]

    with pytest.raises(Exception, match="Unknown attribute 'cell' of type Part_"):
        wrong(make_whole(1).part)


@needs_compiler
def test_an_array_of_another_type_is_compiled_anew() -> None:
    part = make_whole(2).part
    other: Any = part._replace(cells=np.array([2.5, 1.0]))
    assert first_cell(part) == 2
    assert first_cell(other) == 2.5


def test_inner_functions_and_contracts_are_plain_python_for_python() -> None:
    whole = make_whole(2)
    assert _sum(whole.part, 1) == 11
    assert size_of(whole) == 20


def test_nothing_of_numba_is_loaded_before_a_kernel_is_called() -> None:
    script = (
        "import sys\n"
        "from jenga_sim.policies.carving.single import SinglePages\n"
        "from jenga_sim.policies import batch, compiled_carving\n"
        "import numpy as np\n"
        "state = SinglePages(np.zeros((4, 1), int), np.array([9, 8, 1, 0]))\n"
        "print(batch.could_fit(state, np.array([8])), 'numba' in sys.modules)\n"
        "print(compiled_carving._fits(state, np.array([9]), 0.0), 'numba' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "True False\nFalse True\n", done.stderr
