"""Python that compiled code calls back: the same answers, and exceptions that come through."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.policies import batch
from jenga_sim.policies.base import Carving, Moves, PageGroup, Pages, Slack
from jenga_sim.policies.batch import IntArray
from jenga_sim.policies.callback import CallbackError, reraising
from jenga_sim.policies.called import CalledCarving
from jenga_sim.policies.carving.single import SinglePages, SinglePool
from jenga_sim.policies.compiled import compiled
from tests.policies.page_groups import page_group
from tests.sim.strategies import examples

COULD_FIT, FITS, TAKE, GIVE, FREE, SLACK, TICK, DUE = range(8)
GROUPS = (page_group(0, 10), page_group(1, 10))


@compiled
def serve(pool: Any, asks: IntArray, answers: IntArray, slack: IntArray) -> None:
    """Ask for what the rows of ``asks`` say: a number of a function, then its arguments."""
    for row in range(len(asks)):
        what, first, second, third = asks[row, 0], asks[row, 1], asks[row, 2], asks[row, 3]
        pages = asks[row, 1:3]
        if what == COULD_FIT:
            answers[row, 0] = batch.could_fit(pool, pages)
        elif what == FITS:
            answers[row, 0] = batch.fits(pool, pages, third / 10)
        elif what == TAKE:
            answers[row, 0] = batch.take(pool, third, pages)
        elif what == GIVE:
            batch.give(pool, first, second, third)
        elif what == FREE:
            batch.free(pool, first)
        elif what == SLACK:
            batch.slack(pool, pages, third / 10, slack)
            for entry in range(len(slack)):
                answers[row, entry] = slack[entry]
        elif what == TICK:
            batch.tick(pool, first, answers[row])
        else:
            answers[row, 0] = batch.due_ns(pool)


class Plain(Carving):
    """Pages of 10 bytes from one pool, in plain Python; a copy of 7 bytes after every take."""

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        super().__init__(groups, pool_bytes)
        self.left = pool_bytes // 10
        self.held: dict[int, list[int]] = {}
        self.moves = Moves()
        self.asked: list[str] = []

    def could_fit(self, need: Pages) -> bool:
        return sum(need) <= self.pool_bytes // 10

    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        return sum(need) + int(watermark * self.pool_bytes / 10) <= self.left

    def take(self, slot: int, need: Pages) -> bool:
        if sum(need) > self.left:
            return False
        self.left -= sum(need)
        held = self.held.setdefault(slot, [0] * len(need))
        self.held[slot] = [a + b for a, b in zip(held, need, strict=True)]
        self.moves = self.moves.plus(Moves(7, 1))
        return True

    def give(self, slot: int, group: int, count: int) -> None:
        if count > self.held[slot][group]:
            raise ValueError(f"slot {slot} does not hold {count} pages")
        self.held[slot][group] -= count
        self.left += count

    def free(self, slot: int) -> None:
        self.left += sum(self.held.pop(slot, ()))

    def free_pages(self) -> tuple[int, ...]:
        return (self.left, self.left)

    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        self.asked.append("slack")
        kept = min(self.left, int(watermark * self.pool_bytes / 10))
        stranded = 0 if refused is None else refused[1]
        return Slack((stranded, 3), (5, 6), 10 * kept, 10 * (self.left - kept))

    def tick(self, now_ns: int) -> Moves:
        moves, self.moves = self.moves, Moves()
        return moves.plus(Moves(now_ns))

    def due_ns(self) -> int | None:
        return -5 if self.moves.launches else None

    def check(self) -> None:
        return


def answers_of(carving: Carving, asks: list[tuple[int, ...]]) -> list[list[int]]:
    """What compiled code is told."""
    answers = np.zeros((len(asks), batch.slack_size(2)), dtype=np.int64)
    slack = np.zeros(batch.slack_size(2), dtype=np.int64)
    pool = carving.batch(4)
    with reraising(pool):
        serve(pool, np.array(asks, dtype=np.int64), answers, slack)
    return answers.tolist()


def answers_in_python(carving: Carving, asks: list[tuple[int, ...]]) -> list[list[int]]:
    """What the methods say."""
    answers: list[list[int]] = []
    for what, first, second, third in asks:
        pages = (first, second)
        told: list[int] = []
        if what == COULD_FIT:
            told = [carving.could_fit(pages)]
        elif what == FITS:
            told = [carving.fits(pages, third / 10)]
        elif what == TAKE:
            told = [carving.take(third, pages)]
        elif what == GIVE:
            carving.give(first, second, third)
        elif what == FREE:
            carving.free(first)
        elif what == SLACK:
            refused = None if first == batch.NOTHING_REFUSED else pages
            slack = carving.slack(refused, third / 10)
            parts = (*slack.internal, *slack.external, *(slack.cached or (0, 0)))
            told = [*parts, slack.reserved, slack.free]
        elif what == TICK:
            told = list(carving.tick(first))
        else:
            due = carving.due_ns()
            told = [batch.NEVER_DUE if due is None else due]
        answers.append(told + [0] * (batch.slack_size(2) - len(told)))
    return answers


@st.composite
def operations(draw: st.DrawFn) -> list[tuple[int, ...]]:
    """Questions and changes, of which each could be asked."""
    asks: list[tuple[int, ...]] = []
    held = {slot: [0, 0] for slot in range(4)}
    for _ in range(draw(st.integers(1, 25))):
        what, slot = draw(st.integers(0, 7)), draw(st.integers(0, 3))
        pages = (draw(st.integers(0, 4)), draw(st.integers(0, 4)))
        if what == TAKE:
            if sum(map(sum, held.values())) + sum(pages) <= 20:
                held[slot] = [a + b for a, b in zip(held[slot], pages, strict=True)]
            asks.append((TAKE, *pages, slot))
        elif what == GIVE:
            count = draw(st.integers(0, held[slot][1]))
            held[slot][1] -= count
            if any(held[slot]):
                asks.append((GIVE, slot, 1, count))
        elif what == FREE:
            held[slot] = [0, 0]
            asks.append((FREE, slot, 0, 0))
        elif what == SLACK and draw(st.booleans()):
            asks.append((SLACK, batch.NOTHING_REFUSED, 0, draw(st.integers(0, 3))))
        else:
            asks.append((what, *pages, draw(st.integers(0, 3))))
    return asks


@examples(100)
@given(asks=operations())
def test_compiled_code_gets_the_answers_of_a_plain_carving(asks: list[tuple[int, ...]]) -> None:
    assert answers_of(Plain(GROUPS, 200), asks) == answers_in_python(Plain(GROUPS, 200), asks)


@examples(100)
@given(asks=operations())
def test_a_built_in_carving_that_is_called_back_answers_as_its_arrays_do(
    asks: list[tuple[int, ...]],
) -> None:
    class Derived(SinglePool):
        def take(self, slot: int, need: Pages) -> bool:
            return super().take(slot, need)

    found = answers_of(Derived(GROUPS, 210), asks)
    assert found == answers_of(SinglePool(GROUPS, 210), asks)
    assert found == answers_in_python(SinglePool(GROUPS, 210), asks)


def test_arrays_are_handed_out_unless_a_method_is_somebody_elses() -> None:
    class Same(SinglePool):
        pass

    class Other(SinglePool):
        def free(self, slot: int) -> None:
            super().free(slot)

    built_in, other = Same(GROUPS, 100), Other(GROUPS, 100)
    assert isinstance(built_in.batch(20), SinglePages)
    assert len(built_in.batch(20).held) == 20
    assert not built_in.holders_are_slots
    assert isinstance(other.batch(20), CalledCarving)
    assert other.holders_are_slots
    built_in.take = lambda slot, need: False  # type: ignore[method-assign]
    assert isinstance(built_in.batch(20), CalledCarving)


def test_what_compiled_code_took_shows_in_the_carving() -> None:
    carving = SinglePool(GROUPS, 110)
    answers_of(carving, [(TAKE, 3, 1, 2)])
    assert carving.free_pages() == (6, 6)
    carving.check()
    answers_of(carving, [(FREE, 2, 0, 0)])
    assert carving.free_pages() == (10, 10)


def test_an_unchanged_pool_is_asked_once_for_its_slack() -> None:
    carving = Plain(GROUPS, 200)
    asks: list[tuple[int, ...]] = [(SLACK, -1, 0, 0), (SLACK, -1, 0, 0), (FITS, 1, 1, 2)]
    asks += [(SLACK, -1, 0, 2), (SLACK, 1, 2, 2), (SLACK, 1, 2, 2)]
    answers_of(carving, asks)
    assert carving.asked == ["slack"] * 3


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    ("name", "asks"),
    [
        ("could_fit", (COULD_FIT, 1, 1, 0)),
        ("fits", (FITS, 1, 1, 0)),
        ("take", (TAKE, 1, 1, 0)),
        ("give", (GIVE, 0, 1, 0)),
        ("free", (FREE, 0, 0, 0)),
        ("slack", (SLACK, 1, 1, 0)),
        ("tick", (TICK, 1, 0, 0)),
        ("due_ns", (DUE, 0, 0, 0)),
    ],
)
def test_an_exception_of_any_method_comes_through(
    name: str, asks: tuple[int, ...], error: BaseException
) -> None:
    carving = Plain(GROUPS, 200)

    def broken(*_: Any) -> Any:
        raise error

    setattr(carving, name, broken)
    with pytest.raises(type(error)) as caught:
        answers_of(carving, [asks, (TAKE, 1, 0, 1)])
    assert caught.value is error
    assert "broken" in [entry.name for entry in caught.traceback]
    assert caught.value.__context__ is None, "nobody needs to know how it came here"
    assert not carving.held, "nothing happens after it"


def test_a_slack_of_too_few_groups_is_an_error() -> None:
    carving = Plain(GROUPS, 200)
    carving.slack = lambda refused, watermark=0.0: Slack((1,), (0, 0), 0, 0)  # type: ignore
    with pytest.raises(Exception, match="items"):
        answers_of(carving, [(SLACK, 1, 1, 0)])


def test_unless_somebody_reraises_compiled_code_says_that_a_callback_failed() -> None:
    carving = Plain(GROUPS, 200)
    asks, answers = np.array([(GIVE, 0, 0, 1)]), np.zeros((1, 8), dtype=np.int64)
    with pytest.raises(CallbackError):
        serve(carving.batch(1), asks, answers, answers[0])
