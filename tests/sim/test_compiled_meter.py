"""The compiled meter keeps its sums from step to step and says what a count of everything says."""

from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.specs import Kind
from jenga_sim.policies.base import Content, PageGroup, Slack
from jenga_sim.policies.batch import slack_size
from jenga_sim.policies.caching.sharing import VIEW_CLASS
from jenga_sim.policies.compiled import body_of, compiled, inner
from jenga_sim.policies.demand import demand, expired
from jenga_sim.sim.cached_usage import CachedUsageMeter
from jenga_sim.sim.compiled import contract
from jenga_sim.sim.compiled.meter import meter_state
from jenga_sim.sim.compiled.state import IntArray
from jenga_sim.sim.requests import CHUNK, COMPUTED, CROSS, IN_FLIGHT, NEVER, SEAT, Requests
from jenga_sim.sim.table_contract import SharedTables, growth_classes
from jenga_sim.sim.usage import PARTS, Rows, UsageMeter
from tests.sim.strategies import examples

SEATS, REQUESTS, STEPS = 4, 6, 14
CACHED_KINDS: list[Kind] = ["full", "sliding_window", "chunked_local", "mamba"]
ALL_KINDS: list[Kind] = [*CACHED_KINDS, "cross", "compressor"]
WINDOWED = ("sliding_window", "chunked_local", "compressor")


class FakeTables(NamedTuple):
    """What the meter reads of block tables."""

    allocated: IntArray
    expired: IntArray
    changed: IntArray
    held: IntArray
    excess: IntArray


@body_of(contract.held_pages, FakeTables)
@inner
def held_pages(tables: FakeTables, out: IntArray) -> None:
    for group in range(len(out)):
        out[group] = tables.held[group]


@body_of(contract.window_excess, FakeTables)
@inner
def window_excess(
    tables: FakeTables,
    table: IntArray,
    running: IntArray,
    count: int,
    views: IntArray,
    out: IntArray,
) -> None:
    for view in range(views.shape[1]):
        out[0, view] = tables.excess[0, views[VIEW_CLASS, view]]
        out[1, view] = tables.excess[1, views[VIEW_CLASS, view]]


@compiled
def ask(
    meter: Any,
    tables: FakeTables,
    table: IntArray,
    running: IntArray,
    count: int,
    alike: bool,
    slack: IntArray,
    parts: IntArray,
) -> None:
    contract.measure(meter, tables, table, running, count, alike, slack, parts)


# --- models


@st.composite
def contents(draw: st.DrawFn, kind: Kind, index: int) -> Content:
    state = kind == "mamba"
    windowed = kind in WINDOWED
    window = draw(st.integers(2, 40)) if windowed else 0
    return Content(
        label=f"{kind}{draw(st.integers(0, 1))}({window})" if windowed else f"{kind}{index}",
        kind=kind,
        layers=1,
        entry_bytes=0 if state else draw(st.integers(1, 9)),
        tokens_per_entry=1 if windowed or state else draw(st.sampled_from([1, 1, 2, 4])),
        state_bytes=draw(st.integers(1, 50)) if state else 0,
        window=window,
    )


@st.composite
def groups(draw: st.DrawFn, kinds: list[Kind]) -> tuple[PageGroup, ...]:
    """Groups of one kind each; some have contents of other kinds in the same pages."""
    made: list[PageGroup] = []
    for index in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(kinds))
        main = draw(contents(kind, index))
        others = [draw(contents(draw(st.sampled_from(WINDOWED)), index))] if kind == "full" else []
        inside = (main, *others[: draw(st.integers(0, 1))])
        block = 4 * draw(st.integers(1, 4))
        each = draw(st.sampled_from([1, 1, 2]))
        content = sum(c.state_bytes or c.entry_bytes * c.entries(block) for c in inside)
        grows: Kind = "sliding_window" if kind == "compressor" else kind
        made.append(
            PageGroup(
                name=str(index),
                kind=grows,
                block_size=block,
                page_bytes=-(-content // each) + draw(st.integers(0, 20)),
                contents=inside,
                window=main.window,
                source=draw(st.sampled_from(["text", "cross", "all"]))
                if kind == "cross"
                else "text",
                pages_per_block=each,
            )
        )
    return tuple(made)


# --- histories


class Life:
    """Requests that come, compute, decode and go, and their block tables."""

    def __init__(self, groups: tuple[PageGroup, ...], data: st.DataObject) -> None:
        self.groups, self.data = groups, data
        self.classes, self.class_of = growth_classes(groups)
        shape = (len(self.classes), SEATS)
        self.tables = FakeTables(
            allocated=np.zeros(shape, dtype=np.int64),
            expired=np.zeros(shape, dtype=np.int64),
            changed=np.zeros(SEATS, dtype=np.int64),
            held=np.zeros(len(groups), dtype=np.int64),
            excess=np.zeros((2, len(self.classes)), dtype=np.int64),
        )
        self.requests = Requests(prompt_tokens=[9] * REQUESTS, max_tokens=[9] * REQUESTS)
        for slot in range(REQUESTS):
            self.requests.cross[slot] = data.draw(st.integers(0, 30))
        self.running: list[int] = []
        self.flying = data.draw(st.integers(0, 1))

    @property
    def facts(self) -> IntArray:
        return self.requests.table

    def draw(self, strategy: st.SearchStrategy[Any]) -> Any:
        return self.data.draw(strategy)

    def step(self) -> bool:
        """A step is scheduled; True if it differs from the last in lengths only."""
        before = self.tables.changed.sum()
        decodes = self.draw(st.sampled_from([True, True, True, False])) and self.running
        same = bool(decodes)
        if not decodes:
            self.go(self.draw(st.sampled_from([0, 0, 1])))
            self.come(self.draw(st.integers(0, 3)))
        for slot in self.running:
            same &= self.facts[CHUNK, slot] == 1 and self.facts[IN_FLIGHT, slot] == 1 + self.flying
            if decodes or self.facts[COMPUTED, slot] == 0 or self.draw(st.booleans()):
                self.compute(slot, 1 if decodes else self.draw(st.integers(1, 60)))
        return bool(same and self.tables.changed.sum() == before)

    def come(self, count: int) -> None:
        """Let up to ``count`` requests run, from the beginning."""
        for _ in range(min(count, SEATS - len(self.running))):
            free = [seat for seat in range(SEATS) if seat not in self.facts[SEAT]]
            slot = self.draw(st.sampled_from([s for s in range(REQUESTS) if s not in self.running]))
            self.facts[SEAT, slot] = self.draw(st.sampled_from(free))
            self.facts[COMPUTED, slot] = 0
            self.running.append(slot)

    def go(self, count: int) -> None:
        """Let up to ``count`` requests stop running."""
        for _ in range(min(count, len(self.running))):
            slot = self.running.pop(self.draw(st.integers(0, len(self.running) - 1)))
            seat = self.facts[SEAT, slot]
            self.tables.allocated[:, seat] = self.tables.expired[:, seat] = 0
            self.tables.changed[seat] += 1
            self.facts[SEAT, slot] = NEVER

    def compute(self, slot: int, new: int) -> None:
        facts, tables = self.facts, self.tables
        facts[COMPUTED, slot] += new
        facts[CHUNK, slot] = new
        text, seat = int(facts[COMPUTED, slot]), facts[SEAT, slot]
        facts[IN_FLIGHT, slot] = new + min(self.flying, text - new)
        for index, group in enumerate(self.classes):
            pages = demand(group, text, int(facts[CROSS, slot]))
            # Tables may lag behind what expired, or have given back everything.
            most = pages if group.kind == "mamba" else min(expired(group, text - new, 0), pages)
            gone = self.draw(st.sampled_from([0, most, most]))
            found = (
                max(pages, tables.allocated[index, seat]),
                max(gone, tables.expired[index, seat]),
            )
            if found != (tables.allocated[index, seat], tables.expired[index, seat]):
                tables.allocated[index, seat], tables.expired[index, seat] = found
                tables.changed[seat] += 1


def stub(life: Life) -> Any:
    """The tables as the plain meter knows them."""
    return SimpleNamespace(
        groups=life.groups, classes=life.classes, class_of=life.class_of, allocated=(), expired=()
    )


def rows_of(life: Life) -> Rows:
    """What the plain meter gathers."""
    facts = life.facts[:, life.running]
    seats = facts[SEAT]
    return Rows(
        text=facts[COMPUTED],
        new=facts[CHUNK],
        cross=facts[CROSS],
        prompt=facts[CROSS] * 0,
        in_flight=np.maximum(facts[IN_FLIGHT] - facts[CHUNK], 0),
        expired=tuple(row[seats] for row in life.tables.expired),
        allocated=tuple(row[seats] for row in life.tables.allocated),
        held=life.tables.held,
        excess=np.zeros((2, 0), dtype=np.int64),
    )


@st.composite
def slacks(draw: st.DrawFn, groups: int) -> Slack:
    sizes = st.lists(st.integers(0, 500), min_size=groups, max_size=groups).map(tuple)
    return Slack(draw(sizes), draw(sizes), 5, 6, draw(sizes))


def expected_parts(meter: UsageMeter, rows: Rows, slack: Slack) -> list[list[int]]:
    """What the plain meter says, put together as in the plain engine."""
    needed, dead, padding, internal = (array[0].tolist() for array in meter.kind_bytes(rows))
    parts = [needed, [0] * len(needed), dead, padding, internal, [0] * len(needed)]
    meter.add_slack(parts, slack)
    return parts


def found_parts(meter: UsageMeter, state: Any, life: Life, alike: bool, slack: Slack) -> Any:
    running = np.zeros(SEATS, dtype=np.int64)
    running[: len(life.running)] = life.running
    parts = np.full((len(PARTS), len(meter.labels)), -7, dtype=np.int64)
    filled = np.zeros(slack_size(len(life.groups)), dtype=np.int64)
    internal, external, reserved, free, cached = slack
    filled[:] = (*internal, *external, *cached, reserved, free)
    ask(state, life.tables, life.facts, running, len(life.running), alike, filled, parts)
    return parts.tolist()


@examples(150)
@given(groups(ALL_KINDS), st.data())
def test_sums_kept_from_step_to_step_are_those_of_a_fresh_count(
    groups: tuple[PageGroup, ...], data: st.DataObject
) -> None:
    life = Life(groups, data)
    meter = UsageMeter(stub(life))
    state = meter_state(meter, SEATS)
    for _ in range(STEPS):
        alike = life.step()
        slack = data.draw(slacks(len(groups)))
        expected = expected_parts(meter, rows_of(life), slack)
        assert found_parts(meter, state, life, alike, slack) == expected


@examples(100)
@given(groups(CACHED_KINDS), st.data())
def test_shared_pages_are_counted_as_in_the_plain_meter(
    groups: tuple[PageGroup, ...], data: st.DataObject
) -> None:
    life = Life(groups, data)
    meter = CachedUsageMeter(cast(SharedTables, stub(life)))
    state = meter_state(meter, SEATS)
    for _ in range(STEPS):
        alike = life.step()
        slack = data.draw(slacks(len(groups)))
        rows = share(life, meter, rows_of(life), data)
        expected = expected_parts(meter, rows, slack)
        assert found_parts(meter, state, life, alike, slack) == expected


def share(life: Life, meter: CachedUsageMeter, rows: Rows, data: st.DataObject) -> Rows:
    """Let some pages have several holders, and sums count some windows too often."""
    excess = np.zeros((2, len(meter.views)), dtype=np.int64)
    shares = False
    for index in range(len(life.classes)):
        life.tables.excess[:, index] = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    for group, index in enumerate(life.class_of):
        pages = int((rows.allocated[index] - rows.expired[index]).sum())
        life.tables.held[group] = pages - data.draw(st.integers(0, min(3, max(pages, 0))))
        windowed = any(view.group == group for view in meter.views)
        shares |= windowed and life.tables.held[group] != pages
    if shares:
        for view, of_class in enumerate(meter.view_array[VIEW_CLASS].tolist()):
            excess[:, view] = life.tables.excess[:, of_class]
    return rows._replace(held=life.tables.held.copy(), excess=excess)
