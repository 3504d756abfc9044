"""How long a hit is: closed forms for each kind, and the longest prefix that is valid for all."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.policies.caching import layout
from jenga_sim.policies.caching.layout import Arrays
from tests.policies.cache_pools import (
    ALIGNED,
    CHUNKED,
    FULL,
    SLIDING,
    Group,
    cache_block,
    cache_prefix,
    find,
    hits_alone,
    keys_of,
    longest_hit,
    lookup_order,
    make_pool,
)
from tests.sim.strategies import examples

TOKENS = 96
KEYS = keys_of(TOKENS)


def cached(groups: Sequence[Group], blocks: Sequence[Sequence[int]]) -> Arrays:
    """A pool in which each group caches these blocks of one sequence; keys for every token."""
    arrays = make_pool(groups, num_pages=4 * TOKENS, hash_block=1)
    for index, numbers in enumerate(blocks):
        for number in numbers:
            cache_block(arrays, KEYS, index, number)
    return arrays


def hit(arrays: Arrays, limit: int = TOKENS) -> int:
    """Length of the hit; the pages that it found are those of its blocks."""
    return hit_and_junction(arrays, limit)[0]


def hit_and_junction(arrays: Arrays, limit: int = TOKENS) -> tuple[int, int]:
    rules = arrays.rules
    found = np.full((rules.shape[1], TOKENS + 1), -7, dtype=np.int64)
    lengths = np.zeros(rules.shape[1], dtype=np.int64)
    tokens, longest = longest_hit(arrays, KEYS, limit, found, lengths)
    for group, length in enumerate(lengths.tolist()):
        kind, block, window = rules[: layout.WINDOW + 1, group].tolist()
        assert length == -(-tokens // block)
        read = first_read(Group(kind, block, window), tokens) if tokens else 0
        for number in range(read, length):
            page = int(found[group, number])
            end = min((number + 1) * block, len(KEYS))
            assert page in (layout.NULL, find(arrays, int(KEYS[end - 1]), group))
    return tokens, longest


# --- closed forms


@pytest.mark.parametrize("missing", range(6))
def test_full_attention_hits_up_to_the_first_missing_block(missing: int) -> None:
    blocks = [number for number in range(6) if number != missing]
    assert hit(cached([Group(FULL, 16)], [blocks])) == 16 * missing


@pytest.mark.parametrize(("window", "need"), [(2, 1), (17, 1), (18, 2), (33, 2), (34, 3), (50, 4)])
def test_a_window_hits_where_the_blocks_that_it_reads_are_cached(window: int, need: int) -> None:
    """The next token reads ``window - 1`` tokens before it."""
    assert need == math.ceil((window - 1) / 16)
    enough = list(range(6 - need, 6))
    assert hit(cached([Group(SLIDING, 16, window)], [enough])) == 96
    if need > 1:
        assert hit(cached([Group(SLIDING, 16, window)], [enough[1:]])) == 0
    assert hit(cached([Group(SLIDING, 16, window)], [[0, *enough[1:]]])) == 16


@pytest.mark.parametrize("blocks", range(1, 4))
def test_a_window_hits_a_start_that_is_shorter_than_it(blocks: int) -> None:
    assert hit(cached([Group(SLIDING, 16, 80)], [range(blocks)])) == 16 * blocks


def test_a_window_hits_the_later_of_two_places() -> None:
    arrays = cached([Group(SLIDING, 16, 33)], [[0, 1, 3, 4]])
    assert [hit(arrays, limit) for limit in (96, 80, 79, 48, 32, 31, 15)] == [
        *(80, 80, 32, 32, 32, 16, 0)
    ]


def test_a_chunk_needs_its_own_blocks_only() -> None:
    """Chunks of 48 tokens: what is before the limit's chunk counts as it is."""
    group = [Group(CHUNKED, 16, 48)]
    assert hit(cached(group, [[3, 4]]), 95) == 80
    assert hit(cached(group, [[4]]), 95) == 48
    assert hit(cached(group, [[]]), 95) == 48
    assert hit(cached(group, [[0, 2]]), 47) == 16
    assert hit(cached(group, [[1, 2]]), 47) == 0


def test_a_state_hits_exactly_where_one_is_kept() -> None:
    arrays = cached([Group(FULL, 16), Group(ALIGNED, 16)], [range(6), [1, 4]])
    expected = {96: 80, 80: 80, 79: 32, 32: 32, 31: 0}
    assert {limit: hit(arrays, limit) for limit in expected} == expected


@pytest.mark.parametrize("tokens", [16, 17, 32, 33, 95, 96])
def test_a_hit_leaves_at_least_one_token_to_compute(tokens: int) -> None:
    """The scheduler asks for one token less than there are."""
    assert hit(cached([Group(FULL, 16)], [range(6)]), tokens - 1) == (tokens - 1) // 16 * 16


def test_a_hit_is_a_multiple_of_all_block_sizes() -> None:
    arrays = cached([Group(FULL, 8), Group(SLIDING, 12, 13)], [range(12), range(8)])
    assert [hit(arrays, limit) for limit in (96, 95, 71, 47, 23)] == [96, 72, 48, 24, 0]


def test_groups_of_one_kind_must_hit_together() -> None:
    arrays = cached([Group(SLIDING, 16, 33)] * 2, [[0, 1, 4, 5], [0, 1, 5]])
    assert hit(arrays) == 32
    assert arrays.settings[layout.CLASSES] == 1


def test_what_one_kind_had_beyond_the_hit_is_the_junction() -> None:
    groups = [Group(FULL, 16), Group(SLIDING, 16, 33)]
    assert hit_and_junction(cached(groups, [range(5), []])) == (0, 80)
    assert hit_and_junction(cached(groups, [range(5), [1, 2]])) == (48, 80)
    assert hit_and_junction(cached(groups, [range(5), [3, 4]])) == (80, 80)
    alone = hits_alone(
        cached(groups, [range(2), [3, 4]]), KEYS, TOKENS, np.zeros((2, TOKENS), dtype=np.int64)
    )
    assert alone == [32, 80], "the window alone would have had more"


def test_a_hit_may_end_inside_a_block_of_states() -> None:
    """Attention in blocks of 16, states in blocks of 48, keys of 16 tokens."""
    groups = [Group(FULL, 16), Group(ALIGNED, 48)]
    arrays = make_pool(groups, num_pages=20, within_blocks=True)
    keys = keys_of(TOKENS, 16)
    found, lengths = np.zeros((2, 8), dtype=np.int64), np.zeros(2, dtype=np.int64)
    for number in range(6):
        cache_block(arrays, keys, 0, number)
    page = cache_prefix(arrays, keys, 1, 64)
    for limit, expected in ((95, 64), (64, 64), (63, 0)):
        assert longest_hit(arrays, keys, limit, found, lengths)[0] == expected
        assert lengths.tolist() == [expected // 16, math.ceil(expected / 48)]
        assert not expected or found[1, 1] == page


# --- against the definition

GROUPS = st.one_of(
    st.builds(Group, st.just(FULL), st.sampled_from([1, 2, 3, 4, 6]), st.just(0)),
    st.builds(Group, st.just(SLIDING), st.sampled_from([1, 2, 3, 4, 6]), st.integers(2, 30)),
    st.builds(Group, st.just(ALIGNED), st.sampled_from([1, 2, 3, 4, 6]), st.just(0)),
)


@st.composite
def pools(draw: st.DrawFn, groups: st.SearchStrategy[Group]) -> tuple[list[Group], list[list[int]]]:
    """Groups, some of them alike, and the blocks that each caches: a few holes, or a few blocks."""
    chosen = draw(st.lists(groups, min_size=1, max_size=4))
    blocks: list[list[int]] = []
    for group in chosen:
        count = TOKENS // group.block
        some = draw(st.sets(st.integers(0, count - 1), max_size=5))
        holes = draw(st.sampled_from([True, True, False]))
        blocks.append(sorted(set(range(count)) - some if holes else some))
    return chosen, blocks


def first_read(group: Group, tokens: int) -> int:
    """First block that a request reads which goes on after ``tokens``."""
    if group.kind == ALIGNED:
        return (tokens - 1) // group.block
    if group.kind == SLIDING:
        return max(0, tokens - (group.window - 1)) // group.block
    return tokens // group.window * group.window // group.block if group.kind == CHUNKED else 0


def is_valid(group: Group, blocks: set[int], tokens: int) -> bool:
    """Whether a request can go on after ``tokens`` with these blocks of ``group``."""
    end = tokens // group.block
    return tokens == 0 or blocks.issuperset(range(first_read(group, tokens), end))


def longest_valid(groups: list[Group], blocks: list[list[int]], limit: int) -> int:
    """Try all lengths."""
    step = math.lcm(*(group.block for group in groups))
    sets = [set(numbers) for numbers in blocks]
    lengths = range(limit // step * step, -1, -step)
    return next(
        tokens
        for tokens in lengths
        if all(is_valid(group, have, tokens) for group, have in zip(groups, sets, strict=True))
    )


@examples(300)
@given(pool=pools(GROUPS), limit=st.integers(0, TOKENS))
def test_the_hit_is_the_longest_prefix_that_is_valid_for_all(
    pool: tuple[list[Group], list[list[int]]], limit: int
) -> None:
    arrays = cached(*pool)
    tokens, longest = hit_and_junction(arrays, limit)
    assert tokens == longest_valid(*pool, limit)
    assert tokens <= longest <= limit
    found = np.zeros((len(pool[0]), TOKENS + 1), dtype=np.int64)
    alone = hits_alone(arrays, KEYS, limit, found)
    assert tokens <= min(alone)
    assert len(alone) == len(lookup_order(pool[0]))


CHUNKS = st.builds(Group, st.just(CHUNKED), st.just(4), st.sampled_from([4, 8, 12, 24]))
BESIDE = st.one_of(
    CHUNKS,
    st.builds(Group, st.just(FULL), st.just(4), st.just(0)),
    st.builds(Group, st.just(SLIDING), st.just(4), st.integers(2, 30)),
)


@examples(200)
@given(pool=pools(BESIDE), limit=st.integers(0, TOKENS))
def test_so_it_is_with_chunks_that_end_where_blocks_end(
    pool: tuple[list[Group], list[list[int]]], limit: int
) -> None:
    assert hit(cached(*pool), limit) == longest_valid(*pool, limit)


def test_a_chunk_that_ends_inside_a_block_counts_the_block_before_it_unseen() -> None:
    """Here vLLM goes beyond the definition.

    With chunks of 24 tokens and blocks of 16, the limit 31 lies in the chunk from 24 on; the blocks
    before that chunk count as they are, up to 16. But token 16 is in the chunk from 0 on, and
    reads the block that nobody has.
    """
    pool = ([Group(CHUNKED, 16, 24)], [[]])
    assert hit(cached(*pool), 31) == 16
    assert longest_valid(*pool, 31) == 0
