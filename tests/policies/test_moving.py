"""Carvings that copy pages: what they copy, what it makes room for, and when they do not."""

from itertools import pairwise
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import ConfigError, InvariantError
from jenga_sim.configs.specs import Kind
from jenga_sim.policies.base import NO_MOVES, Moves, PageGroup
from jenga_sim.policies.batch import IntArray
from jenga_sim.policies.carving.division import WEIGHT, divide
from jenga_sim.policies.carving.placed import check_placed, extend, fill, free, num_holes, squeeze
from jenga_sim.policies.carving.places import (
    BASE,
    END,
    LIVE,
    LOWEST,
    OLDEST,
    OLDEST_HOLE,
    OWNER,
    TAIL,
    Placed,
    make_placed,
)
from jenga_sim.policies.carving.rebalance import Rebalance
from jenga_sim.policies.carving.rebalance_parts import CHANGED_NS
from jenga_sim.policies.carving.splits import by_tokens
from jenga_sim.policies.carving.static import SGLangPartition, StaticPartition
from jenga_sim.policies.carving.two_ended import TwoEnded
from jenga_sim.policies.carving.two_ended_runs import place_spans
from jenga_sim.policies.carving.typical import first_pages
from jenga_sim.policies.compiled import compiled
from tests.policies.page_groups import page_group
from tests.sim.strategies import examples

KINDS = cast(list[Kind], ["full", "sliding_window", "mamba", "cross", "chunked_local"])


@st.composite
def any_groups(draw: st.DrawFn) -> tuple[PageGroup, ...]:
    """Up to five groups of any kind, with pages of any size."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    return tuple(
        page_group(index, size, draw(st.sampled_from(KINDS))) for index, size in enumerate(sizes)
    )


# --- two-ended -----------------------------------------------------------------------------------


@pytest.mark.parametrize("partition", [StaticPartition, SGLangPartition])
def test_two_ended_serves_whatever_a_static_partition_serves(
    partition: type[StaticPartition],
) -> None:
    """Same groups, same pool, same operations; what the partition refuses is left out."""
    served: list[int] = []
    copied: list[int] = []

    @examples(400)
    @given(groups=any_groups(), spare=st.integers(0, 400), data=st.data())
    def holds(groups: tuple[PageGroup, ...], spare: int, data: st.DataObject) -> None:
        pool = spare + 4 * sum(group.page_bytes for group in groups)
        try:
            static = partition(groups, pool)
        except ConfigError:
            return
        two = TwoEnded(groups, pool)
        assert two.slack(None).reserved <= static.slack(None).reserved
        held: dict[int, list[int]] = {}
        for _ in range(data.draw(st.integers(1, 40))):
            slot = data.draw(st.integers(0, 4))
            what = data.draw(st.sampled_from(["take", "take", "take", "give", "free"]))
            if what == "take":
                need = tuple(data.draw(st.integers(0, 6)) for _ in groups)
                assert two.could_fit(need) or not static.could_fit(need)
                assert two.fits(need) or not static.fits(need)
                if static.take(slot, need):
                    assert two.take(slot, need)
                    held[slot] = [
                        a + b for a, b in zip(held.get(slot, [0] * len(need)), need, strict=True)
                    ]
                    served.append(1)
            elif what == "give" and any(held.get(slot, ())):
                having = [group for group, count in enumerate(held[slot]) if count]
                group = data.draw(st.sampled_from(having))
                count = data.draw(st.integers(1, held[slot][group]))
                for carving in (static, two):
                    carving.give(slot, group, count)
                held[slot][group] -= count
            elif what == "free":
                for carving in (static, two):
                    carving.free(slot)
                held.pop(slot, None)
            two.check()
            assert all(a >= b for a, b in zip(two.free_pages(), static.free_pages(), strict=True))
        copied.append(two.tick(0).launches)

    holds()
    assert sum(served) > 1000
    assert sum(map(bool, copied)) > 0.1 * len(copied)


def two_ended(*kinds: str, pages: int = 10) -> TwoEnded:
    """Pages of 10 bytes, ``pages`` of them beside the null pages."""
    groups = tuple(page_group(i, 10, cast(Kind, kind)) for i, kind in enumerate(kinds))
    return TwoEnded(groups, 10 * (pages + len(groups)))


def test_packing_copies_what_lies_beyond_the_holes() -> None:
    carving = two_ended("sliding_window", "full")
    assert carving.take(0, (3, 0))
    assert carving.take(1, (3, 0))
    carving.free(0)
    assert carving.take(2, (0, 4)), "there are 4 pages between the runs"
    assert carving.due_ns() is None
    assert carving.take(2, (0, 1))
    assert carving.due_ns() == 0
    assert carving.tick(7) == Moves(bytes=30, launches=1)
    assert carving.tick(7) == NO_MOVES


def test_a_hole_at_the_frontier_moves_the_frontier_and_nothing_else() -> None:
    carving = two_ended("sliding_window", "full")
    assert carving.take(0, (3, 0))
    assert carving.take(1, (3, 0))
    carving.free(1)
    assert carving.take(2, (0, 7))
    assert carving.tick(0) == NO_MOVES


def test_holes_are_filled_before_a_run_grows() -> None:
    carving = two_ended("sliding_window", "full")
    assert carving.take(0, (3, 0))
    assert carving.take(1, (3, 4))
    carving.give(0, 0, 2)
    assert carving.take(2, (2, 0))
    assert carving.tick(0) == NO_MOVES
    assert carving.free_pages() == (0, 0)


def test_one_page_between_is_closed_by_one_copy() -> None:
    carving = two_ended("sliding_window", "full")
    assert carving.take(0, (1, 0))
    assert carving.take(1, (5, 0))
    carving.free(0)
    assert carving.take(2, (0, 5))
    assert carving.tick(0) == Moves(10, 1)


def test_a_floating_run_starts_in_the_middle_and_gives_way_by_whole_pages() -> None:
    carving = two_ended("full", "sliding_window", "mamba")
    assert carving.take(0, (0, 4, 1))  # the state at 0 to 10, the window at 35 to 75
    assert carving.take(0, (2, 0, 0))
    assert carving.tick(0) == NO_MOVES
    assert carving.take(0, (1, 0, 0)), "the window's last page goes to the other side"
    assert carving.tick(0) == Moves(10, 1)
    carving.check()


def test_a_floating_run_moves_as_a_whole_where_only_that_helps() -> None:
    carving = two_ended("full", "sliding_window", "mamba")
    assert carving.take(0, (0, 4, 1))
    assert carving.take(0, (5, 0, 0)), "35 to 75 becomes 10 to 50: half a page off"
    assert carving.tick(0) == Moves(40, 1)
    carving.check()


@compiled
def compiled_place_spans(spans: IntArray, count: int, low: int, high: int) -> None:
    place_spans(spans, count, low, high)


@examples(200)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=4),
    gaps=st.lists(st.integers(0, 20), min_size=5, max_size=5),
    shift=st.integers(-15, 15),
)
def test_floating_runs_find_a_place_wherever_the_bytes_are(
    lengths: list[tuple[int, int]], gaps: list[int], shift: int
) -> None:
    spans: list[tuple[int, int, int]] = []
    start = 0
    for (count, page), gap in zip(lengths, gaps, strict=False):
        start += gap
        spans.append((start, count * page, page))
        start += count * page
    low = shift
    high = max(low + sum(length for _, length, _ in spans), start + gaps[4] - 10)
    rows = np.array([*zip(*spans, strict=True), [0] * len(spans)], dtype=np.int64)
    compiled_place_spans(rows, len(spans), low, high)
    starts = rows[0].tolist()
    ends = [a + length for a, (_, length, _) in zip(starts, spans, strict=True)]
    assert starts[0] >= low
    assert ends[-1] <= high
    assert all(end <= a for end, a in pairwise_of(ends, starts))
    if shift <= 0 and high >= start:
        assert starts == [a for a, _, _ in spans], "nobody was in the way"


def pairwise_of(ends: list[int], starts: list[int]) -> list[tuple[int, int]]:
    """The end of each run with the start of the next."""
    return [(ends[a], starts[b]) for a, b in pairwise(range(len(starts)))]


def test_two_ended_needs_a_page_of_every_group_beside_the_null_pages() -> None:
    groups = (page_group(0, 10), page_group(1, 30, "sliding_window"))
    with pytest.raises(ConfigError, match="null"):
        TwoEnded(groups, 69)
    assert TwoEnded(groups, 70).free_pages() == (3, 1)


# --- positions -----------------------------------------------------------------------------------


@compiled
def compiled_extend(placed: Placed, holder: int, count: int) -> None:
    extend(placed, 0, holder, 0, count, False)


@compiled
def compiled_fill(placed: Placed, holder: int, count: int) -> int:
    return fill(placed, 0, holder, 0, count)


@compiled
def compiled_free(placed: Placed, holder: int) -> int:
    return free(placed, 0, holder, 0)


@compiled
def compiled_squeeze(placed: Placed, first: int, room: int) -> int:
    return squeeze(placed, 0, placed.parts[BASE, 0] + first, room)


@compiled
def compiled_holes(placed: Placed) -> int:
    return num_holes(placed, 0)


def six_pages(reuse: int = LOWEST, count: int = 6) -> Placed:
    """A part with a page each of so many holders."""
    lists = np.zeros((10, 3, 1), dtype=np.int64)
    run = make_placed([20], lists, reuse=reuse, floating=[False])
    for holder in range(count):
        compiled_extend(run, holder, 1)
    return run


def test_squeezing_keeps_the_pages_that_are_in_place() -> None:
    run = six_pages()
    for holder in (1, 2):
        compiled_free(run, holder)
    assert compiled_squeeze(run, 0, 4) == 2
    assert run.parts[END, 0] - run.parts[BASE, 0] == 4
    assert compiled_holes(run) == 0
    check_placed(run)


def test_pages_that_do_not_fit_are_not_squeezed() -> None:
    run = six_pages(OLDEST, 3)
    with pytest.raises(InvariantError, match="more pages than places"):
        compiled_squeeze(run, 0, 2)


def test_the_hole_that_was_left_first_is_filled_first_or_the_lowest() -> None:
    copied: list[int] = []
    for reuse in (OLDEST, LOWEST):
        run = six_pages(reuse, 4)
        compiled_free(run, 2)
        compiled_free(run, 0)
        compiled_fill(run, 9, 1)
        compiled_free(run, 3)
        copied.append(compiled_squeeze(run, 0, 2))
    # Pages lie at 1 and 2, or at 0 and 1.
    assert copied == [1, 0]


def test_places_that_were_never_used_are_not_touched() -> None:
    lists = np.zeros((2, 3, 1), dtype=np.int64)
    run = make_placed([1 << 22], lists, reuse=LOWEST, floating=[True])
    compiled_extend(run, 0, 100)
    compiled_extend(run, 1, 100)
    compiled_free(run, 0)
    assert sum(np.count_nonzero(array) for array in run) < 5000
    check_placed(run)


@pytest.mark.parametrize("damage", ["owner", "live", "hole", "list"])
def test_books_that_do_not_balance_are_noticed(damage: str) -> None:
    run = six_pages()
    compiled_free(run, 2)
    check_placed(run)
    if damage == "owner":
        run.places[OWNER, 4] = run.places[OWNER, 5]
    elif damage == "live":
        run.parts[LIVE, 0] += 1
    elif damage == "hole":
        run.parts[OLDEST_HOLE, 0] = 0
    else:
        run.lists[1, TAIL, 0] += 1
    with pytest.raises(InvariantError):
        check_placed(run)


# --- SGLang's parts ------------------------------------------------------------------------------


def test_sglang_gives_windows_four_fifths_of_the_tokens() -> None:
    groups = (page_group(0, 10), page_group(1, 50, "sliding_window"))
    # 10 bytes + 0.8 x 50 bytes per token of full attention.
    assert by_tokens(groups, 5049) == (100, 80)


def test_sglang_gives_states_nine_nineteenths_of_the_memory() -> None:
    groups = (page_group(0, 10), page_group(1, 100, "mamba"))
    assert by_tokens(groups, 1900) == (100, 9)
    # What makes no slot goes to attention.
    assert by_tokens(groups, 1899) == (109, 8)


def test_sglang_rules_for_what_sglang_does_not_know() -> None:
    window, chunk = page_group(0, 10, "sliding_window"), page_group(1, 10, "chunked_local")
    assert by_tokens((window, chunk), 200) == (10, 10)
    assert by_tokens((page_group(2, 4), page_group(3, 8, "cross"), window), 200) == (10, 10, 8)
    assert by_tokens((page_group(4, 7, "mamba"),), 50) == (7,)


# --- rebalance -----------------------------------------------------------------------------------


def rebalance(pool: int = 2000) -> Rebalance:
    """Two groups that grow alike, with pages of 10 and of 20 bytes."""
    return Rebalance((page_group(0, 10), page_group(1, 20, "cross")), pool)


def leave(carving: Rebalance, pages: tuple[int, int], times: int) -> None:
    """Requests that held ``pages`` come and go."""
    for _ in range(times):
        assert carving.take(0, pages)
        carving.free(0)


def test_the_first_parts_are_those_of_a_request_of_2049_tokens() -> None:
    groups = (page_group(0, 10), page_group(1, 20, "sliding_window"))
    # The window of 4 holds 4 of 2,049 tokens: 20,490 bytes to 80.
    assert [first_pages(group) for group in groups] == [2049, 4]
    assert Rebalance(groups, 20570).num_pages == (2049, 4)


def test_groups_with_pages_of_one_size_share_a_part() -> None:
    groups = (page_group(0, 10), page_group(1, 10, "sliding_window"), page_group(2, 5))
    carving = Rebalance(groups, 1000)
    assert carving.page_bytes == (10, 5)
    assert carving.part_of == (0, 0, 1)
    assert carving.take(0, (1, 2, 3))
    assert carving.take(1, (1, 0, 0))
    assert carving.free_pages()[0] == carving.free_pages()[1] == carving.num_pages[0] - 5
    assert carving.give(0, 1, 2) is None


def test_nothing_moves_before_its_samples_and_its_cooldown() -> None:
    carving = rebalance()
    first = carving.num_pages
    start, cooldown = 5, Rebalance.cooldown_ns
    assert carving.tick(start) == NO_MOVES
    leave(carving, (4, 30), 1999)
    assert carving.due_ns() is None
    assert carving.tick(start + cooldown) == NO_MOVES
    assert carving.num_pages == first
    leave(carving, (4, 30), 1)
    assert carving.due_ns() == start + cooldown
    assert carving.tick(start + cooldown - 1) == NO_MOVES
    assert carving.num_pages == first
    carving.tick(start + cooldown)
    # 40 to 600 bytes of 2,000.
    assert carving.num_pages == (2000 * 40 // 640 // 10, 2000 * 600 // 640 // 20)
    assert carving.due_ns() is None, "the parts are as wanted"


def test_a_deviation_below_a_quarter_is_let_be() -> None:
    carving = rebalance(10_000)
    carving.tick(0)
    leave(carving, (10, 10), 2000)
    carving.tick(Rebalance.cooldown_ns)
    assert carving.num_pages == (333, 333)
    # 13 to 20: shares of 0.394 and 0.606 instead of a third and two thirds, 1.18 times.
    for _ in range(10):
        leave(carving, (13, 10), 10_000)
        assert carving.due_ns() is None


def test_typical_is_the_root_mean_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rebalance, "decay", 1.0 - 1e-12)
    carving = rebalance(100_000)
    carving.tick(0)
    for _ in range(1000):
        leave(carving, (1, 10), 1)
        leave(carving, (7, 10), 1)
    carving.tick(Rebalance.cooldown_ns)
    # sqrt((1 + 49) / 2) = 5 pages of 10 bytes to 10 of 20.
    assert carving.num_pages == (100_000 // 5 // 10, 100_000 * 4 // 5 // 20)


def test_a_part_that_shrinks_pays_for_the_pages_beyond_its_new_end() -> None:
    carving = rebalance()
    carving.tick(0)
    leave(carving, (4, 30), 2000)
    carving.tick(0)
    assert carving.take(1, (0, 40))
    assert carving.take(2, (0, 10))
    carving.give(1, 1, 35)
    assert carving.num_pages == (66, 66)
    carving.state.sizes[WEIGHT] = 1220, 780
    carving.state.pool[CHANGED_NS] = -Rebalance.cooldown_ns
    moves = carving.tick(0)
    assert carving.num_pages == (122, 39)
    # Pages lie at 35 to 49; those from 38 on are beyond the places that are left.
    assert moves == Moves(12 * 20, 1)
    carving.check()


def test_a_part_does_not_shrink_below_what_is_held() -> None:
    carving = rebalance()
    carving.tick(0)
    leave(carving, (4, 30), 2000)
    assert carving.take(1, (0, 40))
    assert carving.take(2, (0, 10))
    carving.state.sizes[WEIGHT] = 1000, 1
    carving.state.pool[CHANGED_NS] = -Rebalance.cooldown_ns
    carving.tick(0)
    assert carving.num_pages == (98, 51)
    assert carving.due_ns() == Rebalance.cooldown_ns, "it will try again"
    carving.check()


def test_a_part_is_widened_again_for_a_request_that_is_alone() -> None:
    carving = rebalance()
    assert carving.num_pages == (66, 66)
    assert not carving.could_fit((66, 0)), "one page is null"
    carving.tick(0)
    leave(carving, (40, 2), 2000)
    carving.tick(Rebalance.cooldown_ns)
    assert carving.num_pages == (181, 9)
    assert carving.could_fit((180, 0))
    assert carving.could_fit((0, 65)), "accepted before, so it must be served"
    assert carving.take(1, (0, 65))
    assert carving.num_pages[1] == 66
    assert carving.take(2, (5, 0))
    assert not carving.fits((0, 1)), "two requests hold pages"
    carving.free(2)
    assert not carving.fits((0, 1)), "it was never wider"
    carving.free(1)
    assert carving.fits((180, 0))
    carving.check()


def test_a_pool_without_room_for_a_page_and_a_null_page_is_refused() -> None:
    with pytest.raises(ConfigError, match="null"):
        rebalance(59)
    assert rebalance(60).num_pages == (2, 2)


@examples(200)
@given(data=st.data())
def test_a_division_keeps_its_floors_and_wastes_less_than_a_page_each(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))

    def numbers(least: int, most: int) -> list[int]:
        values = st.integers(least, most)
        return data.draw(st.lists(values, min_size=count, max_size=count))

    sizes, weights, floors = numbers(1, 30), numbers(1, 10**12), numbers(1, 9)
    floor_bytes = sum(floor * size for floor, size in zip(floors, sizes, strict=True))
    pool = floor_bytes + data.draw(st.integers(0, 5000))
    parts = divide(pool, sizes, weights, floors)
    used = sum(pages * size for pages, size in zip(parts, sizes, strict=True))
    assert all(pages >= floor for pages, floor in zip(parts, floors, strict=True))
    assert used <= pool
    if any(pages > floor for pages, floor in zip(parts, floors, strict=True)):
        assert pool - used < sum(sizes)
