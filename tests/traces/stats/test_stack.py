from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.traces.stats import lru_figures
from jenga_sim.traces.stats.stack import greater_before, stack_depths
from tests.sim.strategies import examples
from tests.traces.stats.prompts import BLOCK, Drawn, chained, prompts, unchained

USES = st.lists(st.integers(0, 9), max_size=40)


def lru_hits(uses: list[int], capacity: int) -> int:
    """Hits of an LRU cache that is simulated."""
    cache: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for block in uses:
        hits += block in cache
        cache[block] = None
        cache.move_to_end(block)
        if len(cache) > capacity:
            cache.popitem(last=False)
    return hits


def test_depths_by_hand() -> None:
    #          a  b  c  b  a  a  d  c
    uses = [0, 1, 2, 1, 0, 0, 3, 2]

    assert stack_depths(np.array(uses)).tolist() == [0, 0, 0, 2, 3, 1, 0, 4]


@examples(200)
@given(USES)
def test_depths_are_places_in_a_list_that_moves_used_blocks_to_its_front(uses: list[int]) -> None:
    stack: list[int] = []
    expected: list[int] = []
    for block in uses:
        expected.append(stack.index(block) + 1 if block in stack else 0)
        stack = [block, *(other for other in stack if other != block)]

    assert stack_depths(np.array(uses, dtype=np.int64)).tolist() == expected


@examples(200)
@given(st.permutations(range(13)), st.integers(0, 13))
def test_greater_entries_before_each_are_counted(order: list[int], count: int) -> None:
    kept = [value for value in order if value < count]

    found = greater_before(np.array(kept, dtype=np.int32))

    assert found.tolist() == [
        sum(earlier > value for earlier in kept[:place]) for place, value in enumerate(kept)
    ]


@examples(150)
@given(st.one_of(chained(), unchained()))
def test_the_curve_is_what_simulated_caches_hit(drawn: Drawn) -> None:
    uses = [block for row in drawn.ids for block in row]
    sizes = [blocks * BLOCK for blocks in range(1, len(set(uses)) + 2)]

    found = lru_figures(drawn.prompts(), sizes)

    if not uses:
        assert found is None
        return
    assert found is not None
    assert found.sampling_rate == 1
    assert found.size_hits == tuple(lru_hits(uses, c // BLOCK) / len(uses) for c in sizes)
    assert found.curve_hits == tuple(
        lru_hits(uses, c // BLOCK) / len(uses) for c in found.curve_tokens
    )
    assert found.curve_hits[-1] == (len(uses) - len(set(uses))) / len(uses)


def test_a_cache_has_as_many_whole_blocks_as_fit() -> None:
    found = lru_figures(prompts([[0, 1, 2], [0, 1, 2]]), [3, 11, 12])

    assert found is not None
    assert found.size_hits == (0.0, 0.0, 0.5)


def test_the_picture_has_four_sizes_to_each_doubling() -> None:
    found = lru_figures(prompts([list(range(18))]))

    assert found is not None
    sizes = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18]
    assert found.curve_tokens == tuple(size * BLOCK for size in sizes)
    assert found.curve_hits == (0.0,) * len(sizes)
    assert found.depth_blocks is None


@pytest.mark.parametrize("most", [50_000, 20_000])
def test_a_sample_of_blocks_estimates_the_curve(most: int) -> None:
    rng = np.random.default_rng(6)
    popular = (rng.pareto(0.8, 200_000) * 40).astype(np.int64) % 30_000
    trace = prompts(popular.reshape(-1, 20).tolist(), chunk_blocks=1 << 14)
    sizes = [blocks * BLOCK for blocks in (1_000, 3_000, 10_000)]

    exact, sampled = lru_figures(trace, sizes), lru_figures(trace, sizes, most)

    assert exact is not None
    assert sampled is not None
    assert sampled.sampling_rate == pytest.approx(most / 200_000, rel=1e-4)
    assert sampled.size_hits != exact.size_hits
    assert sampled.size_hits == pytest.approx(exact.size_hits, abs=0.03)
    assert max(sampled.curve_hits) <= exact.curve_hits[-1]
    assert list(sampled.curve_hits) == sorted(sampled.curve_hits)


def test_a_sample_without_any_block_still_gives_ratios() -> None:
    found = lru_figures(prompts([[0, 1]] * 50), [3, 4, 8], most_references=1)

    assert found is not None
    assert found.sampling_rate == pytest.approx(0.01, rel=1e-4)
    assert found.size_hits == (0.0, 0.98, 0.98)
    assert found.depth_blocks is None
