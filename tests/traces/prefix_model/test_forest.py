"""Forests: ids with which each prompt hits exactly what it shares with its parent."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.traces.columns import NONE
from jenga_sim.traces.prefix_model.forest import Forest
from jenga_sim.traces.runs import expand
from tests.sim.strategies import examples


@st.composite
def forests(draw: st.DrawFn) -> Forest:
    parent: list[int] = []
    shared: list[int] = []
    blocks: list[int] = []
    for at in range(draw(st.integers(1, 14))):
        blocks.append(draw(st.integers(0, 6)))
        parent.append(draw(st.integers(NONE, at - 1)))
        most = 0 if parent[-1] == NONE else min(blocks[-1], blocks[parent[-1]])
        shared.append(draw(st.just(most) | st.integers(0, most)))
    return Forest(np.array(parent), np.array(shared), np.array(blocks))


def ids_of(forest: Forest) -> list[list[int]]:
    runs = forest.runs()
    return [expand(runs.rows(at)).tolist() for at in range(len(runs))]


@examples(300)
@given(forests())
def test_every_prompt_hits_exactly_what_it_shares_with_its_parent(forest: Forest) -> None:
    seen: set[int] = set()
    hits = 0

    for at, ids in enumerate(ids_of(forest)):
        parent, shared = int(forest.parent[at]), int(forest.shared[at])
        assert len(ids) == len(set(ids)) == forest.blocks[at]
        if parent != NONE:
            assert ids[:shared] == ids_of(forest)[parent][:shared]
        assert set(ids[:shared]) <= seen
        assert not set(ids[shared:]) & seen
        seen |= set(ids)
        hits += shared
    assert hits == forest.hit_blocks
    assert seen == set(range(len(seen)))


def test_a_conversation_is_one_run_per_prompt() -> None:
    forest = Forest(
        parent=np.array([NONE, 0, NONE, 1, 2]),
        shared=np.array([0, 2, 0, 5, 3]),
        blocks=np.array([2, 5, 3, 9, 4]),
    )

    assert ids_of(forest)[3] == list(range(9))
    assert forest.runs().counts.tolist() == [1, 1, 1, 1, 1]


def test_of_two_that_go_on_from_the_same_prompt_the_first_has_the_next_ids() -> None:
    forest = Forest(
        parent=np.array([NONE, 0, 0]), shared=np.array([0, 2, 2]), blocks=np.array([2, 4, 3])
    )

    assert ids_of(forest) == [[0, 1], [0, 1, 2, 3], [0, 1, 4]]
