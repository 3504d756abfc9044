"""What carvings do, worked out by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from jenga_sim.configs.errors import ConfigError, InvariantError
from jenga_sim.policies.base import Carving, PageGroup, Slack
from jenga_sim.policies.carving.buddy import Buddy
from jenga_sim.policies.carving.buddy_space import (
    check_space,
    give_block,
    make_space,
    take_block,
)
from jenga_sim.policies.carving.ideal import Ideal
from jenga_sim.policies.carving.lcm import LCMCarving
from jenga_sim.policies.carving.lcm_frugal import FrugalLCMCarving
from jenga_sim.policies.carving.single import SinglePool
from jenga_sim.policies.carving.static import StaticPartition
from tests.policies.page_groups import page_group

NONE = (0, 0)


def test_single_refuses_pages_of_two_sizes() -> None:
    with pytest.raises(ConfigError, match="pages of one size"):
        SinglePool((page_group(0, 4), page_group(1, 8)), 1000)


@pytest.mark.parametrize("carving", [SinglePool, StaticPartition, LCMCarving, Buddy])
def test_a_pool_that_holds_only_null_pages_is_refused(carving: type[Carving]) -> None:
    with pytest.raises(ConfigError, match="null"):
        carving((page_group(0, 100),), 199 if carving is LCMCarving else 100)


def test_single_keeps_one_null_page_and_the_odd_bytes() -> None:
    carving = SinglePool((page_group(0, 10), page_group(1, 10)), 109)
    assert carving.free_pages() == (9, 9)
    assert carving.slack(None) == Slack(NONE, NONE, reserved=10 + 9, free=90, cached=NONE)
    assert carving.slack(None, 0.25) == Slack(NONE, NONE, reserved=19 + 20, free=70, cached=NONE)


def test_static_splits_by_page_bytes_and_halves_what_is_bounded() -> None:
    groups = (page_group(0, 10), page_group(1, 10, "sliding_window"), page_group(2, 20, "mamba"))
    carving = StaticPartition(groups, 1000)
    assert carving.num_pages == (40, 20, 20)  # weights 10, 5 and 10


def test_static_strands_the_parts_that_a_refused_request_does_not_lack() -> None:
    carving = StaticPartition((page_group(0, 10), page_group(1, 10)), 200)
    assert carving.take(0, (9, 0))
    assert carving.slack(None).external == (0, 0)
    assert carving.slack((1, 1)).external == (0, 90)
    assert not carving.fits((1, 1))


def test_ideal_lends_the_same_bytes_to_any_group() -> None:
    carving = Ideal((page_group(0, 3), page_group(1, 7)), 21)
    assert carving.free_pages() == (7, 3)
    assert carving.take(0, (0, 3))
    assert carving.free_pages() == (0, 0)


# LCM: large pages of 12 bytes, three small ones of 4 or two of 6. Beside the null pages, which take
# 10 bytes and the page that is lost 12, there are two small pages of 4 and one of 6.

BESIDE_NULL = (8, 6)
RESERVED = 22


def lcm_carving(larges: int, sizes: Sequence[int] = (4, 6)) -> LCMCarving:
    """With ``larges`` large pages to use, beside the null pages and the one that is lost."""
    groups = tuple(page_group(index, size) for index, size in enumerate(sizes))
    return LCMCarving(groups, 12 * (larges + len(sizes) + 1))


def test_lcm_loses_a_large_page_of_an_exact_multiple_and_one_null_page_a_group() -> None:
    carving = lcm_carving(5)
    assert carving.large_bytes == 12
    assert carving.slack(None) == Slack((0, 0), BESIDE_NULL, RESERVED, free=12 * 5, cached=(0, 0))


def test_lcm_step_1_fills_the_requests_own_large_page_first() -> None:
    carving = lcm_carving(2)
    assert carving.take(0, (1, 0))
    assert carving.take(0, (2, 0))
    assert carving.slack(None).free == 12
    assert carving.slack(None).internal == (0, 0)


def test_lcm_step_2_prefers_an_empty_large_page_to_anothers_small_ones() -> None:
    carving = lcm_carving(2)
    assert carving.take(0, (1, 0))
    assert carving.take(1, (1, 0))
    assert carving.slack(None) == Slack((4 * 4, 0), BESIDE_NULL, RESERVED, free=0, cached=(0, 0))


def test_an_admission_to_lcm_that_counts_on_others_pages_may_not_get_its_second_chunk() -> None:
    for make, promised in ((LCMCarving, False), (FrugalLCMCarving, True)):
        carving = make(tuple(page_group(index, size) for index, size in enumerate((4, 6))), 12 * 5)
        assert carving.take(0, (3, 0)), "two beside the null page, one of a large page"
        assert carving.fits((2, 2)), "two of slot 0's large page, and the last large page"
        assert carving.take(1, (2, 0)), "the first chunk"
        assert carving.fits((0, 2)) == promised


def test_lcm_frugal_prefers_anothers_small_pages_to_an_empty_large_page() -> None:
    groups = tuple(page_group(index, size) for index, size in enumerate((4, 6)))
    carving = FrugalLCMCarving(groups, 12 * 5)
    assert carving.take(0, (4, 0)), "two beside the null page, two of a large page"
    assert carving.take(1, (1, 0)), "the third of it"
    assert carving.slack(None) == Slack((0, 0), (0, 6), RESERVED, free=12, cached=(0, 0))


def test_lcm_step_5_takes_any_empty_page_of_the_group_when_no_large_page_is_left() -> None:
    carving = lcm_carving(1)
    assert carving.take(0, (1, 0))
    assert carving.take(1, (4, 0)), "two beside the null page, two of slot 0"
    assert carving.free_pages() == (0, 1)
    carving.free(0)
    assert carving.slack(None).external == (4, 6), "slot 1 pins what slot 0 left"
    carving.free(1)
    assert carving.slack(None).free == 12


def test_lcm_empty_pages_lose_their_owner_when_it_leaves() -> None:
    carving = lcm_carving(1)
    assert carving.take(0, (1, 0))
    assert carving.take(1, (3, 0)), "two beside the null page, one of slot 0"
    assert carving.slack(None) == Slack((4, 0), (0, 6), RESERVED, free=0, cached=(0, 0))
    carving.free(0)
    assert carving.slack(None) == Slack((0, 0), (8, 6), RESERVED, free=0, cached=(0, 0))


def test_lcm_pages_that_a_window_left_stay_with_the_request() -> None:
    carving = lcm_carving(1)
    assert carving.take(0, (3, 0))
    carving.give(0, 0, 2)
    assert carving.slack(None).internal == (8, 0)
    assert not carving.fits((0, 2)), "the other group cannot have them"
    carving.give(0, 0, 1)
    assert carving.fits((0, 2)), "the large page is empty and free"


def test_lcm_refuses_all_groups_when_one_lacks_a_page() -> None:
    carving = lcm_carving(1)
    assert not carving.take(0, (3, 2))
    assert carving.slack(None).free == 12


# Buddy: a unit of 10 bytes, pages of one, two and four units.


def buddy_groups(*units: int) -> tuple[PageGroup, ...]:
    return tuple(page_group(index, 10 * size) for index, size in enumerate(units))


def test_buddy_starts_with_the_binary_digits_of_the_pool_and_a_null_page() -> None:
    carving = Buddy(buddy_groups(1, 4), 139)
    # 13 units are 8 + 4 + 1; the null page takes the 4, the smallest block that holds it.
    assert carving.free_pages() == (9, 2)
    assert carving.slack(None) == Slack(NONE, NONE, reserved=9 + 40, free=90, cached=NONE)


def test_buddy_strands_blocks_that_are_too_small_for_the_page_that_is_lacking() -> None:
    carving = Buddy(buddy_groups(1, 4), 120)
    assert carving.take(0, (1, 0))
    assert carving.take(1, (3, 0))
    assert carving.take(2, (4, 0))
    carving.free(1)
    # Unit 0 and the block of units 4 to 7 are held: unit 1 is free, and the block of 2 and 3.
    assert carving.free_pages() == (3, 0)
    assert carving.slack((0, 1)).external == (30, 0)
    assert carving.slack((1, 0)).external == (0, 0), "what fits strands nothing"
    assert carving.slack((9, 1)).external == (0, 0), "all units together would not do either"
    carving.free(0)
    assert carving.free_pages() == (4, 1), "buddies merge"


def test_buddy_decides_for_all_groups_together() -> None:
    carving = Buddy(buddy_groups(1, 2, 4), 120)
    assert carving.could_fit((2, 1, 1))
    assert not carving.could_fit((1, 2, 1))
    assert carving.take(0, (2, 1, 1))
    assert carving.free_pages() == (0, 0, 0)


@pytest.mark.parametrize("sizes", [(10, 30), (10, 25), (20, 30, 40)])
def test_buddy_refuses_pages_that_are_no_powers_of_two(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="smallest size times a power of two"):
        Buddy(tuple(page_group(index, size) for index, size in enumerate(sizes)), 1000)


def test_a_buddy_space_takes_the_lowest_of_the_smallest_blocks_that_hold_it() -> None:
    space = make_space(21)  # 16 + 4 + 1
    assert [take_block(space, order) for order in (0, 0, 1, 2)] == [20, 16, 18, 0]
    give_block(space, 0, 16)
    assert take_block(space, 0) == 16, "17 is free as well"
    with pytest.raises(InvariantError, match="no free block"):
        take_block(space, 4)


def test_a_buddy_space_finds_what_does_not_tile() -> None:
    space = make_space(8)
    offset = take_block(space, 1)
    check_space(space, 8, [(offset, 1)])
    with pytest.raises(InvariantError, match="expected one at 0"):
        check_space(space, 8, [])
    with pytest.raises(InvariantError, match="expected one at 2"):
        check_space(space, 8, [(offset, 1), (offset, 1)])


def test_a_buddy_space_finds_counts_and_halves_that_are_wrong() -> None:
    space = make_space(8)
    offset = take_block(space, 1)
    space.counts[0] += 1
    with pytest.raises(InvariantError, match="the counts say"):
        check_space(space, 8, [(offset, 1)])
    space.counts[0] -= 1
    space.tree[1] |= 1
    with pytest.raises(InvariantError, match="does not know its halves"):
        check_space(space, 8, [(offset, 1)])


def test_a_large_empty_space_is_not_touched() -> None:
    space = make_space(3 << 20)
    offsets = [take_block(space, 0) for _ in range(4)]
    assert offsets == [2 << 20, (2 << 20) + 1, (2 << 20) + 2, (2 << 20) + 3]
    assert np.count_nonzero(space.tree) < 100
