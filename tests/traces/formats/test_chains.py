"""Ids of blocks become ids of prefixes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.traces.columns import offsets_of
from jenga_sim.traces.formats.chains import Trie, chained

prompts = st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=6)


def chain(lists: list[list[int]]) -> list[list[int]]:
    offsets = offsets_of([len(ids) for ids in lists])
    flat = chained(offsets, np.array([one for ids in lists for one in ids], dtype=np.int64))
    return [ids.tolist() for ids in np.split(flat, offsets[1:-1])]


@given(lists=prompts)
def test_ids_are_equal_exactly_where_all_up_to_there_is_equal(lists: list[list[int]]) -> None:
    new = chain(lists)
    places = [(row, end) for row, ids in enumerate(lists) for end in range(1, len(ids) + 1)]
    for row, end in places:
        for other, other_end in places:
            same = lists[row][:end] == lists[other][:other_end]
            assert (new[row][end - 1] == new[other][other_end - 1]) == same


@given(lists=prompts, block_size=st.integers(1, 3))
def test_blocks_of_tokens_are_equal_exactly_where_all_tokens_up_to_there_are(
    lists: list[list[int]], block_size: int
) -> None:
    trie = Trie()
    new = [trie.ids(tokens, block_size) for tokens in lists]
    for tokens, ids in zip(lists, new, strict=True):
        assert len(ids) == len(tokens) // block_size
        for other, other_ids in zip(lists, new, strict=True):
            for at, (one, two) in enumerate(zip(ids, other_ids, strict=False)):
                end = (at + 1) * block_size
                assert (one == two) == (tokens[:end] == other[:end])


def test_ids_that_are_chained_already_are_numbered_in_the_order_they_come() -> None:
    assert chain([[900, 7, 30], [900, 7, 2**62], [5]]) == [[0, 1, 2], [0, 1, 3], [4]]


def test_a_block_below_another_one_gets_an_id_of_its_own_and_so_does_all_below_it() -> None:
    assert chain([[1, 2, 3], [4, 2, 3], [4, 2, 3], [2]]) == [
        [0, 1, 2],
        [3, 4, 5],
        [3, 4, 5],
        [6],
    ]
