"""Pages needed and expired, against what attention reads token by token."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.specs import Kind
from jenga_sim.policies.base import Content, PageGroup, TokenSource
from jenga_sim.policies.demand import (
    admission_pages,
    demand,
    expired,
    live_tokens,
    most_pages,
    skipped_tokens,
    stored_tokens,
)
from tests.sim.strategies import examples

KINDS = st.sampled_from(["full", "sliding_window", "chunked_local", "mamba"])


def group_of(
    kind: Kind, window: int, block_size: int, source: TokenSource = "text", pages: int = 1
) -> PageGroup:
    content = Content(label="x", kind=kind, layers=1, entry_bytes=1, window=window)
    return PageGroup(
        name="x",
        kind=kind,
        block_size=block_size,
        page_bytes=block_size,
        contents=(content,),
        window=window,
        source=source,
        pages_per_block=pages,
    )


def reads(kind: Kind, window: int, query: int) -> set[int]:
    """The positions that the token at position ``query`` attends to."""
    if kind == "sliding_window":
        return set(range(max(0, query - window + 1), query + 1))
    if kind == "chunked_local":
        return set(range(query // window * window, query + 1))
    if kind == "mamba":
        # The state after the token before stands for all of them.
        return set(range(max(0, query - 1), query + 1))
    return set(range(query + 1))


@examples(300)
@given(KINDS, st.integers(1, 30), st.integers(0, 90))
def test_skipped_tokens_are_those_that_no_later_token_reads(
    kind: Kind, window: int, computed: int
) -> None:
    later = set[int]().union(*(reads(kind, window, computed + i) for i in range(2 * window + 2)))
    assert skipped_tokens(kind, window, computed) == min(later)


@examples(300)
@given(KINDS, st.integers(1, 30), st.integers(1, 12), st.integers(0, 90), st.integers(0, 20))
def test_a_page_expires_when_all_its_tokens_are_skipped(
    kind: Kind, window: int, block_size: int, computed: int, in_flight: int
) -> None:
    in_flight = min(in_flight, computed)
    skipped = skipped_tokens(kind, window, computed - in_flight)
    gone = expired(group_of(kind, window, block_size), computed, in_flight)
    assert gone * block_size <= skipped < (gone + 1) * block_size


@examples(300)
@given(
    st.sampled_from(["full", "sliding_window", "chunked_local"]),
    st.integers(1, 30),
    st.integers(0, 60),
    st.integers(1, 20),
    st.integers(0, 20),
)
def test_live_tokens_are_those_that_a_running_step_reads(
    kind: Kind, window: int, before: int, new: int, in_flight: int
) -> None:
    first = max(0, before - in_flight)
    text = before + new
    queries = range(first, text)
    read = set[int]().union(*(reads(kind, window, query) for query in queries))
    assert live_tokens(kind, window, text, 7, new, before - first) == len(read)


def test_a_decode_reads_what_the_definition_says() -> None:
    assert live_tokens("full", 0, 100, 0, 1, 0) == 100
    assert live_tokens("sliding_window", 32, 100, 0, 1, 0) == 32
    assert live_tokens("sliding_window", 32, 20, 0, 1, 0) == 20
    assert live_tokens("chunked_local", 32, 97, 0, 1, 0) == 1
    assert live_tokens("chunked_local", 32, 96, 0, 1, 0) == 32
    assert live_tokens("cross", 0, 100, 41, 1, 0) == 41


def test_pages_follow_the_tokens_that_a_group_keeps() -> None:
    text, cross, both = (
        group_of("full", 0, 16),
        group_of("full", 0, 16, "cross"),
        group_of("full", 0, 16, "all"),
    )
    assert [stored_tokens(g, 33, 15) for g in (text, cross, both)] == [33, 15, 48]
    assert [demand(g, 33, 15) for g in (text, cross, both)] == [3, 1, 3]
    assert [demand(g, 33, 0) for g in (text, cross, both)] == [3, 0, 3]
    assert demand(group_of("mamba", 0, 1000, pages=3), 33, 0) == 3


@examples(200)
@given(
    KINDS,
    st.integers(1, 30),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 20)), min_size=1, max_size=9),
)
def test_arrays_and_single_numbers_give_the_same(
    kind: Kind, window: int, block_size: int, tokens: list[tuple[int, int]]
) -> None:
    group = group_of(kind, window, block_size)
    text, other = (np.array(column, dtype=np.int64) for column in zip(*tokens, strict=True))
    assert demand(group, text, other).tolist() == [demand(group, t, o) for t, o in tokens]
    assert expired(group, text, other).tolist() == [expired(group, t, o) for t, o in tokens]
    assert live_tokens(kind, window, text, other, other, other * 0).tolist() == [
        live_tokens(kind, window, t, o, o, 0) for t, o in tokens
    ]


@examples(500)
@given(
    KINDS,
    st.integers(1, 30),
    st.integers(1, 12),
    st.integers(1, 24),
    st.lists(st.integers(1, 24), min_size=1, max_size=12),
)
def test_nobody_holds_more_pages_than_the_most_whatever_the_chunks(
    kind: Kind, window: int, block_size: int, budget: int, chunks: list[int]
) -> None:
    group = group_of(kind, window, block_size)
    chunks = [min(chunk, budget) for chunk in chunks]
    total = sum(chunks)
    most = most_pages(group, total, 0, budget, total, 1)
    computed = 0
    for chunk in chunks:
        held = demand(group, computed + chunk, 0) - expired(group, computed, 0)
        assert held <= most
        computed += chunk
    assert most <= demand(group, total, 0)
    assert admission_pages(group, total, 0, budget, total) <= most


@examples(200)
@given(
    KINDS,
    st.integers(1, 30),
    st.integers(1, 12),
    st.integers(2, 5),
    st.integers(0, 99),
    st.integers(1, 24),
)
def test_a_block_in_several_pages_takes_and_gives_that_many(
    kind: Kind, window: int, block_size: int, pages: int, tokens: int, budget: int
) -> None:
    one = group_of(kind, window, block_size)
    many = group_of(kind, window, block_size, pages=pages)
    limits = (budget, 99)
    assert demand(many, tokens, 0) == pages * demand(one, tokens, 0)
    assert expired(many, tokens, 0) == pages * expired(one, tokens, 0)
    assert admission_pages(many, tokens, 0, *limits) == pages * admission_pages(
        one, tokens, 0, *limits
    )
    assert most_pages(many, tokens, 0, *limits, 1) == pages * most_pages(one, tokens, 0, *limits, 1)


def test_vllms_cap_for_chunks_is_a_page_short_where_a_chunk_starts_within_a_block() -> None:
    group = group_of("chunked_local", 7, 4)
    assert admission_pages(group, 35, 0, 5, 100) == 3
    assert most_pages(group, 35, 0, 5, 100, 1) == 4
    # Chunk 14..20 and five more tokens lie in the blocks 3 to 6.
    assert demand(group, 25, 0) - expired(group, 20, 0) == 4


def test_caps_count_a_window_the_tokens_in_flight_and_a_page_for_misalignment() -> None:
    assert admission_pages(group_of("sliding_window", 1024, 16), 9999, 0, 8192, 131072) == 577
    assert admission_pages(group_of("sliding_window", 1024, 16), 100, 0, 8192, 131072) == 7
    assert admission_pages(group_of("sliding_window", 1024, 16), 9999, 0, 8192, 4096) == 257
    assert admission_pages(group_of("chunked_local", 8192, 16), 99999, 0, 8192, 131072) == 1024
    assert admission_pages(group_of("full", 0, 16), 9999, 0, 8192, 131072) == 625
