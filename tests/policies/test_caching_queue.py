"""The free queue and the index of cached pages, beside plain lists and dictionaries."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from jenga_sim.configs.errors import InvariantError
from jenga_sim.policies.caching import integrity, layout, queue
from jenga_sim.policies.caching.layout import Arrays, IntArray
from tests.policies.cache_pools import (
    FULL,
    Group,
    called,
    find,
    free_order,
    insert,
    make_pool,
    pop,
    release,
    touch,
)
from tests.sim.strategies import examples

GROUPS = 2
FORGET, IS_FRESH = called(queue.forget), called(queue.is_fresh)
KEEP_FOR_COPY, END_STEP = called(queue.keep_for_copy), called(queue.end_step)
KEYS = st.integers(0, 5)
Tables = dict[int, tuple[IntArray, IntArray]]
Damage = Callable[[Arrays, Tables], None]


def held_by(pages: list[tuple[int, int]]) -> Tables:
    """One request per (group, page) that is held."""
    tables: Tables = {}
    for number, (group, page) in enumerate(pages):
        table = np.zeros((GROUPS, 2), dtype=np.int64)
        marks = layout.make_marks(GROUPS)
        table[group, 1] = page
        marks[layout.LENGTH, group] = 2
        tables[number] = (table, marks)
    return tables


def is_fresh(arrays: Arrays, key: int, group: int) -> bool:
    return bool(IS_FRESH(arrays.entries, arrays.buckets, key, group, arrays.counters))


class PoolBesideLists(RuleBasedStateMachine):
    """Every operation is done twice: on the arrays, and on a list, a counter and a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.arrays = make_pool([Group(FULL, 1)] * GROUPS, num_pages=9)
        self.order = list(range(1, 9))
        self.refs: Counter[int] = Counter()
        self.owner: dict[int, int] = {}
        self.keys: dict[tuple[int, int], list[int]] = {}
        """Key and group -> pages, the oldest first."""
        self.born: set[tuple[int, int, int]] = set()
        """Keys, groups and pages of this step."""

    def has_key(self, page: int) -> bool:
        return any(page in pages for pages in self.keys.values())

    def drop_keys(self, page: int) -> None:
        self.born = {born for born in self.born if born[2] != page}
        self.keys = {
            key: left
            for key, pages in self.keys.items()
            if (left := [p for p in pages if p != page])
        }

    def held(self) -> list[int]:
        return sorted(self.refs.elements())

    def give_up(self, pages: list[int]) -> None:
        front: list[int] = []
        for page in pages:
            self.refs[page] -= 1
            if not self.refs[page]:
                del self.refs[page]
                (self.order if self.has_key(page) else front).append(page)
        self.order = front + self.order

    def take(self, group: int) -> int:
        page = self.order.pop(0)
        assert pop(self.arrays, group) == page
        self.drop_keys(page)
        self.refs[page] += 1
        self.owner[page] = group
        return page

    @precondition(lambda self: self.order)
    @rule(group=st.integers(0, GROUPS - 1))
    def pop(self, group: int) -> None:
        self.take(group)

    @precondition(lambda self: self.refs)
    @rule(data=st.data(), key=KEYS)
    def insert(self, data: st.DataObject, key: int) -> None:
        page = data.draw(st.sampled_from(self.held()))
        if sum(page in pages for pages in self.keys.values()) == 4:
            return
        group = self.owner[page]
        insert(self.arrays, page, key, group)
        pages = self.keys.setdefault((key, group), [])
        if page not in pages:
            pages.append(page)
            self.born.add((key, group, page))

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def touch(self, data: st.DataObject) -> None:
        key, group = data.draw(st.sampled_from(sorted(self.keys)))
        page = find(self.arrays, key, group)
        touch(self.arrays, page)
        if page in self.order:
            self.order.remove(page)
        self.refs[page] += 1

    @precondition(lambda self: self.refs)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        pages = data.draw(st.lists(st.sampled_from(sorted(self.refs)), min_size=1, unique=True))
        release(self.arrays, pages)
        self.give_up(pages)

    @precondition(lambda self: self.refs)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        page = data.draw(st.sampled_from(sorted(self.refs)))
        FORGET(
            self.arrays.pages, self.arrays.entries, self.arrays.buckets, self.arrays.counters, page
        )
        self.drop_keys(page)

    @precondition(lambda self: self.refs and self.order)
    @rule(data=st.data())
    def copy(self, data: st.DataObject) -> None:
        """A request gives up a page for a copy of it; both are kept to the end of the step."""
        source = data.draw(st.sampled_from(sorted(self.refs)))
        target = self.take(self.owner[source])
        touch(self.arrays, target)
        self.refs[target] += 1
        KEEP_FOR_COPY(self.arrays.counters, self.arrays.pending, source, target)
        END_STEP(self.arrays.pages, self.arrays.counters, self.arrays.pending)
        self.give_up([source, target])

    @rule()
    def step(self) -> None:
        self.arrays.counters[layout.STEP] += 1
        self.born.clear()

    @invariant()
    def agrees(self) -> None:
        arrays = self.arrays
        integrity.check(arrays, held_by([(self.owner[page], page) for page in self.held()]))
        assert free_order(arrays) == self.order
        assert arrays.counters[layout.KEYS] == len(self.keys)
        for key in range(6):
            for group in range(GROUPS):
                oldest = self.keys.get((key, group), [layout.NULL])[0]
                assert find(arrays, key, group) == oldest, "not the oldest copy answers"
                fresh = any(born[:2] == (key, group) for born in self.born)
                assert is_fresh(arrays, key, group) == fresh


TestPool = PoolBesideLists.TestCase
TestPool.settings = examples(150)


def test_a_page_without_a_key_is_taken_before_any_that_is_cached() -> None:
    arrays = make_pool([Group(FULL, 1)], num_pages=5)
    first, second, third, fourth = (pop(arrays) for _ in range(4))
    insert(arrays, second, key=7)
    release(arrays, [second, first, third])
    assert free_order(arrays) == [first, third, second]
    release(arrays, [fourth])
    assert [pop(arrays) for _ in range(3)] == [fourth, first, third]
    assert find(arrays, 7) == second
    assert pop(arrays) == second
    assert find(arrays, 7) == layout.NULL, "what a page held is forgotten when it is taken"


def test_when_the_oldest_copy_goes_the_next_one_answers() -> None:
    arrays = make_pool([Group(FULL, 1)], num_pages=4)
    pages = [pop(arrays) for _ in range(3)]
    for page in pages:
        insert(arrays, page, key=7)
    release(arrays, [pages[0]])
    assert (find(arrays, 7), int(arrays.counters[layout.KEYS])) == (pages[0], 1)
    assert pop(arrays) == pages[0]
    assert (find(arrays, 7), int(arrays.counters[layout.KEYS])) == (pages[1], 1)


# --- integrity.check: every message, after the smallest damage that deserves it


def balanced() -> tuple[Arrays, Tables]:
    """Pages 1 and 2 are held, 2 by both requests; 3 is cached; 4 to 6 are empty."""
    arrays = make_pool([Group(FULL, 1)] * GROUPS, num_pages=7)
    first, second, third = pop(arrays, 0), pop(arrays, 1), pop(arrays, 1)
    insert(arrays, second, key=5, group=1)
    insert(arrays, third, key=6, group=1)
    touch(arrays, second)
    release(arrays, [third])
    tables = held_by([(0, first), (1, second), (1, second)])
    integrity.check(arrays, tables)
    return arrays, tables


def holds_twice(arrays: Arrays, tables: Tables) -> None:
    del arrays
    tables[0][0][0, 0] = tables[0][0][0, 1]


def holds_anothers(arrays: Arrays, tables: Tables) -> None:
    del tables
    arrays.pages[1, layout.OWNER] = 1


def one_reference_more(arrays: Arrays, tables: Tables) -> None:
    del tables
    arrays.pages[2, layout.REFS] += 1


def a_copy_is_not_released(arrays: Arrays, tables: Tables) -> None:
    del tables
    arrays.counters[layout.PENDING] = 2


def queue_is_cut(arrays: Arrays, tables: Tables) -> None:
    """The way back from page 5 is not the way that led there: 4 is the last to be counted."""
    del tables
    arrays.pages[5, layout.PREV] = 3


def one_free_page_more(arrays: Arrays, tables: Tables) -> None:
    del tables
    arrays.counters[layout.FREE] += 1


def page_is_lost(arrays: Arrays, tables: Tables) -> None:
    """Page 5 leaves the queue and nobody holds it."""
    del tables
    arrays.pages[4, layout.NEXT], arrays.pages[6, layout.PREV] = 6, 4
    arrays.counters[layout.FREE] -= 1


def queue_is_a_loop(arrays: Arrays, tables: Tables) -> None:
    """Pages 4 to 6 lead to each other, both ways."""
    del tables
    arrays.pages[6, layout.NEXT], arrays.pages[4, layout.PREV] = 4, 6


def sharing_is_miscounted(arrays: Arrays, tables: Tables) -> None:
    del tables
    arrays.counters[layout.HELD + 2 * GROUPS] += 1


def entry_leads_nowhere(arrays: Arrays, tables: Tables) -> None:
    del tables
    arrays.pages[2, layout.ENTRY] = 0


def held_is_miscounted(arrays: Arrays, tables: Tables) -> None:
    del tables
    arrays.counters[layout.HELD] += 1


def cached_is_miscounted(arrays: Arrays, tables: Tables) -> None:
    del tables
    arrays.counters[layout.HELD + GROUPS] += 1


def index_names_another(arrays: Arrays, tables: Tables) -> None:
    del tables
    arrays.entries[arrays.pages[3, layout.ENTRY], layout.PAGE] = 4


def keys_are_miscounted(arrays: Arrays, tables: Tables) -> None:
    del tables
    arrays.counters[layout.KEYS] -= 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (holds_twice, "a request holds a page twice"),
        (holds_anothers, "group 0 holds a page of another group"),
        (one_reference_more, "the references of a page are not the requests that hold it"),
        (a_copy_is_not_released, "the references of a page are not the requests that hold it"),
        (queue_is_cut, "1 free pages, counted 4"),
        (one_free_page_more, "4 free pages, counted 5"),
        (page_is_lost, "a page is neither free nor held, or both"),
        (queue_is_a_loop, "a page is in the free queue twice"),
        (sharing_is_miscounted, "the counts of requests that share pages are wrong"),
        (held_is_miscounted, "the counts of held pages are wrong"),
        (cached_is_miscounted, "the counts of cached pages that nobody holds are wrong"),
        (index_names_another, "the index says that a page is another"),
        (entry_leads_nowhere, "2 entries in the index, 1 of them lead to a page"),
        (keys_are_miscounted, "2 distinct keys, counted 1"),
    ],
)
def test_damage_is_found_and_named(damage: Damage, message: str) -> None:
    arrays, tables = balanced()
    damage(arrays, tables)
    with pytest.raises(InvariantError, match=message):
        integrity.check(arrays, tables)
