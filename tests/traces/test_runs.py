from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.traces.columns import IntColumn, Ragged
from jenga_sim.traces.runs import block_counts, dense_starts, encode_runs, expand, id_offsets
from tests.sim.strategies import examples

LARGEST = 2**63 - 1
IDS = st.one_of(
    st.integers(0, 12), st.integers(LARGEST - 6, LARGEST), st.sampled_from([2**40, 2**40 + 1])
)
PROMPTS = st.lists(st.lists(IDS, max_size=8), max_size=6)


def columns(prompts: list[list[int]]) -> tuple[IntColumn, IntColumn]:
    offsets = np.cumsum([0, *map(len, prompts)]).astype(np.int64)
    return offsets, np.array([i for ids in prompts for i in ids], dtype=np.int64)


def test_ids_that_count_up_are_one_run_and_a_new_request_begins_a_new_one() -> None:
    coded = encode_runs(*columns([[3, 4, 5, 9], [], [10, 11], [7, 6]]))

    assert coded.offsets.tolist() == [0, 2, 2, 3, 5]
    assert coded.values.tolist() == [[3, 3], [9, 1], [10, 2], [7, 1], [6, 1]]


@examples(200)
@given(PROMPTS)
def test_writing_runs_out_gives_the_ids_back(prompts: list[list[int]]) -> None:
    starts, ids = columns(prompts)

    coded = encode_runs(starts, ids)

    assert id_offsets(coded.offsets, coded.values).tolist() == starts.tolist()
    assert block_counts(coded).tolist() == [len(prompt) for prompt in prompts]
    assert expand(coded.values).tolist() == ids.tolist()
    assert coded.values[:, 1].min(initial=1) >= 1


@examples(200)
@given(PROMPTS)
def test_runs_are_as_few_as_can_be(prompts: list[list[int]]) -> None:
    breaks = [sum(b != a + 1 for a, b in pairwise(p)) + bool(p) for p in prompts]

    assert encode_runs(*columns(prompts)).counts.tolist() == breaks


@examples(200)
@given(PROMPTS, st.data())
def test_requests_that_are_taken_keep_their_ids(
    prompts: list[list[int]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(prompts))))
    index = order[: data.draw(st.integers(0, len(prompts)))]
    coded = encode_runs(*columns(prompts))

    taken = coded.take(np.array(index, dtype=np.int64))

    assert expand(taken.values).tolist() == [i for at in index for i in prompts[at]]
    assert Ragged.joined([coded, taken]).counts.tolist() == [*coded.counts, *taken.counts]


def test_numbers_of_overlapping_runs_overlap_in_the_same_places() -> None:
    runs = np.array([[100, 5], [LARGEST, 1], [103, 4], [50, 1], [107, 2], [100, 1]])

    starts, total = dense_starts(runs)

    assert starts.tolist() == [1, 10, 4, 0, 8, 1]
    assert total == 11


@examples(200)
@given(PROMPTS)
def test_dense_numbers_are_the_ranks_of_the_ids(prompts: list[list[int]]) -> None:
    starts, ids = columns(prompts)
    runs = encode_runs(starts, ids).values

    firsts, total = dense_starts(runs)
    numbers = expand(np.stack([firsts, runs[:, 1]], axis=1))

    distinct, ranks = np.unique(ids, return_inverse=True)
    assert total == len(distinct)
    assert numbers.tolist() == ranks.tolist()
