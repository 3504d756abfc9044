"""Every carving keeps the contract of ``policies/base.py`` under any order of operations."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jenga_sim.configs.errors import InvariantError
from jenga_sim.policies.base import NO_MOVES, Carving, PageGroup, Slack
from jenga_sim.policies.carving.buddy import Buddy
from jenga_sim.policies.carving.ideal import Ideal
from jenga_sim.policies.carving.lcm import LCMCarving
from jenga_sim.policies.carving.lcm_frugal import FrugalLCMCarving
from jenga_sim.policies.carving.rebalance import Rebalance
from jenga_sim.policies.carving.single import SinglePool
from jenga_sim.policies.carving.static import SGLangPartition, StaticPartition
from jenga_sim.policies.carving.two_ended import TwoEnded
from jenga_sim.policies.presets import CARVINGS
from tests.policies.page_groups import page_groups
from tests.sim.strategies import examples, smallest_pool

SLOTS = st.integers(0, 4)
WATERMARKS = st.sampled_from([0.0, 0.0, 0.01, 0.1, 0.34, 0.9])
Observed = tuple[tuple[int, ...], tuple[Slack, ...]]


class Conformance(RuleBasedStateMachine):
    """Pages taken and given back at random, beside a naive count of who holds what."""

    make: Callable[[tuple[PageGroup, ...], int], Carving]
    page_sizes = "any"
    most_groups = 3
    leaves_watermark = True

    @initialize(data=st.data())
    def start(self, data: st.DataObject) -> None:
        self.groups = data.draw(page_groups(self.page_sizes, self.most_groups))
        one_each = [1] * len(self.groups)
        least = smallest_pool(type(self).make, self.groups, one_each)
        pool = least + data.draw(st.integers(0, 3 * least)) + data.draw(st.integers(0, 80))
        self.carving = type(self).make(self.groups, pool)
        self.fresh = deepcopy(self.carving)
        self.held: dict[int, list[int]] = {}
        self.refused: set[tuple[tuple[int, ...], float]] = set()

    def needs(self, most: int = 5) -> st.SearchStrategy[tuple[int, ...]]:
        return st.tuples(*(st.integers(0, most) for _ in self.groups))

    def observe(self) -> Observed:
        """All that can be asked without changing anything."""
        asked = (None, (0,) * len(self.groups), (3,) * len(self.groups))
        slacks = [self.carving.slack(need, mark) for need in asked for mark in (0.0, 0.2)]
        return self.carving.free_pages(), tuple(slacks)

    @rule(slot=SLOTS, data=st.data())
    def take(self, slot: int, data: st.DataObject) -> None:
        self.take_pages(slot, data.draw(self.needs()))

    def take_pages(self, slot: int, need: tuple[int, ...]) -> bool:
        before = self.observe()
        expected = self.carving.fits(need)
        taken = self.carving.take(slot, need)
        assert taken == expected, "take and fits without watermark disagree"
        if not taken or not any(need):
            assert self.observe() == before, "a refusal, or taking nothing, changed something"
        if taken:
            held = self.held.setdefault(slot, [0] * len(need))
            self.held[slot] = [a + b for a, b in zip(held, need, strict=True)]
        for known in self.refused:
            assert not self.carving.fits(*known), "fewer free pages turned refusal into consent"
        return taken

    @rule(slot=SLOTS)
    def take_nothing(self, slot: int) -> None:
        before = self.observe()
        assert self.carving.take(slot, (0,) * len(self.groups))
        assert self.observe() == before

    @precondition(lambda self: any(any(held) for held in self.held.values()))
    @rule(data=st.data())
    def give(self, data: st.DataObject) -> None:
        holding = [(s, g) for s, held in self.held.items() for g, n in enumerate(held) if n]
        slot, group = data.draw(st.sampled_from(holding))
        count = data.draw(st.integers(1, self.held[slot][group]))
        self.carving.give(slot, group, count)
        self.held[slot][group] -= count
        self.refused.clear()

    @rule(slot=SLOTS)
    def free(self, slot: int) -> None:
        self.carving.free(slot)
        self.held.pop(slot, None)
        self.refused.clear()
        before = self.observe()
        self.carving.free(slot)
        assert self.observe() == before, "free is not idempotent"

    @rule(slot=SLOTS, data=st.data())
    def give_what_is_not_held(self, slot: int, data: st.DataObject) -> None:
        group = data.draw(st.integers(0, len(self.groups) - 1))
        held = self.held.get(slot, [0] * len(self.groups))[group]
        with pytest.raises(InvariantError):
            deepcopy(self.carving).give(slot, group, held + data.draw(st.integers(1, 3)))

    def set_aside(self, carving: Carving, watermark: float) -> int:
        """Free bytes that count as reserved because of the watermark."""
        return carving.slack(None, watermark).reserved - carving.slack(None).reserved

    @rule(data=st.data(), watermark=WATERMARKS)
    def ask(self, data: st.DataObject, watermark: float) -> None:
        need = data.draw(self.needs(8))
        before = self.observe()
        fits = self.carving.fits(need, watermark)
        could = self.carving.could_fit(need)
        assert self.observe() == before, "a question changed something"
        assert fits == self.carving.fits(need, watermark)
        if fits:
            assert could, "it fits now but not an empty pool"
            assert self.carving.fits(need, 0.0), "it fits above the watermark but not without"
            less = tuple(max(0, pages - 1) for pages in need)
            assert self.carving.fits(less, watermark), "it fits, but not with a page less"
            taken = deepcopy(self.carving)
            assert taken.take(0, need)
            kept = self.set_aside(taken, watermark)
            assert kept == self.set_aside(self.fresh, watermark) or not self.leaves_watermark
        else:
            self.refused.add((need, watermark))
        if could:
            empty = deepcopy(self.fresh)
            assert empty.fits(need), "could_fit, but not on the empty pool"
            assert empty.take(0, need)

    @invariant()
    def books_balance(self) -> None:
        if not hasattr(self, "carving"):
            return
        self.carving.check()
        held = [sum(column) for column in zip(*self.held.values(), strict=True)]
        used = sum(
            pages * group.page_bytes for pages, group in zip(held, self.groups, strict=False)
        )
        for slack in self.observe()[1]:
            parts = (*slack.internal, *slack.external, slack.reserved, slack.free)
            assert min(parts) >= 0
            assert sum(parts) + used == self.carving.pool_bytes

    @invariant()
    def free_pages_are_exact(self) -> None:
        if not hasattr(self, "carving"):
            return
        for group, count in enumerate(self.carving.free_pages()):
            need = [0] * len(self.groups)
            need[group] = count
            assert self.carving.fits(need)
            need[group] += 1
            assert not self.carving.fits(need)

    def teardown(self) -> None:
        if not hasattr(self, "carving"):
            return
        for slot in list(self.held):
            self.carving.free(slot)
        self.carving.check()
        none = self.carving.slack(None)
        assert none == self.fresh.slack(None), "pages leaked"
        assert self.carving.free_pages() == self.fresh.free_pages()


class SingleMachine(Conformance):
    make = SinglePool
    page_sizes = "equal"


class StaticMachine(Conformance):
    make = StaticPartition


class SGLangMachine(Conformance):
    make = SGLangPartition


class TwoEndedMachine(Conformance):
    """Up to four groups, of which two float."""

    make = TwoEnded
    most_groups = 4

    @invariant()
    def nothing_is_stranded(self) -> None:
        if hasattr(self, "carving"):
            assert not any(self.carving.slack((9,) * len(self.groups)).external)

    @rule()
    def pay(self) -> None:
        due = self.carving.due_ns()
        moves = self.carving.tick(0)
        assert (due == 0) == (moves.launches > 0) == (moves.bytes > 0)
        assert self.carving.due_ns() is None
        assert self.carving.tick(0) == NO_MOVES


class Restless(Rebalance):
    """Divides the pool anew as often as it may."""

    min_samples = 2
    update_interval = 1
    cooldown_ns = 3
    decay = 0.5


class RebalanceMachine(Conformance):
    make = Restless
    leaves_watermark = False  # a share of each part, and the parts change
    now = 0

    @rule(later=st.integers(0, 4))
    def divide_anew(self, later: int) -> None:
        self.now += later
        due, before = self.carving.due_ns(), self.observe()
        free = self.carving.free_pages()
        self.carving.tick(self.now)
        if due is None or due > self.now:
            assert self.observe() == before
        if free != self.carving.free_pages():
            assert due is not None
            assert due <= self.now
            self.refused.clear()
        # Parts may be wider than ever now: an empty pool is one that was divided like this.
        self.fresh = deepcopy(self.carving)
        for slot in self.held:
            self.fresh.free(slot)
        after = self.carving.due_ns()
        assert after is None or after > self.now


class IdealMachine(Conformance):
    make = Ideal

    @invariant()
    def nothing_is_stranded(self) -> None:
        if hasattr(self, "carving"):
            assert not any(self.carving.slack((9,) * len(self.groups)).external)
            assert not any(self.carving.slack(None).internal)


class LCMMachine(Conformance):
    make = LCMCarving
    leaves_watermark = False  # where empty small pages would do, it takes a large page first

    @invariant()
    def a_large_page_is_free_iff_all_its_small_pages_are(self) -> None:
        """Law 3 from outside: a group owns whole large pages, each with a page in use."""
        if not hasattr(self, "carving"):
            return
        large = cast(LCMCarving, self.carving).large_bytes
        slack = self.carving.slack(None)
        assert slack.free % large == 0
        for index, group in enumerate(self.groups):
            held = sum(pages[index] for pages in self.held.values())
            empty = slack.internal[index] + slack.external[index]
            in_use = (held + 1) * group.page_bytes + empty
            assert in_use % large == 0
            assert in_use // large <= held + 1, "the null page, and the pages of requests"

    @invariant()
    def empty_pages_without_a_running_owner_are_external(self) -> None:
        if not hasattr(self, "carving"):
            return
        if not self.held:
            slack = self.carving.slack(None)
            large = cast(LCMCarving, self.carving).large_bytes
            assert not any(slack.internal)
            beside_null_pages = tuple(large - group.page_bytes for group in self.groups)
            assert slack.external == beside_null_pages


class FrugalLCMMachine(LCMMachine):
    make = FrugalLCMCarving
    leaves_watermark = True  # what an admission counts on is what a call uses

    @rule(slot=SLOTS, data=st.data())
    def take_uses_large_pages_only_for_what_is_lacking(
        self, slot: int, data: st.DataObject
    ) -> None:
        pages = cast(FrugalLCMCarving, self.carving).pages
        need = data.draw(self.needs())
        lacking = [max(0, n - s.num_empty) for n, s in zip(need, pages.small, strict=True)]
        large = sum(-(-n // s.ratio) for n, s in zip(lacking, pages.small, strict=True))
        before = pages.free_large
        taken = self.take_pages(slot, need)
        assert before - pages.free_large == (large if taken else 0)

    @rule(slot=SLOTS, data=st.data())
    def what_fits_at_once_fits_in_chunks(self, slot: int, data: st.DataObject) -> None:
        first, second = data.draw(self.needs()), data.draw(self.needs())
        if self.carving.fits(tuple(map(sum, zip(first, second, strict=True)))):
            assert self.take_pages(slot, first)
            assert self.take_pages(slot, second)


class BuddyMachine(Conformance):
    make = Buddy
    page_sizes = "powers"

    @invariant()
    def bytes_are_external_if_they_would_do_in_one_piece(self) -> None:
        if not hasattr(self, "carving"):
            return
        assert not any(self.carving.slack(None).internal)
        assert not any(self.carving.slack(None).external)
        for need in ((1,) * len(self.groups), (4,) * len(self.groups)):
            wanted = sum(n * g.page_bytes for n, g in zip(need, self.groups, strict=True))
            enough = self.carving.slack(None).free >= wanted
            stranded = any(self.carving.slack(need).external)
            assert stranded == (enough and not self.carving.fits(need))


def machine(of: type[Conformance], count: int) -> Any:
    case = of.TestCase
    case.settings = examples(count)
    return case


TestSingle = machine(SingleMachine, 60)
TestStatic = machine(StaticMachine, 60)
TestSGLangPartition = machine(SGLangMachine, 60)
TestTwoEnded = machine(TwoEndedMachine, 200)
TestRebalance = machine(RebalanceMachine, 200)
TestIdeal = machine(IdealMachine, 60)
TestLCM = machine(LCMMachine, 200)
TestFrugalLCM = machine(FrugalLCMMachine, 200)
TestBuddy = machine(BuddyMachine, 200)


def test_every_carving_of_the_presets_is_tested() -> None:
    tested: set[object] = {SinglePool, StaticPartition, Ideal, LCMCarving, Buddy}
    tested |= {SGLangPartition, TwoEnded, Rebalance, FrugalLCMCarving}
    assert set(CARVINGS.values()) == tested
