"""Jenga's two levels of pages beside a model of plain lists, down to the number of every page."""

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jenga_sim.configs.errors import InvariantError
from jenga_sim.policies.large_pages.pool import LargePages
from jenga_sim.policies.large_pages.quota import Content
from tests.policies.large_page_model import PLACES, NaivePool
from tests.sim.strategies import examples

OWNERS = st.integers(0, 4)
SEEN: Counter[str] = Counter()
"""Of all examples: places that served, and what is hard to come by."""


class PoolBesideLists(RuleBasedStateMachine):
    """Requests take, fill, share and give back pages; every page number is foretold."""

    @initialize(
        ratios=st.lists(st.sampled_from([1, 2, 3, 4, 4, 7]), min_size=1, max_size=3),
        spare=st.integers(1, 6),
    )
    def start(self, ratios: list[int], spare: int) -> None:
        self.pool = LargePages(ratios, len(ratios) + spare)
        self.model = NaivePool(ratios, len(ratios) + spare)
        self.held: dict[int, list[list[int]]] = {}
        """Owner -> pages by group."""
        self.clock = 0
        self.next_key = 100

    def groups(self) -> range:
        return range(len(self.model.groups))

    def joined(self, owner: int) -> list[list[int]]:
        if owner not in self.held:
            self.pool.join(owner)
            self.model.join(owner)
            self.held[owner] = [[] for _ in self.groups()]
        return self.held[owner]

    def some(self, data: st.DataObject) -> tuple[int, int]:
        """Owner and group of which pages are held."""
        pairs = [(o, g) for o, held in self.held.items() for g in self.groups() if held[g]]
        return data.draw(st.sampled_from(pairs))

    @rule(owner=OWNERS, data=st.data(), fills=st.booleans())
    def take(self, owner: int, data: st.DataObject, fills: bool) -> None:
        """As much as is asked for, or the half, or the half of that."""
        self.take_some(owner, data)
        if fills:
            for group in self.groups():
                self.fill_group(owner, group, 0, data)
            self.end_step()

    def take_some(self, owner: int, data: st.DataObject) -> None:
        need = data.draw(st.tuples(*(st.integers(0, 12) for _ in self.groups())))
        while not self.fits(need):
            SEEN["refused"] += 1
            with pytest.raises(InvariantError, match="no room"):
                self.pool.set_quotas(need)
            need = tuple(pages // 2 for pages in need)
        self.take_what_fits(owner, need)

    @rule(owner=OWNERS, data=st.data())
    def take_all_that_is_left(self, owner: int, data: st.DataObject) -> None:
        group = data.draw(st.sampled_from(self.groups()))
        self.joined(owner)
        self.take_what_fits(owner, self.all_for(group))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def refused_and_preempted(self, data: st.DataObject) -> None:
        """Alone or not, a request is refused a page and leaves; if it was alone it is back next."""
        owner = data.draw(st.sampled_from(sorted(self.held)))
        self.pool.refuse(owner)
        self.model.refuse(owner)
        self.end(owner, data)
        if not self.held:
            self.take_some(owner, data)

    def all_for(self, group: int) -> tuple[int, ...]:
        """What one group could have at most."""
        mine = self.model.groups[group]
        most = mine.supply() + mine.ratio * self.model.room([0] * len(self.groups())).available
        return tuple(most if index == group else 0 for index in self.groups())

    def fits(self, need: tuple[int, ...]) -> bool:
        room = self.model.room(need)
        assert self.pool.room(need) == room
        return room.total <= room.available

    def take_what_fits(self, owner: int, need: tuple[int, ...]) -> None:
        held, room = self.joined(owner), self.model.room(need)
        SEEN["thrifty"] += self.model.thrifty
        SEEN["exactly enough"] += room.total == room.available > 0
        self.pool.set_quotas(need)
        self.model.set_quotas(need)
        for group, count in enumerate(need):
            pages = [self.model.take(group, owner) for _ in range(count)]
            assert self.pool.take(group, owner, count) == pages
            held[group] += pages
        SEEN.update(self.model.served)
        self.model.served.clear()

    @precondition(lambda self: any(any(held) for held in self.held.values()))
    @rule(data=st.data(), again=st.booleans(), ends=st.booleans())
    def fill(self, data: st.DataObject, again: bool, ends: bool) -> None:
        """All pages of a group are full; some of them store what others do."""
        owner, group = self.some(data)
        self.fill_group(owner, group, data.draw(st.integers(100, 140)) if again else 0, data)
        if ends:
            self.end_step()

    def fill_group(self, owner: int, group: int, first: int, data: st.DataObject) -> None:
        """``first``: key of the first page; 0: keys that nobody has."""
        known = self.model.groups[group].content
        first = first or self.next_key
        for place, page in enumerate(self.held[owner][group]):
            if page not in known:
                content = Content(first + place, data.draw(st.integers(1, 3)))
                done = self.model.set_key(group, page, content)
                assert self.pool.set_key(group, page, content) == done
                SEEN["copies"] += not done
        self.next_key += len(self.held[owner][group])

    @rule()
    def end_step(self) -> None:
        self.pool.end_step()
        self.model.end_step()

    def found(self, group: int) -> list[int]:
        """Pages that a lookup finds."""
        mine = self.model.groups[group]
        return sorted(set(mine.content) - mine.full_now)

    @property
    def finds_some(self) -> bool:
        return any(map(self.found, self.groups()))

    def hits(self, data: st.DataObject) -> tuple[int, list[int]]:
        """A group, and pages of it that a lookup found."""
        group = data.draw(st.sampled_from([g for g in self.groups() if self.found(g)]))
        found = self.found(group)
        pages = data.draw(st.lists(st.sampled_from(found), min_size=1, unique=True))
        return group, pages

    @precondition(lambda self: self.finds_some)
    @rule(owner=OWNERS, data=st.data())
    def hit(self, owner: int, data: st.DataObject) -> None:
        group, pages = self.hits(data)
        held = self.joined(owner)[group]
        for page in pages:
            if page not in held:
                SEEN["hits of idle pages"] += page in self.pool.idle[group]
                SEEN["hits of held pages"] += page not in self.pool.idle[group]
                self.pool.hold(group, page)
                self.model.hold(group, page)
                held.append(page)

    @precondition(lambda self: self.finds_some)
    @rule(data=st.data())
    def ask_with_hits(self, data: st.DataObject) -> None:
        """``room`` says beforehand what it says when the hits are held."""
        group, pages = self.hits(data)
        need = data.draw(st.tuples(*(st.integers(0, 9) for _ in self.groups())))
        held = deepcopy(self.pool)
        for page in pages:
            held.hold(group, page)
        hits = [pages if index == group else [] for index in self.groups()]
        assert self.pool.room(need, hits) == held.room(need)

    def release(self, group: int, pages: Sequence[int], data: st.DataObject) -> None:
        self.clock += data.draw(st.integers(0, 1))
        time = self.clock - data.draw(st.sampled_from([0, 0, 3]))
        for page in pages:
            self.model.release(group, page, time)
        self.pool.release(group, pages, time)

    @precondition(lambda self: any(any(held) for held in self.held.values()))
    @rule(data=st.data())
    def give(self, data: st.DataObject) -> None:
        """A window moves on."""
        owner, group = self.some(data)
        held = self.held[owner][group]
        count = data.draw(st.integers(1, len(held)))
        self.release(group, held[:count], data)
        del held[:count]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.end(data.draw(st.sampled_from(sorted(self.held))), data)

    def end(self, owner: int, data: st.DataObject) -> None:
        self.pool.leave(owner)
        self.model.leave(owner)
        for group, pages in enumerate(self.held.pop(owner)):
            self.release(group, pages, data)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def one_group_can_have_all_that_is_left(self, data: st.DataObject) -> None:
        """``room`` is exact: so many pages can be taken by one group, and not one more."""
        group = data.draw(st.sampled_from(self.groups()))
        need = self.all_for(group)
        most = need[group]
        copy, owner = deepcopy(self.pool), next(iter(self.held))
        copy.set_quotas(need)
        assert len(set(copy.take(group, owner, most))) == most
        assert copy.room([0] * len(need)) == ((0,) * len(need), 0)
        with pytest.raises(InvariantError):
            copy.take(group, owner, 1)

    @invariant()
    def books_agree(self) -> None:
        if not hasattr(self, "pool"):
            return
        self.pool.check()
        assert self.pool.free_list() == self.model.free
        for index, group in enumerate(self.model.groups):
            small, idle = self.pool.small[index], self.pool.idle[index]
            assert small.num_large == len(group.owner)
            assert small.num_empty == sum(map(len, group.empty.values()))
            assert small.num_parked == sum(map(len, group.aside.values()))
            assert self.pool.num_apart(index) == len(group.apart())
            assert idle.num_large == len(group.aside)
            assert self.pool.num_held(index) == sum(n > 0 for n in group.refs.values()) - 1

    @invariant()
    def a_page_is_cached_iff_it_is_full_and_nobody_holds_it(self) -> None:
        if not hasattr(self, "pool"):
            return
        for index, group in enumerate(self.model.groups):
            holders = Counter(page for held in self.held.values() for page in held[index])
            for page in range(self.pool.num_large * group.ratio):
                known = group.content.get(page)
                full = known is not None and page not in group.full_now
                answers = known and self.pool.find(index, [known.key], to_gap=False)
                assert answers in (None, [page] if full else [None])
                assert (page in self.pool.idle[index]) == (full and not holders[page])

    @invariant()
    def a_large_page_is_free_iff_all_its_small_pages_are(self) -> None:
        if not hasattr(self, "pool"):
            return
        in_use: set[int] = set()
        for index, group in enumerate(self.model.groups):
            for page in range(self.pool.num_large * group.ratio):
                if self.pool.refs(index, page) or page in self.pool.idle[index]:
                    in_use.add(page // group.ratio)
        assert set(self.pool.free_list()) == set(range(self.pool.num_large)) - in_use

    def teardown(self) -> None:
        for owner in list(getattr(self, "held", ())):
            self.pool.leave(owner)
            for group, pages in enumerate(self.held[owner]):
                self.pool.release(group, pages)
        if hasattr(self, "pool"):
            self.pool.check()
            nothing = [0] * len(self.model.groups)
            everything = self.pool.num_large - len(nothing)
            assert self.pool.room(nothing).available == everything, "a large page is pinned"


@pytest.fixture(scope="module")
def seen() -> Counter[str]:
    """What the machine has met."""
    SEEN.clear()
    case: Any = PoolBesideLists.TestCase
    case.settings = settings(examples(200), stateful_step_count=80)
    case("runTest").runTest()
    print(dict(SEEN))
    return SEEN


@pytest.mark.parametrize("place", PLACES)
def test_every_page_comes_from_the_first_of_five_places_that_has_one(
    seen: Counter[str], place: str
) -> None:
    """The machine compares every page number; no place may be rare."""
    assert seen[place] >= 0.02 * sum(seen[each] for each in PLACES)


@pytest.mark.parametrize(
    ("what", "least"),
    [
        ("refused", 300),
        ("exactly enough", 100),
        ("hits of idle pages", 30),
        ("hits of held pages", 100),
        ("copies", 3),
        ("thrifty", 3),
        ("nobody's before somebody's", 10),
    ],
)
def test_the_machine_meets_what_is_hard(seen: Counter[str], what: str, least: int) -> None:
    assert seen[what] >= least


# By hand.


def test_a_group_leaves_the_large_pages_that_another_one_needs_in_the_same_call() -> None:
    """Group 0 has two empty pages beside its null page: for two pages it need not take more."""
    pool = LargePages([3, 2], 3)
    pool.join(0)
    assert pool.room((2, 2)) == ((0, 1), 1)
    pool.set_quotas((2, 2))
    assert pool.take(0, 0, 2) == [1, 2], "not the pages of large page 2"
    assert pool.take(1, 0, 2) == [4, 5], "all of large page 2"


def test_a_large_page_is_evicted_when_the_page_in_it_that_was_used_last_is_due() -> None:
    """Large page 1 was left at times 1 and 4, large page 2 at times 2 and 3: 2 goes first."""
    pool = LargePages([2], 3)
    pool.join(0)
    pool.set_quotas((4,))
    pages = pool.take(0, 0, 4)
    assert pages == [2, 3, 4, 5]
    for page in pages:
        pool.set_key(0, page, Content(page, 1))
    pool.end_step()
    for page, time in zip(pages, (1.0, 4.0, 2.0, 3.0), strict=True):
        pool.release(0, [page], time)
    assert pool.room((3,)) == ((1,), 2)
    pool.set_quotas((2,))
    assert pool.take(0, 0, 2) == [4, 5]
    assert pool.find(0, pages, to_gap=False) == [2, 3, None, None]


def test_frugal_pages_take_empty_large_pages_before_they_evict() -> None:
    """Five pages, of which one is empty: two large pages, though two cached pages would do."""
    pool = LargePages([2], 5, frugal=True)
    pool.join(0)
    pool.set_quotas((5,))
    assert pool.take(0, 0, 5) == [2, 3, 4, 5, 1]
    for page in (2, 4):
        pool.set_key(0, page, Content(page, 1))
    pool.end_step()
    pool.release(0, [2, 4, 1], 1.0)
    pool.join(1)
    assert pool.room((5,)) == ((1,), 2)
    pool.set_quotas((5,))
    assert pool.take(0, 1, 5) == [6, 7, 8, 9, 1]
    assert pool.find(0, [2, 4], to_gap=False) == [2, 4]
    pool.check()
