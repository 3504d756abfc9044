"""A user hears that he waits for the compiler: once per kind of call, and only then."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from jenga_sim.policies import first_call as module
from jenga_sim.policies.first_call import first_call


class State(NamedTuple):
    column: np.ndarray[Any, Any]
    inner: tuple[np.ndarray[Any, Any], ...] = ()


ROW, SQUARE = np.zeros(3, np.int64), np.zeros((2, 2), np.int64)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("numba.core.config.DISABLE_JIT", 0)


@pytest.fixture
def another_process(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda: monkeypatch.setattr(module, "_known", set[str]())


@pytest.fixture(autouse=True)
def _first_process(another_process: Any) -> None:
    another_process()


def told(*arguments: object) -> bool:
    said: list[None] = []
    with first_call(lambda: said.append(None), *arguments):
        pass
    return bool(said)


def test_the_first_call_is_told_and_later_ones_are_not(another_process: Any) -> None:
    assert told(State(ROW))
    assert not told(State(np.ones(99, np.int64)))
    another_process()
    assert not told(State(ROW))


@pytest.mark.parametrize(
    "other",
    [
        (State(SQUARE),),
        (State(ROW.astype(np.float64)),),
        (State(ROW, (ROW,)),),
        (State(ROW), State(ROW)),
        ((ROW, ()),),
        (3,),
    ],
)
def test_arguments_of_other_types_are_another_call(other: tuple[object, ...]) -> None:
    assert told(State(ROW))
    assert told(*other)


def test_a_call_that_did_not_come_to_its_end_is_told_again() -> None:
    with pytest.raises(KeyboardInterrupt), first_call(None, State(ROW)):
        raise KeyboardInterrupt

    assert told(State(ROW))


def test_where_nothing_can_be_kept_every_process_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, another_process: Any
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "file" / "cache")

    assert told(State(ROW))
    assert not told(State(ROW))
    another_process()
    assert told(State(ROW))


def test_without_a_home_every_process_is_told(
    monkeypatch: pytest.MonkeyPatch, another_process: Any
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(module, "cache_folder", homeless)

    assert told(State(ROW))
    another_process()
    assert told(State(ROW))


def test_without_the_compiler_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.core.config.DISABLE_JIT", 1)

    assert not told(State(ROW))


def test_without_arguments_nothing_is_compiled() -> None:
    assert not told()
